//! The adaptive length of the windows in which a range of time is read.

use std::collections::BTreeMap;
use std::time::Duration;

/// A window should hold about this many conversations: enough for cheap commits, few enough to hold in memory.
const TARGET_CONVERSATIONS: usize = 3_000;
const INITIAL_LENGTH: Duration = Duration::from_secs(15 * 60);
const MIN_LENGTH: Duration = Duration::from_secs(1);
const MAX_LENGTH: Duration = Duration::from_secs(7 * 24 * 3600);

/// A pass that reads ranges of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum PassId {
    Fresh,
    /// By index.
    Recheck(usize),
}

/// One length for all passes of a target, which follows how busy it is, and a shorter one for each pass that has failed, until
/// it succeeds. So a pass that cannot get past one window does not slow down the others.
#[derive(Debug, Clone)]
pub(super) struct WindowSizer {
    base: Duration,
    failing: BTreeMap<PassId, Duration>,
}

impl Default for WindowSizer {
    fn default() -> Self {
        Self { base: INITIAL_LENGTH, failing: BTreeMap::new() }
    }
}

impl WindowSizer {
    /// The maximum length of the next window.
    pub(super) fn length(&self, pass: PassId) -> Duration {
        self.failing.get(&pass).map_or(self.base, |&length| length.min(self.base))
    }

    /// Whether the pass has failed and not succeeded since.
    pub(super) fn is_failing(&self, pass: PassId) -> bool {
        self.failing.contains_key(&pass)
    }

    /// A window of `length` held `seen` conversations and moved the pass on by `step`.
    pub(super) fn on_fetched(&mut self, pass: PassId, step: Duration, length: Duration, seen: usize) {
        if seen > TARGET_CONVERSATIONS * 2 {
            self.base = (length / 2).max(MIN_LENGTH);
        } else if seen < TARGET_CONVERSATIONS && length >= self.base {
            self.base = (self.base * 2).min(MAX_LENGTH);
        }
        if let Some(short) = self.failing.get_mut(&pass) {
            if step < *short || *short * 2 >= self.base {
                // The pass is where it wanted to be.
                self.failing.remove(&pass);
            } else {
                *short *= 2;
            }
        }
    }

    /// Shortens all windows after one of `length` held too much. Returns false if they cannot be made shorter.
    pub(super) fn on_too_large(&mut self, length: Duration) -> bool {
        let smaller = (length.min(self.base) / 4).max(MIN_LENGTH);
        let shrinks = smaller < self.base;
        self.base = self.base.min(smaller);
        shrinks
    }

    /// Shortens the windows of a pass after a fetch failed that would have moved it on by `step`.
    pub(super) fn on_failed(&mut self, pass: PassId, step: Duration) {
        let half = (step.min(self.length(pass)) / 2).max(MIN_LENGTH);
        self.failing.insert(pass, half);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn failing_pass_shortens_only_its_own_windows() {
        let mut sizer = WindowSizer::default();
        let mut lengths = Vec::new();
        for _ in 0..12 {
            sizer.on_failed(PassId::Recheck(0), MINUTE * 30);
            lengths.push(sizer.length(PassId::Recheck(0)).as_secs());
        }
        assert_eq!(lengths[..3], [450, 225, 112]);
        assert_eq!(lengths.last(), Some(&1), "down to a second");
        assert_eq!(sizer.length(PassId::Fresh), INITIAL_LENGTH);
        assert_eq!(sizer.length(PassId::Recheck(1)), INITIAL_LENGTH);
    }

    #[test]
    fn windows_grow_again_after_success() {
        let mut sizer = WindowSizer::default();
        (0..4).for_each(|_| sizer.on_failed(PassId::Fresh, MINUTE * 16));
        let mut steps = 0;
        while sizer.is_failing(PassId::Fresh) {
            let step = sizer.length(PassId::Fresh);
            sizer.on_fetched(PassId::Fresh, step, step, 10);
            steps += 1;
            assert!(steps < 10);
        }
        assert_eq!(sizer.length(PassId::Fresh), INITIAL_LENGTH);
    }

    #[test]
    fn pass_that_reaches_its_goal_is_not_failing() {
        let mut sizer = WindowSizer::default();
        sizer.on_failed(PassId::Fresh, MINUTE * 15);
        sizer.on_fetched(PassId::Fresh, MINUTE / 2, MINUTE / 2, 0);
        assert!(!sizer.is_failing(PassId::Fresh));
    }
}
