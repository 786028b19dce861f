//! Records that are not what they seem: trimmed, of another environment, or in another unit.

use polyai_domain::target::ClientEnv;

use crate::support::calls::{call, project};
use crate::support::scenario::{scenario, wait};
use crate::support::{at, hours, minutes, seconds};

#[tokio::test(start_paused = true)]
async fn trimmed_field_is_unknown_and_not_zero() {
    let calls = |from: u64| {
        (0..6).map(move |n| call(&format!("CA{from}-{n}"), minutes(from) + seconds(20 * n)).lasting(20))
    };
    let trimmed = project("hotel").with_quirks(|quirks| quirks.omitted_fields = &["handoff"]);
    let scenario = scenario([trimmed.with_calls(calls(1).chain(calls(10)))]).start().await;
    wait(minutes(5)).await;
    let during = scenario.scrape().await;
    assert_eq!(during.problems("hotel"), ["partial_fields"]);
    assert_eq!(during.by("field", "polyai_target_missing_field", &[]), [("handoff".to_owned(), 1.0)]);
    during.assert_metric("polyai_target_up", &[], 1.0);
    during.assert_metric("polyai_conversations_total", &[], 6.0);
    during.assert_absent("polyai_recent_handoff_ratio", &[]);
    during.assert_metric("polyai_recent_silence_turn_ratio", &[], 0.0);
    let logged = scenario.log.about("hotel");
    let named = logged
        .iter()
        .any(|line| line.gist().contains("conversations lack a field") && line.field("field") == "handoff");
    assert!(named, "the missing field is not in the log");

    scenario.api().quirks("hotel", |quirks| quirks.omitted_fields = &[]);
    wait(minutes(10)).await;
    let after = scenario.scrape().await;
    assert_eq!(after.problems("hotel"), Vec::<String>::new());
    after.assert_absent("polyai_target_missing_field", &[]);
    after.assert_metric("polyai_recent_handoff_ratio", &[], 0.0);
}

#[tokio::test(start_paused = true)]
async fn records_of_another_environment_are_not_counted() {
    let calls = (0..6).map(|n| call(&format!("CA{n}"), minutes(1) + seconds(20 * n)).lasting(20));
    // Calls are in `live` unless they say otherwise.
    let hotel = project("hotel")
        .with_envs(&[ClientEnv::Live, ClientEnv::Sandbox])
        .with_quirks(|quirks| quirks.ignores_client_env = true)
        .with_calls(calls);
    let mut builder = scenario([hotel]);
    for target in &mut builder.settings_mut().targets {
        target.key.client_env = ClientEnv::Sandbox;
    }
    let scenario = builder.start().await;
    wait(minutes(6)).await;
    let scrape = scenario.scrape().await;
    let sandbox = ("client_env", "sandbox");
    scrape.assert_metric("polyai_conversations_total", &[sandbox], 0.0);
    assert_eq!(scrape.problems("hotel"), ["wrong_environment"]);
    scrape.assert_metric("polyai_target_up", &[sandbox], 1.0);
    let rejected = scrape.value("polyai_exporter_records_rejected_total", &[("kind", "wrong_environment")]);
    assert!(rejected >= 6.0, "{rejected}");
    // The window has been read.
    let read_to = scrape.value("polyai_target_watermark_timestamp_seconds", &[sandbox]);
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    let age = scenario.now().timestamp() as f64 - read_to;
    assert!(age < 60.0, "{age}");
}

#[tokio::test(start_paused = true)]
async fn latencies_in_milliseconds_are_withheld_or_converted() {
    let calls = || (0..6).map(|n| call(&format!("CA{n}"), minutes(1) + seconds(20 * n)).lasting(20));
    let millis =
        |name| project(name).with_quirks(|quirks| quirks.latency_in_milliseconds = true).with_calls(calls());
    let mut builder = scenario([millis("unset"), millis("set")]);
    for target in &mut builder.settings_mut().targets {
        if target.key.project == "set" {
            target.latency_unit = polyai_domain::target::LatencyUnit::Milliseconds;
        }
    }
    let scenario = builder.start().await;
    wait(minutes(6)).await;
    let scrape = scenario.scrape().await;
    assert_eq!(scrape.problems("unset"), ["latency_unit"]);
    scrape.assert_metric("polyai_turn_latency_seconds_count", &[("project", "unset")], 0.0);
    assert_eq!(scrape.problems("set"), Vec::<String>::new());
    scenario.assert_totals("set", &scrape);
}

#[tokio::test(start_paused = true)]
async fn ignored_window_is_a_problem_and_loses_nothing() {
    let long_ago = |n: u64| at(seconds(20 * n)) - hours(72);
    let old = (0..30_u64).map(|n| call(&format!("OLD{n}"), minutes(0)).starting(long_ago(n)).lasting(20));
    let new = (0..6).map(|n| call(&format!("CA{n}"), minutes(1) + seconds(20 * n)).lasting(20));
    let hotel =
        project("hotel").with_quirks(|quirks| quirks.ignores_window = true).with_calls(old.chain(new));
    let scenario = scenario([hotel]).start().await;
    wait(minutes(6)).await;
    let scrape = scenario.scrape().await;
    assert_eq!(scrape.problems("hotel"), ["window_ignored"]);
    scrape.assert_metric("polyai_target_up", &[], 1.0);
    scenario.assert_totals("hotel", &scrape);
    scrape.assert_metric("polyai_conversations_total", &[], 6.0);
}
