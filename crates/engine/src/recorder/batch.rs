//! The messages between pollers and the recorder.

use std::collections::BTreeSet;

use polyai_domain::conversation::{Conversation, ConversationId, MissingField};
use polyai_domain::problem::Problem;
use polyai_domain::timestamp::Timestamp;

use crate::ledger::Watermarks;
use crate::ledger::transition::SeenBy;

/// The number of a target: assigned when it enters the configuration, and never assigned again while the program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetIndex(pub usize);

/// The result of reading one window of a target; takes effect as a whole or not at all.
#[derive(Debug, Clone)]
pub struct Batch {
    /// The target.
    pub target: TargetIndex,
    /// The API's time when the last page had been read.
    pub now: Timestamp,
    /// Every conversation seen, each once.
    pub observations: Vec<Observation>,
    /// Whether the observations are all that is open, as in the open pass.
    pub lists_all_open: bool,
    /// Conversations that are followed no longer.
    pub abandoned: Vec<ConversationId>,
    /// How far the target has been read with this batch.
    pub watermarks: Option<Watermarks>,
}

/// One observation of a conversation.
#[derive(Debug, Clone)]
pub struct Observation {
    /// The conversation.
    pub conversation: Conversation,
    /// The kind of pass.
    pub seen_by: SeenBy,
}

/// The result of the latest poll of a target.
#[derive(Debug, Clone)]
pub struct PollStatus {
    /// The target.
    pub target: TargetIndex,
    /// The API's time.
    pub now: Timestamp,
    /// Whether every pass succeeded.
    pub up: bool,
    /// Whether the fresh pass has read up to the beginning of the poll, by a time that is certain.
    pub caught_up: bool,
    /// The active problems.
    pub problems: BTreeSet<Problem>,
    /// The fields that its conversations lack, if `partial_fields` is one of them.
    pub missing_fields: BTreeSet<MissingField>,
}

/// The result of applying a batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BatchOutcome {
    /// Conversations that were seen finished for the first time.
    pub(crate) finished: Vec<FirstFinished>,
    /// How many conversations counted with this batch.
    pub counted: u64,
    /// The labels of which a value was replaced by `other`.
    pub limited_labels: BTreeSet<&'static str>,
}

/// A conversation that was seen finished for the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FirstFinished {
    pub(crate) started_at: Timestamp,
    /// By its own account.
    pub(crate) ended_at: Option<Timestamp>,
    /// Whether it had been seen in progress before.
    pub(crate) was_open: bool,
    pub(crate) seen_by: SeenBy,
}
