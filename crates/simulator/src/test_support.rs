//! Scripted calls and typed control of a simulator, for tests and benchmarks.

use std::collections::BTreeMap;
use std::io;

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use polyai_domain::clock::Clock;
use polyai_domain::target::{ApiVersion, ClientEnv, TargetKey};
use tokio::net::TcpListener;

use super::auth::Limit;
use super::call::{Call, Handoff, MetricValue, Piece, ReportedCounts, Text, Turn};
use super::encode::{Dialect, timestamp};
use super::expected::{self, ExpectedTotals};
use super::faults::{Fault, FaultKind, RetryAfter, Scope};
use super::generate_call::{CallGenerator, CallKind};
use super::incidents::{Incident, IncidentEffect};
use super::profile::{AnomalyRates, Profile};
use super::project::{Calls, Project};
use super::quirks::{Quirks, TimestampFormat};
use super::random_calls::RandomCalls;
use super::request_log::{RequestLine, Traffic};
use super::rng::{Rng, hash};
use super::scripted_calls::ScriptedCalls;
use super::server::{Control, Simulator, SimulatorHandle};
use super::world::World;

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
        Self { raw: Some([Piece::Literal(json.into().into_bytes())].into()), ..self }
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

impl AnomalyRates {
    /// No anomalies.
    pub const NONE: Self = Self {
        ingestion_seconds: 0.0,
        late: 0.0,
        late_finish: 0.0,
        long: 0.0,
        over_a_day: 0.0,
        amended: 0.0,
    };
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
    /// Has these ids.
    pub fn with_ids(self, account_id: &str, project_id: &str) -> Self {
        Self { account_id: account_id.to_owned(), project_id: project_id.to_owned(), ..self }
    }

    /// Can be read with `key` only.
    pub fn with_key(self, key: &str) -> Self {
        Self { keys: vec![key.to_owned()], ..self }
    }

    /// Has calls in these environments.
    pub fn with_envs(self, envs: &[ClientEnv]) -> Self {
        Self { client_envs: envs.to_vec(), ..self }
    }

    /// Has its quirks changed by `change`.
    pub fn with_quirks(mut self, change: impl FnOnce(&mut Quirks)) -> Self {
        change(&mut self.quirks);
        self
    }

    /// Has random calls instead of a script, at the volume of `profile` and with the default anomalies.
    pub fn with_generated(self, seed: u64, profile: Profile) -> Self {
        let calls = RandomCalls::new(&self.name, seed, profile);
        self.with_random(calls)
    }

    /// Has these anomalies instead of the default ones; projects without random calls ignore them.
    pub fn with_anomalies(mut self, anomalies: AnomalyRates) -> Self {
        if let Calls::Random(calls) = &mut self.calls {
            calls.generator.anomalies = anomalies;
        }
        self
    }

    /// Has these calls in addition. They replace calls of the same id; a project with generated calls ignores them.
    pub fn with_calls(mut self, calls: impl IntoIterator<Item = Call>) -> Self {
        if let Some(script) = self.calls.script() {
            calls.into_iter().for_each(|call| script.put(call));
        }
        self
    }

    /// Has `count` finished calls of about `bytes` of JSON each, with starts evenly spread from `from` to `until`. Records of a
    /// few kinds are encoded once, in the present dialect, and served with other ids and times, so that a benchmark measures the
    /// client and not the simulator. The expected totals omit them.
    pub fn with_bulk(self, count: u64, bytes: usize, from: DateTime<Utc>, until: DateTime<Utc>) -> Self {
        let period = (until - from).num_microseconds().unwrap_or(i64::MAX);
        let spacing = (period / count.max(1).cast_signed()).max(1);
        let dialect = Dialect { project: &self, version: ApiVersion::V3, include_latency: true };
        let kinds: Vec<Call> = (0..BULK_KINDS).map(|kind| bulk_call(kind, bytes, &dialect)).collect();
        let call = |index: u64| {
            let kind = &kinds[usize::try_from(hash(&[index, 1]) % BULK_KINDS).unwrap_or(0)];
            let start = from + TimeDelta::microseconds(spacing * index.cast_signed());
            Call { id: format!("CA{:016x}{index:016x}", hash(&[index])), start, ..kind.clone() }
        };
        self.with_calls((0..count).map(call))
    }
}

impl World {
    pub(crate) fn project_mut(&mut self, target: &TargetKey) -> Option<&mut Project> {
        self.projects.iter_mut().find(|project| project.target(target.client_env) == *target)
    }
}

impl Simulator {
    /// Serves `world` on a free port of the loopback interface, for tests.
    ///
    /// # Errors
    /// If there is no free port.
    pub async fn on_loopback(world: World, clock: Clock) -> io::Result<SimulatorHandle> {
        Self::start(world, TcpListener::bind(("127.0.0.1", 0)).await?, clock)
    }
}

impl Control {
    /// The API's own time, skew included.
    pub fn now(&self) -> DateTime<Utc> {
        self.0.lock().now()
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

const BULK_KINDS: u64 = 16;
/// The placeholder for an id.
const ID: &str = "CAffffffffffffffffffffffffffffffff";
/// The placeholder for a date; 978,307,200 s after the epoch.
const DAY: &str = "2001-01-01";

/// A normal call of which only the pieces of its record are left; visible and finished from its start.
fn bulk_call(kind: u64, bytes: usize, dialect: &Dialect<'_>) -> Call {
    const FILLER: &str = " Let me say a little more about that, so that nothing remains unclear.";
    let generator = CallGenerator { profile: Profile::reservations(), anomalies: AnomalyRates::NONE };
    let start = DateTime::from_timestamp(978_307_200, 0).unwrap_or_default();
    let (mut rng, effect) = (Rng::new(&[kind]), IncidentEffect::default());
    let call = generator.generate(&mut rng, ClientEnv::Live, start, CallKind::Normal, &effect);
    let mut call = Call { id: ID.to_owned(), visible_from: None, finished_visible_from: None, ..call };
    let missing = bytes.saturating_sub(record(&call, dialect).len()) / call.turns.len().max(1);
    for turn in &mut call.turns {
        let filler = FILLER.chars().cycle().take(missing);
        turn.agent = Text::Owned(turn.agent.chars().chain(filler).collect());
    }
    let raw = Some(pieces(&call, dialect).into());
    Call { raw, turns: Vec::new(), metrics: Vec::new(), ..call }
}

fn record(call: &Call, dialect: &Dialect<'_>) -> Vec<u8> {
    let mut record = Vec::new();
    if let Some(visible) = call.at(DateTime::<Utc>::MAX_UTC, &dialect.project.quirks) {
        dialect.write(&mut record, &visible);
    }
    record
}

/// The record of `call`, split at its id and times.
fn pieces(call: &Call, dialect: &Dialect<'_>) -> Vec<Piece> {
    let record = record(call, dialect);
    let format = dialect.project.quirks.timestamps;
    let width = timestamp(call.start, format).len();
    let (mut pieces, mut literal, mut at) = (Vec::new(), 0, 0);
    while at < record.len() {
        let rest = &record[at..];
        let (piece, length) = if rest.starts_with(ID.as_bytes()) {
            (Piece::Id, ID.len())
        } else if rest.starts_with(DAY.as_bytes())
            && let Some(offset) = rest.get(..width).and_then(|text| time_of_day(text, format))
        {
            (Piece::Timestamp(offset), width)
        } else {
            at += 1;
            continue;
        };
        pieces.push(Piece::Literal(record[literal..at].to_vec()));
        pieces.push(piece);
        at += length;
        literal = at;
    }
    pieces.push(Piece::Literal(record[literal..].to_vec()));
    pieces
}

fn time_of_day(text: &[u8], format: TimestampFormat) -> Option<TimeDelta> {
    let text = std::str::from_utf8(text).ok()?;
    let pattern = match format {
        TimestampFormat::Offset => "%Y-%m-%dT%H:%M:%S%.f+00:00",
        TimestampFormat::Zulu => "%Y-%m-%dT%H:%M:%S%.fZ",
        TimestampFormat::Naive => "%Y-%m-%dT%H:%M:%S%.f",
        TimestampFormat::Spaced => "%Y-%m-%d %H:%M:%S%.f",
    };
    let moment = NaiveDateTime::parse_from_str(text, pattern).ok()?;
    Some(moment.time() - chrono::NaiveTime::MIN)
}
