//! Where the passes stood at the beginning of the last ticks, should the clock turn out to have been ahead.
//!
//! Owns: which marks are still true then. A pass that was told a time in the future has read stretches of which nothing was
//! there yet, and would never look at them again. Pure.

use std::collections::VecDeque;

use super::{Marks, Policy};
use crate::ledger::{Position, RecheckMark, widest_overlap};
use crate::moment::Moment;

/// An hour of ticks at the default interval.
const REMEMBERED: usize = 120;

/// The beginnings of the last ticks: up to where each read, and where the passes stood before it.
#[derive(Debug, Clone, Default)]
pub(super) struct Course(VecDeque<(Moment, Position)>);

impl Course {
    /// A tick begins that reads up to `until`.
    pub(super) fn begin(&mut self, until: Moment, marks: &Marks) {
        if self.0.len() == REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back((until, marks.position()));
    }

    /// Where the passes stood before the first tick that read beyond `latest`, if one did. What it and later ones did is forgotten.
    pub(super) fn before_reading_beyond(&mut self, latest: Moment) -> Option<Position> {
        let first = self.0.iter().position(|(until, _)| *until > latest)?;
        let before = self.0.get(first).map(|(_, before)| before.clone());
        self.0.truncate(first);
        before
    }
}

/// Marks that lie in the future of `now`, and nobody remembers how they came there: how far back it is worth to read again. As
/// far as the last recheck would, and never behind where a first start begins.
pub(super) fn blind(anchor: Moment, now: Moment, policy: &Policy) -> Position {
    let last = policy.ages.iter().copied().max().unwrap_or_default().max(widest_overlap(&policy.ages));
    let from = now - last;
    let mut marks = Marks::at_first_start(anchor, &policy.ages);
    marks.fresh = marks.fresh.max(from);
    for RecheckMark { age, read_to, .. } in &mut marks.rechecks {
        let step = (*age / 10).max(policy.interval);
        *read_to = (*read_to).max(from - *age - step);
    }
    marks.position()
}
