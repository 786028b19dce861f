//! How many requests the exporter makes.

use polyai_simulator::{AnomalyRates, Profile};

use crate::support::calls::project;
use crate::support::scenario::{scenario, wait};
use crate::support::{hours, minutes};

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
    assert!(truth.conversations > 300, "{} calls tell nothing", truth.conversations);
    // One for the pass that finds it, three for the recheck ages; stretches overlap by 2 s, which few calls fall into.
    assert!(per_call <= 4.1, "{per_call} downloads per call");
    let bytes = scenario.scrape().await.value("polyai_exporter_api_response_bytes_total", &[]) - before;
    assert_eq!(bytes, traffic.bytes as f64, "what came is what was sent");
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
