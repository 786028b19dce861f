//! Where the passes stood at the beginning of the last ticks, should the clock turn out to have been ahead.
//!
//! Owns: which marks are still true then. A pass that was told a time in the future has read stretches of which nothing was
//! there yet, and would never look at them again. Pure.

use std::collections::VecDeque;

use super::{PollPolicy, Watermarks};
use crate::ledger::{RecheckWatermark, WatermarkPosition, max_overlap};
use crate::timestamp::Timestamp;

/// An hour of ticks at the default interval.
const HISTORY_LEN: usize = 120;

/// The beginnings of the last ticks: up to where each read, and where the passes stood before it.
#[derive(Debug, Clone, Default)]
pub(super) struct WatermarkHistory(VecDeque<(Timestamp, WatermarkPosition)>);

impl WatermarkHistory {
    /// A tick begins that reads up to `until`.
    pub(super) fn begin(&mut self, until: Timestamp, marks: &Watermarks) {
        if self.0.len() == HISTORY_LEN {
            self.0.pop_front();
        }
        self.0.push_back((until, marks.position()));
    }

    /// Where the passes stood before the first tick that read beyond `latest`, if one did. What it and later ones did is forgotten.
    pub(super) fn rollback_before(&mut self, latest: Timestamp) -> Option<WatermarkPosition> {
        let first = self.0.iter().position(|(until, _)| *until > latest)?;
        let before = self.0.get(first).map(|(_, before)| before.clone());
        self.0.truncate(first);
        before
    }
}

/// Marks that lie in the future of `now`, and nobody remembers how they came there: how far back it is worth to read again. As
/// far as the last recheck would, and never behind where a first start begins.
pub(super) fn fallback_position(anchor: Timestamp, now: Timestamp, policy: &PollPolicy) -> WatermarkPosition {
    let last = policy.ages.iter().copied().max().unwrap_or_default().max(max_overlap(&policy.ages));
    let from = now - last;
    let mut marks = Watermarks::initial(anchor, &policy.ages);
    marks.fresh = marks.fresh.max(from);
    for RecheckWatermark { age, read_to, .. } in &mut marks.rechecks {
        let step = (*age / 10).max(policy.interval);
        *read_to = (*read_to).max(from - *age - step);
    }
    marks.position()
}
