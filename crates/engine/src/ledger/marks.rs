//! How far a target has been read.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use polyai_domain::timestamp::Timestamp;

/// The watermarks of one target. Losing them only means reading again; they are committed with the rows they speak of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watermarks {
    /// Conversations that ended at or after this count.
    pub anchor: Timestamp,
    /// Every conversation that started before this has been asked for at least once.
    pub fresh: Timestamp,
    /// One per age of `polling.recheck`.
    pub rechecks: Vec<RecheckWatermark>,
    /// How far behind `fresh` the fresh pass reads again.
    pub overlap: Duration,
    /// Rows of conversations that started before this may be gone, so an unknown one from before it is not new.
    pub pruned_before: Option<Timestamp>,
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

/// How far the passes have read, and no more of the marks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatermarkPosition {
    /// The fresh pass.
    pub fresh: Timestamp,
    /// Each recheck, in the order of their ages.
    pub read_to: Box<[Timestamp]>,
}

impl Watermarks {
    /// The marks of a target that is read for the first time. The fresh pass starts the second recheck age before the
    /// anchor, and each recheck its own age before it, so that conversations which ran across the anchor are found.
    pub fn initial(anchor: Timestamp, ages: &[Duration]) -> Self {
        Self {
            anchor,
            fresh: anchor - max_overlap(ages),
            rechecks: ages
                .iter()
                .map(|&age| RecheckWatermark { age, read_to: anchor - age, already_read: None })
                .collect(),
            overlap: Duration::ZERO,
            pruned_before: None,
        }
    }

    /// The same position under another list of ages. A new age starts where rows are still kept for certain.
    pub fn with_ages(mut self, ages: &[Duration]) -> Self {
        let oldest = self.oldest();
        self.rechecks = ages
            .iter()
            .map(|&age| {
                let known = self.rechecks.iter().find(|mark| mark.age == age).cloned();
                known.unwrap_or(RecheckWatermark { age, read_to: oldest, already_read: None })
            })
            .collect();
        self
    }

    /// Where each pass stands.
    pub fn position(&self) -> WatermarkPosition {
        WatermarkPosition {
            fresh: self.fresh,
            read_to: self.rechecks.iter().map(|mark| mark.read_to).collect(),
        }
    }

    /// Goes back to where `before` stands, wherever it is behind.
    pub fn rewind_to(&mut self, before: &WatermarkPosition) {
        self.fresh = self.fresh.min(before.fresh);
        for (mark, &read_to) in self.rechecks.iter_mut().zip(&before.read_to) {
            mark.read_to = mark.read_to.min(read_to);
            mark.already_read = None;
        }
    }

    /// The position that is furthest behind.
    pub fn oldest(&self) -> Timestamp {
        self.rechecks.iter().map(|mark| mark.read_to).fold(self.fresh, Timestamp::min)
    }
}

/// How far the overlap may grow: the second recheck age, or the only one, or an hour.
pub fn max_overlap(ages: &[Duration]) -> Duration {
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
    fn at_the_first_start_each_pass_begins_far_enough_back_to_find_what_ran_across_the_anchor() {
        let marks = Watermarks::initial(at(0), &AGES);
        assert_eq!((marks.anchor, marks.fresh), (at(0), at(-3600)));
        let read_to: Vec<Timestamp> = marks.rechecks.iter().map(|mark| mark.read_to).collect();
        assert_eq!(read_to, [at(-300), at(-3600), at(-24 * 3600)]);
        assert_eq!((marks.overlap, marks.pruned_before), (Duration::ZERO, None));
        assert_eq!(marks.oldest(), at(-24 * 3600));
    }

    #[test]
    fn with_fewer_ages_the_only_one_or_an_hour_stands_for_the_second() {
        assert_eq!(max_overlap(&AGES), Duration::from_secs(3600));
        assert_eq!(max_overlap(&AGES[..1]), Duration::from_secs(300));
        assert_eq!(max_overlap(&[]), Duration::from_secs(3600));
        let marks = Watermarks::initial(at(0), &[]);
        assert_eq!((marks.fresh, marks.oldest()), (at(-3600), at(-3600)));
    }

    #[test]
    fn a_new_age_starts_where_rows_are_still_kept_and_known_ones_stay() {
        let mut marks = Watermarks::initial(at(0), &AGES[..2]);
        marks.fresh = at(100_000);
        marks.rechecks[0].read_to = at(99_700);
        marks.rechecks[1].read_to = at(96_400);
        marks.rechecks[1].already_read = Some((at(97_000), at(98_000)));
        let (first, second) = (marks.rechecks[0].clone(), marks.rechecks[1].clone());

        let now = marks.clone().with_ages(&AGES);
        assert_eq!(now.rechecks[..2], [first, second.clone()]);
        assert_eq!(
            now.rechecks[2],
            RecheckWatermark { age: AGES[2], read_to: at(96_400), already_read: None }
        );
        assert_eq!((now.fresh, now.anchor), (marks.fresh, marks.anchor));

        // One that is taken out is dropped, and the others do not mind.
        assert_eq!(marks.clone().with_ages(&AGES[1..2]).rechecks, [second]);
        assert_eq!(marks.with_ages(&[]).oldest(), at(100_000));
    }

    #[test]
    fn the_oldest_position_is_that_of_whichever_pass_is_furthest_behind() {
        let mut marks = Watermarks::initial(at(0), &AGES);
        for mark in &mut marks.rechecks {
            mark.read_to = at(500);
        }
        marks.fresh = at(400);
        assert_eq!(marks.oldest(), at(400));
    }
}
