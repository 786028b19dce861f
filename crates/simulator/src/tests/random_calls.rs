//! The generated contact centre: believable, repeatable, and the same in the list as in the recount.

use std::ops::ControlFlow;

use serde_json::Value;

use super::client::get;
use super::*;
use crate::call::CallQuery;
use crate::{AnomalyRates, Demo, ExpectedTotals, Incident, IncidentKind, Profile, Scope};

fn busy(seed: u64) -> Project {
    reservations().with_generated(seed, Profile::billing())
}

/// The calls of the hours before `morning`.
fn of_hours(project: &Project, hours: i64, newest_first: bool) -> Vec<Call> {
    let mut found = Vec::new();
    let from = Some(morning() - TimeDelta::hours(hours));
    let ask = CallQuery { env: ClientEnv::Live, from, to: Some(morning()), newest_first, open_at: None };
    project.calls.visit(&ask, &mut |call| {
        found.push(call.clone());
        ControlFlow::Continue(())
    });
    found
}

async fn walk(running: &SimulatorHandle, query: &str) -> Vec<Value> {
    let (mut found, mut next) = (Vec::new(), String::new());
    loop {
        let path = "/v3/ws-00000001/PROJECT-RESERVATIONS/conversations";
        let body = get(running.addr, &format!("{path}?{query}{next}"), "demo-key").await.unwrap().json();
        found.extend(body["conversations"].as_array().unwrap().clone());
        match body["cursor"].as_str() {
            Some(cursor) => next = format!("&cursor={cursor}"),
            None => return found,
        }
    }
}

#[test]
fn seed_determines_the_whole_history() {
    let first = of_hours(&busy(1), 24, false);
    assert!(first.len() > 500, "{}", first.len());
    assert_eq!(first, of_hours(&busy(1), 24, false));
    assert_ne!(first, of_hours(&busy(2), 24, false));
    let mut backwards = of_hours(&busy(1), 24, true);
    backwards.reverse();
    assert_eq!(first, backwards);
    let ids: std::collections::BTreeSet<&str> = first.iter().map(Call::id).collect();
    assert_eq!(ids.len(), first.len());
}

#[test]
fn query_for_open_calls_finds_all_of_them() {
    let anomalies =
        AnomalyRates { late_finish: 0.05, long: 0.05, over_a_day: 0.05, ..AnomalyRates::default() };
    let project = busy(1).with_anomalies(anomalies);
    let open = |call: &&Call| call.at(morning(), &project.quirks).is_some_and(|visible| visible.in_progress);
    let everything = of_hours(&project, 24 * 4, false);
    let expected: Vec<&Call> = everything.iter().filter(open).collect();
    let mut found = Vec::new();
    let ask = CallQuery {
        env: ClientEnv::Live,
        from: None,
        to: Some(morning()),
        newest_first: false,
        open_at: Some(morning()),
    };
    project.calls.visit(&ask, &mut |call| {
        if open(&call) {
            found.push(call.clone());
        }
        ControlFlow::Continue(())
    });
    assert!(expected.len() > 20, "{}", expected.len());
    assert_eq!(found.iter().collect::<Vec<_>>(), expected);
}

#[tokio::test(start_paused = true)]
async fn generated_day_is_realistic() {
    let running = simulate(busy(7)).await;
    let truth = running.control.expected_totals(&target(), morning() - TimeDelta::hours(24));
    let share = |part: u64, whole: u64| part as f64 / whole as f64;
    let within = |range: std::ops::Range<f64>, value: f64, what: &str| {
        assert!(range.contains(&value), "{what}: {value}")
    };
    within(900.0..1900.0, truth.conversations as f64, "conversations");
    within(0.17..0.28, share(truth.handoffs, truth.conversations), "handoffs");
    within(0.03..0.07, share(truth.ood_turns, truth.turns), "out of domain");
    within(0.015..0.045, share(truth.silence_turns, truth.turns), "silence");
    within(4.0..12.0, share(truth.turns, truth.conversations), "turns");
    within(120.0..300.0, share(truth.duration_seconds, truth.conversations), "seconds");
    within(1.3..1.9, truth.reply_latency_seconds / truth.reply_latencies as f64, "latency");
    within(2.7..3.2, truth.greeting_latency_seconds / truth.greeting_latencies as f64, "greeting");
    assert_eq!(truth.greeting_latencies, truth.conversations);
    assert!(truth.handoffs_by_reason.len() >= 4);
    assert!((1..60).contains(&truth.in_progress), "{}", truth.in_progress);
}

#[tokio::test(start_paused = true)]
async fn expected_totals_of_random_calls_match_pages() {
    let anomalies =
        AnomalyRates { late: 0.02, late_finish: 0.02, long: 0.02, amended: 0.2, ..AnomalyRates::default() };
    let running = simulate(busy(3).with_anomalies(anomalies)).await;
    let rows =
        walk(&running, "in_progress=false&include_latency=true&start_time=2026-08-18T00:00:00Z&limit=300")
            .await;
    let anchor = morning() - TimeDelta::hours(6);
    let ended = |row: &&Value| {
        let start: DateTime<Utc> = row["started_at"].as_str().unwrap().parse().unwrap();
        start + TimeDelta::seconds(row["total_duration"].as_i64().unwrap() + 1) >= anchor
    };
    let rows: Vec<&Value> = rows.iter().filter(ended).collect();
    let sum = |key: &str| rows.iter().map(|row| row[key].as_u64().unwrap()).sum::<u64>();
    let truth = running.control.expected_totals(&target(), anchor);
    assert!(truth.conversations > 50);
    assert_eq!(truth.conversations, rows.len() as u64);
    assert_eq!(truth.handoffs, rows.iter().filter(|row| row["handoff"] == true).count() as u64);
    assert_eq!((truth.turns, truth.ood_turns), (sum("num_turns"), sum("num_ood")));
    assert_eq!((truth.silence_turns, truth.duration_seconds), (sum("num_silences"), sum("total_duration")));
    let open = walk(&running, "in_progress=true").await;
    assert_eq!(
        running.control.expected_totals(&target(), morning() - TimeDelta::hours(48)).in_progress,
        open.len() as u64
    );
}

#[tokio::test(start_paused = true)]
async fn listed_history_stays_the_same() {
    let running = simulate(busy(5)).await;
    let window = "start_time=2026-08-20T08:00:00Z&end_time=2026-08-20T08:20:00Z&include_latency=true";
    let early = walk(&running, window).await;
    tokio::time::advance(std::time::Duration::from_secs(3600 * 72)).await;
    let settled = walk(&running, window).await;
    tokio::time::advance(std::time::Duration::from_secs(3600)).await;
    assert_eq!(walk(&running, window).await, settled);
    let mut settled_ids: Vec<&Value> = settled.iter().map(|row| &row["id"]).collect();
    settled_ids.retain(|id| early.iter().any(|row| row["id"] == **id));
    assert_eq!(settled_ids.len(), early.len(), "nothing vanishes");
}

#[tokio::test(start_paused = true)]
async fn incident_changes_only_calls_that_start_during_it() {
    let ask = |truth: &ExpectedTotals| truth.reply_latency_seconds / truth.reply_latencies as f64;
    type Differs = fn(&ExpectedTotals, &ExpectedTotals, f64, f64) -> bool;
    let cases: [(IncidentKind, Differs); 6] = [
        (IncidentKind::Latency(4.0), |_, _, calm, hit| hit > calm + 3.5),
        (IncidentKind::Handoffs(0.8), |calm, hit, _, _| hit.handoffs > 2 * calm.handoffs),
        (IncidentKind::Silence(0.6), |calm, hit, _, _| hit.silence_turns > 8 * calm.silence_turns),
        (IncidentKind::OutOfDomain(0.5), |calm, hit, _, _| hit.ood_turns > 5 * calm.ood_turns),
        (IncidentKind::Traffic(0.0), |_, hit, _, _| hit.conversations < 3),
        (IncidentKind::ShortCalls, |calm, hit, _, _| hit.duration_seconds * 5 < calm.duration_seconds),
    ];
    for (kind, differs) in cases {
        let calm = simulate(busy(11)).await;
        let hit = simulate(busy(11)).await;
        let before = hit.control.expected_totals(&target(), morning() - TimeDelta::hours(3));
        let until = Some(morning() + TimeDelta::hours(3));
        hit.control.incident(&Incident {
            kind,
            scope: Scope::All,
            from: morning() - TimeDelta::hours(2),
            until,
        });
        assert_eq!(hit.control.incidents().len(), 1);
        assert_eq!(
            hit.control.expected_totals(&target(), morning() - TimeDelta::hours(3)),
            before,
            "{kind:?} changed the past"
        );
        tokio::time::advance(std::time::Duration::from_secs(3 * 3600)).await;
        // Calls that began before the incident have ended by then.
        let anchor = morning() + TimeDelta::minutes(40);
        let (a, b) =
            (calm.control.expected_totals(&target(), anchor), hit.control.expected_totals(&target(), anchor));
        assert!(a.conversations > 100);
        assert!(differs(&a, &b, ask(&a), ask(&b)), "{kind:?}:\n{a:?}\n{b:?}");
        assert!(hit.control.incidents().is_empty(), "it ends on its own");
    }
}

#[tokio::test(start_paused = true)]
async fn ended_incident_keeps_its_effect() {
    let running = simulate(busy(11)).await;
    running.control.incident(&Incident {
        kind: IncidentKind::Silence(0.9),
        scope: "reservations".into(),
        from: morning(),
        until: None,
    });
    tokio::time::advance(std::time::Duration::from_secs(3600)).await;
    let during = running.control.expected_totals(&target(), morning());
    running.control.end_incidents(Scope::All);
    assert_eq!(running.control.expected_totals(&target(), morning()), during);
    assert!(running.control.incidents().is_empty());
}

#[tokio::test(start_paused = true)]
async fn demo_world_serves_all_its_targets() {
    let world = World::demo(&Demo::default());
    let targets: Vec<String> =
        world.projects.iter().flat_map(Project::targets).map(|t| t.to_string()).collect();
    assert_eq!(
        targets,
        [
            "reservations/us-1/live",
            "reservations/us-1/sandbox",
            "billing/uk-1/live",
            "support/euw-1/live",
            "pilot/us-1/live"
        ]
    );
    let running = Simulator::on_loopback(world, Clock::virtual_from(morning())).await.unwrap();
    for project in running.control.projects() {
        let path =
            format!("/{}/v3/{}/{}/conversations", project.region, project.account_id, project.project_id);
        let window = "start_time=2026-08-18T09:00:00Z&include_latency=true&limit=20";
        let answer = get(running.addr, &format!("{path}?{window}"), "demo-key").await.unwrap();
        assert_eq!(answer.status, 200);
        assert!(!answer.ids().is_empty(), "{}", project.name);
    }
}
