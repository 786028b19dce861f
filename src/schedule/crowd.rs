//! Roughly when the known conversations of a target started: enough to see that a stretch of time is empty.
//!
//! Owns: a count per five minutes of the last days. Where nothing is known between two stretches, one request can read both
//! without downloading anything twice. Pure.

use std::collections::VecDeque;
use std::time::Duration;

use crate::moment::Moment;

const CELL_MILLIS: i64 = 5 * 60 * 1000;

/// Counts of conversation starts per cell of time.
#[derive(Debug, Clone, Default)]
pub struct Crowd {
    /// The number of the first cell since the epoch.
    first: i64,
    cells: VecDeque<bool>,
    /// How far back a question can reach.
    reach: usize,
}

impl Crowd {
    /// Answers questions about the last `reach` up to the newest start.
    pub fn over(reach: Duration) -> Self {
        let cells = i64::try_from(reach.as_millis()).unwrap_or(i64::MAX) / CELL_MILLIS + 2;
        Self { reach: usize::try_from(cells).unwrap_or(usize::MAX).min(20_000), ..Self::default() }
    }

    /// Remembers that a conversation started at `start`. One after `latest` comes from a broken record and must not push
    /// everything else out.
    pub fn add(&mut self, start: Moment, latest: Moment) {
        if start > latest {
            return;
        }
        let cell = start.millis().div_euclid(CELL_MILLIS);
        if self.cells.is_empty() {
            self.first = cell;
        }
        let offset = cell - self.first;
        if offset < 0 {
            let missing = usize::try_from(-offset).unwrap_or(usize::MAX);
            if missing.saturating_add(self.cells.len()) > self.reach {
                return;
            }
            for _ in 0..missing {
                self.cells.push_front(false);
            }
            self.first = cell;
        }
        let place = usize::try_from(cell - self.first).unwrap_or(usize::MAX);
        if place >= self.cells.len().saturating_add(self.reach) {
            // Nothing for longer than it can look back: all of that is known to be empty.
            self.cells.iter_mut().for_each(|seen| *seen = false);
            self.cells.resize(self.reach, false);
            self.first = cell - i64::try_from(self.reach).unwrap_or(i64::MAX) + 1;
            self.cells.pop_back();
            self.cells.push_back(true);
            return;
        }
        while self.cells.len() <= place {
            self.cells.push_back(false);
        }
        if let Some(seen) = self.cells.get_mut(place) {
            *seen = true;
        }
        while self.cells.len() > self.reach {
            self.cells.pop_front();
            self.first += 1;
        }
    }

    /// Whether for certain no known conversation started from `from` to `to`.
    pub fn is_empty_between(&self, from: Moment, to: Moment) -> bool {
        let (from, to) = (from.millis().div_euclid(CELL_MILLIS), to.millis().div_euclid(CELL_MILLIS));
        if self.cells.is_empty() {
            return true;
        }
        let full = self.cells.len() >= self.reach;
        if full && from < self.first {
            return false;
        }
        let place = |cell: i64| usize::try_from((cell - self.first).max(0)).unwrap_or(usize::MAX);
        let (from, to) = (place(from), if to < self.first { return true } else { place(to) });
        self.cells.iter().take(to.saturating_add(1)).skip(from).all(|&seen| !seen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATEST: Moment = Moment::from_millis(2_000_000_000_000);

    fn at(minutes: i64) -> Moment {
        Moment::from_millis(1_787_000_000_000 / CELL_MILLIS * CELL_MILLIS + minutes * 60_000)
    }

    #[test]
    fn a_stretch_without_known_starts_is_empty() {
        let mut crowd = Crowd::over(Duration::from_secs(3600));
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
        let mut crowd = Crowd::over(Duration::from_secs(3600));
        crowd.add(at(0), LATEST);
        crowd.add(at(65), LATEST);
        crowd.add(at(120), LATEST);
        assert!(!crowd.is_empty_between(at(0), at(10)));
        assert!(crowd.is_empty_between(at(70), at(110)));
    }

    #[test]
    fn a_start_in_another_century_is_not_remembered() {
        let mut crowd = Crowd::over(Duration::from_secs(3600));
        crowd.add(at(0), LATEST);
        crowd.add(at(1_000_000_000), LATEST);
        assert!(!crowd.is_empty_between(at(0), at(1)));
    }

    #[test]
    fn after_a_long_silence_what_starts_is_remembered_again() {
        let mut crowd = Crowd::over(Duration::from_secs(3600));
        for start in [0, 60 * 24 * 30, 60 * 24 * 30 + 20] {
            crowd.add(at(start), LATEST);
            assert!(!crowd.is_empty_between(at(start - 1), at(start + 1)));
        }
        assert!(!crowd.is_empty_between(at(60 * 24 * 30 - 1), at(60 * 24 * 30 + 1)));
        assert!(crowd.is_empty_between(at(60 * 24 * 30 - 40), at(60 * 24 * 30 - 10)));
        assert!(crowd.is_empty_between(at(60 * 24 * 30 + 5), at(60 * 24 * 30 + 19)));
    }
}
