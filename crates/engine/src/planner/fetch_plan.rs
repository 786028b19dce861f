//! One fetch of a target's list: its window, and the pass that it serves.

use polyai_domain::conversation::ConversationId;
use polyai_domain::fetch::{Filter, Window};
use polyai_domain::timestamp::Timestamp;

use crate::ledger::transition::SeenBy;

/// A fetch of all pages of a window. It takes effect as a whole or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchPlan {
    /// The pass that it serves.
    pub pass: PassKind,
    /// The start times to read.
    pub window: Window,
    /// The states to read.
    pub filter: Filter,
}

/// The pass that a fetch serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PassKind {
    /// Everything that is open now.
    Open,
    /// A range of start times, for the fresh pass or rechecks or, where nothing known lies in between, for both.
    Range(FetchRange),
    /// Conversations that left the open list, around their known starts.
    Refetch(Vec<ConversationId>),
}

/// The watermarks that a range moves.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FetchRange {
    /// The fresh watermark before and after.
    pub(crate) fresh: Option<(Timestamp, Timestamp)>,
    /// Indices of rechecks, with their watermarks after.
    pub(crate) rechecks: Vec<(usize, Timestamp)>,
    /// Indices of rechecks whose age the fresh pass is behind by, with the end of the part that they need not read again.
    pub(crate) satisfies: Vec<(usize, Timestamp)>,
    /// The earliest start that the fresh pass reads; anything earlier is read by rechecks alone.
    pub(crate) fresh_from: Option<Timestamp>,
    pub(crate) whole_overlap: bool,
}

impl FetchPlan {
    /// How this fetch sees a new conversation that started at `start`.
    pub(crate) fn seen_by(&self, start: Timestamp) -> SeenBy {
        match &self.pass {
            PassKind::Range(range) if range.fresh_from.is_none_or(|from| start < from) => SeenBy::Recheck,
            PassKind::Range(_) | PassKind::Open | PassKind::Refetch(_) => SeenBy::Fresh,
        }
    }

    /// The fresh watermark after this fetch, if it moves that.
    pub fn fresh_to(&self) -> Option<Timestamp> {
        match &self.pass {
            PassKind::Range(range) => range.fresh.map(|(_, to)| to),
            PassKind::Open | PassKind::Refetch(_) => None,
        }
    }
}

impl PassKind {
    /// A name for logs.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Range(FetchRange { fresh: Some(_), .. }) => "fresh",
            Self::Range(_) => "recheck",
            Self::Refetch(_) => "refetch",
        }
    }
}
