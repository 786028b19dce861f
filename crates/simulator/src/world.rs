//! The simulated contact centre: all projects, and the incidents in them.

use chrono::{DateTime, Utc};
use polyai_domain::target::{ClientEnv, Region, TargetKey};

use super::faults::Scope;
use super::incidents::Incident;
use super::profile::{AnomalyRates, Profile};
use super::project::{Calls, Project};
use super::quirks::{LastCursor, LatencyShape, Order, Quirks, TimestampFormat};
use super::random_calls::RandomCalls;

/// All projects of one simulator.
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct World {
    /// In the order in which they are reported.
    pub projects: Vec<Project>,
}

/// The parameters of the demo world.
#[derive(Debug, Clone, PartialEq)]
pub struct Demo {
    /// The same seed gives the same history.
    pub seed: u64,
    /// Multiplies the number of calls; 1 is about ten calls a minute over all projects at peak time.
    pub volume: f64,
    /// The key that reads all projects.
    pub api_key: String,
    /// Shares of anomalous calls.
    pub anomalies: AnomalyRates,
}

impl Default for Demo {
    fn default() -> Self {
        Self { seed: 1, volume: 1.0, api_key: "demo-key".to_owned(), anomalies: AnomalyRates::default() }
    }
}

impl World {
    /// A world of these projects.
    pub fn new(projects: impl IntoIterator<Item = Project>) -> Self {
        Self { projects: projects.into_iter().collect() }
    }

    /// A realistic contact centre of four projects, each with quirks of its own.
    pub fn demo(demo: &Demo) -> Self {
        let project = |name, region, (account_id, project_id): (&str, &str), profile, quirks| {
            let mut calls = RandomCalls::new(name, demo.seed, profile);
            (calls.volume, calls.generator.anomalies) = (demo.volume, demo.anomalies);
            let (account_id, project_id) = (account_id.to_owned(), project_id.to_owned());
            let keys = vec![demo.api_key.clone()];
            Project { account_id, project_id, keys, quirks, ..Project::new(name, region) }.with_random(calls)
        };
        let ids = ("ws-00000001", "PROJECT-0000001");
        let mut reservations =
            project("reservations", Region::Us1, ids, Profile::reservations(), Quirks::default());
        reservations.client_envs = vec![ClientEnv::Live, ClientEnv::Sandbox];
        let quirks = Quirks {
            order: Order::Ascending,
            latency: LatencyShape::Number,
            last_cursor: LastCursor::Absent,
            ..Quirks::default()
        };
        let ids = ("ws-00000002", "PROJECT-0000002");
        let billing = project("billing", Region::Uk1, ids, Profile::billing(), quirks);
        let timestamps = TimestampFormat::Zulu;
        let quirks = Quirks { timestamps, chunked: true, null_flags: true, ..Quirks::default() };
        let support =
            project("support", Region::Euw1, ("acme-eu", "acme-support"), Profile::support(), quirks);
        let quirks = Quirks { last_cursor: LastCursor::Empty, ..Quirks::default() };
        let ids = ("ws-00000001", "PROJECT-0000004");
        let pilot = project("pilot", Region::Us1, ids, Profile::pilot(), quirks);
        Self::new([reservations, billing, support, pilot])
    }

    /// Has an incident that has lasted since its `from`, even in the past.
    pub fn with_incident(mut self, incident: &Incident) -> Self {
        self.begin_incident(incident, incident.from);
        self
    }

    /// Draws the generated calls from `from` to `until` in advance. Later incidents do not change them.
    pub fn with_cache(mut self, from: DateTime<Utc>, until: DateTime<Utc>) -> Self {
        for (targets, calls) in self.random_calls() {
            calls.fill_cache(targets.iter().map(|target| target.client_env), from, until);
        }
        self
    }

    pub(crate) fn begin_incident(&mut self, incident: &Incident, from: DateTime<Utc>) {
        for (targets, calls) in self.random_calls() {
            let affected = targets.into_iter().filter(|target| incident.scope.covers(target));
            calls.incidents.extend(affected.map(|target| (target, Incident { from, ..incident.clone() })));
        }
    }

    /// The incidents that have not ended at `now`, one per target.
    pub(crate) fn incidents(&mut self, now: DateTime<Utc>) -> Vec<Incident> {
        let incidents = self.random_calls().flat_map(|(_, calls)| &calls.incidents);
        let open = incidents.filter(|(_, incident)| incident.until.is_none_or(|until| now < until));
        open.map(|(target, incident)| Incident { scope: Scope::Target(target.clone()), ..incident.clone() })
            .collect()
    }

    pub(crate) fn end_incidents(&mut self, scope: &Scope, now: DateTime<Utc>) {
        for (_, calls) in self.random_calls() {
            calls.incidents.retain(|(target, incident)| !scope.covers(target) || incident.from <= now);
            for (_, incident) in calls.incidents.iter_mut().filter(|(target, _)| scope.covers(target)) {
                incident.until = Some(incident.until.map_or(now, |until| until.min(now)));
            }
        }
    }

    /// The calls of each generated project, with its targets.
    fn random_calls(&mut self) -> impl Iterator<Item = (Vec<TargetKey>, &mut RandomCalls)> {
        self.projects.iter_mut().filter_map(|project| {
            let targets = project.targets().collect();
            let Calls::Random(calls) = &mut project.calls else { return None };
            Some((targets, calls.as_mut()))
        })
    }
}
