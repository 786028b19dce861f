//! One walk over the pages of a target's list, and what it is for.

use crate::api::{Filter, Window};
use crate::conversation::ConversationId;
use crate::timestamp::Timestamp;

/// One walk over all pages of a window; takes effect as a whole or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchPlan {
    /// What it is for.
    pub purpose: PassKind,
    /// Which start times.
    pub window: Window,
    /// Which conversations.
    pub filter: Filter,
}

/// What a walk is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PassKind {
    /// Everything that is open now.
    Live,
    /// A stretch, for the fresh pass or for rechecks or, where nothing lies in between, for both.
    Stretch(FetchRange),
    /// Conversations that left the open list, around their known starts.
    Narrow(Vec<ConversationId>),
}

/// Whose watermarks a stretch moves, and where to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FetchRange {
    /// The fresh watermark before and after.
    pub fresh: Option<(Timestamp, Timestamp)>,
    /// Indices of recheck passes and where they get to.
    pub rechecks: Vec<(usize, Timestamp)>,
    /// Indices of recheck passes for whose age the fresh pass is behind enough, and up to where: they need not read it again.
    pub satisfies: Vec<(usize, Timestamp)>,
    /// What started from here on is read by the fresh pass; anything earlier by a recheck alone.
    pub fresh_from: Option<Timestamp>,
    /// Whether the whole overlap is read.
    pub whole_overlap: bool,
}

impl PassKind {
    /// A name for logs.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Stretch(FetchRange { fresh: Some(_), .. }) => "fresh",
            Self::Stretch(_) => "recheck",
            Self::Narrow(_) => "narrow",
        }
    }
}
