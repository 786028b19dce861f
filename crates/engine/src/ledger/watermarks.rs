//! How far a target has been read, and which entries that makes dispensable.

use std::time::Duration;

use polyai_domain::timestamp::Timestamp;
use serde::{Deserialize, Serialize};

/// Whether the series of a target are exposed. A target whose state is new exposes nothing until it has read up to the present:
/// its first sample is the whole total, because Prometheus takes a value that falls and rises again for a reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CatchUp {
    /// Reads a past that is not exposed yet.
    Reading,
    /// Had read up to this time. What had been seen finished by then has still to settle.
    Settling(Timestamp),
    /// The series are exposed, for good.
    Done,
}

impl CatchUp {
    /// The state after a poll that ended at `now`. `caught_up` is whether it has read everything up to its beginning;
    /// `oldest_settling` is when the first of the conversations that have not settled was seen finished.
    #[must_use]
    pub(crate) fn after_poll(
        self,
        caught_up: bool,
        now: Timestamp,
        oldest_settling: Option<Timestamp>,
    ) -> Self {
        let reached = if self == Self::Reading && caught_up { Self::Settling(now) } else { self };
        match reached {
            Self::Settling(since) => {
                // The clock may have been ahead, and a busy target always has one that was seen finished before that time.
                let since = since.min(now);
                if oldest_settling.is_none_or(|oldest| oldest > since) {
                    Self::Done
                } else {
                    Self::Settling(since)
                }
            }
            Self::Reading | Self::Done => reached,
        }
    }
}

/// The watermarks of one target, committed with the entries they vouch for. Losing them only means reading again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watermarks {
    /// Conversations that ended at or after this count.
    pub anchor: Timestamp,
    /// Every conversation that started before this has been requested at least once.
    pub fresh: Timestamp,
    /// One per age of `polling.recheck`.
    pub rechecks: Vec<RecheckWatermark>,
    /// How far behind `fresh` the fresh pass reads again.
    pub overlap: Duration,
    /// Entries of conversations that started before this may be gone, so an unknown one from before it is not new.
    pub pruned_before: Option<Timestamp>,
    /// Whether the series are exposed.
    pub catch_up: CatchUp,
    /// No series starts earlier: the anchor, or when the labels or buckets of the series last changed.
    pub series_since: Timestamp,
}

/// How far one recheck pass has read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecheckWatermark {
    /// The age at which it reads.
    pub age: Duration,
    /// Everything that started before this has been read at that age.
    pub read_to: Timestamp,
    /// A later stretch that the fresh pass has already read at that age or older, because it was behind.
    pub already_read: Option<(Timestamp, Timestamp)>,
}

impl Watermarks {
    /// The watermarks of a target that is read for the first time. The fresh pass starts the second recheck age before the
    /// anchor, and each recheck its own age before it, so that conversations which ran across the anchor are found.
    pub fn initial(anchor: Timestamp, ages: &[Duration]) -> Self {
        let recheck = |&age: &Duration| RecheckWatermark { age, read_to: anchor - age, already_read: None };
        Self {
            anchor,
            fresh: anchor - max_overlap(ages),
            rechecks: ages.iter().map(recheck).collect(),
            overlap: Duration::ZERO,
            pruned_before: None,
            catch_up: CatchUp::Reading,
            series_since: anchor,
        }
    }

    /// The same position with another list of ages. A new age starts where entries are certain to be kept still.
    pub(crate) fn with_ages(mut self, ages: &[Duration]) -> Self {
        let oldest = self.oldest();
        let recheck = |&age: &Duration| {
            let known = self.rechecks.iter().find(|recheck| recheck.age == age).cloned();
            known.unwrap_or(RecheckWatermark { age, read_to: oldest, already_read: None })
        };
        self.rechecks = ages.iter().map(recheck).collect();
        self
    }

    /// Moves each pass that is ahead of `before`, with the same ages, back to it.
    pub(crate) fn rewind_to(&mut self, before: &Self) {
        self.fresh = self.fresh.min(before.fresh);
        for (recheck, before) in self.rechecks.iter_mut().zip(&before.rechecks) {
            recheck.read_to = recheck.read_to.min(before.read_to);
            recheck.already_read = None;
        }
    }

    /// The position of the pass that is furthest behind.
    pub(crate) fn oldest(&self) -> Timestamp {
        self.rechecks.iter().map(|recheck| recheck.read_to).fold(self.fresh, Timestamp::min)
    }

    /// The start time before which entries of counted conversations may be pruned: the last recheck age before the oldest
    /// watermark. Watermarks may come from a clock that was ahead, so the limit is also the last age before
    /// `newest_counted`, the newest start of a counted conversation.
    ///
    /// The present plays no part: after an outage the passes read again from where they stopped, and what was pruned by the
    /// clock would count twice.
    pub(crate) fn prune_before(&self, newest_counted: Timestamp) -> Timestamp {
        let last_age = self.rechecks.iter().map(|recheck| recheck.age).max();
        let kept = last_age.unwrap_or(Duration::from_secs(3600)).max(self.overlap);
        self.oldest().min(newest_counted - kept) - kept
    }
}

/// The upper limit of the overlap: the second recheck age, or the only one, or an hour.
pub(crate) fn max_overlap(ages: &[Duration]) -> Duration {
    ages.get(1).or(ages.first()).copied().unwrap_or(Duration::from_secs(3600))
}

#[cfg(test)]
mod tests {
    use super::*;

    const AGES: [Duration; 3] =
        [Duration::from_secs(300), Duration::from_secs(3600), Duration::from_secs(24 * 3600)];

    /// Seconds after the anchor.
    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(1_787_217_300_000 + seconds * 1000)
    }

    #[test]
    fn initial_passes_start_before_the_anchor() {
        let watermarks = Watermarks::initial(at(0), &AGES);
        assert_eq!((watermarks.anchor, watermarks.fresh), (at(0), at(-3600)));
        let read_to: Vec<Timestamp> = watermarks.rechecks.iter().map(|recheck| recheck.read_to).collect();
        assert_eq!(read_to, [at(-300), at(-3600), at(-24 * 3600)]);
        assert_eq!((watermarks.overlap, watermarks.pruned_before), (Duration::ZERO, None));
        assert_eq!(watermarks.oldest(), at(-24 * 3600));
    }

    #[test]
    fn catch_up_ends_once_everything_read_has_settled() {
        let (now, later) = (at(100), at(130));
        let reading = CatchUp::Reading;
        assert_eq!(reading.after_poll(false, now, None), reading);
        assert_eq!(reading.after_poll(true, now, None), CatchUp::Done);
        let settling = reading.after_poll(true, now, Some(at(99)));
        assert_eq!(settling, CatchUp::Settling(now));
        // The same conversation still waits, though a later poll failed or fell behind.
        assert_eq!(settling.after_poll(false, later, Some(at(99))), settling);
        // One that was seen finished later does not hold it up.
        assert_eq!(settling.after_poll(false, later, Some(at(101))), CatchUp::Done);
        // The clock had been ahead: what is seen finished from now on does not hold it up.
        let ahead = CatchUp::Settling(at(90_000));
        let corrected = ahead.after_poll(true, now, Some(at(99)));
        assert_eq!(corrected, CatchUp::Settling(now));
        assert_eq!(corrected.after_poll(true, later, Some(at(125))), CatchUp::Done);
        assert_eq!(CatchUp::Done.after_poll(false, later, Some(at(99))), CatchUp::Done);
    }

    #[test]
    fn max_overlap_falls_back_to_first_age_then_an_hour() {
        assert_eq!(max_overlap(&AGES), Duration::from_secs(3600));
        assert_eq!(max_overlap(&AGES[..1]), Duration::from_secs(300));
        assert_eq!(max_overlap(&[]), Duration::from_secs(3600));
        let watermarks = Watermarks::initial(at(0), &[]);
        assert_eq!((watermarks.fresh, watermarks.oldest()), (at(-3600), at(-3600)));
    }

    #[test]
    fn new_age_starts_at_the_oldest_watermark() {
        let mut watermarks = Watermarks::initial(at(0), &AGES[..2]);
        watermarks.fresh = at(100_000);
        watermarks.rechecks[0].read_to = at(99_700);
        watermarks.rechecks[1].read_to = at(96_400);
        watermarks.rechecks[1].already_read = Some((at(97_000), at(98_000)));
        let (first, second) = (watermarks.rechecks[0].clone(), watermarks.rechecks[1].clone());

        let now = watermarks.clone().with_ages(&AGES);
        assert_eq!(now.rechecks[..2], [first, second.clone()]);
        assert_eq!(
            now.rechecks[2],
            RecheckWatermark { age: AGES[2], read_to: at(96_400), already_read: None }
        );
        assert_eq!((now.fresh, now.anchor), (watermarks.fresh, watermarks.anchor));

        // A removed age is dropped, and the others stay.
        assert_eq!(watermarks.clone().with_ages(&AGES[1..2]).rechecks, [second]);
        assert_eq!(watermarks.with_ages(&[]).oldest(), at(100_000));
    }

    #[test]
    fn oldest_is_the_pass_furthest_behind() {
        let mut watermarks = Watermarks::initial(at(0), &AGES);
        for recheck in &mut watermarks.rechecks {
            recheck.read_to = at(500);
        }
        watermarks.fresh = at(400);
        assert_eq!(watermarks.oldest(), at(400));
    }

    const HOUR: Duration = Duration::from_secs(3600);

    fn hour(hours: i64) -> Timestamp {
        at(hours * 3600)
    }

    /// Watermarks at `fresh` and `rechecks` (age, read to), in hours.
    fn read_to(fresh: i64, rechecks: &[(u32, i64)]) -> Watermarks {
        let ages: Vec<Duration> = rechecks.iter().map(|&(age, _)| HOUR * age).collect();
        let mut watermarks = Watermarks { fresh: hour(fresh), ..Watermarks::initial(at(0), &ages) };
        for (recheck, &(_, read_to)) in watermarks.rechecks.iter_mut().zip(rechecks) {
            recheck.read_to = hour(read_to);
        }
        watermarks
    }

    const LATER: i64 = 10_000;

    #[test]
    fn prune_limit_is_last_age_behind_slowest_pass() {
        for (fresh, rechecks, expected) in [
            (100, &[(1, 99), (24, 76)][..], 52),
            // The fresh pass was away for days, and nothing else could move.
            (10, &[(1, 9), (24, -14)], -38),
            (100, &[(1, 20), (24, 76)], -4),
            (100, &[], 99),
        ] {
            let limit = read_to(fresh, rechecks).prune_before(hour(LATER));
            assert_eq!(limit, hour(expected), "{fresh} {rechecks:?}");
        }
    }

    #[test]
    fn prune_limit_ignores_watermarks_in_the_future() {
        let ahead = read_to(100 + 72, &[(1, 99 + 72), (24, 76 + 72)]);
        assert_eq!(ahead.prune_before(hour(100)), hour(52));
    }

    #[test]
    fn prune_limit_respects_overlap_wider_than_all_ages() {
        let watermarks = Watermarks { overlap: HOUR * 5, ..read_to(100, &[]) };
        assert_eq!(watermarks.prune_before(hour(LATER)), hour(95));
    }
}
