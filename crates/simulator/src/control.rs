//! Typed control of a running simulator, for tests.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use polyai_domain::target::TargetKey;

use super::auth::Limit;
use super::call::Call;
use super::expected::{self, ExpectedTotals};
use super::faults::{Fault, RetryAfter, Scope};
use super::incidents::Incident;
use super::project::{Calls, Project};
use super::quirks::Quirks;
use super::request_log::{RequestLine, Traffic};
use super::scripted_calls::ScriptedCalls;
use super::state::Shared;

/// Changes the behaviour of a simulator and reports its requests. Clones control the same simulator.
#[derive(Debug, Clone)]
pub struct Control(Shared);

impl Control {
    pub(crate) fn new(shared: Shared) -> Self {
        Self(shared)
    }

    /// The API's own time, skew included.
    pub fn now(&self) -> DateTime<Utc> {
        self.0.lock().now()
    }

    /// Sets the API's clock ahead of the real time by `skew`, which may be negative.
    pub fn skew(&self, skew: TimeDelta) {
        self.0.lock().skew = skew;
    }

    /// Sets only `Date` ahead of the API's own time, like a node or a proxy with another clock; `None` omits the header.
    pub fn date_ahead(&self, ahead: Option<TimeDelta>) {
        self.0.lock().date_skew = ahead;
    }

    /// The projects in their current state.
    pub fn projects(&self) -> Vec<Project> {
        self.0.lock().world.projects.clone()
    }

    /// Applies `action` to the script of `target`; `None` if there is no such scripted project.
    fn script<T>(&self, target: &TargetKey, action: impl FnOnce(&mut ScriptedCalls) -> T) -> Option<T> {
        match &mut self.0.lock().world.project_mut(target)?.calls {
            Calls::Scripted(calls) => Some(action(calls)),
            Calls::Random(_) | Calls::Bulk(_) => None,
        }
    }

    /// Adds or replaces a call of the scripted project of `target`. Returns false if there is no such project.
    pub fn put(&self, target: &TargetKey, call: Call) -> bool {
        self.script(target, |calls| calls.put(call.in_env(target.client_env))).is_some()
    }

    /// Changes the scripted call `id` of `target`. Returns false if there is no such call.
    pub fn change(&self, target: &TargetKey, id: &str, change: impl FnOnce(Call) -> Call) -> bool {
        let changed = self.script(target, |calls| calls.remove(id).map(|call| calls.put(change(call))));
        changed.flatten().is_some()
    }

    /// Removes the scripted call `id` of `target`. Returns false if there is no such call.
    pub fn remove(&self, target: &TargetKey, id: &str) -> bool {
        self.script(target, |calls| calls.remove(id)).flatten().is_some()
    }

    /// Changes the quirks of the projects in `scope`.
    pub fn quirks(&self, scope: impl Into<Scope>, change: impl Fn(&mut Quirks)) {
        let scope = scope.into();
        for project in &mut self.0.lock().world.projects {
            if project.targets().any(|target| scope.covers(&target)) {
                change(&mut project.quirks);
            }
        }
    }

    /// Activates a fault. Faults that hit the same request add up; of several responses the first added wins.
    pub fn fault(&self, fault: impl Into<Fault>) {
        self.0.lock().faults.0.push(fault.into());
    }

    /// The faults that can still fire.
    pub fn faults(&self) -> Vec<Fault> {
        self.0.lock().faults.0.clone()
    }

    /// Removes all faults.
    pub fn clear_faults(&self) {
        self.0.lock().faults.0.clear();
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
        let state = self.0.lock();
        state.world.incidents(state.now())
    }

    /// Ends all incidents in `scope` now; calls that they have changed stay changed.
    pub fn end_incidents(&self, scope: impl Into<Scope>) {
        let mut state = self.0.lock();
        let now = state.now();
        state.world.end_incidents(&scope.into(), now);
    }

    /// Rejects `key` from `moment` on (401), like a key that has expired.
    pub fn expire_key(&self, key: &str, moment: DateTime<Utc>) {
        self.0.lock().auth.revoked.insert(key.to_owned(), moment);
    }

    /// Rejects `key` from now on (401).
    pub fn revoke_key(&self, key: &str) {
        self.expire_key(key, DateTime::<Utc>::MIN_UTC);
    }

    /// Removes the permission "Conversations data" from `key` (403).
    pub fn forbid_key(&self, key: &str) {
        self.0.lock().auth.forbidden.insert(key.to_owned());
    }

    /// Reverts all changes to `key`, its rate limit included.
    pub fn restore_key(&self, key: &str) {
        let auth = &mut self.0.lock().auth;
        auth.revoked.remove(key);
        auth.forbidden.remove(key);
        auth.limits.remove(key);
    }

    /// Returns 429 for requests of `key` that exceed `per_minute` in any 60 s.
    pub fn limit_key(&self, key: &str, per_minute: usize, retry_after: RetryAfter) {
        let limit = Limit { per_minute, retry_after, recent: [].into() };
        self.0.lock().auth.limits.insert(key.to_owned(), limit);
    }

    /// List requests per target since the start or the last [`forget_requests`](Self::forget_requests).
    pub fn requests(&self) -> BTreeMap<TargetKey, Traffic> {
        self.0.lock().requests.traffic.clone()
    }

    /// List requests of one target; all zero if there were none.
    pub fn traffic(&self, target: &TargetKey) -> Traffic {
        self.0.lock().requests.traffic.get(target).cloned().unwrap_or_default()
    }

    /// The last 10,000 requests, oldest first.
    pub fn request_log(&self) -> Vec<RequestLine> {
        self.0.lock().requests.lines.iter().cloned().collect()
    }

    /// Clears the counts and lines of requests.
    pub fn forget_requests(&self) {
        self.0.lock().requests = Default::default();
    }

    /// The totals of the finished conversations of `target` that ended at or after `anchor`, less a second of tolerance.
    pub fn expected_totals(&self, target: &TargetKey, anchor: DateTime<Utc>) -> ExpectedTotals {
        let mut state = self.0.lock();
        let now = state.now();
        let project = state.world.project_mut(target);
        project.map(|project| expected::recount(project, target.client_env, anchor, now)).unwrap_or_default()
    }
}
