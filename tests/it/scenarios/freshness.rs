//! The delay from the end of a call until `/metrics` counts it.

use polyai_simulator::{AnomalyRates, Profile};

use crate::support::calls::project;
use crate::support::scenario::{scenario, wait};
use crate::support::{hours, seconds};

#[tokio::test(start_paused = true)]
async fn calls_count_within_settle_and_two_intervals() {
    let mut profile = Profile::reservations();
    // The scenario plays in its afternoon, at four to five calls a minute.
    profile.utc_offset = 5;
    let busy = project("hotel").with_generated(7, profile).with_anomalies(AnomalyRates::NONE);
    let scenario = scenario([busy])
        .with_polling(|polling| {
            // Their sum is 60 s, a bound of the histogram of lags.
            (polling.interval, polling.settle) = (seconds(25), seconds(10));
            polling.requests_per_minute = 30.try_into().unwrap();
        })
        .start()
        .await;
    wait(hours(3)).await;
    let scrape = scenario.scrape().await;
    let counted = scrape.value("polyai_ingest_lag_seconds_count", &[]);
    let in_time = scrape.value("polyai_ingest_lag_seconds_bucket", &[("le", "60.0")]);
    assert!(counted > 600.0, "{counted} calls are too few");
    assert!(in_time >= 0.99 * counted, "{in_time} of {counted} calls counted in time");
    let truth = scenario.api().expected_totals(&scenario.target("hotel"), crate::support::start_time());
    let missing = truth.conversations as f64 - scrape.total("polyai_conversations_total", &[]);
    assert!((0.0..=5.0).contains(&missing), "{missing} calls are finished and not yet counted");
    scrape.assert_metric("polyai_late_conversations_total", &[], 0.0);
    scrape.assert_metric("polyai_target_overlap_seconds", &[], 2.0);
}
