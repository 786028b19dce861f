//! Roughly when the known conversations of a target started.
//!
//! If no known conversation started between two ranges, one request reads both without downloading anything twice.

use std::collections::BTreeSet;
use std::time::Duration;

use polyai_domain::timestamp::Timestamp;

const BUCKET_MILLIS: i64 = 5 * 60 * 1000;

/// The five-minute buckets in which conversations are known to have started.
#[derive(Debug, Clone)]
pub(super) struct StartIndex {
    occupied: BTreeSet<i64>,
    /// The first bucket of which all starts are remembered.
    complete_from: i64,
    /// How many buckets are remembered, up to the newest occupied one.
    capacity: i64,
}

impl StartIndex {
    /// An index of the starts in the last `reach` up to the newest.
    pub(super) fn with_capacity(reach: Duration) -> Self {
        let buckets = i64::try_from(reach.as_millis()).unwrap_or(i64::MAX) / BUCKET_MILLIS + 2;
        Self { occupied: BTreeSet::new(), complete_from: i64::MIN, capacity: buckets.min(20_000) }
    }

    /// Adds a start. One after `latest` comes from a broken record and must not evict the others.
    pub(super) fn add(&mut self, start: Timestamp, latest: Timestamp) {
        if start > latest {
            return;
        }
        self.occupied.insert(bucket(start));
        let newest = self.occupied.last().copied().unwrap_or_default();
        let oldest = newest - self.capacity + 1;
        if self.occupied.first().is_some_and(|&first| first < oldest) {
            self.occupied = self.occupied.split_off(&oldest);
            self.complete_from = self.complete_from.max(oldest);
        }
    }

    /// Whether a known conversation certainly started after `time`.
    pub(super) fn has_start_after(&self, time: Timestamp) -> bool {
        self.occupied.last().is_some_and(|&newest| newest > bucket(time))
    }

    /// Whether certainly no known conversation started from `from` to `to`.
    pub(super) fn is_empty_between(&self, from: Timestamp, to: Timestamp) -> bool {
        let (from, to) = (bucket(from), bucket(to));
        from >= self.complete_from && (from > to || self.occupied.range(from..=to).next().is_none())
    }
}

fn bucket(time: Timestamp) -> i64 {
    time.millis().div_euclid(BUCKET_MILLIS)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATEST: Timestamp = Timestamp::from_millis(2_000_000_000_000);

    fn at(minutes: i64) -> Timestamp {
        Timestamp::from_millis(1_787_000_000_000 / BUCKET_MILLIS * BUCKET_MILLIS + minutes * 60_000)
    }

    #[test]
    fn range_without_known_starts_is_empty() {
        let mut starts = StartIndex::with_capacity(Duration::from_secs(3600));
        assert!(starts.is_empty_between(at(0), at(1000)));
        starts.add(at(30), LATEST);
        starts.add(at(12), LATEST);
        assert!(!starts.is_empty_between(at(0), at(60)));
        assert!(!starts.is_empty_between(at(10), at(14)));
        assert!(starts.is_empty_between(at(15), at(29)));
        assert!(starts.is_empty_between(at(35), at(50)));
        assert!(starts.is_empty_between(at(0), at(9)));
    }

    #[test]
    fn range_beyond_capacity_is_not_empty() {
        let mut starts = StartIndex::with_capacity(Duration::from_secs(3600));
        starts.add(at(0), LATEST);
        starts.add(at(65), LATEST);
        starts.add(at(120), LATEST);
        assert!(!starts.is_empty_between(at(0), at(10)));
        assert!(starts.is_empty_between(at(70), at(110)));
    }

    #[test]
    fn start_in_another_century_is_not_remembered() {
        let mut starts = StartIndex::with_capacity(Duration::from_secs(3600));
        starts.add(at(0), LATEST);
        starts.add(at(1_000_000_000), LATEST);
        assert!(!starts.is_empty_between(at(0), at(1)));
    }

    #[test]
    fn starts_after_a_long_silence_are_remembered() {
        let mut starts = StartIndex::with_capacity(Duration::from_secs(3600));
        for start in [0, 60 * 24 * 30, 60 * 24 * 30 + 20] {
            starts.add(at(start), LATEST);
            assert!(!starts.is_empty_between(at(start - 1), at(start + 1)));
        }
        assert!(!starts.is_empty_between(at(60 * 24 * 30 - 1), at(60 * 24 * 30 + 1)));
        assert!(starts.is_empty_between(at(60 * 24 * 30 - 40), at(60 * 24 * 30 - 10)));
        assert!(starts.is_empty_between(at(60 * 24 * 30 + 5), at(60 * 24 * 30 + 19)));
    }
}
