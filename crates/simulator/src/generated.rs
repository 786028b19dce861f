//! A contact centre made of chance: every minute's calls are a pure function of the seed, the project, the environment
//! and the incidents, so that any stretch of the past can be listed without having been kept.
//!
//! Owns: which calls start in a minute. Never: what is in them, which is `invent`.

use std::ops::ControlFlow;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::call::Call;
use super::dice::{Rng, mix_text};
use super::incidents::{IncidentEffect, ProjectIncident};
use super::invent::Kind;
use super::kept::CallCache;
use super::profile::{AnomalyRates, Profile};
use super::world::CallQuery;
use polyai_domain::target::ClientEnv;

/// An ordinary call is over, and shown as such, this long after its start.
pub(crate) const MAX_NORMAL_DURATION: TimeDelta = TimeDelta::minutes(31);
/// Any call is.
pub(crate) const REACH: TimeDelta = TimeDelta::hours(48);

/// The source of a generated project's calls.
#[derive(Debug, Clone)]
pub(crate) struct Generated {
    /// Of this project: drawn from the world's seed and the project's name.
    pub(crate) seed: u64,
    pub(crate) profile: Profile,
    pub(crate) mishaps: AnomalyRates,
    /// Multiplies the number of calls.
    pub(crate) volume: f64,
    /// No call starts before.
    pub(crate) since: DateTime<Utc>,
    pub(crate) incidents: Vec<ProjectIncident>,
    /// Minutes that were drawn beforehand.
    pub(crate) kept: Option<Arc<CallCache>>,
}

impl Generated {
    /// The source for the project `name` of a world with `seed`.
    pub(crate) fn new(name: &str, seed: u64, profile: Profile) -> Self {
        Self {
            seed: super::dice::hash(&[seed, mix_text(name)]),
            profile,
            mishaps: AnomalyRates::default(),
            volume: 1.0,
            since: SINCE,
            incidents: Vec::new(),
            kept: None,
        }
    }

    /// Shows the calls that `ask` is about, in its order, until `see` breaks.
    pub(crate) fn visit(&self, ask: &CallQuery, see: &mut dyn FnMut(&Call) -> ControlFlow<()>) {
        let earliest = ask.open_at.map_or(self.since, |open_at| self.since.max(open_at - REACH));
        let from = ask.from.map_or(earliest, |from| from.max(earliest));
        let Some(to) = ask.to.filter(|to| *to >= from) else {
            return;
        };
        let (first, last) = (minute_of(from), minute_of(to));
        let ordinary_from = ask.open_at.map_or(i64::MIN, |open_at| minute_of(open_at - MAX_NORMAL_DURATION));
        let kept = self.kept.as_ref().and_then(|kept| kept.of_env(ask.env));
        let mut show = |minute: i64| {
            let drawn;
            let (strays, ordinary) = match kept.and_then(|kept| kept.minute(minute)) {
                Some(kept) => kept,
                None => {
                    let ordinary =
                        if minute >= ordinary_from { self.ordinary(ask.env, minute) } else { Vec::new() };
                    drawn = (self.outliers(ask.env, minute), ordinary);
                    (drawn.0.as_slice(), drawn.1.as_slice())
                }
            };
            let ordinary = if minute >= ordinary_from { ordinary } else { &[] };
            if strays.is_empty() && ordinary.is_empty() {
                return ControlFlow::Continue(());
            }
            let wanted = |call: &&Call| (from..=to).contains(&call.start);
            let mut calls: Vec<&Call> = strays.iter().chain(ordinary).filter(wanted).collect();
            calls.sort_by(|a, b| (a.start, &a.id).cmp(&(b.start, &b.id)));
            if ask.newest_first {
                calls.into_iter().rev().try_for_each(&mut *see)
            } else {
                calls.into_iter().try_for_each(&mut *see)
            }
        };
        let _ = if ask.newest_first {
            (first..=last).rev().try_for_each(&mut show)
        } else {
            (first..=last).try_for_each(&mut show)
        };
    }

    /// Calls per minute in `env` around `minute`.
    fn rate(&self, env: ClientEnv, minute: i64) -> f64 {
        let share = match env {
            ClientEnv::Live => 1.0,
            ClientEnv::Sandbox => 0.02,
            ClientEnv::PreRelease => 0.01,
        };
        DateTime::from_timestamp(minute * 60, 0).map_or(0.0, |moment| self.profile.rate(moment))
            * share
            * self.volume
    }

    /// Calls of the usual kind that start in `minute`.
    pub(super) fn ordinary(&self, env: ClientEnv, minute: i64) -> Vec<Call> {
        let count = self.dice(env, minute, 0).poisson(self.rate(env, minute));
        (0..count).filter_map(|index| self.call(env, minute, 1 + index, Kind::Ordinary)).collect()
    }

    /// Calls that are open for long or arrive late.
    pub(super) fn outliers(&self, env: ClientEnv, minute: i64) -> Vec<Call> {
        let mishaps = &self.mishaps;
        let kinds = [
            (mishaps.late, Kind::Late),
            (mishaps.late_finish, Kind::LateFinish),
            (mishaps.long, Kind::Long),
            (mishaps.over_a_day, Kind::OverADay),
        ];
        let all: f64 = kinds.iter().map(|(share, _)| share).sum();
        let mut dice = self.dice(env, minute, u64::MAX);
        if !dice.chance(self.rate(env, minute) * all) {
            return Vec::new();
        }
        let mut left = dice.unit() * all;
        let kind = kinds.iter().find_map(|(share, kind)| {
            left -= share;
            (left < 0.0).then_some(*kind)
        });
        kind.and_then(|kind| self.call(env, minute, u64::MAX - 1, kind)).into_iter().collect()
    }

    /// The call `index` of `minute`, unless an incident keeps it away.
    fn call(&self, env: ClientEnv, minute: i64, index: u64, kind: Kind) -> Option<Call> {
        let mut dice = self.dice(env, minute, index);
        let offset = TimeDelta::milliseconds(dice.below(60_000).cast_signed());
        let start = DateTime::from_timestamp(minute * 60, 0)? + offset;
        let trouble = IncidentEffect::at(&self.incidents, env, start);
        let luck = dice.unit();
        if trouble.traffic.is_some_and(|share| luck >= share) {
            return None;
        }
        Some(self.invent(&mut dice, env, start, kind, &trouble))
    }

    fn dice(&self, env: ClientEnv, minute: i64, index: u64) -> Rng {
        Rng::new(&[self.seed, mix_text(env.as_str()), minute.cast_unsigned(), index])
    }
}

/// The beginning of generated history: 1 January 2024.
const SINCE: DateTime<Utc> = const { DateTime::from_timestamp(1_704_067_200, 0).expect("within range") };

pub(super) fn minute_of(moment: DateTime<Utc>) -> i64 {
    moment.timestamp().div_euclid(60)
}
