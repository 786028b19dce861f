//! Which conversations of a list are asked for: a stretch of start times, and whether they run.

use std::fmt;

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
