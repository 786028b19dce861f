//! The state of one conversation in the ledger.

use polyai_domain::conversation::{Amount, ConversationData};
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
}

/// The amounts of a conversation that a later change may raise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Amounts {
    pub(crate) duration: Amount,
    pub(crate) agent_duration: Amount,
    pub(crate) turns: u32,
    pub(crate) ood_turns: u32,
    pub(crate) silence_turns: u32,
    pub(crate) barge_in_turns: u32,
    pub(crate) handoff: bool,
}

impl From<&ConversationData> for Amounts {
    fn from(data: &ConversationData) -> Self {
        Self {
            duration: data.duration.unwrap_or_default(),
            agent_duration: data.agent_duration.unwrap_or_default(),
            turns: data.turns.unwrap_or(0),
            ood_turns: data.ood_turns,
            silence_turns: data.silence_turns,
            barge_in_turns: data.barge_in_turns,
            handoff: data.handoff.is_some(),
        }
    }
}

impl Amounts {
    /// The maximum of each amount.
    pub(crate) fn max(&self, other: &Self) -> Self {
        Self {
            duration: self.duration.max(other.duration),
            agent_duration: self.agent_duration.max(other.agent_duration),
            turns: self.turns.max(other.turns),
            ood_turns: self.ood_turns.max(other.ood_turns),
            silence_turns: self.silence_turns.max(other.silence_turns),
            barge_in_turns: self.barge_in_turns.max(other.barge_in_turns),
            handoff: self.handoff || other.handoff,
        }
    }

    /// Whether any amount is above the same amount of `other`.
    pub(crate) fn exceeds(&self, other: &Self) -> bool {
        self.max(other) != *other
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
