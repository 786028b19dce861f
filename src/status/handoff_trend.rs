//! The recent handoff rate of each target over the last hours, for its chart.
//!
//! Owns: the points, taken from what is committed. They are few and evenly spread: at first close together, and when there
//! is no room left every second one goes, until a point stands for a minute; then the oldest goes. Gone with the process.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::target_totals::TargetTotals;
use crate::recorder::Snapshot;
use crate::target::TargetKey;
use crate::timestamp::Timestamp;

/// How often the committed generation is looked at.
pub const SAMPLE_INTERVAL: Duration = Duration::from_secs(15);
/// Two hours of minutes.
pub(super) const MAX_POINTS: usize = 120;
const MAX_SPACING: Duration = Duration::from_secs(60);

/// The rate at one time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Point {
    /// When.
    pub(super) at: Timestamp,
    /// Handed off among the recent conversations, 0 to 1; none when there were none, or when polls failed.
    pub(super) ratio: Option<f64>,
    /// The recent conversations.
    pub(super) conversations: u64,
}

/// One target's points, latest last.
#[derive(Debug, Clone, Default)]
pub(super) struct Trend {
    points: VecDeque<Point>,
    spacing: Duration,
}

impl Trend {
    fn add(&mut self, point: Point) {
        // This machine's clock was put back: nobody knows where on it the points since then belong.
        while self.points.back().is_some_and(|last| last.at > point.at) {
            self.points.pop_back();
        }
        // Looks are not punctual.
        let due =
            |last: &Point| point.at.saturating_duration_since(last.at) + SAMPLE_INTERVAL / 3 >= self.spacing;
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

/// All trends. Clones share them; one task writes.
#[derive(Debug, Clone, Default)]
pub struct Trends(Arc<Mutex<TrendState>>);

#[derive(Debug, Default)]
struct TrendState {
    trends: BTreeMap<TargetKey, Trend>,
    storage_fails_since: Option<Timestamp>,
}

impl Trends {
    /// Takes a point of each target from what is committed; targets that are no longer there are forgotten.
    pub fn sample(&self, generation: &Snapshot, now: Timestamp) {
        let mut seen = self.lock();
        let seen = &mut *seen;
        let mut storage_fails = false;
        for (key, series) in &generation.targets {
            let figures = TargetTotals::of(series);
            storage_fails |= figures.storage_fails;
            // While polls fail, the rate is that of before: a gap is the truth.
            let ratio = figures.recent_handoff.filter(|_| figures.up);
            let point = Point { at: now, ratio, conversations: figures.recent.unwrap_or(0) };
            match seen.trends.get_mut(&**key) {
                Some(trend) => trend.add(point),
                None => seen.trends.entry(TargetKey::clone(key)).or_default().add(point),
            }
        }
        if seen.trends.len() > generation.targets.len() {
            seen.trends.retain(|known, _| generation.targets.iter().any(|(key, _)| **key == *known));
        }
        let since = seen.storage_fails_since.map_or(now, |since| since.min(now));
        seen.storage_fails_since = storage_fails.then_some(since);
    }

    /// The points of `target`, latest last.
    pub(super) fn points(&self, target: &TargetKey) -> Vec<Point> {
        let seen = self.lock();
        seen.trends.get(target).map(|trend| trend.points.iter().copied().collect()).unwrap_or_default()
    }

    /// Since when the state has been seen not to be written.
    pub(super) fn storage_fails_since(&self) -> Option<Timestamp> {
        self.lock().storage_fails_since
    }

    fn lock(&self) -> MutexGuard<'_, TrendState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(looks: u32) -> Trend {
        let mut trend = Trend::default();
        let start = Timestamp::from_millis(1_787_217_300_000);
        for number in 0..looks {
            trend.add(Point {
                at: start + SAMPLE_INTERVAL * number,
                ratio: None,
                conversations: number.into(),
            });
        }
        trend
    }

    fn covers(trend: &Trend) -> (usize, u64) {
        let (first, last) = (trend.points.front().unwrap(), trend.points.back().unwrap());
        (trend.points.len(), last.at.saturating_duration_since(first.at).as_secs() / 60)
    }

    #[test]
    fn trend_has_two_hours_of_minutes() {
        assert_eq!(covers(&after(20)), (20, 4));
        let (points, minutes) = covers(&after(4 * 60));
        assert!((61..=MAX_POINTS).contains(&points) && minutes >= 59, "{points} points, {minutes} minutes");
        assert_eq!(covers(&after(4 * 60 * 10)), (MAX_POINTS, 119));
    }

    #[test]
    fn clock_step_back_leaves_a_gap_of_its_size() {
        let mut trend = after(8);
        let back = Timestamp::from_millis(1_787_217_300_000) + SAMPLE_INTERVAL * 3;
        trend.add(Point { at: back - Duration::from_secs(1), ratio: None, conversations: 100 });
        trend.add(Point { at: back + SAMPLE_INTERVAL, ratio: None, conversations: 101 });
        let conversations: Vec<u64> = trend.points.iter().map(|point| point.conversations).collect();
        assert_eq!(conversations, [0, 1, 2, 100, 101]);
    }

    fn key() -> Arc<TargetKey> {
        use crate::target::{ClientEnv, Region};
        Arc::new(TargetKey { project: "a".into(), region: Region::Us1, client_env: ClientEnv::Live })
    }

    #[test]
    fn failed_polls_leave_a_gap() {
        use crate::aggregate::{Metric, TargetSeries};
        let at = Timestamp::from_millis(1_787_217_300_000);
        let values: [Arc<str>; 1] = [Arc::from("VOICE-SIP")];
        let mut series = TargetSeries::default();
        series.set(Metric::RecentConversations, &values, 10.0, at);
        series.set(Metric::RecentHandoffRatio, &values, 0.5, at);
        let trends = Trends::default();
        for (number, up) in [1.0, 0.0].into_iter().enumerate() {
            series.set(Metric::TargetUp, &[], up, at);
            let targets = vec![(key(), Arc::new(series.clone()))];
            let generation = Snapshot { targets, ..Snapshot::default() };
            trends.sample(&generation, at + SAMPLE_INTERVAL * u32::try_from(number).unwrap());
        }
        let ratios: Vec<_> = trends.points(&key()).iter().map(|point| point.ratio).collect();
        assert_eq!(ratios, [Some(0.5), None]);
    }

    #[test]
    fn removed_target_has_no_trend() {
        let key = key();
        let trends = Trends::default();
        let with = Snapshot { targets: vec![(key.clone(), Arc::default())], ..Snapshot::default() };
        trends.sample(&with, Timestamp::from_millis(1));
        assert_eq!(trends.points(&key).len(), 1);
        trends.sample(&Snapshot::default(), Timestamp::from_millis(2));
        assert_eq!(trends.points(&key), []);
    }
}
