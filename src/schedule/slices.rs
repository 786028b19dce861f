//! How long the slices are in which a stretch of time is read.
//!
//! Owns: one length for all, which follows how busy the target is, and a shorter one for a pass that has failed, until it
//! gets through again. So a pass that cannot get past one spot does not make the others walk in small steps. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

/// A slice should hold about this many conversations: enough for cheap commits, few enough to hold in memory.
const CONVERSATIONS: usize = 3_000;
const FIRST: Duration = Duration::from_secs(15 * 60);
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);

/// Whose slices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reader {
    /// The fresh pass.
    Fresh,
    /// The recheck of this index.
    Recheck(usize),
}

/// The slices of one target.
#[derive(Debug, Clone)]
pub struct Slices {
    usual: Duration,
    failing: BTreeMap<Reader, Duration>,
}

impl Default for Slices {
    fn default() -> Self {
        Self { usual: FIRST, failing: BTreeMap::new() }
    }
}

impl Slices {
    /// How long the next one may be.
    pub fn length(&self, reader: Reader) -> Duration {
        self.failing.get(&reader).map_or(self.usual, |&length| length.min(self.usual))
    }

    /// Whether its last walk failed, and it has not got through since.
    pub fn is_failing(&self, reader: Reader) -> bool {
        self.failing.contains_key(&reader)
    }

    /// A walk over a window of `length` brought so many conversations, and the reader on by `step`.
    pub fn read(&mut self, reader: Reader, step: Duration, length: Duration, seen: usize) {
        if seen > CONVERSATIONS * 2 {
            self.usual = (length / 2).max(SHORTEST);
        } else if seen < CONVERSATIONS && length >= self.usual {
            self.usual = (self.usual * 2).min(LONGEST);
        }
        if let Some(short) = self.failing.get_mut(&reader) {
            if step < *short || *short * 2 >= self.usual {
                // It got as far as it wanted.
                self.failing.remove(&reader);
            } else {
                *short *= 2;
            }
        }
    }

    /// A window of `length` held too much: read shorter ones. Answers false if they cannot be made shorter.
    pub fn too_large(&mut self, length: Duration) -> bool {
        let smaller = (length.min(self.usual) / 4).max(SHORTEST);
        let shrinks = smaller < self.usual;
        self.usual = self.usual.min(smaller);
        shrinks
    }

    /// A walk that would have brought the reader on by `step` failed. Half of that may be had.
    pub fn failed(&mut self, reader: Reader, step: Duration) {
        let half = (step.min(self.length(reader)) / 2).max(SHORTEST);
        self.failing.insert(reader, half);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn a_pass_that_fails_tries_shorter_and_shorter_slices_and_the_others_do_not() {
        let mut slices = Slices::default();
        let mut lengths = Vec::new();
        for _ in 0..12 {
            slices.failed(Reader::Recheck(0), MINUTE * 30);
            lengths.push(slices.length(Reader::Recheck(0)).as_secs());
        }
        assert_eq!(lengths[..3], [450, 225, 112]);
        assert_eq!(lengths.last(), Some(&1), "down to a second");
        assert_eq!(slices.length(Reader::Fresh), FIRST);
        assert_eq!(slices.length(Reader::Recheck(1)), FIRST);
    }

    #[test]
    fn once_it_gets_through_its_slices_grow_again() {
        let mut slices = Slices::default();
        (0..4).for_each(|_| slices.failed(Reader::Fresh, MINUTE * 16));
        let mut steps = 0;
        while slices.is_failing(Reader::Fresh) {
            let step = slices.length(Reader::Fresh);
            slices.read(Reader::Fresh, step, step, 10);
            steps += 1;
            assert!(steps < 10);
        }
        assert_eq!(slices.length(Reader::Fresh), FIRST);
    }

    #[test]
    fn one_that_gets_as_far_as_it_wanted_is_well_again() {
        let mut slices = Slices::default();
        slices.failed(Reader::Fresh, MINUTE * 15);
        slices.read(Reader::Fresh, MINUTE / 2, MINUTE / 2, 0);
        assert!(!slices.is_failing(Reader::Fresh));
    }
}
