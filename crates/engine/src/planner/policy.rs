//! The settings that decide how a target is polled.

use std::time::Duration;

use polyai_domain::timestamp::Timestamp;

/// The settings that decide how a target is polled.
#[derive(Debug, Clone)]
pub struct PollPolicy {
    /// `polling.interval`
    pub interval: Duration,
    /// `polling.recheck`
    pub ages: Vec<Duration>,
    /// `polling.initial_lookback`
    pub initial_lookback: Duration,
    /// `polling.anchor`
    pub anchor: Option<Timestamp>,
    /// The number of refetch requests per poll, until [`PollPlanner::set_refetch_budget`](super::PollPlanner::set_refetch_budget)
    /// changes it.
    pub refetch_budget: usize,
}

impl PollPolicy {
    /// The longest recheck age.
    pub(super) fn max_age(&self) -> Option<Duration> {
        self.ages.iter().copied().max()
    }
}
