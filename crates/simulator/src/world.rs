//! The simulated contact centre: all projects, and the incidents in them.

use chrono::{DateTime, Utc};
use polyai_domain::target::{ClientEnv, Region, TargetKey};

use super::faults::Scope;
use super::incidents::Incident;
use super::profile::{AnomalyRates, Profile};
use super::project::{Calls, Project};
use super::quirks::{LastCursor, LatencyShape, Order, TimestampFormat};
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
        let project = |name, region, profile| {
            let mut project =
                Project::new(name, region).with_key(&demo.api_key).with_generated(demo.seed, profile);
            if let Calls::Random(calls) = &mut project.calls {
                calls.volume = demo.volume;
            }
            project.with_anomalies(demo.anomalies)
        };
        let reservations = project("reservations", Region::Us1, Profile::reservations())
            .with_ids("ws-00000001", "PROJECT-0000001")
            .with_envs(&[ClientEnv::Live, ClientEnv::Sandbox]);
        let billing = project("billing", Region::Uk1, Profile::billing())
            .with_ids("ws-00000002", "PROJECT-0000002")
            .with_quirks(|quirks| {
                quirks.order = Order::Ascending;
                quirks.latency = LatencyShape::Number;
                quirks.last_cursor = LastCursor::Absent;
            });
        let support = project("support", Region::Euw1, Profile::support())
            .with_ids("acme-eu", "acme-support")
            .with_quirks(|quirks| {
                quirks.timestamps = TimestampFormat::Zulu;
                quirks.chunked = true;
                quirks.null_flags = true;
            });
        let pilot = project("pilot", Region::Us1, Profile::pilot())
            .with_ids("ws-00000001", "PROJECT-0000004")
            .with_quirks(|quirks| quirks.last_cursor = LastCursor::Empty);
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

    /// Begins `incident` at `from` in the generated projects of its scope.
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

    pub(crate) fn project_mut(&mut self, target: &TargetKey) -> Option<&mut Project> {
        self.projects.iter_mut().find(|project| project.target(target.client_env) == *target)
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
