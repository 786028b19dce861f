//! Scripted calls and typed control of a simulator, for tests and benchmarks.

mod bulk_records;

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;

use chrono::{DateTime, TimeDelta, Utc};
use polyai_domain::target::{ApiVersion, ClientEnv, TargetKey};

pub(crate) use bulk_records::BulkRecords;

use super::auth::Limit;
use super::call::{Call, CallQuery, Handoff, MetricValue, ReportedCounts, Text, Turn};
use super::control::Control;
use super::cursor::Position;
use super::faults::{Fault, FaultKind, RetryAfter, Scope};
use super::project::{Calls, Project};
use super::quirks::Quirks;
use super::request_log::{RequestLine, Traffic};

impl Call {
    /// Starts at `start`.
    pub fn starting(self, start: DateTime<Utc>) -> Self {
        Self { start, ..self }
    }

    /// Belongs to `env` instead of `live`.
    pub fn in_env(self, env: ClientEnv) -> Self {
        Self { env, ..self }
    }

    /// Has this `channel`.
    pub fn channel(self, channel: impl Into<Text>) -> Self {
        Self { channel: Some(channel.into()), ..self }
    }

    /// Has one more turn.
    pub fn turn(mut self, turn: Turn) -> Self {
        self.turns.push(turn);
        self
    }

    /// Is handed off to `destination` for `reason` at its end.
    pub fn handoff(self, reason: impl Into<Text>, destination: impl Into<Text>) -> Self {
        let handoff = Handoff { reason: reason.into(), destination: destination.into() };
        Self { handoff: Some(handoff), ..self }
    }

    /// `id`
    pub fn id(&self) -> &str {
        &self.id
    }

    /// `started_at`
    pub fn start(&self) -> DateTime<Utc> {
        self.start
    }

    /// Lasts `seconds`.
    pub fn lasting(self, seconds: i64) -> Self {
        self.lasting_exactly(TimeDelta::seconds(seconds))
    }

    /// Lasts exactly `length`, whose fraction of a second `total_duration` does not show.
    pub fn lasting_exactly(self, length: TimeDelta) -> Self {
        Self { lasting: Some(length), ..self }
    }

    /// Never ends.
    pub fn never_ending(self) -> Self {
        Self { lasting: None, ..self }
    }

    /// Has no `channel` field.
    pub fn without_channel(self) -> Self {
        Self { channel: None, ..self }
    }

    /// Has this `variant_id` and `variant_name`.
    pub fn variant(self, id: impl Into<Text>, name: impl Into<Text>) -> Self {
        Self { variant: Some((id.into(), name.into())), ..self }
    }

    /// Has `count` turns, of which the first is a greeting.
    pub fn turns(self, count: usize) -> Self {
        let turn = |index| if index == 0 { Turn::greeting() } else { Turn::reply() };
        Self { turns: (0..count).map(turn).collect(), ..self }
    }

    /// The replies (turns after the first) have these latencies, in seconds; further ones have none. Call after `turns`.
    pub fn latency(mut self, seconds: impl IntoIterator<Item = f64>) -> Self {
        let mut seconds = seconds.into_iter();
        self.turns.iter_mut().skip(1).for_each(|turn| turn.latency = seconds.next());
        self
    }

    /// The greeting has this latency, in seconds. Call after `turns`.
    pub fn greeting_latency(mut self, seconds: f64) -> Self {
        self.turns.iter_mut().take(1).for_each(|turn| turn.latency = Some(seconds));
        self
    }

    /// The last `count` turns are out of domain. Call after `turns`.
    pub fn ood(self, count: usize) -> Self {
        self.change_last_turns(count, |turn| turn.ood = true)
    }

    /// The last `count` turns are silent. Call after `turns`.
    pub fn silences(self, count: usize) -> Self {
        self.change_last_turns(count, |turn| turn.silence = true)
    }

    /// In the last `count` turns the user interrupts the agent. Call after `turns`.
    pub fn barge_ins(self, count: usize) -> Self {
        self.change_last_turns(count, |turn| turn.barge_in = true)
    }

    fn change_last_turns(mut self, count: usize, change: fn(&mut Turn)) -> Self {
        self.turns.iter_mut().rev().take(count).for_each(change);
        self
    }

    /// Is not handed off.
    pub fn without_handoff(self) -> Self {
        Self { handoff: None, ..self }
    }

    /// Has a value in `metrics`; a second value of the same name makes a list.
    pub fn metric(mut self, name: impl Into<Text>, value: MetricValue) -> Self {
        self.metrics.push((name.into(), value));
        self
    }

    /// The agent handles the first `seconds` of it (`polyai_duration`).
    pub fn agent_part(self, seconds: i64) -> Self {
        Self { agent_part: Some(TimeDelta::seconds(seconds)), ..self }
    }

    /// Reports these counts, which may contradict the rest of the record.
    pub fn reporting(self, reported: ReportedCounts) -> Self {
        Self { reported, ..self }
    }

    /// Is listed only from `moment` on.
    pub fn visible_from(self, moment: DateTime<Utc>) -> Self {
        Self { visible_from: Some(moment), ..self }
    }

    /// Is listed as running until `moment`, even if it ends before.
    pub fn finished_visible_from(self, moment: DateTime<Utc>) -> Self {
        Self { finished_visible_from: Some(moment), ..self }
    }

    /// Is not listed while it runs.
    pub fn hidden_while_running(self) -> Self {
        Self { hidden_while_running: true, ..self }
    }

    /// This text is served in place of the record. Filters and order follow the call; the expected totals omit it.
    pub fn raw(self, json: impl Into<String>) -> Self {
        Self { raw: Some(json.into()), ..self }
    }
}

impl From<&str> for Scope {
    fn from(project: &str) -> Self {
        Self::Project(project.to_owned())
    }
}

impl From<&TargetKey> for Scope {
    fn from(target: &TargetKey) -> Self {
        Self::Target(target.clone())
    }
}

impl From<FaultKind> for Fault {
    fn from(kind: FaultKind) -> Self {
        Self::new(kind)
    }
}

impl Fault {
    /// Hits only `scope`: a project's name or a target.
    pub fn with_scope(self, scope: impl Into<Scope>) -> Self {
        Self { scope: scope.into(), ..self }
    }

    /// Hits `count` requests.
    pub fn with_times(self, count: u64) -> Self {
        Self { times: Some(count), ..self }
    }

    /// Hits only windows with both bounds that include `start`, as if one record made the API fail.
    pub fn with_start(self, start: DateTime<Utc>) -> Self {
        Self { start: Some(start), ..self }
    }

    /// Lets `count` matching requests pass first.
    pub fn with_skip(self, count: u64) -> Self {
        Self { skip: count, ..self }
    }

    /// Hits a matching request with this probability, 0 to 1.
    pub fn with_probability(self, probability: f64) -> Self {
        Self { probability, ..self }
    }

    /// Hits only requests from `from` to before `until`.
    pub fn with_period(self, from: DateTime<Utc>, until: DateTime<Utc>) -> Self {
        Self { from: Some(from), until: Some(until), ..self }
    }
}

/// A mutable list of calls, ordered by start.
#[derive(Debug, Clone, Default)]
pub(crate) struct ScriptedCalls {
    calls: BTreeMap<Position, Call>,
    positions: HashMap<String, Position>,
}

impl ScriptedCalls {
    pub(crate) fn put(&mut self, call: Call) {
        self.remove(&call.id);
        let position = Position::new(call.start, &call.id);
        self.positions.insert(call.id.clone(), position.clone());
        self.calls.insert(position, call);
    }

    pub(crate) fn remove(&mut self, id: &str) -> Option<Call> {
        self.calls.remove(&self.positions.remove(id)?)
    }

    /// Visits the calls of `query` in its order until `visitor` breaks.
    pub(crate) fn visit(&self, query: &CallQuery, visitor: &mut dyn FnMut(&Call) -> ControlFlow<()>) {
        let from = query.from.map_or(i128::MIN, |from| i128::from(from.timestamp_micros()));
        let to = query.to.map_or(i128::MAX, |to| i128::from(to.timestamp_micros()));
        if from > to {
            return;
        }
        let bound = |rank| Position { rank, id: String::new() };
        let mut calls = self.calls.range(bound(from)..bound(to.saturating_add(1)));
        let mut next = || if query.newest_first { calls.next_back() } else { calls.next() };
        while let Some((_, call)) = next() {
            if call.env == query.env && visitor(call).is_break() {
                return;
            }
        }
    }
}

impl Calls {
    /// The script, unless calls are generated.
    fn script(&mut self) -> Option<&mut ScriptedCalls> {
        if let Self::None = self {
            *self = Self::Scripted(ScriptedCalls::default());
        }
        if let Self::Scripted(calls) = self { Some(calls) } else { None }
    }
}

impl Project {
    /// Has these calls in addition. They replace calls of the same id; a project with generated calls ignores them.
    pub fn with_calls(mut self, calls: impl IntoIterator<Item = Call>) -> Self {
        if let Some(script) = self.calls.script() {
            calls.into_iter().for_each(|call| script.put(call));
        }
        self
    }

    /// Has `count` finished calls of about `bytes` of JSON each, with starts evenly spread from `from` to `until`.
    pub fn with_bulk(self, count: u64, bytes: usize, from: DateTime<Utc>, until: DateTime<Utc>) -> Self {
        let calls = BulkRecords::new(count, bytes, from, until, &self.dialect(ApiVersion::V3, true));
        Self { calls: Calls::Bulk(calls), ..self }
    }
}

impl Control {
    /// Sets the API's clock ahead of the real time by `skew`, which may be negative.
    pub fn skew(&self, skew: TimeDelta) {
        self.0.lock().skew = skew;
    }

    /// Sets only `Date` ahead of the API's own time, like a node or a proxy with another clock; `None` omits the header.
    pub fn date_ahead(&self, ahead: Option<TimeDelta>) {
        self.0.lock().date_skew = ahead;
    }

    /// Applies `action` to the script of `target`; `None` if there is no such scripted project.
    fn script<T>(&self, target: &TargetKey, action: impl FnOnce(&mut ScriptedCalls) -> T) -> Option<T> {
        let mut state = self.0.lock();
        Some(action(state.world.project_mut(target)?.calls.script()?))
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
}
