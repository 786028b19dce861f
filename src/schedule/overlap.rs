//! How far behind its watermark the fresh pass reads again.
//!
//! Owns: learning it from what is seen. A call that was never seen running and turns up finished needed an overlap as wide
//! as its start lay behind the watermark. The overlap covers 99 of 100 of the last conversations, so one straggler among
//! many does not widen it, and it narrows again as they pass. Pure.

use std::collections::VecDeque;
use std::time::Duration;

/// What the rounding of timestamps and of the `Date` header needs in any case.
pub const MIN_OVERLAP: Duration = Duration::from_secs(2);

/// How many conversations are remembered.
const SAMPLE_WINDOW: usize = 200;
/// How many the overlap of the run before counts for.
const SEED_SAMPLES: usize = 20;

/// The overlap of one target.
#[derive(Debug, Clone)]
pub struct LookbackEstimator {
    needs: VecDeque<Duration>,
    most: Duration,
}

impl LookbackEstimator {
    /// Takes up the overlap that the state remembers; it never grows beyond `most`.
    pub fn resume(remembered: Duration, most: Duration) -> Self {
        let inherited = if remembered > MIN_OVERLAP { SEED_SAMPLES } else { 0 };
        Self { needs: std::iter::repeat_n(remembered * 4 / 5, inherited).collect(), most }
    }

    /// Learns that a conversation would have needed an overlap of `need` to be found by the pass that should have.
    pub fn learn(&mut self, need: Duration) {
        if self.needs.len() == SAMPLE_WINDOW {
            self.needs.pop_front();
        }
        self.needs.push_back(need);
    }

    /// What the last conversations needed, and a quarter more.
    pub fn estimate(&self) -> Duration {
        let mut needs: Vec<Duration> = self.needs.iter().copied().collect();
        needs.sort_unstable();
        let stragglers = needs.len() / 100;
        let need = needs.len().checked_sub(1 + stragglers).and_then(|place| needs.get(place).copied());
        (need.unwrap_or_default() * 5 / 4).clamp(MIN_OVERLAP, self.most.max(MIN_OVERLAP))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn after(needs: impl IntoIterator<Item = u64>) -> Duration {
        let mut overlap = LookbackEstimator::resume(Duration::ZERO, HOUR);
        needs.into_iter().for_each(|seconds| overlap.learn(Duration::from_secs(seconds)));
        overlap.estimate()
    }

    #[test]
    fn where_running_calls_are_listed_it_stays_narrow() {
        assert_eq!(after([]), MIN_OVERLAP);
        assert_eq!(after([0; 500]), MIN_OVERLAP);
    }

    #[test]
    fn where_they_are_hidden_it_grows_to_the_length_of_calls_and_no_further_than_its_limit() {
        assert_eq!(after([240; 10]), Duration::from_secs(300));
        assert_eq!(after([90_000; 10]), HOUR);
    }

    #[test]
    fn one_straggler_among_many_does_not_widen_it_and_two_percent_do() {
        assert_eq!(after((0..200).map(|n| if n == 150 { 3000 } else { 0 })), MIN_OVERLAP);
        assert_eq!(after((0..200).map(|n| if n % 40 == 0 { 80 } else { 0 })), Duration::from_secs(100));
    }

    #[test]
    fn it_narrows_as_the_conversations_that_widened_it_pass() {
        assert_eq!(after([400].into_iter().chain([0; 200])), MIN_OVERLAP);
    }

    #[test]
    fn what_the_state_remembers_is_where_it_starts() {
        assert_eq!(
            LookbackEstimator::resume(Duration::from_secs(300), HOUR).estimate(),
            Duration::from_secs(300)
        );
    }
}
