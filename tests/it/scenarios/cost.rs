//! The number of requests that the exporter makes.

use polyai_simulator::{AnomalyRates, Call, Profile};

use crate::support::calls::{project, random_calls};
use crate::support::scenario::{scenario, wait};
use crate::support::{at, hours, minutes, seconds};

#[tokio::test(start_paused = true)]
async fn idle_target_costs_two_requests_per_interval() {
    let scenario =
        scenario([project("hotel")]).with_polling(|polling| polling.interval = minutes(1)).start().await;
    // The first hour looks back at what may have run across the anchor.
    wait(hours(1)).await;
    scenario.api().forget_requests();
    let before = scenario.scrape().await.value("polyai_exporter_api_response_bytes_total", &[]);
    wait(hours(24)).await;
    let traffic = scenario.api().traffic(&scenario.target("hotel"));
    assert!((2_878..=2_882).contains(&traffic.requests), "{} requests in a day", traffic.requests);
    assert_eq!(traffic.rows, 0);
    let bytes = scenario.scrape().await.value("polyai_exporter_api_response_bytes_total", &[]) - before;
    assert!(bytes <= traffic.requests as f64 * 100.0, "{bytes} bytes of empty pages");
}

#[tokio::test(start_paused = true)]
async fn call_is_downloaded_once_per_recheck_age() {
    let busy = project("hotel").with_generated(7, Profile::reservations()).with_anomalies(AnomalyRates::NONE);
    let scenario = scenario([busy])
        .with_polling(|polling| {
            polling.interval = minutes(1);
            polling.recheck = vec![minutes(5), minutes(30), hours(2)];
        })
        .start()
        .await;
    wait(minutes(150)).await;
    scenario.api().forget_requests();
    let before = scenario.scrape().await.value("polyai_exporter_api_response_bytes_total", &[]);
    wait(hours(5)).await;
    let traffic = scenario.api().traffic(&scenario.target("hotel"));
    let truth = scenario
        .api()
        .expected_totals(&scenario.target("hotel"), scenario.now() - chrono::TimeDelta::hours(5));
    let downloads: u64 = traffic.downloads.values().sum();
    let per_call = downloads as f64 / truth.conversations as f64;
    assert!(truth.conversations > 300, "{} calls are too few", truth.conversations);
    // One for the pass that finds it, three for the recheck ages; stretches overlap by a second, which few calls fall into.
    assert!(per_call <= 4.1, "{per_call} downloads per call");
    let bytes = scenario.scrape().await.value("polyai_exporter_api_response_bytes_total", &[]) - before;
    assert_eq!(bytes, traffic.bytes as f64, "what came is what was sent");
}

/// The requests for an hour of calls.
struct Cost {
    downloads_per_call: f64,
    requests_per_poll: f64,
    /// Mean time in seconds from the end of a call until it counts.
    delay: f64,
}

impl Cost {
    async fn of(calls: Vec<Call>, requests_per_minute: u32) -> Self {
        let passed_recheck = at(minutes(5))..at(minutes(40));
        let measured = calls.iter().filter(|call| passed_recheck.contains(&call.start()));
        let measured: Vec<String> = measured.map(|call| call.id().to_owned()).collect();
        let scenario = scenario([project("hotel").with_calls(calls)])
            .with_polling(|polling| {
                polling.recheck = vec![minutes(5)];
                polling.requests_per_minute = requests_per_minute.try_into().unwrap();
            })
            .start()
            .await;
        wait(minutes(59)).await;
        let traffic = scenario.api().traffic(&scenario.target("hotel"));
        let downloads: u64 = measured.iter().map(|id| traffic.downloads[id]).sum();
        let scrape = scenario.scrape().await;
        let lag = |part: &str| scrape.total(&format!("polyai_ingest_lag_seconds_{part}"), &[]);
        assert!(lag("count") >= measured.len() as f64, "{} calls have counted", lag("count"));
        Self {
            downloads_per_call: downloads as f64 / measured.len() as f64,
            requests_per_poll: traffic.requests as f64 / 118.0,
            delay: lag("sum") / lag("count"),
        }
    }

    /// Once when it ends and once at its recheck; a tenth may be repeated.
    fn assert_within(&self, per_second: f64, requests: f64, delay: f64) {
        let Self { downloads_per_call, requests_per_poll, delay: measured } = *self;
        assert!(downloads_per_call <= 2.2, "{per_second}/s: {downloads_per_call} downloads per call");
        assert!(requests_per_poll <= requests, "{per_second}/s: {requests_per_poll} requests per poll");
        assert!(measured <= delay, "{per_second}/s: calls count after {measured} s");
    }
}

#[tokio::test(start_paused = true)]
async fn dense_calls_are_downloaded_twice_with_one_recheck_age() {
    for (per_second, requests) in [(0.1, 5.2), (0.5, 11.0), (1.0, 17.5), (3.0, 43.0)] {
        Cost::of(random_calls(per_second, hours(1)), 6000).await.assert_within(per_second, requests, 47.0);
    }
}

/// None is read for the first time by its recheck, so that none costs less than two downloads.
#[tokio::test(start_paused = true)]
async fn calls_ended_before_their_recheck_download_twice() {
    let call = |n: u64| {
        let lasts = chrono::TimeDelta::seconds((30 + n * 7919 % 181).cast_signed());
        Call::new(format!("CA{n:04}")).starting(at(seconds(n))).lasting_exactly(lasts)
    };
    Cost::of((0..3600).map(call).collect(), 6000).await.assert_within(1.0, 21.0, 47.0);
}

#[tokio::test(start_paused = true)]
async fn short_budget_delays_calls_without_more_downloads() {
    for (per_second, delay) in [(1.0, 45.0), (3.0, 90.0)] {
        Cost::of(random_calls(per_second, hours(1)), 30).await.assert_within(per_second, 15.5, delay);
    }
}

#[tokio::test(start_paused = true)]
async fn targets_with_same_key_share_request_budget() {
    let names: Vec<String> = (0..12).map(|n| format!("hotel-{n:02}")).collect();
    let scenario = scenario(names.iter().map(|name| project(name).with_key("one-key")))
        .with_polling(|polling| polling.requests_per_minute = 30.try_into().unwrap())
        .start()
        .await;
    wait(minutes(20)).await;
    let asked: Vec<_> = scenario.api().request_log().iter().map(|line| line.at).collect();
    let in_a_minute = |from: &chrono::DateTime<chrono::Utc>| {
        asked.iter().filter(|&at| at >= from && *at < *from + minutes(1)).count()
    };
    let most = asked.iter().map(in_a_minute).max().unwrap();
    // 48 are wanted; 30 a minute are allowed, and a tick's worth of 6 at once.
    assert!((29..=36).contains(&most), "{most} requests in a minute");
    for name in &names {
        let polls = scenario.api().traffic(&scenario.target(name)).running_pass;
        assert!(polls >= 20, "{name} was polled {polls} times in 20 min: the budget is not shared evenly");
    }
}
