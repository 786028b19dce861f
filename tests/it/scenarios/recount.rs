//! The totals are a pure function of the API's data since the anchor.

use polyai_domain::clock::Clock;
use polyai_exporter::config::Settings;
use polyai_simulator::{AnomalyRates, Incident, IncidentKind, Profile, Project, Scope};

use crate::support::calls::{mixed_calls, project};
use crate::support::recount::counted;
use crate::support::scenario::{Exporter, Scenario, scenario, wait};
use crate::support::{at, hours, minutes, seconds, start_time};

/// A project in which much goes late and changes afterwards.
fn untidy(name: &str) -> Project {
    let anomalies = AnomalyRates {
        ingestion_seconds: 20.0,
        late: 0.05,
        late_finish: 0.03,
        long: 0.02,
        over_a_day: 0.002,
        amended: 0.0,
    };
    project(name).with_generated(11, Profile::reservations()).with_anomalies(anomalies)
}

/// No call starts from then on.
fn silence_from(scenario: &Scenario, start: std::time::Duration) {
    let kind = IncidentKind::Traffic(0.0);
    scenario.api().incident(&Incident { kind, scope: Scope::All, from: at(start), until: None });
}

#[tokio::test(start_paused = true)]
async fn late_and_long_calls_are_counted_within_a_day() {
    let scenario =
        scenario([untidy("hotel")]).with_polling(|polling| polling.interval = minutes(2)).start().await;
    silence_from(&scenario, hours(3));
    // The last recheck looks at everything when it is a day old, in steps of a tenth of a day.
    wait(hours(31)).await;
    let scrape = scenario.scrape().await;
    scenario.assert_totals("hotel", &scrape);
    let late = scrape.value("polyai_late_conversations_total", &[]);
    assert!(late > 0.0, "no call was listed late");
    scrape.assert_metric("polyai_amendments_total", &[("direction", "down")], 0.0);
}

#[tokio::test(start_paused = true)]
async fn amended_calls_match_recount() {
    let anomalies = AnomalyRates { amended: 0.5, ..AnomalyRates::NONE };
    let world = project("hotel").with_generated(13, Profile::reservations()).with_anomalies(anomalies);
    let scenario = scenario([world])
        .with_polling(|polling| {
            polling.interval = seconds(60);
            polling.recheck = vec![minutes(5), hours(1)];
        })
        .start()
        .await;
    silence_from(&scenario, hours(1));
    wait(minutes(140)).await;
    let scrape = scenario.scrape().await;
    // A histogram keeps the first observation of a call.
    scenario.assert_totals_since(start_time(), "hotel", &scrape, &["latencies of replies"]);
    let amended = scrape.value("polyai_amendments_total", &[("direction", "up")]);
    assert!(amended > 5.0, "{amended} amendments are too few");
}

#[tokio::test(start_paused = true)]
async fn instances_with_same_anchor_agree() {
    let calls = mixed_calls(seconds(40), minutes(40), seconds(28));
    let scenario = scenario([project("hotel").with_calls(calls)])
        .with_polling(|polling| polling.recheck = vec![minutes(5), minutes(30)])
        .start()
        .await;
    // It comes 17 min later, polls more rarely, waits longer and takes other pages.
    wait(minutes(17)).await;
    let mut other: Settings = scenario.settings.clone();
    other.polling.interval = seconds(71);
    other.polling.settle = seconds(40);
    other.polling.page_size = 3.try_into().unwrap();
    other.polling.recheck = vec![minutes(7), minutes(20), minutes(45)];
    let second = Exporter::start(&other, Clock::virtual_from(scenario.now())).await;
    wait(minutes(90)).await;
    let (one, two) = (scenario.scrape().await, second.scrape().await);
    scenario.assert_totals("hotel", &one);
    assert_eq!(counted(&one, "hotel"), counted(&two, "hotel"));
    for family in ["polyai_turn_latency_seconds_bucket", "polyai_conversation_duration_seconds_bucket"] {
        let buckets = |scrape: &crate::support::scrape::Scrape| {
            let mut buckets = scrape.by("le", family, &[("channel", "VOICE-SIP")]);
            buckets.sort_by(|a, b| a.0.cmp(&b.0));
            buckets
        };
        assert_eq!(buckets(&one), buckets(&two), "{family}");
    }
}
