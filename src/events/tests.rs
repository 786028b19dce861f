//! Tests of the log and the counters.

use std::time::Duration;

use polyai_api::FetchErrorKind;
use polyai_domain::conversation::RejectedKind;
use serde_json::Value as Json;
use tokio::time::advance;

use super::*;
use crate::exporter_metrics::BuildInfo;
use crate::logging::{Captured, Format, LevelFilterSpec, subscriber};
use exporter_exposition::{Labels, Value};
use exporter_web::Observer;
use polyai_domain::target::{ClientEnv, Region};
use polyai_domain::timestamp::Timestamp;
use polyai_engine::ledger::store::StoreError;
use polyai_engine::recorder::task::RecorderObserver;

struct Fixture {
    events: Events,
    stats: ExporterMetrics,
    log: Captured,
    _guard: tracing::subscriber::DefaultGuard,
}

impl Fixture {
    fn new() -> Self {
        let log = Captured::default();
        let filter = LevelFilterSpec::parse("debug").unwrap();
        let guard = tracing::subscriber::set_default(subscriber(Format::Json, &filter, false, log.clone()));
        let stats = ExporterMetrics::new(BuildInfo::CURRENT, Timestamp::from_millis(0));
        Self { events: Events::new(stats.clone()), stats, log, _guard: guard }
    }

    /// Level and message of each line since the last call.
    fn messages(&self) -> Vec<String> {
        self.lines().iter().map(|line| format!("{} {}", text(line, "level"), text(line, "message"))).collect()
    }

    fn lines(&self) -> Vec<Json> {
        self.log.take().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn counted(&self, event: Event) -> Value {
        self.value("polyai_exporter_events_total", &Labels::new([("event", event.as_str())]))
    }

    fn value(&self, name: &str, labels: &Labels) -> Value {
        let families = self.stats.gather();
        let family = families.iter().find(|family| family.meta.name == name).unwrap();
        family.series.iter().find(|series| series.labels == *labels).unwrap().value.clone()
    }
}

fn text<'a>(line: &'a Json, key: &str) -> &'a str {
    line[key].as_str().unwrap_or_default()
}

fn target(project: &str) -> TargetKey {
    TargetKey { project: project.to_owned(), region: Region::Us1, client_env: ClientEnv::Live }
}

#[tokio::test(start_paused = true)]
async fn frequent_reloads_are_throttled_but_changes_logged() {
    let fixture = Fixture::new();
    for _ in 0..1000 {
        fixture.events.config_reloaded("POST /-/reload", None);
        fixture.events.config_reload_failed("POST /-/reload", "polyai.yaml:1:1: no");
    }
    fixture.events.config_reloaded("POST /-/reload", Some("1 target added (a/us-1/live)"));
    fixture.events.config_reload_failed("SIGHUP", "polyai.yaml:1:1: no");
    assert_eq!(fixture.counted(Event::ConfigReloaded), Value::total(1001));
    assert_eq!(fixture.counted(Event::ConfigReloadFailed), Value::total(1001));
    let messages: Vec<_> = fixture.messages().into_iter().filter(|line| !line.starts_with("DEBUG")).collect();
    assert_eq!(messages.len(), 22, "{messages:?}");
    let last =
        ["INFO configuration reloaded", "ERROR configuration reload failed; the previous one stays active"];
    assert_eq!(messages[20..], last, "a change is always logged, and another trigger has its own quota");

    advance(Duration::from_secs(600)).await;
    fixture.events.config_reloaded("POST /-/reload", None);
    assert_eq!(fixture.lines()[0]["suppressed"], 990);
}

#[tokio::test(start_paused = true)]
async fn failure_is_logged_once_and_recovery_with_duration() {
    let fixture = Fixture::new();
    let target = target("reservations");
    for _ in 0..3 {
        fixture.events.poll_failed(&target, "timeout", &"no answer within 60s");
        advance(Duration::from_secs(30)).await;
    }
    fixture.events.poll_recovered(&target);
    fixture.events.poll_recovered(&target);

    let lines = fixture.lines();
    let levels: Vec<_> = lines.iter().map(|line| text(line, "level")).collect();
    assert_eq!(levels, ["WARN", "DEBUG", "DEBUG", "INFO"]);
    assert_eq!(text(&lines[0], "reason"), "no answer within 60s");
    assert_eq!(text(&lines[0], "project"), "reservations");
    assert_eq!(lines[2]["failures"], 3);
    assert_eq!(lines[3]["failures"], 3);
    assert_eq!(lines[3]["lasted_seconds"], 90.0);
    assert_eq!(fixture.counted(Event::PollFailed), Value::total(3));
}

#[tokio::test(start_paused = true)]
async fn different_failure_or_target_is_logged() {
    let fixture = Fixture::new();
    fixture.events.poll_failed(&target("a"), "timeout", &"slow");
    fixture.events.poll_failed(&target("a"), "connect", &"refused");
    fixture.events.poll_failed(&target("b"), "timeout", &"slow");
    assert!(fixture.lines().iter().all(|line| text(line, "level") == "WARN"));
}

#[tokio::test(start_paused = true)]
async fn sporadic_request_failures_are_throttled() {
    let fixture = Fixture::new();
    let target = target("a");
    let failure = FetchError {
        kind: FetchErrorKind::ServerError,
        status: Some(502),
        retry_after: None,
        correlation_id: Some("c-1".to_owned()),
        message: "bad gateway".to_owned(),
    };
    for _ in 0..20 {
        fixture.events.request_failed(&target, &failure);
        fixture.events.poll_recovered(&target);
        advance(Duration::from_secs(30)).await;
    }
    let lines = fixture.lines();
    assert_eq!(lines.iter().filter(|line| text(line, "level") != "DEBUG").count(), 1);
    assert_eq!((&lines[0]["status"], text(&lines[0], "correlation_id")), (&Json::from(502), "c-1"));

    advance(CLEAR_AFTER).await;
    fixture.events.poll_recovered(&target);
    assert_eq!(fixture.messages(), ["INFO event cleared"]);
}

#[tokio::test(start_paused = true)]
async fn problem_is_logged_once_per_change_with_advice() {
    let fixture = Fixture::new();
    let target = target("a");
    for _ in 0..3 {
        fixture.events.problem_started(&target, Problem::Unauthorized);
    }
    fixture.events.problem_started(&target, Problem::TranscriptOff);
    fixture.events.problem_ended(&target, Problem::Unauthorized);
    fixture.events.problem_ended(&target, Problem::Unauthorized);
    fixture.events.problem_ended(&target, Problem::Timeout);

    let lines = fixture.lines();
    let messages: Vec<_> = lines.iter().map(|line| (text(line, "level"), text(line, "problem"))).collect();
    assert_eq!(messages, [("ERROR", "unauthorized"), ("WARN", "transcript_off"), ("INFO", "unauthorized")]);
    assert_eq!(text(&lines[0], "advice"), Problem::Unauthorized.advice());
    assert_eq!(fixture.counted(Event::ProblemStarted), Value::total(2));
}

#[tokio::test(start_paused = true)]
async fn rejected_records_are_throttled_but_counted() {
    let fixture = Fixture::new();
    let record = RejectedRecord { id: Some("conv-1".to_owned()), kind: RejectedKind::BadStart };
    for _ in 0..200 {
        fixture.events.record_rejected(&target("a"), &record, "started_at is missing");
    }
    let lines = fixture.lines();
    assert_eq!(lines.iter().filter(|line| text(line, "level") == "ERROR").count(), 10);
    assert_eq!(text(&lines[0], "conversation_id"), "conv-1");
    assert_eq!(fixture.counted(Event::RecordRejected), Value::total(200));
    let by_kind =
        fixture.value("polyai_exporter_records_rejected_total", &Labels::new([("kind", "bad_start")]));
    assert_eq!(by_kind, Value::total(200));

    advance(Duration::from_secs(600)).await;
    fixture.events.record_rejected(&target("a"), &record, "started_at is missing");
    assert_eq!(fixture.lines()[0]["suppressed"], 190);
}

#[tokio::test(start_paused = true)]
async fn storage_failure_is_logged_as_error() {
    let fixture = Fixture::new();
    let path = "state.redb".into();
    let full = StoreError::Damaged { path, detail: "no space left on device".into() };
    let (took, retry_in) = (Duration::from_millis(20), Duration::from_secs(5));
    fixture.events.on_commit(took);
    for _ in 0..2 {
        fixture.events.on_commit_failed(took, &full, retry_in);
    }
    fixture.events.on_commit(took);
    let expected = [
        "ERROR commit failed; serving last committed snapshot",
        "DEBUG commit failed",
        "INFO commits succeeding again",
    ];
    assert_eq!(fixture.messages(), expected);
    let commits =
        |outcome| fixture.value("polyai_exporter_commits_total", &Labels::new([("outcome", outcome)]));
    assert_eq!((commits("committed"), commits("failed")), (Value::total(2), Value::total(2)));
}

#[tokio::test(start_paused = true)]
async fn limited_label_is_logged_once_per_target() {
    let fixture = Fixture::new();
    for _ in 0..5 {
        fixture.events.label_limit_reached(&target("a"), "variant");
    }
    fixture.events.label_limit_reached(&target("a"), "reason");
    assert_eq!(fixture.lines().len(), 2);
    assert_eq!(fixture.counted(Event::LabelLimitReached), Value::total(6));
}

#[tokio::test(start_paused = true)]
async fn catch_up_reports_progress_and_end() {
    let fixture = Fixture::new();
    let at = DateTime::from_timestamp(1_790_000_000, 0).unwrap();
    for step in 0..=100 {
        fixture.events.catching_up(&target("a"), at, at, f64::from(step) / 100.0, 7);
        advance(Duration::from_secs(1)).await;
    }
    let ratios: Vec<_> = fixture.lines().iter().map(|line| line["done_ratio"].as_f64().unwrap()).collect();
    assert_eq!(ratios, [0.0, 0.3, 0.6, 0.9, 1.0]);
}

#[tokio::test(start_paused = true)]
async fn refused_ticks_count_as_skipped_polls() {
    let fixture = Fixture::new();
    for _ in 0..2 {
        fixture.events.poll_skipped(&target("a"));
    }
    assert_eq!(fixture.value("polyai_exporter_polls_skipped_total", &Labels::default()), Value::total(2));
    assert_eq!(fixture.lines().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn other_events_are_logged_and_counted() {
    let fixture = Fixture::new();
    let target = target("a");
    fixture.events.conversation_stuck(&target, "conv-8", &"2026-01-01 08:00 UTC");
    fixture.events.conversation_missing(&target, "conv-9");
    fixture.events.fetch_abandoned(&target, &"the cursor repeats");
    fixture.events.open_conversations_truncated(&target);
    fixture.events.clock_skew(&target, -12.5);
    fixture.events.clock_skew_resolved(&target);
    fixture.events.on_accept_failed(&std::io::Error::other("too many open files"));
    fixture.events.on_connection_evicted(512);
    fixture.events.on_connection_rejected(512);

    let levels: Vec<_> = fixture.lines().iter().map(|line| text(line, "level").to_owned()).collect();
    assert_eq!(levels, ["WARN", "WARN", "WARN", "WARN", "WARN", "INFO", "ERROR", "WARN", "WARN"]);
    for event in [
        Event::ConversationStuck,
        Event::ConversationMissing,
        Event::FetchAbandoned,
        Event::OpenConversationsTruncated,
        Event::ClockSkew,
        Event::AcceptFailed,
        Event::ConnectionEvicted,
        Event::ConnectionRefused,
    ] {
        assert_eq!(fixture.counted(event), Value::total(1), "{}", event.as_str());
    }
}

#[test]
fn event_names_are_distinct_and_sorted() {
    assert!(Event::ALL.is_sorted_by(|a, b| a.as_str() < b.as_str()));
}
