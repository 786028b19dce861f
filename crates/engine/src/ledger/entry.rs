//! The state of one conversation in the ledger.

use polyai_domain::conversation::{Amount, ConversationData, TurnLatency};
use polyai_domain::timestamp::Timestamp;
use serde::{Deserialize, Serialize};

use crate::dimension::Dimension;

/// The state of one conversation in the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum LedgerEntry {
    /// In progress; followed until it is seen finished.
    Open {
        /// `started_at`
        started_at: Timestamp,
        /// First seen by a recheck pass.
        late: bool,
    },
    /// Finished; counts when the settle time has passed.
    Settling {
        /// When it was first seen finished.
        since: Timestamp,
        /// Its newest data, so that it can count without another download.
        data: ConversationData,
        /// First seen by a recheck pass.
        late: bool,
    },
    /// Counted, for good.
    Counted(Counted),
}

/// A counted conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    pub(crate) started_at: Timestamp,
    /// Not later than it was counted.
    pub(crate) ended_at: Timestamp,
    /// The amounts added to the counters: the maximum of each amount ever seen.
    pub(crate) counted: Amounts,
    /// Its amounts when it was last seen; equal to `counted` unless it shrank.
    pub(crate) last_seen: Amounts,
    /// The dimensions configured when it was counted, with its values; others may be configured by now.
    pub(crate) dimensions: Vec<(Dimension, Box<str>)>,
    /// What the histograms have observed of it.
    pub(crate) observed: Observed,
}

/// What the histograms have observed of a conversation: each part once, when it was first seen.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Observed {
    pub(crate) duration: bool,
    pub(crate) agent_duration: bool,
    pub(crate) turns: bool,
    pub(crate) greeting: bool,
    /// The latencies of replies, ascending; absent if they were not recorded, and then none is observed any more.
    pub(crate) replies: Option<Box<[Amount]>>,
}

/// The parts of a conversation that the histograms observe now.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Observations {
    pub(crate) duration: Option<Amount>,
    pub(crate) agent_duration: Option<Amount>,
    pub(crate) turns: Option<u32>,
    pub(crate) greeting: Option<TurnLatency>,
    pub(crate) replies: Vec<TurnLatency>,
}

impl Observed {
    /// Nothing has been observed.
    pub(crate) fn nothing() -> Self {
        Self { replies: Some(Box::default()), ..Self::default() }
    }

    /// The observations that `data` adds.
    pub(crate) fn missing(&self, data: &ConversationData) -> Observations {
        Observations {
            duration: data.duration.filter(|_| !self.duration),
            agent_duration: data.agent_duration.filter(|_| !self.agent_duration),
            turns: data.turns.filter(|_| !self.turns),
            greeting: data.greeting.filter(|_| !self.greeting),
            replies: self.missing_replies(&data.replies),
        }
    }

    /// The same with `new` observations.
    #[must_use]
    pub(crate) fn with(&self, new: &Observations) -> Self {
        let add_replies = |observed: &[Amount]| -> Box<[Amount]> {
            let new = new.replies.iter().map(|reply| reply.latency);
            let mut latencies: Vec<Amount> = observed.iter().copied().chain(new).collect();
            latencies.sort_unstable();
            latencies.into()
        };
        Self {
            duration: self.duration || new.duration.is_some(),
            agent_duration: self.agent_duration || new.agent_duration.is_some(),
            turns: self.turns || new.turns.is_some(),
            greeting: self.greeting || new.greeting.is_some(),
            replies: self.replies.as_deref().map(add_replies),
        }
    }

    /// The replies among `all` that have not been observed, but no more than it has grown by: the latency of a turn may be
    /// corrected, and that is no other turn.
    fn missing_replies(&self, all: &[TurnLatency]) -> Vec<TurnLatency> {
        let Some(observed) = &self.replies else { return Vec::new() };
        let growth = all.len().saturating_sub(observed.len());
        if growth == 0 {
            return Vec::new();
        }
        let mut unmatched = observed.to_vec();
        let is_new = |reply: &&TurnLatency| match unmatched.binary_search(&reply.latency) {
            Ok(index) => {
                unmatched.remove(index);
                false
            }
            Err(_) => true,
        };
        all.iter().filter(is_new).take(growth).copied().collect()
    }
}

impl Observations {
    /// Whether there is nothing to observe.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The amounts of a conversation that a later change may raise; absent if the record does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Amounts {
    pub(crate) duration: Option<Amount>,
    pub(crate) agent_duration: Option<Amount>,
    pub(crate) turns: Option<u32>,
    pub(crate) ood_turns: Option<u32>,
    pub(crate) silence_turns: Option<u32>,
    pub(crate) barge_in_turns: u32,
    pub(crate) handoff: Option<bool>,
}

impl From<&ConversationData> for Amounts {
    fn from(data: &ConversationData) -> Self {
        Self {
            duration: data.duration,
            agent_duration: data.agent_duration,
            turns: data.turns,
            ood_turns: data.ood_turns,
            silence_turns: data.silence_turns,
            barge_in_turns: data.barge_in_turns,
            handoff: data.handoff.happened(),
        }
    }
}

impl Amounts {
    /// The maximum of each amount; an absent one is less than any other.
    pub(crate) fn max(&self, other: &Self) -> Self {
        Self {
            duration: self.duration.max(other.duration),
            agent_duration: self.agent_duration.max(other.agent_duration),
            turns: self.turns.max(other.turns),
            ood_turns: self.ood_turns.max(other.ood_turns),
            silence_turns: self.silence_turns.max(other.silence_turns),
            barge_in_turns: self.barge_in_turns.max(other.barge_in_turns),
            handoff: self.handoff.max(other.handoff),
        }
    }

    /// Whether any amount is above the same amount of `other`. An absent one is as 0 here: that it arrives as 0 is no growth.
    pub(crate) fn exceeds(&self, other: &Self) -> bool {
        let (own, other) = (self.or_zero(), other.or_zero());
        own.max(&other) != other
    }

    fn or_zero(&self) -> Self {
        Self {
            duration: self.duration.or(Some(Amount(0))),
            agent_duration: self.agent_duration.or(Some(Amount(0))),
            turns: self.turns.or(Some(0)),
            ood_turns: self.ood_turns.or(Some(0)),
            silence_turns: self.silence_turns.or(Some(0)),
            barge_in_turns: self.barge_in_turns,
            handoff: self.handoff.or(Some(false)),
        }
    }
}

impl LedgerEntry {
    /// `started_at`
    pub fn started_at(&self) -> Timestamp {
        match self {
            Self::Open { started_at, .. } => *started_at,
            Self::Settling { data, .. } => data.started_at,
            Self::Counted(counted) => counted.started_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn replies(seconds: &[u32]) -> Vec<TurnLatency> {
        seconds
            .iter()
            .map(|&seconds| TurnLatency { latency: Amount::from_count(seconds), at: None })
            .collect()
    }

    /// Observes a record with replies of so many `seconds`; returns the new ones.
    fn observe(observed: &mut Observed, seconds: &[u32]) -> Vec<u64> {
        let new = observed.missing_replies(&replies(seconds));
        *observed = observed.with(&Observations { replies: new.clone(), ..Observations::default() });
        new.iter().map(|reply| reply.latency.0 / 1_000_000).collect()
    }

    #[test]
    fn late_reply_is_observed_wherever_it_is_inserted() {
        let mut observed = Observed::nothing();
        assert_eq!(observe(&mut observed, &[2, 3]), [2, 3]);
        assert_eq!(observe(&mut observed, &[2, 7, 3]), [7]);
        assert_eq!(observe(&mut observed, &[2, 7, 3]), [0; 0]);
        assert_eq!(observe(&mut observed, &[2, 2, 7, 3]), [2]);
    }

    #[test]
    fn corrected_latency_is_no_other_turn() {
        let mut observed = Observed::nothing();
        observe(&mut observed, &[2, 3]);
        assert_eq!(observe(&mut observed, &[2, 4]), [0; 0]);
        assert_eq!(observe(&mut observed, &[2, 4, 5]).len(), 1);
        assert_eq!(observe(&mut observed, &[5]), [0; 0]);
    }

    #[test]
    fn replies_that_were_not_recorded_are_not_observed_again() {
        assert_eq!(observe(&mut Observed::default(), &[2]), [0; 0]);
    }

    proptest! {
        /// Turns arrive in any order, in any number of views of the record.
        #[test]
        fn growing_views_add_up_to_the_last(
            all in prop::collection::vec(0u32..4, 0..12),
            arrival in prop::collection::vec(0usize..4, 12),
        ) {
            let mut observed = Observed::nothing();
            let mut sum = Vec::new();
            for view in 0..4 {
                let seen: Vec<u32> =
                    all.iter().zip(&arrival).filter(|(_, arrived)| **arrived <= view).map(|(one, _)| *one).collect();
                sum.extend(observe(&mut observed, &seen));
            }
            sum.sort_unstable();
            let mut expected: Vec<u64> = all.iter().map(|&one| u64::from(one)).collect();
            expected.sort_unstable();
            prop_assert_eq!(sum, expected);
        }
    }
}
