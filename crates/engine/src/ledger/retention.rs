//! What the ledger may forget.
//!
//! Owns: the rule, as a pure function. Never: the clock; after an outage the passes read again from where they stopped, and
//! rows pruned by the clock would then count twice. Marks may come from a clock that was ahead, so they are not believed beyond
//! what has been counted.

use std::time::Duration;

use super::{LedgerEntry, Watermarks};
use polyai_domain::timestamp::Timestamp;

/// The start time before which counted rows of a target may go: the last recheck age before the oldest watermark. That cannot be
/// ahead of the last age before the newest start of a conversation that counted.
pub fn prune_before(marks: &Watermarks, newest_counted: Timestamp) -> Timestamp {
    let last_age = marks.rechecks.iter().map(|mark| mark.age).max().unwrap_or(Duration::from_secs(3600));
    let kept = last_age.max(marks.overlap);
    marks.oldest().min(newest_counted - kept) - kept
}

/// Whether `row` may go when everything before `prune_before` may.
pub fn can_prune(row: &LedgerEntry, horizon: Timestamp) -> bool {
    match row {
        LedgerEntry::Open { .. } | LedgerEntry::Settling { .. } => false,
        LedgerEntry::Counted(counted) => counted.started_at < horizon,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Amounts, Counted};

    const HOUR: Duration = Duration::from_secs(3600);

    /// Hours after some day.
    fn at(hours: i64) -> Timestamp {
        Timestamp::from_millis(1_787_217_300_000 + hours * 3_600_000)
    }

    fn marks(fresh: i64, rechecks: &[(u32, i64)]) -> Watermarks {
        let ages: Vec<Duration> = rechecks.iter().map(|&(age, _)| HOUR * age).collect();
        let mut marks = Watermarks::initial(at(0), &ages);
        marks.fresh = at(fresh);
        for (mark, &(_, read_to)) in marks.rechecks.iter_mut().zip(rechecks) {
            mark.read_to = at(read_to);
        }
        marks
    }

    fn counted(started_at: Timestamp) -> LedgerEntry {
        let tally = Amounts::default();
        LedgerEntry::Counted(Counted {
            started_at,
            ended_at: started_at,
            counted: tally,
            last_seen: tally,
            dimensions: Vec::default(),
        })
    }

    const LATER: i64 = 10_000;

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
            assert_eq!(
                prune_before(&marks(fresh, rechecks), at(LATER)),
                at(expected),
                "{fresh} {rechecks:?}"
            );
        }
    }

    #[test]
    fn marks_in_the_future_let_nothing_go_that_the_passes_may_have_to_read_again() {
        let ahead = marks(100 + 72, &[(1, 99 + 72), (24, 76 + 72)]);
        assert_eq!(prune_before(&ahead, at(100)), at(52));
    }

    #[test]
    fn an_overlap_wider_than_every_age_counts_as_one() {
        let mut marks = marks(100, &[]);
        marks.overlap = HOUR * 5;
        assert_eq!(prune_before(&marks, at(LATER)), at(95));
    }

    #[test]
    fn only_counted_rows_from_before_the_horizon_go() {
        assert!(can_prune(&counted(at(9)), at(10)));
        assert!(!can_prune(&counted(at(10)), at(10)));
        assert!(!can_prune(&LedgerEntry::Open { started_at: at(-9000), late: false }, at(10)));
    }
}
