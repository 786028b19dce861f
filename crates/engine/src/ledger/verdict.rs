//! The verdict on one sight of a conversation: the heart of the counting.
//!
//! Owns: whether it is followed, settles, counts, was amended, or changes nothing. A pure function of the row, what was
//! seen, and the time. Never: storage, series, or the clock.

use std::time::Duration;

use super::row::{Amounts, Counted, LedgerEntry};
use polyai_domain::conversation::{Amount, ConversationData, ConversationState};
use polyai_domain::timestamp::Timestamp;

/// Durations are whole seconds, so an end may be up to this much later than it looks.
const END_TOLERANCE: Duration = Duration::from_secs(1);

/// What the verdict on a target's conversations depends on, besides themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CountingRules {
    /// Conversations that ended before this do not count.
    pub anchor: Timestamp,
    /// How long a conversation is seen finished before it counts.
    pub settle: Duration,
    /// One that ended this long ago by its own duration has nothing left to wait for.
    pub settled_age: Duration,
    /// An unknown conversation from before this may have been counted and forgotten.
    pub pruned_before: Option<Timestamp>,
}

/// How a conversation came into sight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeenBy {
    /// By a pass that reads what is new.
    Fresh,
    /// By a recheck: if it is new, it is late.
    Recheck,
}

/// What a sight of a conversation means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transition {
    /// It runs: remember that it is open.
    Follow(LedgerEntry),
    /// It is finished: remember it until it has settled.
    Settle(LedgerEntry),
    /// It counts now, for the first and only time.
    Count {
        /// Whether it was first seen by a recheck.
        late: bool,
        /// When it ended.
        ended_at: Timestamp,
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
    pub added_before: Amounts,
    /// Some amount grew since it was last seen.
    pub up: bool,
    /// Some amount shrank since it was last seen; nothing is subtracted.
    pub down: bool,
}

/// Decides what it means that a conversation of which `row` is remembered now looks like `data`.
pub fn decide(
    row: Option<&LedgerEntry>,
    data: &ConversationData,
    sight: SeenBy,
    now: Timestamp,
    rules: &CountingRules,
) -> Transition {
    match (row, data.state) {
        (Some(LedgerEntry::Counted(counted)), ConversationState::Finished) => amend(counted, data),
        (Some(LedgerEntry::Counted(_)), ConversationState::InProgress) => Transition::Unchanged,
        // One that is open again after it was forgotten would count twice when it finishes.
        (None, _) if rules.pruned_before.is_some_and(|forgotten| data.started_at < forgotten) => {
            Transition::Unchanged
        }
        (None, ConversationState::InProgress) => Transition::Follow(LedgerEntry::Open {
            started_at: data.started_at,
            late: sight == SeenBy::Recheck,
        }),
        (Some(LedgerEntry::Open { .. }), ConversationState::InProgress) => Transition::Unchanged,
        (Some(LedgerEntry::Settling { late, .. }), ConversationState::InProgress) => {
            // Finished, then running again: the settle clock starts anew when it is next seen finished.
            Transition::Follow(LedgerEntry::Open { started_at: data.started_at, late: *late })
        }
        (None, ConversationState::Finished) => finished(data, now, sight == SeenBy::Recheck, now, rules),
        (Some(LedgerEntry::Open { late, .. }), ConversationState::Finished) => {
            finished(data, now, *late, now, rules)
        }
        (Some(LedgerEntry::Settling { since, data: before, late }), ConversationState::Finished) => {
            // A first sight that lies in the future means that the clock was stepped back: wait anew.
            let waiting_since = (*since).min(now);
            let verdict = finished(data, waiting_since, *late, now, rules);
            let still_waits = matches!(verdict, Transition::Settle(_));
            if still_waits && before == data && waiting_since == *since {
                Transition::Unchanged
            } else {
                verdict
            }
        }
    }
}

/// Decides whether a settling conversation counts now, without a new sight of it.
pub fn is_settled(since: Timestamp, now: Timestamp, rules: &CountingRules) -> bool {
    now.saturating_duration_since(since) >= rules.settle
}

/// When a conversation ended that was first seen finished at `since`: by its own account, else then, but not before it
/// started, whatever the clock said.
pub fn ended_at(data: &ConversationData, since: Timestamp) -> Timestamp {
    data.ended_at().unwrap_or(since.max(data.started_at))
}

fn finished(
    data: &ConversationData,
    since: Timestamp,
    late: bool,
    now: Timestamp,
    rules: &CountingRules,
) -> Transition {
    let ended_at = ended_at(data, since);
    if ended_at + END_TOLERANCE < rules.anchor {
        return Transition::Ignore;
    }
    // A duration that is missing or nothing may yet arrive: after its last turn, the caller may have talked to a human for long.
    let tells_its_end = data.duration.is_some_and(|duration| duration > Amount(0));
    let long_over =
        tells_its_end && now.saturating_duration_since(ended_at) >= rules.settled_age.max(rules.settle);
    if long_over || is_settled(since, now, rules) {
        Transition::Count { late, ended_at }
    } else {
        Transition::Settle(LedgerEntry::Settling { since, data: data.clone(), late })
    }
}

fn amend(counted: &Counted, data: &ConversationData) -> Transition {
    let shown = Amounts::of(data);
    if shown == counted.last_seen {
        return Transition::Unchanged;
    }
    Transition::Amend(Amendment {
        added_before: counted.counted,
        up: shown.exceeds(&counted.last_seen),
        down: counted.last_seen.exceeds(&shown),
        row: Counted { counted: counted.counted.max(&shown), last_seen: shown, ..counted.clone() },
    })
}

#[cfg(test)]
mod tests;
