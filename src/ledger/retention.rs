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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ledger::{Counted, Tally};

    const HOUR: Duration = Duration::from_secs(3600);

    /// Hours after some day.
    fn at(hours: i64) -> Moment {
        Moment::from_millis(1_787_217_300_000 + hours * 3_600_000)
    }

    fn marks(fresh: i64, rechecks: &[(u32, i64)]) -> Marks {
        let ages: Vec<Duration> = rechecks.iter().map(|&(age, _)| HOUR * age).collect();
        let mut marks = Marks::at_first_start(at(0), &ages);
        marks.fresh = at(fresh);
        for (mark, &(_, read_to)) in marks.rechecks.iter_mut().zip(rechecks) {
            mark.read_to = at(read_to);
        }
        marks
    }

    fn counted(started_at: Moment) -> Row {
        let tally = Tally::default();
        Row::Counted(Counted {
            started_at,
            ended_at: started_at,
            added: tally,
            shown: tally,
            dimensions: Vec::default(),
        })
    }

    #[test]
    fn rows_go_one_last_age_behind_the_pass_that_is_furthest_behind() {
        // (fresh, rechecks as (age, read to), horizon), in hours
        for (fresh, rechecks, expected) in [
            (100, &[(1, 99), (24, 76)][..], 52),
            // The fresh pass was away for days while nothing else could move.
            (10, &[(1, 9), (24, -14)], -38),
            (100, &[(1, 20), (24, 76)], -4),
            (100, &[], 99),
        ] {
            assert_eq!(horizon(&marks(fresh, rechecks)), at(expected), "{fresh} {rechecks:?}");
        }
    }

    #[test]
    fn an_overlap_wider_than_every_age_counts_as_one() {
        let mut marks = marks(100, &[]);
        marks.overlap = HOUR * 5;
        assert_eq!(horizon(&marks), at(95));
    }

    #[test]
    fn only_counted_rows_from_before_the_horizon_go() {
        assert!(expendable(&counted(at(9)), at(10)));
        assert!(!expendable(&counted(at(10)), at(10)));
        assert!(!expendable(&Row::Open { started_at: at(-9000), late: false }, at(10)));
    }

    proptest! {
        /// What any pass will read again (less the room it leaves for rounding) is still remembered then.
        #[test]
        fn no_pass_ever_reads_behind_the_horizon(
            fresh in 0i64..1000,
            read_to in prop::collection::vec((1u32..48, -100i64..1000), 0..4),
            overlap in 0u32..48,
        ) {
            let mut marks = marks(fresh, &read_to);
            marks.overlap = (HOUR * overlap).min(super::super::widest_overlap(
                &read_to.iter().map(|&(age, _)| HOUR * age).collect::<Vec<_>>(),
            ));
            let horizon = horizon(&marks);
            prop_assert!(marks.fresh - marks.overlap >= horizon);
            for mark in &marks.rechecks {
                prop_assert!(mark.read_to >= horizon);
            }
        }
    }
}
