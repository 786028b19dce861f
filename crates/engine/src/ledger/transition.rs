//! The effect of an observation, or of the passing of time, on a conversation: the core of the counting, without I/O.

use std::time::Duration;

use polyai_domain::conversation::{Amount, ConversationData, ConversationState};
use polyai_domain::timestamp::Timestamp;

use super::entry::{Amounts, Counted, LedgerEntry, Observations, Observed};
use crate::dimension::Dimension;

/// Durations are whole seconds, so a conversation may have ended up to this much later than its record says.
const END_TOLERANCE: Duration = Duration::from_secs(1);

/// The rules that decide when a conversation of a target counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CountingRules {
    /// Conversations that ended before this do not count.
    pub anchor: Timestamp,
    /// How long a conversation is seen finished before it counts.
    pub settle: Duration,
    /// A conversation that ended this long ago, by its own duration, has nothing left to wait for.
    pub settled_age: Duration,
    /// An unknown conversation from before this may have been counted and pruned.
    pub pruned_before: Option<Timestamp>,
}

impl CountingRules {
    /// Whether an entry that has been settling since `since` makes a transition without being observed again: it has
    /// settled, or the clock was stepped back and it has to wait from now on.
    pub(crate) fn is_due(&self, since: Timestamp, now: Timestamp) -> bool {
        now.saturating_duration_since(since) >= self.settle || since > now
    }
}

/// The kind of pass that has observed a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeenBy {
    /// A pass that reads what is new.
    Fresh,
    /// A recheck: if the conversation is new, it is late.
    Recheck,
}

/// The change of a conversation in the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transition<'a> {
    /// Nothing changes.
    Unchanged,
    /// It is in progress: followed until it is seen finished.
    Follow(LedgerEntry),
    /// It is finished: counts once it has settled.
    Settle(LedgerEntry),
    /// It counts now, for the first and only time.
    Count(Count<'a>),
    /// It was counted before and has changed since.
    Amend(Amendment<'a>),
    /// It ended before the anchor: it never counts, and needs no entry.
    Discard,
}

/// A conversation that counts now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Count<'a> {
    pub(crate) data: &'a ConversationData,
    pub(crate) amounts: Amounts,
    pub(crate) observations: Observations,
    /// When it ended, but not later than now: an end in the future (a duration in another unit, another clock) would
    /// remain the newest until then, and hide that no more calls arrive.
    pub ended_at: Timestamp,
    /// First seen by a recheck.
    pub late: bool,
}

impl<'a> Count<'a> {
    /// A conversation with this content, which ended at `ended_at`.
    pub(crate) fn new(data: &'a ConversationData, ended_at: Timestamp, late: bool) -> Self {
        let observations = Observed::nothing().missing(data);
        Self { data, amounts: Amounts::from(data), observations, ended_at, late }
    }
}

/// A change of a conversation after it was counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Amendment<'a> {
    pub(crate) data: &'a ConversationData,
    /// The amounts added to the counters before.
    pub(crate) before: Amounts,
    /// What has arrived since it counted.
    pub(crate) observations: Observations,
    /// Its entry from now on.
    pub(crate) entry: Counted,
    /// Some amount grew since it was last seen, or something was observed that had been absent.
    pub(crate) up: bool,
    /// Some amount shrank since it was last seen; nothing is subtracted.
    pub(crate) down: bool,
}

impl Transition<'_> {
    /// The entry that replaces the one before; absent if there is none, and for [`Unchanged`](Self::Unchanged). `dimensions` are
    /// those that a conversation counts under.
    pub(crate) fn into_entry(self, dimensions: Vec<(Dimension, Box<str>)>) -> Option<LedgerEntry> {
        match self {
            Self::Follow(entry) | Self::Settle(entry) => Some(entry),
            Self::Count(Count { data, amounts, observations, ended_at, .. }) => {
                Some(LedgerEntry::Counted(Counted {
                    started_at: data.started_at,
                    ended_at,
                    counted: amounts,
                    last_seen: amounts,
                    dimensions,
                    observed: Observed::nothing().with(&observations),
                }))
            }
            Self::Amend(amendment) => Some(LedgerEntry::Counted(amendment.entry)),
            Self::Unchanged | Self::Discard => None,
        }
    }
}

/// Returns the transition of a conversation with this `entry` that was just `observed`, or for which only time has passed.
pub fn decide<'a>(
    entry: Option<&'a LedgerEntry>,
    observed: Option<(&'a ConversationData, SeenBy)>,
    now: Timestamp,
    rules: &CountingRules,
) -> Transition<'a> {
    let (data, seen_by) = match (observed, entry) {
        (Some(observed), _) => observed,
        // Time alone shows what was seen last once more.
        (None, Some(LedgerEntry::Settling { data, .. })) => (data, SeenBy::Fresh),
        (None, _) => return Transition::Unchanged,
    };
    match (entry, data.state) {
        (Some(LedgerEntry::Counted(counted)), ConversationState::Finished) => amend(counted, data),
        (Some(LedgerEntry::Counted(_) | LedgerEntry::Open { .. }), ConversationState::InProgress) => {
            Transition::Unchanged
        }
        // One that is in progress again after its entry was pruned would count twice when it finishes.
        (None, _) if rules.pruned_before.is_some_and(|pruned| data.started_at < pruned) => {
            Transition::Unchanged
        }
        (None, ConversationState::InProgress) => follow(data, seen_by == SeenBy::Recheck),
        (None, ConversationState::Finished) => finish(data, now, seen_by == SeenBy::Recheck, now, rules),
        (Some(LedgerEntry::Open { late, .. }), ConversationState::Finished) => {
            finish(data, now, *late, now, rules)
        }
        // The settle time starts over when it is next seen finished.
        (Some(LedgerEntry::Settling { late, .. }), ConversationState::InProgress) => follow(data, *late),
        (Some(LedgerEntry::Settling { since, data: known, late }), ConversationState::Finished) => {
            // A `since` in the future means that the clock was stepped back: it waits from now on.
            let waiting_since = (*since).min(now);
            let transition = finish(data, waiting_since, *late, now, rules);
            let waits = matches!(transition, Transition::Settle(_));
            if waits && known == data && waiting_since == *since { Transition::Unchanged } else { transition }
        }
    }
}

fn follow(data: &ConversationData, late: bool) -> Transition<'_> {
    Transition::Follow(LedgerEntry::Open { started_at: data.started_at, late })
}

fn finish<'a>(
    data: &'a ConversationData,
    since: Timestamp,
    late: bool,
    now: Timestamp,
    rules: &CountingRules,
) -> Transition<'a> {
    // Without an end of its own it ended when it was first seen finished, but not before it started, whatever the clock.
    let ended_at = data.ended_at().unwrap_or(since.max(data.started_at));
    if ended_at + END_TOLERANCE < rules.anchor {
        return Transition::Discard;
    }
    // An absent or zero duration may yet arrive: after its last turn, the caller may have talked to a human for long.
    let has_end = data.duration.is_some_and(|duration| duration > Amount(0));
    let age = now.saturating_duration_since(ended_at);
    let long_over = has_end && age >= rules.settled_age.max(rules.settle);
    if long_over || rules.is_due(since, now) {
        Transition::Count(Count::new(data, ended_at.min(now), late))
    } else {
        Transition::Settle(LedgerEntry::Settling { since, data: data.clone(), late })
    }
}

fn amend<'a>(counted: &Counted, data: &'a ConversationData) -> Transition<'a> {
    let seen = Amounts::from(data);
    let observations = counted.observed.missing(data);
    if seen == counted.last_seen && observations.is_empty() {
        return Transition::Unchanged;
    }
    Transition::Amend(Amendment {
        data,
        before: counted.counted,
        up: seen.exceeds(&counted.last_seen) || !observations.is_empty(),
        down: counted.last_seen.exceeds(&seen),
        entry: Counted {
            counted: counted.counted.max(&seen),
            last_seen: seen,
            observed: counted.observed.with(&observations),
            dimensions: counted.dimensions.clone(),
            ..*counted
        },
        observations,
    })
}

#[cfg(test)]
mod tests;
