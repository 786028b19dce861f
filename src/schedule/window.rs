//! What a walk over the pages of the list asks for.

use std::fmt;

use crate::conversation::ConversationId;
use crate::moment::Moment;

/// A stretch of start times. The API does not document whether its bounds are included, so walks overlap a little.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// `start_time`; none reads from the beginning.
    pub from: Option<Moment>,
    /// `end_time`; none reads to the end.
    pub to: Option<Moment>,
}

impl Window {
    /// From one moment to another.
    pub fn between(from: Moment, to: Moment) -> Self {
        Self { from: Some(from), to: Some(to) }
    }

    /// Whether `moment` lies in it.
    pub fn contains(&self, moment: Moment) -> bool {
        self.from.is_none_or(|from| from <= moment) && self.to.is_none_or(|to| moment <= to)
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.from, self.to) {
            (Some(from), Some(to)) => write!(f, "{from} to {to}"),
            (Some(from), None) => write!(f, "since {from}"),
            (None, Some(to)) => write!(f, "until {to}"),
            (None, None) => f.write_str("all times"),
        }
    }
}

/// Which conversations of a window are asked for (`in_progress`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filter {
    /// `in_progress=true`
    Running,
    /// `in_progress=false`
    Finished,
    /// Both.
    Any,
}

/// One walk over all pages of a window; takes effect as a whole or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Walk {
    /// What it is for.
    pub purpose: Purpose,
    /// Which start times.
    pub window: Window,
    /// Which conversations.
    pub filter: Filter,
}

/// What a walk is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purpose {
    /// Everything that is open now.
    Live,
    /// A stretch, for the fresh pass or for rechecks or, where nothing lies in between, for both.
    Stretch(Stretch),
    /// Conversations that left the open list, around their known starts.
    Narrow(Vec<ConversationId>),
}

/// Whose watermarks a stretch moves, and where to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stretch {
    /// The fresh watermark before and after.
    pub fresh: Option<(Moment, Moment)>,
    /// Indices of recheck passes and where they get to.
    pub rechecks: Vec<(usize, Moment)>,
    /// What started from here on is read by the fresh pass; anything earlier by a recheck alone.
    pub timely_from: Option<Moment>,
    /// Whether the whole overlap is read.
    pub whole_overlap: bool,
}

impl Purpose {
    /// A name for logs.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Stretch(Stretch { fresh: Some(_), .. }) => "fresh",
            Self::Stretch(_) => "recheck",
            Self::Narrow(_) => "narrow",
        }
    }
}
