//! The levers of a running simulator, for tests.
//!
//! Owns: typed access to the state. Never: HTTP.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use super::call::Call;
use super::faults::{Fault, RetryAfter, Scope};
use super::gate::Limit;
use super::incidents::{Incident, ProjectIncident};
use super::project::Project;
use super::quirks::Quirks;
use super::requests::{RequestLine, Traffic};
use super::state::Shared;
use super::truth::{self, ExpectedTotals};
use super::world::Calls;
use polyai_domain::target::TargetKey;

/// Changes what a simulator does and tells what it did. Clones steer the same one.
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

    /// Puts the API's clock ahead of everybody else's by `skew`, which may be negative.
    pub fn skew(&self, skew: TimeDelta) {
        self.0.lock().skew = skew;
    }

    /// Puts `Date` alone ahead of the API's own time, as a node or a proxy with a clock of its own does; None leaves it out.
    pub fn date_ahead(&self, ahead: Option<TimeDelta>) {
        self.0.lock().date = ahead;
    }

    /// The projects as they are now.
    pub fn projects(&self) -> Vec<Project> {
        self.0.lock().world.projects.clone()
    }

    /// Adds `call` to the scripted project of `target`, in its environment, or replaces the call with its id. False if
    /// there is no such project.
    pub fn put(&self, target: &TargetKey, call: Call) -> bool {
        let mut state = self.0.lock();
        match state.world.project_mut(target).map(|project| &mut project.calls) {
            Some(Calls::Scripted(script)) => {
                script.put(call.in_env(target.client_env));
                true
            }
            _ => false,
        }
    }

    /// Changes the scripted call `id` of `target`. False if there is no such call.
    pub fn change(&self, target: &TargetKey, id: &str, change: impl FnOnce(Call) -> Call) -> bool {
        let mut state = self.0.lock();
        let Some(Calls::Scripted(script)) = state.world.project_mut(target).map(|project| &mut project.calls)
        else {
            return false;
        };
        match script.remove(id) {
            Some(call) => {
                script.put(change(call));
                true
            }
            None => false,
        }
    }

    /// Makes the scripted call `id` of `target` vanish. False if there is no such call.
    pub fn remove(&self, target: &TargetKey, id: &str) -> bool {
        let mut state = self.0.lock();
        match state.world.project_mut(target).map(|project| &mut project.calls) {
            Some(Calls::Scripted(script)) => script.remove(id).is_some(),
            _ => false,
        }
    }

    /// Changes how the projects in `scope` answer.
    pub fn quirks(&self, scope: impl Into<Scope>, change: impl Fn(&mut Quirks)) {
        let scope = scope.into();
        for project in &mut self.0.lock().world.projects {
            if project.targets().any(|target| scope.covers(&target)) {
                change(&mut project.quirks);
            }
        }
    }

    /// Switches a fault on. Faults that hit the same request add up; of several answers the first added wins.
    pub fn fault(&self, fault: impl Into<Fault>) {
        self.0.lock().faults.0.push(fault.into());
    }

    /// The faults that can still fire.
    pub fn faults(&self) -> Vec<Fault> {
        self.0.lock().faults.0.clone()
    }

    /// Switches all faults off.
    pub fn clear_faults(&self) {
        self.0.lock().faults.0.clear();
    }

    /// Begins an incident in the generated projects it concerns. It never changes calls that have started already: a
    /// beginning in the past is moved to now.
    pub fn incident(&self, incident: &Incident) {
        let mut state = self.0.lock();
        let from = incident.from.max(state.now());
        state.world.begin(incident, from);
    }

    /// The incidents that last now or are still to come, with the targets they concern.
    pub fn incidents(&self) -> Vec<Incident> {
        let state = self.0.lock();
        let now = state.now();
        let mut found = Vec::new();
        for project in &state.world.projects {
            if let Calls::Generated(generated) = &project.calls {
                for local in
                    generated.incidents.iter().filter(|local| local.until.is_none_or(|until| now < until))
                {
                    let scope = Scope::Target(project.target(local.env));
                    found.push(Incident { kind: local.kind, scope, from: local.from, until: local.until });
                }
            }
        }
        found
    }

    /// Ends all incidents in `scope` now; what they did to calls stays.
    pub fn end_incidents(&self, scope: impl Into<Scope>) {
        let scope = scope.into();
        let mut state = self.0.lock();
        let now = state.now();
        for project in &mut state.world.projects {
            let targets: Vec<TargetKey> = project.targets().collect();
            if let Calls::Generated(generated) = &mut project.calls {
                let meant = |local: &ProjectIncident| {
                    targets.iter().any(|target| target.client_env == local.env && scope.covers(target))
                };
                generated.incidents.retain(|local| !(meant(local) && local.from > now));
                for local in generated.incidents.iter_mut().filter(|local| meant(local)) {
                    local.until = Some(local.until.map_or(now, |until| until.min(now)));
                }
            }
        }
    }

    /// Refuses `key` from `moment` on (401), as a key whose expiry date has come.
    pub fn expire_key(&self, key: &str, moment: DateTime<Utc>) {
        self.0.lock().gate.revoked.insert(key.to_owned(), moment);
    }

    /// Refuses `key` from now on (401).
    pub fn revoke_key(&self, key: &str) {
        self.0.lock().gate.revoked.insert(key.to_owned(), DateTime::<Utc>::MIN_UTC);
    }

    /// Takes the permission "Conversations data" from `key` (403).
    pub fn forbid_key(&self, key: &str) {
        self.0.lock().gate.forbidden.insert(key.to_owned());
    }

    /// Undoes whatever was done to `key`, its rate limit included.
    pub fn restore_key(&self, key: &str) {
        let mut state = self.0.lock();
        state.gate.revoked.remove(key);
        state.gate.forbidden.remove(key);
        state.gate.limits.remove(key);
    }

    /// Answers 429 to what exceeds `per_minute` requests of `key` in any 60 s.
    pub fn limit_key(&self, key: &str, per_minute: usize, retry_after: RetryAfter) {
        let limit = Limit { per_minute, retry_after, recent: [].into() };
        self.0.lock().gate.limits.insert(key.to_owned(), limit);
    }

    /// List requests per target since the start or the last [`forget_requests`](Self::forget_requests).
    pub fn requests(&self) -> BTreeMap<TargetKey, Traffic> {
        self.0.lock().requests.traffic.clone()
    }

    /// The same for one target; all zero if it never asked.
    pub fn traffic(&self, target: &TargetKey) -> Traffic {
        self.0.lock().requests.traffic.get(target).cloned().unwrap_or_default()
    }

    /// The last 10,000 requests, oldest first.
    pub fn request_log(&self) -> Vec<RequestLine> {
        self.0.lock().requests.lines.iter().cloned().collect()
    }

    /// Starts the record of requests anew.
    pub fn forget_requests(&self) {
        self.0.lock().requests = Default::default();
    }

    /// Recounts what `target` lists now as finished and ended at or after `anchor` (with one second of grace, as
    /// durations are whole seconds). All zero for an unknown target.
    pub fn truth(&self, target: &TargetKey, anchor: DateTime<Utc>) -> ExpectedTotals {
        let state = self.0.lock();
        let now = state.now();
        let project = state.world.project(target);
        project.map_or_else(ExpectedTotals::default, |project| {
            truth::recount(project, target.client_env, anchor, now)
        })
    }
}
