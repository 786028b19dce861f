//! How long the slices are in which a stretch of time is read.
//!
//! Owns: one length for all, which follows how busy the target is, and a shorter one for a pass that has failed, until it
//! gets through again. So a pass that cannot get past one spot does not make the others walk in small steps. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

/// A slice should hold about this many conversations: enough for cheap commits, few enough to hold in memory.
const TARGET_CONVERSATIONS: usize = 3_000;
const FIRST: Duration = Duration::from_secs(15 * 60);
const MIN_LENGTH: Duration = Duration::from_secs(1);
const MAX_LENGTH: Duration = Duration::from_secs(7 * 24 * 3600);

/// Whose slices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PassId {
    /// The fresh pass.
    Fresh,
    /// The recheck of this index.
    Recheck(usize),
}

/// The slices of one target.
#[derive(Debug, Clone)]
pub struct WindowSizer {
    base: Duration,
    failing: BTreeMap<PassId, Duration>,
}

impl Default for WindowSizer {
    fn default() -> Self {
        Self { base: FIRST, failing: BTreeMap::new() }
    }
}

impl WindowSizer {
    /// How long the next one may be.
    pub fn length(&self, reader: PassId) -> Duration {
        self.failing.get(&reader).map_or(self.base, |&length| length.min(self.base))
    }

    /// Whether its last walk failed, and it has not got through since.
    pub fn is_failing(&self, reader: PassId) -> bool {
        self.failing.contains_key(&reader)
    }

    /// A walk over a window of `length` brought so many conversations, and the reader on by `step`.
    pub fn read(&mut self, reader: PassId, step: Duration, length: Duration, seen: usize) {
        if seen > TARGET_CONVERSATIONS * 2 {
            self.base = (length / 2).max(MIN_LENGTH);
        } else if seen < TARGET_CONVERSATIONS && length >= self.base {
            self.base = (self.base * 2).min(MAX_LENGTH);
        }
        if let Some(short) = self.failing.get_mut(&reader) {
            if step < *short || *short * 2 >= self.base {
                // It got as far as it wanted.
                self.failing.remove(&reader);
            } else {
                *short *= 2;
            }
        }
    }

    /// A window of `length` held too much: read shorter ones. Answers false if they cannot be made shorter.
    pub fn too_large(&mut self, length: Duration) -> bool {
        let smaller = (length.min(self.base) / 4).max(MIN_LENGTH);
        let shrinks = smaller < self.base;
        self.base = self.base.min(smaller);
        shrinks
    }

    /// A walk that would have brought the reader on by `step` failed. Half of that may be had.
    pub fn failed(&mut self, reader: PassId, step: Duration) {
        let half = (step.min(self.length(reader)) / 2).max(MIN_LENGTH);
        self.failing.insert(reader, half);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn a_pass_that_fails_tries_shorter_and_shorter_slices_and_the_others_do_not() {
        let mut slices = WindowSizer::default();
        let mut lengths = Vec::new();
        for _ in 0..12 {
            slices.failed(PassId::Recheck(0), MINUTE * 30);
            lengths.push(slices.length(PassId::Recheck(0)).as_secs());
        }
        assert_eq!(lengths[..3], [450, 225, 112]);
        assert_eq!(lengths.last(), Some(&1), "down to a second");
        assert_eq!(slices.length(PassId::Fresh), FIRST);
        assert_eq!(slices.length(PassId::Recheck(1)), FIRST);
    }

    #[test]
    fn once_it_gets_through_its_slices_grow_again() {
        let mut slices = WindowSizer::default();
        (0..4).for_each(|_| slices.failed(PassId::Fresh, MINUTE * 16));
        let mut steps = 0;
        while slices.is_failing(PassId::Fresh) {
            let step = slices.length(PassId::Fresh);
            slices.read(PassId::Fresh, step, step, 10);
            steps += 1;
            assert!(steps < 10);
        }
        assert_eq!(slices.length(PassId::Fresh), FIRST);
    }

    #[test]
    fn one_that_gets_as_far_as_it_wanted_is_well_again() {
        let mut slices = WindowSizer::default();
        slices.failed(PassId::Fresh, MINUTE * 15);
        slices.read(PassId::Fresh, MINUTE / 2, MINUTE / 2, 0);
        assert!(!slices.is_failing(PassId::Fresh));
    }
}
