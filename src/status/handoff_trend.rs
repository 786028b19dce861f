//! Samples of each target over the last two hours: its recent handoff rate, and the counters that alerts use.
//!
//! Samples are 15 s apart at first; when there is no room left, every second one is dropped, down to one a minute.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;

use super::format::{JsonTimestamp, Ratio};
use super::target_totals::TargetTotals;
use super::thresholds::AgentCounters;
use polyai_domain::target::TargetKey;
use polyai_domain::timestamp::Timestamp;
use polyai_engine::recorder::Snapshot;

/// How often to call [`Trends::sample`].
pub const SAMPLE_INTERVAL: Duration = Duration::from_secs(15);
const MAX_POINTS: usize = 120;
const MAX_SPACING: Duration = Duration::from_secs(60);

/// One sample; in JSON as in `docs/api.md`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Point {
    pub(super) at: JsonTimestamp,
    /// Absent without recent conversations, and while polls fail.
    pub(super) handoff_ratio: Option<Ratio>,
    pub(super) conversations: u64,
    #[serde(skip)]
    pub(super) counters: AgentCounters,
}

#[derive(Debug, Clone, Default)]
struct Trend {
    /// Newest last.
    points: VecDeque<Point>,
    spacing: Duration,
}

impl Trend {
    fn add(&mut self, point: Point) {
        // After the clock was set back, the place of later points is unknown.
        while self.points.back().is_some_and(|last| last.at > point.at) {
            self.points.pop_back();
        }
        // Samples may be early by a third.
        let due = |last: &Point| last.at.age(point.at) + SAMPLE_INTERVAL / 3 >= self.spacing;
        if !self.points.back().is_none_or(due) {
            return;
        }
        if self.points.len() >= MAX_POINTS {
            if self.spacing < MAX_SPACING {
                let mut keep = false;
                self.points.retain(|_| {
                    keep = !keep;
                    keep
                });
                self.spacing = (self.spacing.max(SAMPLE_INTERVAL) * 2).min(MAX_SPACING);
            } else {
                self.points.pop_front();
            }
        }
        self.points.push_back(point);
    }
}

/// The trends of all targets. Clones share them; one task writes.
#[derive(Debug, Clone, Default)]
pub struct Trends(Arc<Mutex<TrendState>>);

#[derive(Debug, Default)]
struct TrendState {
    trends: BTreeMap<TargetKey, Trend>,
    storage_failing_since: Option<Timestamp>,
}

impl Trends {
    /// Samples each target of `snapshot`, and forgets the others.
    pub fn sample(&self, snapshot: &Snapshot, now: Timestamp) {
        let mut state = self.lock();
        let mut storage_failing = false;
        for (key, series) in snapshot.targets.iter() {
            let TargetTotals { recent, counters, up, catching_up, storage_failing: failing, .. } =
                TargetTotals::new(series, Duration::ZERO);
            storage_failing |= failing;
            if catching_up {
                // Its first sample has the whole total; from 0 that would be an increase.
                continue;
            }
            let point = Point {
                at: JsonTimestamp(now),
                // While polls fail, the ratio is that of the last success.
                handoff_ratio: recent.handoff_ratio.filter(|_| up),
                conversations: recent.conversations.unwrap_or(0),
                counters,
            };
            match state.trends.get_mut(&**key) {
                Some(trend) => trend.add(point),
                None => state.trends.entry(TargetKey::clone(key)).or_default().add(point),
            }
        }
        if state.trends.len() > snapshot.targets.len() {
            state.trends.retain(|known, _| snapshot.targets.iter().any(|(key, _)| **key == *known));
        }
        let since = state.storage_failing_since.map_or(now, |since| since.min(now));
        state.storage_failing_since = storage_failing.then_some(since);
    }

    /// The points of `target`, newest last.
    pub(super) fn points(&self, target: &TargetKey) -> Vec<Point> {
        self.lock().trends.get(target).map(|trend| trend.points.iter().copied().collect()).unwrap_or_default()
    }

    /// When the state was first seen not to be written.
    pub(super) fn storage_failing_since(&self) -> Option<Timestamp> {
        self.lock().storage_failing_since
    }

    fn lock(&self) -> MutexGuard<'_, TrendState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(at: Timestamp, conversations: u64) -> Point {
        let counters = AgentCounters::default();
        Point { at: JsonTimestamp(at), handoff_ratio: None, conversations, counters }
    }

    fn after(samples: u32) -> Trend {
        let mut trend = Trend::default();
        let start = Timestamp::from_millis(1_787_217_300_000);
        for number in 0..samples {
            trend.add(point(start + SAMPLE_INTERVAL * number, number.into()));
        }
        trend
    }

    fn covers(trend: &Trend) -> (usize, u64) {
        let (first, last) = (trend.points.front().unwrap(), trend.points.back().unwrap());
        (trend.points.len(), first.at.age(last.at).as_secs() / 60)
    }

    #[test]
    fn trend_starts_dense_and_ends_at_two_hours() {
        assert_eq!(covers(&after(20)), (20, 4));
        let (points, minutes) = covers(&after(4 * 60));
        assert!((61..=MAX_POINTS).contains(&points) && minutes >= 59, "{points} points, {minutes} minutes");
        assert_eq!(covers(&after(4 * 60 * 10)), (MAX_POINTS, 119));
    }

    #[test]
    fn clock_step_back_drops_later_points() {
        let mut trend = after(8);
        let back = Timestamp::from_millis(1_787_217_300_000) + SAMPLE_INTERVAL * 3;
        trend.add(point(back - Duration::from_secs(1), 100));
        trend.add(point(back + SAMPLE_INTERVAL, 101));
        let conversations: Vec<u64> = trend.points.iter().map(|point| point.conversations).collect();
        assert_eq!(conversations, [0, 1, 2, 100, 101]);
    }

    fn key() -> Arc<TargetKey> {
        use polyai_domain::target::{ClientEnv, Region};
        Arc::new(TargetKey { project: "a".into(), region: Region::Us1, client_env: ClientEnv::Live })
    }

    #[test]
    fn failing_polls_leave_a_gap() {
        use polyai_engine::aggregate::{Metric, TargetSeries};
        let at = Timestamp::from_millis(1_787_217_300_000);
        let values: [Arc<str>; 1] = [Arc::from("VOICE-SIP")];
        let mut series = TargetSeries::default();
        series.set(Metric::RecentConversations, &values, 10.0, at);
        series.set(Metric::RecentHandoffRatio, &values, 0.5, at);
        let trends = Trends::default();
        for (number, up) in [1.0, 0.0].into_iter().enumerate() {
            series.set(Metric::TargetUp, &[], up, at);
            let targets = vec![(key(), Arc::new(series.clone()))];
            let generation = Snapshot { targets: targets.into_iter().collect(), ..Snapshot::default() };
            trends.sample(&generation, at + SAMPLE_INTERVAL * u32::try_from(number).unwrap());
        }
        let ratios: Vec<_> =
            trends.points(&key()).iter().map(|point| point.handoff_ratio.map(|ratio| ratio.0)).collect();
        assert_eq!(ratios, [Some(0.5), None]);
    }

    #[test]
    fn removed_target_is_forgotten() {
        let key = key();
        let trends = Trends::default();
        let with = Snapshot {
            targets: [(key.clone(), Arc::default())].into_iter().collect(),
            ..Snapshot::default()
        };
        trends.sample(&with, Timestamp::from_millis(1));
        assert_eq!(trends.points(&key).len(), 1);
        trends.sample(&Snapshot::default(), Timestamp::from_millis(2));
        assert_eq!(trends.points(&key), []);
    }
}
