//! What the ledger may forget.
//!
//! Owns: the rule, as a pure function. Never: the clock; after an outage the passes read again from where they stopped, and
//! rows pruned by the clock would then count twice.

use std::time::Duration;

use super::{Marks, Row};
use crate::moment::Moment;

/// The start time before which counted rows of a target may go: the last recheck age before the oldest watermark.
pub fn horizon(marks: &Marks) -> Moment {
    let last_age = marks.rechecks.iter().map(|mark| mark.age).max().unwrap_or(Duration::from_secs(3600));
    marks.oldest() - last_age.max(marks.overlap)
}

/// Whether `row` may go when everything before `horizon` may.
pub fn expendable(row: &Row, horizon: Moment) -> bool {
    match row {
        Row::Open { .. } | Row::Settling { .. } => false,
        Row::Counted(counted) => counted.started_at < horizon,
    }
}
