//! Backfill: simulated past hours lead to the totals and scrapes that the daemon would have produced.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use polyai_domain::clock::Clock;
use polyai_exporter::app::{App, ShutdownOutcome};
use polyai_exporter::backfill::{self, BackfillResult, BackfillSpec, SampleStore};
use polyai_exporter::config::Settings;
use polyai_simulator::{AnomalyRates, Incident, IncidentKind, Profile, Project, Scope, World};
use tokio_util::sync::CancellationToken;

use crate::support::calls::project;
use crate::support::recount::counted;
use crate::support::scenario::{Exporter, scenario, wait};
use crate::support::scrape::Scrape;
use crate::support::{at, hours, minutes, seconds, start_time};

const STEP: Duration = seconds(15);

/// Two busy projects, of whose calls none changes after it has counted.
fn hotel_and_bank() -> [Project; 2] {
    let anomalies = AnomalyRates { amended: 0.0, ..AnomalyRates::default() };
    let busy = |name: &str, profile| project(name).with_generated(7, profile).with_anomalies(anomalies);
    [busy("hotel", Profile::reservations()), busy("bank", Profile::billing())]
}

/// Replies of the hotel take four seconds more for half an hour, and from two hours on nobody calls.
fn incidents() -> [Incident; 2] {
    let hotel = Scope::Project("hotel".to_owned());
    let slow = IncidentKind::Latency(4.0);
    [
        Incident { kind: slow, scope: hotel, from: at(minutes(60)), until: Some(at(minutes(90))) },
        Incident { kind: IncidentKind::Traffic(0.0), scope: Scope::All, from: at(hours(2)), until: None },
    ]
}

fn world() -> World {
    incidents().iter().fold(World::new(hotel_and_bank()), World::with_incident)
}

fn lived(settings: &Settings) -> BackfillResult {
    let (job, instance) = ("polyai".to_owned(), "here:9890".to_owned());
    let plan = BackfillSpec { from: start_time(), until: at(hours(3)), step: STEP, job, instance };
    backfill::run(&plan, settings, &world(), &CancellationToken::new()).unwrap()
}

/// The samples of a history file by series: times in milliseconds, and values.
struct File(BTreeMap<String, Vec<(i64, f64)>>);

impl File {
    fn of(samples: &SampleStore) -> Self {
        let mut text = Vec::new();
        backfill::write(samples, &[], &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert!(text.ends_with("\n# EOF\n"));
        let mut series: BTreeMap<String, Vec<(i64, f64)>> = BTreeMap::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let [time, value, name] = line.rsplitn(3, ' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
            let millis = time.replace('.', "").parse().unwrap();
            series.entry(name.to_owned()).or_default().push((millis, value.parse().unwrap()));
        }
        Self(series)
    }

    /// The scrape at `moment`.
    fn scrape(&self, moment: DateTime<Utc>) -> Scrape {
        let mut text = String::new();
        for (series, samples) in &self.0 {
            if let Ok(place) = samples.binary_search_by_key(&moment.timestamp_millis(), |(time, _)| *time) {
                text.push_str(&format!("{series} {}\n", samples[place].1));
            }
        }
        Scrape::read(&text)
    }

    /// The share of the hotel's replies between two moments that took longer than three seconds.
    fn slow(&self, from: Duration, until: Duration) -> f64 {
        let [before, after] = [from, until].map(|moment| self.scrape(at(moment)));
        let more =
            |name: &str, labels: &[(&str, &str)]| after.total(name, labels) - before.total(name, labels);
        let fast = more("polyai_turn_latency_seconds_bucket", &[("project", "hotel"), ("le", "3.0")]);
        1.0 - fast / more("polyai_turn_latency_seconds_count", &[("project", "hotel")])
    }
}

#[tokio::test(start_paused = true)]
async fn backfill_totals_match_daemon() {
    let scenario = scenario(hotel_and_bank())
        .start_with(|api| incidents().iter().for_each(|incident| api.incident(incident)))
        .await;
    wait(hours(3)).await;
    let scrape = scenario.scrape().await;
    let file = File::of(&lived(&scenario.settings).samples);
    let last = file.scrape(at(hours(3)));
    for name in ["hotel", "bank"] {
        scenario.assert_totals(name, &scrape);
        assert_eq!(counted(&last, name), counted(&scrape, name), "{name}: the history against the daemon");
    }
}

#[tokio::test(start_paused = true)]
async fn backfilled_counters_never_decrease() {
    let scenario = scenario(hotel_and_bank()).start().await;
    let file = File::of(&lived(&scenario.settings).samples);
    let times: Vec<i64> = (0..=720)
        .map(|n| (start_time() + TimeDelta::from_std(STEP).unwrap() * n).timestamp_millis())
        .collect();
    let up = &file.0["up"];
    assert_eq!(up.iter().map(|(time, _)| *time).collect::<Vec<_>>(), times);
    assert!(up.iter().all(|(_, value)| *value == 1.0));
    let mut growing = 0;
    for (series, samples) in &file.0 {
        let name = series.split('{').next().unwrap();
        assert!(samples.is_sorted_by(|a, b| a.0 < b.0), "{series}: times");
        if ["_total", "_bucket", "_count", "_sum"].iter().any(|suffix| name.ends_with(suffix)) {
            assert!(samples.is_sorted_by(|a, b| a.1 <= b.1), "{series} falls");
            growing += usize::from(samples.last().unwrap().1 > 0.0);
        }
    }
    assert!(growing > 100, "only {growing} series have grown");
    let began = file.0["process_start_time_seconds"].first().unwrap().1;
    assert_eq!(began, start_time().timestamp() as f64, "the process that is played, not the one that plays");
    file.scrape(start_time()).assert_metric(
        "polyai_conversations_total",
        &[("project", "hotel"), ("channel", "VOICE-SIP")],
        0.0,
    );
}

#[tokio::test(start_paused = true)]
async fn incident_is_visible_in_backfill() {
    let scenario = scenario(hotel_and_bank()).start().await;
    let file = File::of(&lived(&scenario.settings).samples);
    // Calls that ended in these stretches started in them too, or nearly all of them did.
    let (before, during) = (file.slow(minutes(5), minutes(55)), file.slow(minutes(70), minutes(88)));
    assert!(before < 0.1, "slow before the incident: {before}");
    assert!(during > 0.8, "slow during the incident: {during}");
}

#[tokio::test(start_paused = true)]
async fn daemon_continues_from_backfilled_state() {
    let scenario = scenario(hotel_and_bank()).start().await;
    let BackfillResult { samples, store } = lived(&scenario.settings);
    let last = File::of(&samples).scrape(at(hours(3)));
    let app =
        App::build_on(&scenario.settings, Clock::virtual_from(at(hours(3))), || Ok(store)).await.unwrap();
    let exporter = Exporter::running(app, Clock::virtual_from(at(hours(3))), &scenario.settings);
    let first = exporter.scrape().await;
    for name in ["hotel", "bank"] {
        let (wanted, found) = (counted(&last, name), counted(&first, name));
        assert!(wanted["conversations"] > 40.0, "{name}: {}", wanted["conversations"]);
        // The gauge comes back with the first poll.
        for (what, number) in wanted.iter().filter(|(what, _)| *what != "in progress") {
            assert_eq!(found[what], *number, "{name}: {what}");
        }
    }
    assert_eq!(exporter.stop().await, ShutdownOutcome::Orderly);
}
