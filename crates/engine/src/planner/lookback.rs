//! How far behind its watermark the fresh pass reads again, learned from what is seen.
//!
//! A conversation that was never seen running and is found finished needed an overlap as wide as the distance from its start
//! to the watermark. The overlap covers 99 of 100 of the latest conversations, so that a single straggler does not widen it.

use std::collections::VecDeque;
use std::time::Duration;

/// Covers the rounding of timestamps and of the `Date` header.
pub(super) const MIN_OVERLAP: Duration = Duration::from_secs(2);

/// How many conversations are remembered.
const SAMPLE_WINDOW: usize = 200;
/// How many samples the restored overlap counts for.
const SEED_SAMPLES: usize = 20;

/// Estimates the overlap of one target.
#[derive(Debug, Clone)]
pub(super) struct LookbackEstimator {
    samples: VecDeque<Duration>,
    max: Duration,
}

impl LookbackEstimator {
    /// Starts from the overlap of the last committed watermarks; the estimate never exceeds `max`.
    pub(super) fn resume(restored: Duration, max: Duration) -> Self {
        let seeds = if restored > MIN_OVERLAP { SEED_SAMPLES } else { 0 };
        Self { samples: std::iter::repeat_n(restored * 4 / 5, seeds).collect(), max }
    }

    /// Adds the overlap that would have been needed for one conversation.
    pub(super) fn observe(&mut self, needed: Duration) {
        if self.samples.len() == SAMPLE_WINDOW {
            self.samples.pop_front();
        }
        self.samples.push_back(needed);
    }

    /// The 99th percentile of the samples, and a quarter more.
    pub(super) fn estimate(&self) -> Duration {
        let mut samples: Vec<Duration> = self.samples.iter().copied().collect();
        samples.sort_unstable();
        let rank = samples.len().checked_sub(1 + samples.len() / 100);
        let needed = rank.and_then(|rank| samples.get(rank)).copied().unwrap_or_default();
        (needed * 5 / 4).clamp(MIN_OVERLAP, self.max.max(MIN_OVERLAP))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn after(needs: impl IntoIterator<Item = u64>) -> Duration {
        let mut overlap = LookbackEstimator::resume(Duration::ZERO, HOUR);
        needs.into_iter().for_each(|seconds| overlap.observe(Duration::from_secs(seconds)));
        overlap.estimate()
    }

    #[test]
    fn overlap_stays_minimal_if_running_calls_are_listed() {
        assert_eq!(after([]), MIN_OVERLAP);
        assert_eq!(after([0; 500]), MIN_OVERLAP);
    }

    #[test]
    fn overlap_grows_to_call_length_up_to_its_limit() {
        assert_eq!(after([240; 10]), Duration::from_secs(300));
        assert_eq!(after([90_000; 10]), HOUR);
    }

    #[test]
    fn overlap_ignores_one_straggler_but_not_two_percent() {
        assert_eq!(after((0..200).map(|n| if n == 150 { 3000 } else { 0 })), MIN_OVERLAP);
        assert_eq!(after((0..200).map(|n| if n % 40 == 0 { 80 } else { 0 })), Duration::from_secs(100));
    }

    #[test]
    fn overlap_narrows_as_wide_samples_expire() {
        assert_eq!(after([400].into_iter().chain([0; 200])), MIN_OVERLAP);
    }

    #[test]
    fn overlap_starts_from_restored_value() {
        assert_eq!(
            LookbackEstimator::resume(Duration::from_secs(300), HOUR).estimate(),
            Duration::from_secs(300)
        );
    }
}
