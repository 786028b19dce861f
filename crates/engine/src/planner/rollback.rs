//! The watermarks at the latest polls, in case the clock turns out to have been ahead.
//!
//! A poll that believed a time in the future has read ranges that were still empty, and would never read them again.

use std::collections::VecDeque;

use polyai_domain::timestamp::Timestamp;

use super::PollPolicy;
use crate::ledger::{Watermarks, max_overlap};

/// An hour of polls at the default interval.
const HISTORY_LEN: usize = 120;

/// The time up to which each of the latest polls read, with the watermarks before it.
#[derive(Debug, Clone, Default)]
pub(super) struct WatermarkHistory(VecDeque<(Timestamp, Watermarks)>);

impl WatermarkHistory {
    /// Notes the watermarks before a poll that reads up to `until`.
    pub(super) fn push(&mut self, until: Timestamp, watermarks: &Watermarks) {
        if self.0.len() == HISTORY_LEN {
            self.0.pop_front();
        }
        self.0.push_back((until, watermarks.clone()));
    }

    /// Returns the watermarks before the first poll that read beyond `latest`, if one did, and forgets it and all later ones.
    pub(super) fn rollback_before(&mut self, latest: Timestamp) -> Option<Watermarks> {
        let first = self.0.iter().position(|(until, _)| *until > latest)?;
        self.0.drain(first..).next().map(|(_, before)| before)
    }
}

/// The watermarks to go back to when watermarks are in the future of `now` for unknown reasons: as far back as the last recheck
/// reads, but not before those of a first start.
pub(super) fn fallback_watermarks(anchor: Timestamp, now: Timestamp, policy: &PollPolicy) -> Watermarks {
    let from = now - policy.max_age().unwrap_or_default().max(max_overlap(&policy.ages));
    let mut watermarks = Watermarks::initial(anchor, &policy.ages);
    watermarks.fresh = watermarks.fresh.max(from);
    for recheck in &mut watermarks.rechecks {
        let step = (recheck.age / 10).max(policy.interval);
        recheck.read_to = recheck.read_to.max(from - recheck.age - step);
    }
    watermarks
}
