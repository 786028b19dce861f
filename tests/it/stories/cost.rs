//! What the daemon costs the API.

use polyai_simulator::{AnomalyRates, Profile};

use crate::support::calls::project;
use crate::support::story::{given, wait};
use crate::support::{hours, minutes};

#[tokio::test(start_paused = true)]
async fn an_idle_target_is_asked_at_most_twice_an_interval_over_a_day() {
    let story = given([project("hotel")]).polling(|polling| polling.interval = minutes(1)).begin().await;
    // The first hour looks back at what may have run across the anchor.
    wait(hours(1)).await;
    story.api().forget_requests();
    let before = story.scrape().await.value("polyai_exporter_api_response_bytes_total", &[]);
    wait(hours(24)).await;
    let traffic = story.api().traffic(&story.target("hotel"));
    assert!((2_878..=2_882).contains(&traffic.requests), "{} requests in a day", traffic.requests);
    assert_eq!(traffic.rows, 0);
    let bytes = story.scrape().await.value("polyai_exporter_api_response_bytes_total", &[]) - before;
    assert!(bytes <= traffic.requests as f64 * 100.0, "{bytes} bytes of empty pages");
}

#[tokio::test(start_paused = true)]
async fn a_call_is_downloaded_once_and_once_per_recheck_age() {
    let busy = project("hotel").with_generated(7, Profile::reservations()).with_anomalies(AnomalyRates::NONE);
    let story = given([busy])
        .polling(|polling| {
            polling.interval = minutes(1);
            polling.recheck = vec![minutes(5), minutes(30), hours(2)];
        })
        .begin()
        .await;
    wait(minutes(150)).await;
    story.api().forget_requests();
    let before = story.scrape().await.value("polyai_exporter_api_response_bytes_total", &[]);
    wait(hours(5)).await;
    let traffic = story.api().traffic(&story.target("hotel"));
    let truth =
        story.api().expected_totals(&story.target("hotel"), story.now() - chrono::TimeDelta::hours(5));
    let downloads: u64 = traffic.downloads.values().sum();
    let per_call = downloads as f64 / truth.conversations as f64;
    assert!(truth.conversations > 300, "{} calls tell nothing", truth.conversations);
    // One for the pass that finds it, three for the recheck ages; stretches overlap by 2 s, which few calls fall into.
    assert!(per_call <= 4.1, "{per_call} downloads per call");
    let bytes = story.scrape().await.value("polyai_exporter_api_response_bytes_total", &[]) - before;
    assert_eq!(bytes, traffic.bytes as f64, "what came is what was sent");
}

#[tokio::test(start_paused = true)]
async fn targets_that_share_a_key_share_its_budget() {
    let names: Vec<String> = (0..12).map(|n| format!("hotel-{n:02}")).collect();
    let story = given(names.iter().map(|name| project(name).with_key("one-key")))
        .polling(|polling| polling.requests_per_minute = 30.try_into().unwrap())
        .begin()
        .await;
    wait(minutes(20)).await;
    let asked: Vec<_> = story.api().request_log().iter().map(|line| line.at).collect();
    let in_a_minute = |from: &chrono::DateTime<chrono::Utc>| {
        asked.iter().filter(|&at| at >= from && *at < *from + minutes(1)).count()
    };
    let most = asked.iter().map(in_a_minute).max().unwrap();
    // 48 are wanted; 30 a minute are allowed, and a tick's worth of 6 at once.
    assert!((29..=36).contains(&most), "{most} requests in a minute");
    for name in &names {
        let polls = story.api().traffic(&story.target(name)).running_pass;
        assert!(polls >= 20, "{name} was polled {polls} times in 20 min: the budget is not shared evenly");
    }
}
