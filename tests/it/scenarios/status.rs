//! The status page and its JSON of a running daemon.

use chrono::{DateTime, TimeDelta, Utc};
use polyai_exporter::config::Polling;
use polyai_simulator::{Fault, FaultKind};
use serde_json::Value;

use crate::support::calls::{call, project};
use crate::support::scenario::{Exporter, scenario, wait};
use crate::support::{at, hours, minutes, seconds};

async fn json(exporter: &Exporter, path: &str) -> Value {
    let (status, body) = exporter.get(path).await;
    assert_eq!(status, 200, "{path}: {body}");
    serde_json::from_str(&body).unwrap()
}

async fn state(exporter: &Exporter, project: &str) -> (String, String) {
    let targets = json(exporter, &format!("/api/v1/targets?project={project}")).await;
    let row = &targets["targets"][0];
    (row["state"].as_str().unwrap().to_owned(), row["sentence"].as_str().unwrap().to_owned())
}

#[tokio::test(start_paused = true)]
async fn outage_is_failing_then_stale_then_recovered() {
    let scenario = scenario([project("bank"), project("hotel")]).start().await;
    wait(minutes(2)).await;
    assert_eq!(state(&scenario.exporter, "bank").await, ("up_to_date".into(), "Up to date".into()));

    scenario.api().fault(Fault::new(FaultKind::Status(503)).with_scope("bank"));
    wait(minutes(3)).await;
    let (code, sentence) = state(&scenario.exporter, "bank").await;
    assert_eq!(code, "failing");
    assert!(sentence.ends_with(": the API answers with server errors"), "{sentence}");
    let one = json(&scenario.exporter, "/api/v1/target?project=bank&region=us-1&client_env=live").await;
    let problem = &one["target"]["problems"][0];
    assert_eq!((&problem["code"], &problem["stops_polling"]), (&"server_error".into(), &true.into()));
    assert!(problem["reason"].as_str().unwrap().contains("HTTP 503"), "{problem}");
    assert_eq!(one["polls"][0]["problem"], "server_error");
    assert_eq!(one["polls"][0]["requests"], 3, "a poll tries three times");
    let due = one["target"]["next_poll_at"].as_str().unwrap().to_owned();
    // It may be due at this very moment: the wait between polls is random.
    assert!(due.as_str() > one["polls"][0]["began_at"].as_str().unwrap(), "backing off until {due}");

    wait(minutes(10)).await;
    assert_eq!(state(&scenario.exporter, "bank").await.0, "stale");
    let health = json(&scenario.exporter, "/api/v1/status").await["health"].take();
    assert_eq!((&health["targets"]["stale"], &health["targets"]["up_to_date"]), (&1.into(), &1.into()));
    let sentence = health["sentence"].as_str().unwrap();
    assert!(
        sentence.starts_with("1 of 2 targets has a problem; bank/us-1/live is stale since "),
        "{sentence}"
    );

    scenario.api().clear_faults();
    wait(minutes(6)).await;
    assert_eq!(state(&scenario.exporter, "bank").await.0, "up_to_date");
    let one = json(&scenario.exporter, "/api/v1/target?project=bank&region=us-1&client_env=live").await;
    assert_eq!(one["target"]["problems"], Value::Array(Vec::new()));
    let history = one["problem_history"].as_array().unwrap();
    assert_eq!(history.len(), 1);
    assert!(history[0]["until"].is_string(), "{history:?}");
}

#[tokio::test(start_paused = true)]
async fn clock_set_back_hides_no_outage() {
    let scenario = scenario([project("bank"), project("hotel")]).start().await;
    scenario.exporter.clock.step(TimeDelta::hours(2));
    wait(minutes(20)).await;
    scenario.api().fault(Fault::new(FaultKind::Status(503)).with_scope("bank"));
    wait(minutes(3)).await;
    assert_eq!(state(&scenario.exporter, "bank").await.0, "failing");

    scenario.exporter.clock.step(TimeDelta::hours(-2));
    wait(minutes(6)).await;
    let target = |name: &str| format!("/api/v1/target?project={name}&region=us-1&client_env=live");
    let bank = json(&scenario.exporter, &target("bank")).await["target"].take();
    assert_eq!(bank["state"], "failing", "{bank}");
    let age = bank["last_success_age_seconds"].as_f64().unwrap();
    assert!((530.0..600.0).contains(&age), "the last success was {age} s ago");
    let now = scenario.now().to_rfc3339();
    for when in ["since", "last_success_at"] {
        let noted = bank[when].as_str().unwrap();
        assert!(noted < now.as_str(), "{when} is {noted}, and it is {now}");
    }
    wait(minutes(3)).await;
    assert_eq!(state(&scenario.exporter, "bank").await.0, "stale");

    let hotel = json(&scenario.exporter, &target("hotel")).await;
    let points: Vec<&str> = hotel["handoff_history"]
        .as_array()
        .unwrap()
        .iter()
        .map(|point| point["at"].as_str().unwrap())
        .collect();
    let (newest, now) = (points.last().unwrap(), scenario.now());
    let behind = now - newest.parse::<DateTime<Utc>>().unwrap();
    assert!((0..=60).contains(&behind.num_seconds()), "the chart ends at {newest}, and it is {now}");
    assert!(points.is_sorted(), "{points:?}");
    let uptime = json(&scenario.exporter, "/api/v1/status").await["exporter"]["uptime_seconds"].take();
    assert!((1900.0..2000.0).contains(&uptime.as_f64().unwrap()), "it has run for {uptime} s");

    // The metrics use the API's time, independent of this machine's clock.
    let last = scenario
        .scrape()
        .await
        .value("polyai_target_last_success_timestamp_seconds", &[("project", "hotel")]);
    let age = now.timestamp() as f64 - last;
    assert!((-1.0..=31.0).contains(&age), "the last success was {age} s ago");
}

#[tokio::test(start_paused = true)]
async fn poll_history_survives_reload_but_not_removal() {
    let bank = project("bank").with_calls([call("CA1", seconds(20))]);
    let scenario = scenario([bank, project("hotel")]).start().await;
    wait(minutes(5)).await;
    let polls = async |name: &str| {
        let (status, body) = scenario
            .exporter
            .get(&format!("/api/v1/target?project={name}&region=us-1&client_env=live"))
            .await;
        let json: Value = serde_json::from_str(&body).unwrap();
        (status, json["polls"].as_array().map_or(0, Vec::len))
    };
    let (_, before) = polls("bank").await;
    assert!(before >= 9, "{before}");

    let mut settings = scenario.settings.clone();
    settings.polling.interval = seconds(60);
    settings.targets.retain(|target| target.key.project == "bank");
    scenario.exporter.reload(settings).await.unwrap();
    wait(minutes(2)).await;
    let (_, after) = polls("bank").await;
    assert!(after > before, "the new poller goes on with the journal: {before}, then {after}");
    assert_eq!(polls("hotel").await, (404, 0));
    let status = json(&scenario.exporter, "/api/v1/status").await;
    let reload = &status["configuration"]["last_reload"];
    assert_eq!(reload["succeeded"], true);
    assert!(reload["detail"].as_str().unwrap().contains("1 target removed (hotel/us-1/live)"), "{reload}");
    assert_eq!(status["configuration"]["settings"]["polling.interval"], "1m");

    let targets = json(&scenario.exporter, "/api/v1/targets").await;
    assert_eq!(targets["targets"][0]["conversations_counted"], 1);
}

#[tokio::test(start_paused = true)]
async fn status_shows_anchor_as_configured() {
    let hour_before = |polling: &mut Polling| (polling.anchor, polling.initial_lookback) = (None, hours(1));
    let scenario = scenario([project("hotel")]).with_polling(hour_before).start().await;
    wait(minutes(1)).await;
    let anchor = at(seconds(0)) - hours(1);
    let since = async |exporter: &Exporter| {
        json(exporter, "/api/v1/targets").await["targets"][0]["counts_since"].as_str().unwrap().to_owned()
    };
    let shown_since = chrono::DateTime::parse_from_rfc3339(&since(&scenario.exporter).await).unwrap();
    assert!((shown_since.to_utc() - anchor).num_seconds().abs() < 60, "{shown_since} is not about {anchor}");
    let before = since(&scenario.exporter).await;
    wait(hours(1)).await;
    assert_eq!(since(&scenario.exporter).await, before, "it stays");
}
