//! Which conversations of a list are asked for: a stretch of start times, and whether they run.

use std::fmt;
use std::time::Duration;

use crate::timestamp::Timestamp;

/// The first and the last moment that four digits of a year can tell; the API refuses any other.
const SUPPORTED_RANGE: (Timestamp, Timestamp) =
    (Timestamp::from_millis(-62_135_596_800_000), Timestamp::from_millis(253_402_300_799_999));

/// A stretch of start times. The API does not document whether its bounds are included, so walks overlap a little.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// `start_time`; none reads from the beginning.
    pub from: Option<Timestamp>,
    /// `end_time`; none reads to the end.
    pub to: Option<Timestamp>,
}

impl Window {
    /// All times.
    pub const ALL: Self = Self { from: None, to: None };

    /// From one moment to another. Bounds stay within the years 1 to 9999.
    pub fn between(from: Timestamp, to: Timestamp) -> Self {
        Self { from: Some(clamp_year(from)), to: Some(clamp_year(to)) }
    }

    /// From a moment on, within the same years.
    pub fn since(from: Timestamp) -> Self {
        Self { from: Some(clamp_year(from)), to: None }
    }

    /// From bound to bound, where there are both.
    pub fn length(self) -> Option<Duration> {
        Some(self.to?.saturating_duration_since(self.from?))
    }
}

fn clamp_year(moment: Timestamp) -> Timestamp {
    moment.clamp(SUPPORTED_RANGE.0, SUPPORTED_RANGE.1)
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
    InProgress,
    /// `in_progress=false`
    Finished,
    /// Both.
    Any,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_bounds_can_be_told_in_four_digits_of_a_year() {
        let (first, last) = (Timestamp::from_millis(i64::MIN), Timestamp::from_millis(i64::MAX));
        let text = Window::between(first, last).to_string();
        assert_eq!(text, "0001-01-01T00:00:00.000Z to 9999-12-31T23:59:59.999Z");
        assert_eq!(Window::since(first).to_string(), "since 0001-01-01T00:00:00.000Z");
    }
}
