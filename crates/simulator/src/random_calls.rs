//! Random calls: those of a minute depend only on the seed, project, environment and incidents.
//!
//! Any stretch of the past can hence be listed without having been stored.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use polyai_domain::target::{ClientEnv, TargetKey};

use super::call::{Call, CallQuery};
use super::generate_call::{CallGenerator, CallKind};
use super::incidents::{Incident, IncidentEffect};
use super::profile::{AnomalyRates, Profile};
use super::rng::{Rng, hash, hash_text};

/// A normal call is listed as finished this long after its start.
pub(crate) const MAX_NORMAL_DURATION: TimeDelta = TimeDelta::minutes(31);
/// Every call is listed as finished this long after its start.
const MAX_DURATION: TimeDelta = TimeDelta::hours(48);
/// The beginning of history: 1 January 2024.
const SINCE: DateTime<Utc> = const { DateTime::from_timestamp(1_704_067_200, 0).expect("within range") };

#[derive(Debug, Clone)]
pub(crate) struct RandomCalls {
    seed: u64,
    pub(crate) generator: CallGenerator,
    /// Multiplies the number of calls.
    pub(crate) volume: f64,
    pub(crate) incidents: Vec<(TargetKey, Incident)>,
    cache: Option<Arc<CallCache>>,
}

/// Minutes that were drawn in advance.
#[derive(Debug)]
struct CallCache {
    first: i64,
    minutes: BTreeMap<ClientEnv, Vec<Minute>>,
}

#[derive(Debug)]
struct Minute {
    /// Calls that are open for long or arrive late.
    outliers: Vec<Call>,
    normal: Vec<Call>,
}

impl RandomCalls {
    pub(crate) fn new(name: &str, seed: u64, profile: Profile) -> Self {
        Self {
            seed: hash(&[seed, hash_text(name)]),
            generator: CallGenerator { profile, anomalies: AnomalyRates::default() },
            volume: 1.0,
            incidents: Vec::new(),
            cache: None,
        }
    }

    /// Draws the calls from `from` to `until` once. A query finds no normal calls that were over before `from`.
    pub(crate) fn fill_cache(
        &mut self,
        envs: impl Iterator<Item = ClientEnv>,
        from: DateTime<Utc>,
        until: DateTime<Utc>,
    ) {
        let (first, last) = (minute_of(from - MAX_DURATION), minute_of(until));
        let normal_from = minute_of(from - MAX_NORMAL_DURATION);
        let minutes =
            |env| (first..=last).map(|minute| self.minute(env, minute, minute >= normal_from)).collect();
        let minutes = envs.map(|env| (env, minutes(env))).collect();
        self.cache = Some(Arc::new(CallCache { first, minutes }));
    }

    /// Visits the calls of `query` in its order until `visitor` breaks.
    pub(crate) fn visit(&self, query: &CallQuery, visitor: &mut dyn FnMut(&Call) -> ControlFlow<()>) {
        let earliest = query.open_at.map_or(SINCE, |open_at| SINCE.max(open_at - MAX_DURATION));
        let from = query.from.map_or(earliest, |from| from.max(earliest));
        let Some(to) = query.to.filter(|to| *to >= from) else { return };
        let normal_from = query.open_at.map_or(i64::MIN, |open_at| minute_of(open_at - MAX_NORMAL_DURATION));
        let mut visit_minute = |number: i64| {
            let has_normal = number >= normal_from;
            let drawn;
            let minute = match self.cache.as_ref().and_then(|cache| cache.get(query.env, number)) {
                Some(minute) => minute,
                None => {
                    drawn = self.minute(query.env, number, has_normal);
                    &drawn
                }
            };
            let normal = minute.normal.iter().filter(|_| has_normal);
            let mut calls: Vec<&Call> = minute.outliers.iter().chain(normal).collect();
            calls.retain(|call| (from..=to).contains(&call.start));
            calls.sort_by(|a, b| (a.start, &a.id).cmp(&(b.start, &b.id)));
            if query.newest_first {
                calls.reverse();
            }
            calls.into_iter().try_for_each(&mut *visitor)
        };
        let mut minutes = minute_of(from)..minute_of(to) + 1;
        let mut next = || if query.newest_first { minutes.next_back() } else { minutes.next() };
        while let Some(minute) = next() {
            if visit_minute(minute).is_break() {
                return;
            }
        }
    }

    /// Draws one minute, its normal calls only on request.
    fn minute(&self, env: ClientEnv, minute: i64, with_normal: bool) -> Minute {
        let rate = self.rate(env, minute);
        let count = if with_normal { self.rng(env, minute, 0).poisson(rate) } else { 0 };
        let normal =
            (1..=count).filter_map(|index| self.call(env, minute, index, CallKind::Normal)).collect();
        let anomalies = &self.generator.anomalies;
        let kinds = [
            (anomalies.late, CallKind::Late),
            (anomalies.late_finish, CallKind::LateFinish),
            (anomalies.long, CallKind::Long),
            (anomalies.over_a_day, CallKind::OverADay),
        ];
        let total: f64 = kinds.iter().map(|(share, _)| share).sum();
        let mut rng = self.rng(env, minute, u64::MAX);
        let mut left = if rng.chance(rate * total) { rng.unit() * total } else { f64::MAX };
        let kind = kinds.into_iter().find_map(|(share, kind)| {
            left -= share;
            (left < 0.0).then_some(kind)
        });
        let outliers = kind.and_then(|kind| self.call(env, minute, u64::MAX - 1, kind)).into_iter().collect();
        Minute { outliers, normal }
    }

    /// Calls per minute in `env` around `minute`.
    fn rate(&self, env: ClientEnv, minute: i64) -> f64 {
        let share = match env {
            ClientEnv::Live => 1.0,
            ClientEnv::Sandbox => 0.02,
            ClientEnv::PreRelease => 0.01,
        };
        let rate = DateTime::from_timestamp(minute * 60, 0).map(|moment| self.generator.profile.rate(moment));
        rate.unwrap_or(0.0) * share * self.volume
    }

    /// The call `index` of `minute`, unless an incident prevents it.
    fn call(&self, env: ClientEnv, minute: i64, index: u64, kind: CallKind) -> Option<Call> {
        let mut rng = self.rng(env, minute, index);
        let offset = TimeDelta::milliseconds(rng.below(60_000).cast_signed());
        let start = DateTime::from_timestamp(minute * 60, 0)? + offset;
        let effect = IncidentEffect::at(&self.incidents, env, start);
        let draw = rng.unit();
        if effect.traffic.is_some_and(|share| draw >= share) {
            return None;
        }
        Some(self.generator.generate(&mut rng, env, start, kind, &effect))
    }

    fn rng(&self, env: ClientEnv, minute: i64, index: u64) -> Rng {
        Rng::new(&[self.seed, env as u64, minute.cast_unsigned(), index])
    }
}

impl CallCache {
    fn get(&self, env: ClientEnv, minute: i64) -> Option<&Minute> {
        self.minutes.get(&env)?.get(usize::try_from(minute - self.first).ok()?)
    }
}

fn minute_of(moment: DateTime<Utc>) -> i64 {
    moment.timestamp().div_euclid(60)
}
