//! Content and frequency of log lines, and secrets that must never be logged.

use polyai_simulator::{Fault, FaultKind, RetryAfter, Truncation};

use crate::support::calls::{call, mixed_calls, project};
use crate::support::scenario::{scenario, wait};
use crate::support::{at, minutes, seconds};

/// At the first start with an anchor, the day before it is read, for calls that ran across.
const THE_FIRST_START: [&str; 3] = [
    "INFO catching up",
    "INFO catching up",
    "INFO caught up; its conversation series are exposed from now on",
];

#[tokio::test(start_paused = true)]
async fn log_has_no_key_phone_number_or_transcript() {
    let mut calls = mixed_calls(seconds(40), minutes(14), seconds(28));
    let private = r#"{"id":"CA-ODD","started_at":"+15555550123","from_number":"+15555550124","turns":"I have a question."}"#;
    calls.push(call("RAW", minutes(1)).raw(private));
    let scenario = scenario([project("hotel").with_calls(calls)])
        .with_polling(|polling| polling.page_size = 4.try_into().unwrap())
        .start()
        .await;
    let noise = [
        FaultKind::Status(500),
        FaultKind::RateLimited(RetryAfter::Seconds(3)),
        FaultKind::Truncated(Truncation::Length),
        FaultKind::Truncated(Truncation::Json),
        FaultKind::Html(200),
        FaultKind::Reset,
        FaultKind::KeyRefused,
        FaultKind::Body(r#"{"conversations":"+15555550125"}"#.to_owned()),
    ];
    for kind in noise {
        scenario.api().fault(Fault::new(kind).with_probability(0.06));
    }
    wait(minutes(60)).await;
    let text = scenario.log.text();
    assert!(text.contains("request failed") && text.contains("record rejected"), "nothing was logged");
    for secret in ["5555501", "key-of-hotel", "I have a question", "go ahead", "how can I help", "+1555"] {
        let leak = text.lines().find(|line| line.contains(secret));
        assert!(leak.is_none(), "the log holds {secret:?}: {}", leak.unwrap_or_default());
    }
}

#[tokio::test(start_paused = true)]
async fn echoed_key_of_any_target_reaches_no_output() {
    let started_at = at(minutes(1)).to_rfc3339();
    let echo = format!(
        r#"{{"id":"CA-key-of-bank","started_at":"{started_at}","total_duration":20,"channel":"key-of-bank","handoff":true,"handoff_reason":"a2V5LW9mLWJhbms","handoff_destination":"key-of-hot..."}}"#
    );
    let rejected = r#"{"id":"X-key-of-bank","started_at":"never"}"#;
    let calls = [call("A", minutes(1)).raw(echo), call("B", minutes(1)).raw(rejected)];
    let scenario = scenario([project("hotel").with_calls(calls), project("bank")]).start().await;
    wait(minutes(10)).await;
    let mut outputs = vec![scenario.log.text()];
    for path in ["/metrics", "/", "/api/v1/targets", "/targets/hotel/us-1/live"] {
        outputs.push(scenario.exporter.get(path).await.1);
    }
    assert!(outputs[0].contains("record rejected"), "{}", outputs[0]);
    assert!(outputs[1].contains(r#"channel="***********""#), "{}", outputs[1]);
    for secret in ["key-of-b", "key-of-h", "a2V5LW9m"] {
        for output in &outputs {
            let leak = output.lines().find(|line| line.contains(secret));
            assert!(leak.is_none(), "{secret}: {}", leak.unwrap_or_default());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn outage_is_logged_once_at_start_and_end() {
    let scenario = scenario([project("hotel"), project("other")]).start().await;
    let outage = Fault::new(FaultKind::Status(503)).with_scope("hotel");
    scenario.api().fault(outage.with_period(at(minutes(10)), at(minutes(130))));
    wait(minutes(145)).await;
    let gists: Vec<String> = scenario.log.about("hotel").iter().map(|line| line.gist()).collect();
    assert_eq!(
        gists,
        [
            "INFO catching up",
            "INFO catching up",
            "INFO caught up; its conversation series are exposed from now on",
            "WARN request failed",
            "WARN poll failed; the next poll reads the same window again",
            "WARN problem started",
            "INFO catching up",
            "INFO target recovered",
            "INFO problem ended",
            "INFO event cleared",
        ]
    );
    let others: Vec<String> = scenario.log.about("other").iter().map(|line| line.gist()).collect();
    assert_eq!(others, THE_FIRST_START);
}

#[tokio::test(start_paused = true)]
async fn idle_hour_logs_only_startup() {
    let calls = mixed_calls(seconds(40), minutes(40), seconds(28));
    let scenario = scenario([project("hotel").with_calls(calls)]).start().await;
    wait(minutes(60)).await;
    let gists: Vec<String> = scenario.log.about("hotel").iter().map(|line| line.gist()).collect();
    assert_eq!(gists, THE_FIRST_START);
}
