//! Clocks that differ, and clocks that are stepped.

use chrono::TimeDelta;

use crate::support::calls::{mixed_calls, project};
use crate::support::story::{given, wait};
use crate::support::{dawn, minutes, seconds};

/// The API's clock differs by so many seconds; calls happen in its time.
async fn counted_under_a_skew_of(skew: i64) {
    let skew = TimeDelta::seconds(skew);
    let calls = mixed_calls(seconds(40), minutes(14), seconds(28));
    let shifted = calls.into_iter().map(|call| {
        let start = call.start() + skew;
        call.starting(start)
    });
    let story = given([project("hotel").with_calls(shifted)])
        .polling(|polling| {
            polling.interval = seconds(60);
            polling.recheck = vec![minutes(5), minutes(20)];
            polling.anchor = Some(dawn() + skew);
        })
        .begin_with(|api| api.skew(skew))
        .await;
    wait(minutes(10)).await;
    let scrape = story.scrape().await;
    assert_eq!(scrape.problems("hotel"), ["clock_skew"]);
    scrape.says("polyai_target_up", &[], 1.0);
    let watermark = scrape.value("polyai_target_watermark_timestamp_seconds", &[]);
    let behind = story.now().timestamp_millis() as f64 / 1000.0 - watermark;
    assert!((-2.0..=62.0).contains(&behind), "the watermark is {behind} s behind the API's time");
    wait(minutes(40)).await;
    story.agrees_since(dawn() + skew, "hotel", &story.scrape().await, &[]);
}

#[tokio::test(start_paused = true)]
async fn an_api_whose_clock_is_five_minutes_ahead_is_read_in_its_own_time() {
    counted_under_a_skew_of(300).await;
}

#[tokio::test(start_paused = true)]
async fn an_api_whose_clock_is_five_minutes_behind_is_read_in_its_own_time() {
    counted_under_a_skew_of(-300).await;
}

/// The machine's clock is stepped while calls come in; no recheck is there to mend what the other passes leave out.
async fn counted_across_a_step_of(step: TimeDelta) {
    let calls = (0..60).map(|n| {
        crate::support::calls::call(&format!("CA{n:02}"), seconds(20 + n * 31))
            .lasting(20 + (n * 7 % 50) as i64)
    });
    let story = given([project("hotel").with_calls(calls)])
        .polling(|polling| polling.recheck = Vec::new())
        .begin()
        .await;
    wait(minutes(12)).await;
    story.exporter.clock.jump(step);
    wait(minutes(2)).await;
    let stepped = story.scrape().await;
    assert_eq!(stepped.problems("hotel"), ["clock_skew"], "{step}");
    let watermark = stepped.value("polyai_target_watermark_timestamp_seconds", &[]);
    let behind = story.now().timestamp_millis() as f64 / 1000.0 - watermark;
    assert!((-2.0..=32.0).contains(&behind), "{step}: the watermark is {behind} s behind the API's time");
    wait(minutes(10)).await;
    story.exporter.clock.jump(-step);
    wait(minutes(20)).await;
    let mended = story.scrape().await;
    assert_eq!(mended.problems("hotel"), Vec::<String>::new(), "{step}");
    story.agrees("hotel", &mended);
    let in_time = mended.value("polyai_ingest_lag_seconds_bucket", &[("le", "90.0")]);
    assert!(in_time >= 59.0, "{step}: {in_time} of 60 calls counted in time");
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_stepped_ahead_and_back_changes_no_number() {
    counted_across_a_step_of(TimeDelta::hours(1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_stepped_back_and_ahead_changes_no_number() {
    counted_across_a_step_of(TimeDelta::hours(-1)).await;
}
