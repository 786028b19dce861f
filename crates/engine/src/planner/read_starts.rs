//! When the conversations that have been read finished started.
//!
//! A window over these starts downloads those conversations again.

use std::collections::BTreeSet;

use polyai_domain::timestamp::Timestamp;

/// An hour of a target with three calls per second.
const CAPACITY: usize = 10_000;

/// The starts of conversations that have been read finished.
#[derive(Debug)]
pub(super) struct ReadStarts {
    starts: BTreeSet<Timestamp>,
    /// Earlier starts may be forgotten.
    complete_from: Timestamp,
}

impl Default for ReadStarts {
    fn default() -> Self {
        Self { starts: BTreeSet::new(), complete_from: Timestamp::from_millis(i64::MIN) }
    }
}

impl ReadStarts {
    pub(super) fn add(&mut self, start: Timestamp) {
        self.starts.insert(start);
        if self.starts.len() > CAPACITY
            && let Some(forgotten) = self.starts.pop_first()
        {
            self.complete_from = self.complete_from.max(forgotten);
        }
    }

    /// Forgets starts before `time`: no conversation from before it will be read for the first time.
    pub(super) fn forget_before(&mut self, time: Timestamp) {
        if self.starts.first().is_some_and(|&first| first < time) {
            self.starts = self.starts.split_off(&time);
            self.complete_from = self.complete_from.max(time);
        }
    }

    /// How many starts are between `from` and `to`; `None` if that is not certain.
    pub(super) fn count_between(&self, from: Timestamp, to: Timestamp) -> Option<usize> {
        if from >= to {
            return Some(0);
        }
        (from > self.complete_from).then(|| self.starts.range(from..to).count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(1_787_217_300_000 + seconds * 1000)
    }

    #[test]
    fn starts_in_between_are_counted() {
        let mut read = ReadStarts::default();
        [10, 20, 20, 30].into_iter().for_each(|start| read.add(at(start)));
        assert_eq!(read.count_between(at(11), at(30)), Some(1));
        assert_eq!(read.count_between(at(0), at(100)), Some(3));
        assert_eq!(read.count_between(at(21), at(21)), Some(0));
        assert_eq!(read.count_between(at(30), at(10)), Some(0));
    }

    #[test]
    fn forgotten_starts_are_uncertain() {
        let mut read = ReadStarts::default();
        [10, 20].into_iter().for_each(|start| read.add(at(start)));
        read.forget_before(at(15));
        assert_eq!(read.count_between(at(11), at(30)), None);
        assert_eq!(read.count_between(at(16), at(30)), Some(1));
        (0..20_000).for_each(|start| read.add(at(start)));
        assert_eq!(read.count_between(at(9_000), at(9_100)), None);
        assert_eq!(read.count_between(at(11_000), at(11_100)), Some(100));
    }
}
