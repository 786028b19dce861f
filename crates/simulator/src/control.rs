//! Typed control of a running simulator, for tests.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use polyai_domain::target::TargetKey;

use super::expected::{self, ExpectedTotals};
use super::faults::{Fault, Scope};
use super::incidents::Incident;
use super::project::Project;
use super::request_log::Traffic;
use super::state::Shared;

/// Changes the behaviour of a simulator and reports its requests. Clones control the same simulator.
#[derive(Debug, Clone)]
pub struct Control(pub(crate) Shared);

impl Control {
    pub(crate) fn new(shared: Shared) -> Self {
        Self(shared)
    }

    /// The API's own time, skew included.
    pub fn now(&self) -> DateTime<Utc> {
        self.0.lock().now()
    }

    /// The projects in their current state.
    pub fn projects(&self) -> Vec<Project> {
        self.0.lock().world.projects.clone()
    }

    /// Activates a fault. Faults that hit the same request add up; of several responses the first added wins.
    pub fn fault(&self, fault: impl Into<Fault>) {
        self.0.lock().faults.push(fault.into());
    }

    /// The faults that can still fire.
    pub fn faults(&self) -> Vec<Fault> {
        self.0.lock().faults.clone()
    }

    /// Removes all faults.
    pub fn clear_faults(&self) {
        self.0.lock().faults.clear();
    }

    /// Begins an incident in the generated projects of its scope. It never changes calls that have started already: a
    /// beginning in the past is moved to now.
    pub fn incident(&self, incident: &Incident) {
        let mut state = self.0.lock();
        let from = incident.from.max(state.now());
        state.world.begin_incident(incident, from);
    }

    /// The incidents that have not ended yet, one per target.
    pub fn incidents(&self) -> Vec<Incident> {
        let mut state = self.0.lock();
        let now = state.now();
        state.world.incidents(now)
    }

    /// Ends all incidents in `scope` now; calls that they have changed stay changed.
    pub fn end_incidents(&self, scope: impl Into<Scope>) {
        let mut state = self.0.lock();
        let now = state.now();
        state.world.end_incidents(&scope.into(), now);
    }

    /// List requests per target since the start.
    pub fn requests(&self) -> BTreeMap<TargetKey, Traffic> {
        self.0.lock().requests.traffic.clone()
    }

    /// The totals of the finished conversations of `target` that ended at or after `anchor`, less a second of tolerance.
    pub fn expected_totals(&self, target: &TargetKey, anchor: DateTime<Utc>) -> ExpectedTotals {
        let mut state = self.0.lock();
        let now = state.now();
        let project = state.world.project_mut(target);
        project.map(|project| expected::recount(project, target.client_env, anchor, now)).unwrap_or_default()
    }
}
