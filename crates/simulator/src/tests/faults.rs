//! Faults and errors, as a client receives them.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::client::{get, list, send};
use super::*;
use crate::{Fault, FaultKind, RetryAfter, Truncation};

#[tokio::test(start_paused = true)]
async fn every_response_has_date_and_correlation_id() {
    let running = simulate(reservations().with_calls(calls(3))).await;
    running.control.skew(TimeDelta::seconds(90));
    let request = "GET /v3/ws-00000001/PROJECT-RESERVATIONS/conversations HTTP/1.1\r\nhost: sim\r\n\
                   X-API-Key: wrong\r\nX-PolyAI-Correlation-Id: mine-7\r\nconnection: close\r\n\r\n";
    let answer = send(running.addr, request).await.unwrap();
    assert_eq!(answer.status, 401);
    assert_eq!(answer.headers["date"], "Thu, 20 Aug 2026 09:01:30 GMT");
    assert_eq!(answer.headers["x-polyai-correlation-id"], "mine-7");
    let body = answer.json();
    let mut keys: Vec<&String> = body.as_object().unwrap().keys().collect();
    keys.sort();
    assert_eq!(keys, ["data", "error", "error_code", "error_id", "error_message", "success"]);
    assert_eq!((&body["error_id"], &body["success"]), (&"mine-7".into(), &false.into()));
}

#[tokio::test(start_paused = true)]
async fn unknown_paths_have_their_documented_404() {
    let running = simulate(reservations()).await;
    let cases = [
        ("/v3/ws-00000001/PROJECT-NONE/conversations", Some("PROJECT_NOT_FOUND")),
        ("/v3/ws-none/PROJECT-RESERVATIONS/conversations", Some("ACCOUNT_NOT_FOUND")),
        ("/v3/ws-00000001/PROJECT-RESERVATIONS/conversations/CA01", Some("CONVERSATIONS_NOT_FOUND")),
        (
            "/v3/ws-00000001/PROJECT-RESERVATIONS/conversations/CA01/audio",
            Some("CONVERSATIONS_RECORDING_NOT_FOUND"),
        ),
        ("/v1/agents/PROJECT-RESERVATIONS", None),
        ("/", None),
    ];
    for (address, code) in cases {
        let answer = get(running.addr, address, "demo-key").await.unwrap();
        assert_eq!(answer.status, 404, "{address}");
        assert_eq!(answer.json().get("error_code").and_then(|code| code.as_str()), code, "{address}");
    }
    let posted = "POST /v3/ws-00000001/PROJECT-RESERVATIONS/conversations HTTP/1.1\r\nhost: sim\r\n\
                  content-length: 0\r\nconnection: close\r\n\r\n";
    assert_eq!(send(running.addr, posted).await.unwrap().status, 405);
}

#[tokio::test(start_paused = true)]
async fn each_status_fault_hits_once() {
    let running = simulate(reservations().with_calls(calls(3))).await;
    let cases = [
        (FaultKind::RateLimited(RetryAfter::Seconds(12)), 429, Some("12")),
        (FaultKind::RateLimited(RetryAfter::Date(30)), 429, Some("Thu, 20 Aug 2026 09:00:30 GMT")),
        (FaultKind::RateLimited(RetryAfter::Missing), 429, None),
        (FaultKind::Status(503), 503, None),
        (FaultKind::Html(200), 200, None),
        (FaultKind::Html(404), 404, None),
        (FaultKind::KeyRefused, 401, None),
        (FaultKind::Forbidden, 403, None),
        (FaultKind::ProjectUnknown, 404, None),
        (FaultKind::WrongHost, 404, None),
        (FaultKind::Body("[1,".into()), 200, None),
    ];
    for (kind, status, retry_after) in cases {
        running.control.fault(Fault::new(kind.clone()).with_scope(&target()).with_times(1));
        let answer = list(running.addr, "").await;
        assert_eq!(answer.status, status, "{kind:?}");
        assert_eq!(answer.headers.get("retry-after").map(String::as_str), retry_after, "{kind:?}");
        let html = answer.headers["content-type"].starts_with("text/html");
        assert_eq!(html, matches!(kind, FaultKind::Html(_)), "{kind:?}");
        assert_eq!(list(running.addr, "").await.ids().len(), 3, "after {kind:?}");
    }
    assert!(running.control.faults().is_empty());
    assert_eq!(running.control.traffic(&target()).statuses[&429], 3);
}

#[tokio::test(start_paused = true)]
async fn broken_transfers_break_as_requested() {
    let running = simulate(reservations().with_calls(calls(30))).await;
    let whole = list(running.addr, "").await.body;
    for (cut, complete) in
        [(Truncation::Length, false), (Truncation::Chunks, false), (Truncation::Json, true)]
    {
        running.control.fault(Fault::new(FaultKind::Truncated(cut)).with_times(1));
        let answer = list(running.addr, "").await;
        assert_eq!((answer.status, answer.complete), (200, complete), "{cut:?}");
        assert_eq!(answer.body, whole[..whole.len() / 2], "{cut:?}");
    }
    running.control.fault(Fault::new(FaultKind::Reset).with_times(1));
    let address = "/us-1/v3/ws-00000001/PROJECT-RESERVATIONS/conversations";
    let mut stream = TcpStream::connect(running.addr).await.unwrap();
    let request = format!("GET {address} HTTP/1.1\r\nhost: sim\r\nx-api-key: demo-key\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let error = stream.read(&mut [0; 64]).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "a reset, not an orderly end");
    assert_eq!(list(running.addr, "").await.body, whole);
    assert_eq!(running.control.traffic(&target()).statuses[&0], 1);
}

#[tokio::test(start_paused = true)]
async fn slow_responses_take_the_requested_time() {
    let running = simulate(reservations().with_calls(calls(30))).await;
    let cases = [
        (FaultKind::SlowFirstByte(Duration::from_secs(7)), 7),
        (FaultKind::SlowBody { pieces: 5, pause: Duration::from_secs(4) }, 20),
    ];
    for (kind, seconds) in cases {
        running.control.fault(Fault::new(kind.clone()).with_times(1));
        let before = Instant::now();
        assert_eq!(list(running.addr, "").await.ids().len(), 30);
        assert_eq!(before.elapsed().as_secs(), seconds, "{kind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn cursor_faults_repeat_or_empty_a_page() {
    let running = simulate(reservations().with_calls(calls(30))).await;
    let cursor = |answer: &super::client::Answer| answer.json()["cursor"].as_str().unwrap().to_owned();
    running.control.fault(Fault::new(FaultKind::RepeatCursor).with_times(1));
    let first = list(running.addr, "limit=10").await;
    let repeated = list(running.addr, &format!("limit=10&cursor={}", cursor(&first))).await;
    assert_eq!(cursor(&repeated), cursor(&first), "the first page has nothing to repeat");
    running.control.fault(Fault::new(FaultKind::EmptyPage).with_times(1));
    let empty = list(running.addr, &format!("limit=10&cursor={}", cursor(&first))).await;
    assert!(empty.ids().is_empty());
    assert_ne!(cursor(&empty), cursor(&first));
    let after = list(running.addr, &format!("limit=10&cursor={}", cursor(&empty))).await;
    assert_eq!(after.ids(), repeated.ids(), "nothing was lost");
    running.control.fault(Fault::new(FaultKind::EmptyPage).with_times(1));
    let empty = list(running.addr, "limit=10").await;
    let after = list(running.addr, &format!("limit=10&cursor={}", cursor(&empty))).await;
    assert_eq!(after.ids(), first.ids());
}

#[tokio::test(start_paused = true)]
async fn keys_can_be_limited_expired_and_forbidden() {
    let running = simulate(reservations().with_calls(calls(3))).await;
    let control = &running.control;
    control.limit_key("demo-key", 2, RetryAfter::Seconds(60));
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(list(running.addr, "").await.status);
    }
    control.restore_key("demo-key");
    control.expire_key("demo-key", morning() + TimeDelta::seconds(30));
    seen.push(list(running.addr, "").await.status);
    tokio::time::advance(Duration::from_secs(30)).await;
    seen.push(list(running.addr, "").await.status);
    control.restore_key("demo-key");
    control.forbid_key("demo-key");
    seen.push(list(running.addr, "").await.status);
    control.restore_key("demo-key");
    seen.push(list(running.addr, "").await.status);
    assert_eq!(seen, [200, 200, 429, 200, 401, 403, 200]);
}

#[tokio::test(start_paused = true)]
async fn traffic_counts_passes_and_downloads() {
    let open = Call::new("OPEN").starting(morning() - TimeDelta::seconds(5));
    let running = simulate(reservations().with_calls(calls(2)).with_calls([open])).await;
    for query in ["in_progress=true", "in_progress=false", "in_progress=false", ""] {
        list(running.addr, query).await;
    }
    let traffic = running.control.traffic(&target());
    assert_eq!((traffic.running_pass, traffic.finished_pass, traffic.unfiltered), (1, 2, 1));
    assert_eq!(
        traffic.downloads.into_iter().collect::<Vec<_>>(),
        [("CA0000".into(), 3), ("CA0001".into(), 3)]
    );
    assert_eq!(traffic.rows, 1 + 2 + 2 + 3);
    let lines = running.control.request_log();
    assert!(lines[0].address.ends_with("?in_progress=true") && lines[0].status == 200);
    running.control.forget_requests();
    assert_eq!(running.control.traffic(&target()).requests, 0);
}
