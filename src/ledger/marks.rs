//! How far a target has been read.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::moment::Moment;

/// The watermarks of one target. Losing them only means reading again; they are committed with the rows they speak of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marks {
    /// Conversations that ended at or after this count.
    pub anchor: Moment,
    /// Every conversation that started before this has been asked for at least once.
    pub fresh: Moment,
    /// One per age of `polling.recheck`.
    pub rechecks: Vec<RecheckMark>,
    /// How far behind `fresh` the fresh pass reads again.
    pub overlap: Duration,
    /// Rows of conversations that started before this may be gone, so an unknown one from before it is not new.
    pub forgotten: Option<Moment>,
}

/// How far one recheck pass has read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecheckMark {
    /// The age at which it reads.
    pub age: Duration,
    /// Everything that started before this has been read at that age.
    pub read_to: Moment,
    /// A later stretch that the fresh pass has already read at that age or older, because it was behind.
    pub covered: Option<(Moment, Moment)>,
}

impl Marks {
    /// The marks of a target that is read for the first time. The fresh pass starts the second recheck age before the
    /// anchor, and each recheck its own age before it, so that conversations which ran across the anchor are found.
    pub fn at_first_start(anchor: Moment, ages: &[Duration]) -> Self {
        Self {
            anchor,
            fresh: anchor - widest_overlap(ages),
            rechecks: ages
                .iter()
                .map(|&age| RecheckMark { age, read_to: anchor - age, covered: None })
                .collect(),
            overlap: Duration::ZERO,
            forgotten: None,
        }
    }

    /// The same position under another list of ages. A new age starts where rows are still kept for certain.
    pub fn with_ages(mut self, ages: &[Duration]) -> Self {
        let oldest = self.oldest();
        self.rechecks = ages
            .iter()
            .map(|&age| {
                let known = self.rechecks.iter().find(|mark| mark.age == age).cloned();
                known.unwrap_or(RecheckMark { age, read_to: oldest, covered: None })
            })
            .collect();
        self
    }

    /// The position that is furthest behind.
    pub fn oldest(&self) -> Moment {
        self.rechecks.iter().map(|mark| mark.read_to).fold(self.fresh, Moment::min)
    }
}

/// How far the overlap may grow: the second recheck age, or the only one, or an hour.
pub fn widest_overlap(ages: &[Duration]) -> Duration {
    ages.get(1).or(ages.first()).copied().unwrap_or(Duration::from_secs(3600))
}
