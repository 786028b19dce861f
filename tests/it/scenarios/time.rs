//! Clocks that differ, and clocks that are stepped.

use chrono::TimeDelta;
use polyai_simulator::Call;

use crate::support::calls::{call, mixed_calls, project};
use crate::support::scenario::{Scenario, scenario, wait};
use crate::support::{minutes, seconds, start_time};

/// The API's clock differs by so many seconds; calls happen in its time.
async fn counted_under_a_skew_of(skew: i64) {
    let skew = TimeDelta::seconds(skew);
    let calls = mixed_calls(seconds(40), minutes(14), seconds(28));
    let shifted = calls.into_iter().map(|call| {
        let start = call.start() + skew;
        call.starting(start)
    });
    let scenario = scenario([project("hotel").with_calls(shifted)])
        .with_polling(|polling| {
            polling.interval = seconds(60);
            polling.recheck = vec![minutes(5), minutes(20)];
            polling.anchor = Some(start_time() + skew);
        })
        .start_with(|api| api.skew(skew))
        .await;
    wait(minutes(10)).await;
    let scrape = scenario.scrape().await;
    assert_eq!(scrape.problems("hotel"), ["clock_skew"]);
    scrape.assert_metric("polyai_target_up", &[], 1.0);
    let watermark = scrape.value("polyai_target_watermark_timestamp_seconds", &[]);
    let behind = scenario.now().timestamp_millis() as f64 / 1000.0 - watermark;
    assert!((-2.0..=62.0).contains(&behind), "the watermark is {behind} s behind the API's time");
    wait(minutes(40)).await;
    scenario.assert_totals_since(start_time() + skew, "hotel", &scenario.scrape().await, &[]);
}

#[tokio::test(start_paused = true)]
async fn api_clock_ahead_changes_no_totals() {
    counted_under_a_skew_of(300).await;
}

#[tokio::test(start_paused = true)]
async fn api_clock_behind_changes_no_totals() {
    counted_under_a_skew_of(-300).await;
}

/// The machine's clock is stepped while calls come in; without rechecks, which would find what the other passes miss.
async fn counted_across_a_step_of(step: TimeDelta) {
    let calls = (0..60).map(|n| {
        crate::support::calls::call(&format!("CA{n:02}"), seconds(20 + n * 31))
            .lasting(20 + (n * 7 % 50) as i64)
    });
    let scenario = scenario([project("hotel").with_calls(calls)])
        .with_polling(|polling| polling.recheck = Vec::new())
        .start()
        .await;
    wait(minutes(12)).await;
    scenario.exporter.clock.step(step);
    wait(minutes(2)).await;
    let stepped = scenario.scrape().await;
    assert_eq!(stepped.problems("hotel"), ["clock_skew"], "{step}");
    let watermark = stepped.value("polyai_target_watermark_timestamp_seconds", &[]);
    let behind = scenario.now().timestamp_millis() as f64 / 1000.0 - watermark;
    assert!((-2.0..=32.0).contains(&behind), "{step}: the watermark is {behind} s behind the API's time");
    wait(minutes(10)).await;
    scenario.exporter.clock.step(-step);
    wait(minutes(20)).await;
    let settled = scenario.scrape().await;
    assert_eq!(settled.problems("hotel"), Vec::<String>::new(), "{step}");
    scenario.assert_totals("hotel", &settled);
    let in_time = settled.value("polyai_ingest_lag_seconds_bucket", &[("le", "90.0")]);
    assert!(in_time >= 59.0, "{step}: {in_time} of 60 calls counted in time");
}

#[tokio::test(start_paused = true)]
async fn local_clock_step_forward_changes_no_totals() {
    counted_across_a_step_of(TimeDelta::hours(1)).await;
}

#[tokio::test(start_paused = true)]
async fn local_clock_step_back_changes_no_totals() {
    counted_across_a_step_of(TimeDelta::hours(-1)).await;
}

/// Calls of 20 s that no list shows while they run; none runs while a poll asks, so the fresh pass alone can find them all.
fn hidden_calls(minutes: u64) -> impl Iterator<Item = Call> {
    (0..minutes).map(|n| call(&format!("CA{n:02}"), seconds(n * 60 + 5)).lasting(20).hidden_while_running())
}

/// A project of hidden calls, polled with rechecks or without, while and after its clocks are wrong.
async fn counted_while(wrong: impl AsyncFn(&Scenario)) {
    for recheck in [vec![minutes(5), minutes(20)], Vec::new()] {
        let scenario = scenario([project("hotel").with_calls(hidden_calls(70))])
            .with_polling(|polling| polling.recheck = recheck)
            .start()
            .await;
        wait(minutes(12)).await;
        wrong(&scenario).await;
        wait(minutes(10)).await;
        let after = scenario.scrape().await;
        after.assert_metric("polyai_target_up", &[], 1.0);
        let watermark = after.value("polyai_target_watermark_timestamp_seconds", &[]);
        let behind = scenario.now().timestamp_millis() as f64 / 1000.0 - watermark;
        assert!((-2.0..=32.0).contains(&behind), "the watermark is {behind} s behind the API's time");
        wait(minutes(60)).await;
        scenario.assert_totals("hotel", &scenario.scrape().await);
    }
}

#[tokio::test(start_paused = true)]
async fn nodes_with_different_clocks_count_within_minutes() {
    for nodes in [[3, -3], [-3, 3], [40, -40], [900, -900]] {
        let calls = (0..60).map(|n| call(&format!("CA{n:02}"), minutes(n)).lasting(20));
        let scenario = scenario([project("hotel").with_calls(calls)])
            .with_polling(|polling| polling.anchor = None)
            .start_with(|api| api.dates_of_nodes(&nodes.map(TimeDelta::seconds)))
            .await;
        wait(minutes(30)).await;
        let scrape = scenario.scrape().await;
        let counted = scrape.total("polyai_conversations_total", &[]);
        let is_skewed = scrape.problems("hotel") == ["clock_skew"];
        assert!(counted >= 20.0 || is_skewed && nodes[0].abs() > 60, "{nodes:?}: {counted} in half an hour");
    }
}

const DAYS: TimeDelta = TimeDelta::days(3);

#[tokio::test(start_paused = true)]
async fn future_response_dates_change_no_totals() {
    // Two minutes are not believed; a quarter of an hour is, and is taken back.
    for length in [minutes(2), minutes(15)] {
        counted_while(async |scenario: &Scenario| {
            scenario.api().date_ahead(Some(DAYS));
            wait(length).await;
            scenario.api().date_ahead(Some(TimeDelta::zero()));
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn api_clock_days_ahead_changes_no_totals() {
    counted_while(async |scenario: &Scenario| {
        scenario.api().skew(DAYS);
        wait(minutes(2)).await;
        scenario.api().skew(TimeDelta::zero());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn clock_jump_without_dates_changes_no_totals() {
    for length in [minutes(2), minutes(15)] {
        counted_while(async |scenario: &Scenario| {
            scenario.api().date_ahead(None);
            scenario.exporter.clock.step(DAYS);
            wait(length).await;
            scenario.exporter.clock.step(-DAYS);
        })
        .await;
    }
}

/// A machine whose clock is wrong by so much starts for the very first time, without an anchor.
async fn first_start_on_a_machine_that_is_ahead_by(step: TimeDelta) {
    let before = (0..40).map(|n| call(&format!("OLD{n:02}"), seconds(n * 30)).lasting(20));
    let after = (0..20).map(|n| call(&format!("NEW{n:02}"), minutes(31 + n)).lasting(30));
    let scenario = scenario([project("hotel").with_calls(before.chain(after))])
        .with_polling(|polling| polling.anchor = None)
        .start_at(minutes(30), step)
        .await;
    wait(minutes(40)).await;
    let scrape = scenario.scrape().await;
    assert_eq!(scrape.problems("hotel"), ["clock_skew"]);
    assert_eq!(scrape.total("polyai_conversations_total", &[]), 20.0, "{step}");
    scenario.assert_totals_since(start_time() + minutes(30), "hotel", &scrape, &[]);
}

#[tokio::test(start_paused = true)]
async fn first_start_with_clock_behind_counts_onwards() {
    first_start_on_a_machine_that_is_ahead_by(-DAYS).await;
}

#[tokio::test(start_paused = true)]
async fn first_start_with_clock_ahead_counts_onwards() {
    first_start_on_a_machine_that_is_ahead_by(DAYS).await;
}
