//! Lists with more records than one fetch may hold, readable or not.

use std::num::{NonZeroU16, NonZeroU32, NonZeroUsize};
use std::sync::Arc;

use exporter_exposition::Value;
use polyai_api::{
    ApiCredentials, ApiKey, Client, ConcurrencyLimit, ConversationList, Endpoint, FetchErrorKind,
    FetchedPages, Filter, Limit, RateLimiter, Window, WindowError,
};
use polyai_domain::clock::Clock;
use polyai_domain::conversation::RejectedKind;
use polyai_domain::target::{ApiVersion, ClientEnv, LatencyUnit};
use polyai_domain::timestamp::Timestamp;
use polyai_exporter::events::{Events, TargetEvents};
use polyai_exporter::exporter_metrics::{BuildInfo, ExporterMetrics};
use polyai_simulator::{Fault, FaultKind, Project, Simulator, SimulatorHandle, World};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::calls::{call, project};
use crate::support::{at, hours, seconds};

/// A list at the API, and who reads it in pages of a hundred.
struct Reading {
    list: ConversationList,
    stats: ExporterMetrics,
    api: SimulatorHandle,
}

/// A thousand calls, shown in a dialect of tomorrow.
async fn given_a_thousand_unreadable_records() -> Reading {
    let records = (0..1000).map(|n| {
        call(&format!("RAW{n}"), seconds(n)).lasting(5).raw(format!(r#"{{"id":"CA{n}","began":{n}}}"#))
    });
    given(project("hotel").with_calls(records)).await
}

async fn given(hotel: Project) -> Reading {
    let (account, name, target) =
        (hotel.account_id.clone(), hotel.project_id.clone(), hotel.target(ClientEnv::Live));
    let clock = Clock::fixed(at(hours(2)));
    let stats = ExporterMetrics::new(BuildInfo::CURRENT, Timestamp::from(clock.now()));
    let region = hotel.region;
    let api = Simulator::on_loopback(World::new([hotel]), clock.clone()).await.unwrap();
    let concurrency = ConcurrencyLimit::new(NonZeroUsize::MIN);
    let credentials = ApiCredentials {
        endpoint: Endpoint::new(&api.base_url(region), ApiVersion::V3, &account, &name, ClientEnv::Live),
        api_key: ApiKey::new("key-of-hotel"),
        latency_unit: LatencyUnit::Seconds,
        rate_limiter: RateLimiter::new(NonZeroU32::new(60_000).unwrap()),
    };
    let client = Client::new("test/1", seconds(20), None, concurrency, clock).unwrap();
    let observer = TargetEvents { target, events: Events::new(stats.clone()) };
    let list = ConversationList::new(client, credentials, NonZeroU16::new(100).unwrap(), Arc::new(observer));
    Reading { list, stats, api }
}

impl Reading {
    async fn fetch(&mut self, limit: Limit) -> Result<FetchedPages, WindowError> {
        self.list.fetch(Window { from: None, to: None }, Filter::Finished, limit).await
    }

    /// The records reported as rejected so far; the poller reports those that the fetch names.
    fn told(&self) -> Value {
        let families = self.stats.gather();
        let rejected =
            families.iter().find(|family| family.meta.name == "polyai_exporter_records_rejected_total");
        let series = rejected.into_iter().flat_map(|family| &family.series);
        let counts = series.map(|series| match series.value {
            Value::Counter(count, _) => count,
            Value::Gauge(_) | Value::Histogram(_) => panic!("not a counter"),
        });
        Value::Counter(counts.sum(), None)
    }
}

#[tokio::test]
async fn rejected_records_count_towards_fetch_limit() {
    let mut hotel = given_a_thousand_unreadable_records().await;
    let fetched = hotel.fetch(Limit::StopAt(250)).await.unwrap();
    assert_eq!((fetched.rejected.len(), fetched.complete), (300, false));
    assert_eq!(hotel.list.request_stats.requests, 3);
    let refused = hotel.fetch(Limit::RefuseAt(250)).await;
    assert!(matches!(refused, Err(WindowError::TooLarge(250))), "{refused:?}");
    assert_eq!(hotel.list.request_stats.requests, 6);
    hotel.api.stop().await;
}

#[tokio::test]
async fn ignored_window_is_not_a_large_one() {
    let calls = (0..300).map(|n| call(&format!("CA{n}"), seconds(n)).lasting(5));
    let hotel = project("hotel").with_quirks(|quirks| quirks.ignores_window = true).with_calls(calls);
    let mut hotel = given(hotel).await;
    let start = Timestamp::from(at(hours(0)));
    let (long_ago, lately) = (start - hours(100), start - hours(20));
    for (window, outside) in [
        (Window::between(long_ago, long_ago + hours(1)), 300),
        // Rounded times and other time zones are no proof.
        (Window::between(long_ago, lately), 0),
    ] {
        let fetched = hotel.list.fetch(window, Filter::Finished, Limit::Unlimited).await.unwrap();
        assert_eq!((fetched.conversations.len(), fetched.outside), (300, outside), "{window}");
        let refused = hotel.list.fetch(window, Filter::Finished, Limit::RefuseAt(150)).await;
        let is_ignored = matches!(refused, Err(WindowError::WindowIgnored(150)));
        assert_eq!(is_ignored, outside > 0, "{window}: {refused:?}");
    }
    hotel.api.stop().await;
}

#[tokio::test]
async fn first_rejected_records_are_logged_and_all_counted() {
    let mut hotel = given_a_thousand_unreadable_records().await;
    let fetched = hotel.fetch(Limit::Unlimited).await.unwrap();
    assert_eq!((fetched.rejected.len(), fetched.complete), (1000, true));
    assert_eq!(fetched.rejected.into_iter().count(), 300);
    assert_eq!(hotel.told(), Value::total(700));
    hotel.api.stop().await;
}

#[tokio::test]
async fn oversized_page_is_never_complete() {
    let mut hotel = given_a_thousand_unreadable_records().await;
    let endless = format!("[{}]", vec!["{}"; 25_000].join(","));
    hotel.api.control.fault(Fault::new(FaultKind::Body(endless)));
    let fetched = hotel.fetch(Limit::StopAt(10_000)).await.unwrap();
    assert_eq!((fetched.rejected.len(), fetched.complete), (10_000, false));
    let refused = hotel.fetch(Limit::RefuseAt(3000)).await;
    assert!(matches!(refused, Err(WindowError::TooLarge(3000))), "{refused:?}");
    let failed = hotel.fetch(Limit::Unlimited).await.unwrap_err();
    assert!(failed.to_string().contains("one page holds 25000 records"), "{failed}");
    hotel.api.stop().await;
}

/// A list at a server that gives this answer to every request, and closes the connection.
async fn given_raw_answer(answer: &'static [u8]) -> ConversationList {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let _ = connection.read(&mut request).await;
            let _ = connection.write_all(answer).await;
        }
    });
    let clock = Clock::fixed(at(hours(2)));
    let credentials = ApiCredentials {
        endpoint: Endpoint::new(&base_url, ApiVersion::V3, "ws-1", "P-1", ClientEnv::Live),
        api_key: ApiKey::new("key"),
        latency_unit: LatencyUnit::Seconds,
        rate_limiter: RateLimiter::new(NonZeroU32::new(60_000).unwrap()),
    };
    let concurrency = ConcurrencyLimit::new(NonZeroUsize::MIN);
    let client = Client::new("test/1", seconds(20), None, concurrency, clock.clone()).unwrap();
    let stats = ExporterMetrics::new(BuildInfo::CURRENT, Timestamp::from(clock.now()));
    let target = project("hotel").target(ClientEnv::Live);
    let observer = TargetEvents { target, events: Events::new(stats) };
    ConversationList::new(client, credentials, NonZeroU16::new(100).unwrap(), Arc::new(observer))
}

#[tokio::test]
async fn start_far_ahead_is_rejected_alone() {
    let record = |id: &str, start: &str| format!(r#"{{"id":"{id}","started_at":"{start}"}}"#);
    let starts =
        ["9998-01-01T00:00:00Z", "2026-08-20T09:15:02Z", "2026-08-22T12:00:00Z", "2026-08-21T09:00:00Z"];
    let records: Vec<String> =
        starts.iter().enumerate().map(|(n, start)| record(&format!("CA{n}"), start)).collect();
    let body = format!(r#"{{"conversations":[{}]}}"#, records.join(","));
    let raw = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let mut list = given_raw_answer(Box::leak(raw.into_boxed_str()).as_bytes()).await;
    let fetched = list.fetch(Window::ALL, Filter::Finished, Limit::Unlimited).await.unwrap();
    let read: Vec<_> = fetched.conversations.iter().map(|conversation| conversation.id.to_string()).collect();
    assert_eq!(read, ["CA1", "CA3"], "the API's time and a day");
    let rejected: Vec<_> =
        fetched.rejected.into_iter().map(|record| (record.id.clone().unwrap(), record.kind)).collect();
    assert_eq!(
        rejected,
        [("CA0".to_owned(), RejectedKind::BadStart), ("CA2".to_owned(), RejectedKind::BadStart)]
    );
}

#[tokio::test]
async fn echoed_key_is_redacted_in_an_error() {
    const KEYS: [&str; 2] = ["Zq7_own_0123456789", "Zr8_other_0123456789"];
    let _known = KEYS.map(ApiKey::new);
    for echo in [KEYS[0], KEYS[1], "Zr8_othe", "WnI4X290aGVyXzAxMjM0NTY3ODk"] {
        for answer in [
            format!(
                "401 Unauthorized\r\nX-PolyAI-Correlation-Id: id-{echo}\r\nContent-Length: 2\r\n\r\n{{}}"
            ),
            format!(
                "401 Unauthorized\r\nX-PolyAI-Correlation-Id: {echo}\r\nContent-Length: {}\r\n\r\n{{\"error_code\":\"{echo}\"}}",
                echo.len() + 17
            ),
            format!(
                "503 Unavailable\r\nContent-Length: {}\r\n\r\n{{\"error_code\":\"{echo}\"}}",
                echo.len() + 17
            ),
        ] {
            let raw = format!("HTTP/1.1 {answer}").replacen("\r\n", "\r\nConnection: close\r\n", 1);
            let mut list = given_raw_answer(Box::leak(raw.into_boxed_str()).as_bytes()).await;
            let Err(WindowError::Fetch(error)) =
                list.fetch(Window::ALL, Filter::Finished, Limit::Unlimited).await
            else {
                panic!("{answer}")
            };
            assert!(!format!("{error:?}").contains(&echo[..8]), "{answer}: {error:?}");
        }
    }
}

#[tokio::test]
async fn raw_answer_is_classified_by_kind() {
    use FetchErrorKind::{
        BadRequest, CutOff, Forbidden, NotFound, Redirected, ServerError, Unauthorized, WrongHost,
    };
    let page = "Content-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>";
    let envelope = "Content-Length: 38\r\n\r\n{\"error_code\":\"X\",\"error_message\":\"Y\"}";
    let cases: [(String, FetchErrorKind, u32); 23] = [
        ("200 OK\r\nContent-Length: 500\r\n\r\n{\"conversations\":[".into(), CutOff, 3),
        ("200 OK\r\nContent-Length: 500\r\n\r\n".into(), CutOff, 3),
        ("200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"con\r\n".into(), CutOff, 3),
        ("200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".into(), CutOff, 3),
        ("200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 6\r\n\r\nbroken".into(), CutOff, 3),
        ("200 OK\r\nContent-Length: 18\r\n\r\n{\"conversations\":[".into(), CutOff, 3),
        (format!("401 Unauthorized\r\n{page}"), WrongHost, 1),
        (format!("403 Forbidden\r\n{page}"), WrongHost, 1),
        ("403 Forbidden\r\nContent-Length: 500\r\n\r\n<html>".into(), WrongHost, 1),
        ("403 Forbidden\r\nContent-Length: 0\r\n\r\n".into(), WrongHost, 1),
        ("403 Forbidden\r\nContent-Length: 23\r\n\r\n{\"message\":\"Forbidden\"}".into(), WrongHost, 1),
        (format!("404 Not Found\r\n{page}"), WrongHost, 1),
        (format!("407 Proxy Authentication Required\r\n{page}"), WrongHost, 1),
        (format!("451 Unavailable\r\n{page}"), WrongHost, 1),
        (format!("401 Unauthorized\r\n{envelope}"), Unauthorized, 1),
        (format!("403 Forbidden\r\n{envelope}"), Forbidden, 1),
        (format!("404 Not Found\r\n{envelope}"), NotFound, 1),
        (format!("400 Bad Request\r\n{envelope}"), BadRequest, 1),
        (format!("410 Gone\r\n{envelope}"), BadRequest, 1),
        (format!("302 Found\r\nLocation: https://login.example.com\r\n{page}"), Redirected, 1),
        ("308 Permanent Redirect\r\nContent-Length: 0\r\n\r\n".into(), Redirected, 1),
        ("503 Unavailable\r\nContent-Length: 500\r\n\r\n<html>".into(), ServerError, 3),
        ("503 Unavailable\r\nRetry-After: 90\r\nContent-Length: 0\r\n\r\n".into(), ServerError, 1),
    ];
    for (answer, kind, requests) in cases {
        let raw = format!("HTTP/1.1 {answer}").replacen("\r\n", "\r\nConnection: close\r\n", 1);
        let mut list = given_raw_answer(Box::leak(raw.into_boxed_str()).as_bytes()).await;
        match list.fetch(Window::ALL, Filter::Finished, Limit::Unlimited).await {
            Err(WindowError::Fetch(error)) => assert_eq!(error.kind, kind, "{answer}: {error}"),
            other => panic!("{answer}: {other:?}"),
        }
        assert_eq!(list.request_stats.requests, requests, "{answer}");
    }
}
