//! The verdict on one sight of a conversation: the heart of the counting.
//!
//! Owns: whether it is followed, settles, counts, was amended, or changes nothing. A pure function of the row, what was
//! seen, and the time. Never: storage, series, or the clock.

use std::time::Duration;

use super::row::{Counted, Row, Tally};
use crate::conversation::{Facts, Micros, Phase};
use crate::moment::Moment;

/// Durations are whole seconds, so an end may be up to this much later than it looks.
const END_GRACE: Duration = Duration::from_secs(1);

/// What the verdict on a target's conversations depends on, besides themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Conversations that ended before this do not count.
    pub anchor: Moment,
    /// How long a conversation is seen finished before it counts.
    pub settle: Duration,
    /// One that ended this long ago by its own duration has nothing left to wait for.
    pub settled_age: Duration,
    /// An unknown conversation from before this may have been counted and forgotten.
    pub forgotten: Option<Moment>,
}

/// How a conversation came into sight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sight {
    /// By a pass that reads what is new.
    Timely,
    /// By a recheck: if it is new, it is late.
    Late,
}

/// What a sight of a conversation means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It runs: remember that it is open.
    Follow(Row),
    /// It is finished: remember it until it has settled.
    Settle(Row),
    /// It counts now, for the first and only time.
    Count {
        /// Whether it was first seen by a recheck.
        late: bool,
        /// When it ended.
        ended_at: Moment,
    },
    /// It counted before and looks different now.
    Amend(Amendment),
    /// It ended before the anchor: whatever was remembered of it can go.
    Ignore,
    /// Nothing new.
    Unchanged,
}

/// A change of a conversation after it was counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Amendment {
    /// The row as it stands from now on.
    pub row: Counted,
    /// What had been added to the counters before.
    pub added_before: Tally,
    /// Some amount grew since it was last seen.
    pub up: bool,
    /// Some amount shrank since it was last seen; nothing is subtracted.
    pub down: bool,
}

/// Decides what it means that a conversation of which `row` is remembered now looks like `facts`.
pub fn judge(row: Option<&Row>, facts: &Facts, sight: Sight, now: Moment, rules: &Rules) -> Verdict {
    match (row, facts.phase) {
        (Some(Row::Counted(counted)), Phase::Finished) => amended(counted, facts),
        (Some(Row::Counted(_)), Phase::Running) => Verdict::Unchanged,
        // One that is open again after it was forgotten would count twice when it finishes.
        (None, _) if rules.forgotten.is_some_and(|forgotten| facts.started_at < forgotten) => {
            Verdict::Unchanged
        }
        (None, Phase::Running) => {
            Verdict::Follow(Row::Open { started_at: facts.started_at, late: sight == Sight::Late })
        }
        (Some(Row::Open { .. }), Phase::Running) => Verdict::Unchanged,
        (Some(Row::Settling { late, .. }), Phase::Running) => {
            // Finished, then running again: the settle clock starts anew when it is next seen finished.
            Verdict::Follow(Row::Open { started_at: facts.started_at, late: *late })
        }
        (None, Phase::Finished) => finished(facts, now, sight == Sight::Late, now, rules),
        (Some(Row::Open { late, .. }), Phase::Finished) => finished(facts, now, *late, now, rules),
        (Some(Row::Settling { since, facts: before, late }), Phase::Finished) => {
            // A first sight that lies in the future means that the clock was stepped back: wait anew.
            let waiting_since = (*since).min(now);
            let verdict = finished(facts, waiting_since, *late, now, rules);
            let still_waits = matches!(verdict, Verdict::Settle(_));
            if still_waits && before == facts && waiting_since == *since {
                Verdict::Unchanged
            } else {
                verdict
            }
        }
    }
}

/// Decides whether a settling conversation counts now, without a new sight of it.
pub fn ripe(since: Moment, now: Moment, rules: &Rules) -> bool {
    now.since(since) >= rules.settle
}

/// When a conversation ended that was first seen finished at `since`: by its own account, else then, but not before it
/// started, whatever the clock said.
pub fn end(facts: &Facts, since: Moment) -> Moment {
    facts.ended_at().unwrap_or(since.max(facts.started_at))
}

fn finished(facts: &Facts, since: Moment, late: bool, now: Moment, rules: &Rules) -> Verdict {
    let ended_at = end(facts, since);
    if ended_at + END_GRACE < rules.anchor {
        return Verdict::Ignore;
    }
    // A duration that is missing or nothing may yet arrive: after its last turn, the caller may have talked to a human for long.
    let tells_its_end = facts.duration.is_some_and(|duration| duration > Micros(0));
    let long_over = tells_its_end && now.since(ended_at) >= rules.settled_age.max(rules.settle);
    if long_over || ripe(since, now, rules) {
        Verdict::Count { late, ended_at }
    } else {
        Verdict::Settle(Row::Settling { since, facts: facts.clone(), late })
    }
}

fn amended(counted: &Counted, facts: &Facts) -> Verdict {
    let shown = Tally::of(facts);
    if shown == counted.shown {
        return Verdict::Unchanged;
    }
    Verdict::Amend(Amendment {
        added_before: counted.added,
        up: shown.exceeds(&counted.shown),
        down: counted.shown.exceeds(&shown),
        row: Counted { added: counted.added.raised_to(&shown), shown, ..counted.clone() },
    })
}

#[cfg(test)]
mod tests;
