//! Roughly when the known conversations of a target started: enough to see that a stretch of time is empty.
//!
//! Owns: a count per five minutes of the last days. Where nothing is known between two stretches, one request can read both
//! without downloading anything twice. Pure.

use std::collections::VecDeque;
use std::time::Duration;

use crate::timestamp::Timestamp;

const CELL_MILLIS: i64 = 5 * 60 * 1000;

/// Counts of conversation starts per cell of time.
#[derive(Debug, Clone, Default)]
pub struct StartIndex {
    /// The number of the first cell since the epoch.
    first: i64,
    buckets: VecDeque<bool>,
    /// How far back a question can reach.
    capacity: usize,
}

impl StartIndex {
    /// Answers questions about the last `capacity` up to the newest start.
    pub fn with_capacity(reach: Duration) -> Self {
        let cells = i64::try_from(reach.as_millis()).unwrap_or(i64::MAX) / CELL_MILLIS + 2;
        Self { capacity: usize::try_from(cells).unwrap_or(usize::MAX).min(20_000), ..Self::default() }
    }

    /// Remembers that a conversation started at `start`. One after `latest` comes from a broken record and must not push
    /// everything else out.
    pub fn add(&mut self, start: Timestamp, latest: Timestamp) {
        if start > latest {
            return;
        }
        let cell = start.millis().div_euclid(CELL_MILLIS);
        if self.buckets.is_empty() {
            self.first = cell;
        }
        let offset = cell - self.first;
        if offset < 0 {
            let missing = usize::try_from(-offset).unwrap_or(usize::MAX);
            if missing.saturating_add(self.buckets.len()) > self.capacity {
                return;
            }
            for _ in 0..missing {
                self.buckets.push_front(false);
            }
            self.first = cell;
        }
        let place = usize::try_from(cell - self.first).unwrap_or(usize::MAX);
        if place >= self.buckets.len().saturating_add(self.capacity) {
            // Nothing for longer than it can look back: all of that is known to be empty.
            self.buckets.iter_mut().for_each(|seen| *seen = false);
            self.buckets.resize(self.capacity, false);
            self.first = cell - i64::try_from(self.capacity).unwrap_or(i64::MAX) + 1;
            self.buckets.pop_back();
            self.buckets.push_back(true);
            return;
        }
        while self.buckets.len() <= place {
            self.buckets.push_back(false);
        }
        if let Some(seen) = self.buckets.get_mut(place) {
            *seen = true;
        }
        while self.buckets.len() > self.capacity {
            self.buckets.pop_front();
            self.first += 1;
        }
    }

    /// Whether for certain no known conversation started from `from` to `to`.
    pub fn is_empty_between(&self, from: Timestamp, to: Timestamp) -> bool {
        let (from, to) = (from.millis().div_euclid(CELL_MILLIS), to.millis().div_euclid(CELL_MILLIS));
        if self.buckets.is_empty() {
            return true;
        }
        let full = self.buckets.len() >= self.capacity;
        if full && from < self.first {
            return false;
        }
        let place = |cell: i64| usize::try_from((cell - self.first).max(0)).unwrap_or(usize::MAX);
        let (from, to) = (place(from), if to < self.first { return true } else { place(to) });
        self.buckets.iter().take(to.saturating_add(1)).skip(from).all(|&seen| !seen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATEST: Timestamp = Timestamp::from_millis(2_000_000_000_000);

    fn at(minutes: i64) -> Timestamp {
        Timestamp::from_millis(1_787_000_000_000 / CELL_MILLIS * CELL_MILLIS + minutes * 60_000)
    }

    #[test]
    fn a_stretch_without_known_starts_is_empty() {
        let mut crowd = StartIndex::with_capacity(Duration::from_secs(3600));
        assert!(crowd.is_empty_between(at(0), at(1000)));
        crowd.add(at(30), LATEST);
        crowd.add(at(12), LATEST);
        assert!(!crowd.is_empty_between(at(0), at(60)));
        assert!(!crowd.is_empty_between(at(10), at(14)));
        assert!(crowd.is_empty_between(at(15), at(29)));
        assert!(crowd.is_empty_between(at(35), at(50)));
        assert!(crowd.is_empty_between(at(0), at(9)));
    }

    #[test]
    fn beyond_its_reach_nothing_is_called_empty() {
        let mut crowd = StartIndex::with_capacity(Duration::from_secs(3600));
        crowd.add(at(0), LATEST);
        crowd.add(at(65), LATEST);
        crowd.add(at(120), LATEST);
        assert!(!crowd.is_empty_between(at(0), at(10)));
        assert!(crowd.is_empty_between(at(70), at(110)));
    }

    #[test]
    fn a_start_in_another_century_is_not_remembered() {
        let mut crowd = StartIndex::with_capacity(Duration::from_secs(3600));
        crowd.add(at(0), LATEST);
        crowd.add(at(1_000_000_000), LATEST);
        assert!(!crowd.is_empty_between(at(0), at(1)));
    }

    #[test]
    fn after_a_long_silence_what_starts_is_remembered_again() {
        let mut crowd = StartIndex::with_capacity(Duration::from_secs(3600));
        for start in [0, 60 * 24 * 30, 60 * 24 * 30 + 20] {
            crowd.add(at(start), LATEST);
            assert!(!crowd.is_empty_between(at(start - 1), at(start + 1)));
        }
        assert!(!crowd.is_empty_between(at(60 * 24 * 30 - 1), at(60 * 24 * 30 + 1)));
        assert!(crowd.is_empty_between(at(60 * 24 * 30 - 40), at(60 * 24 * 30 - 10)));
        assert!(crowd.is_empty_between(at(60 * 24 * 30 + 5), at(60 * 24 * 30 + 19)));
    }
}
