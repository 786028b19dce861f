//! Which conversations of a list are asked for: a stretch of start times, and whether they run.

use std::fmt;
use std::time::Duration;

use crate::moment::Moment;

/// The first and the last moment that four digits of a year can tell; the API refuses any other.
const TELLABLE: (Moment, Moment) =
    (Moment::from_millis(-62_135_596_800_000), Moment::from_millis(253_402_300_799_999));

/// A stretch of start times. The API does not document whether its bounds are included, so walks overlap a little.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// `start_time`; none reads from the beginning.
    pub from: Option<Moment>,
    /// `end_time`; none reads to the end.
    pub to: Option<Moment>,
}

impl Window {
    /// All times.
    pub const ALL: Self = Self { from: None, to: None };

    /// From one moment to another. Bounds stay within the years 1 to 9999.
    pub fn between(from: Moment, to: Moment) -> Self {
        Self { from: Some(tellable(from)), to: Some(tellable(to)) }
    }

    /// From a moment on, within the same years.
    pub fn since(from: Moment) -> Self {
        Self { from: Some(tellable(from)), to: None }
    }

    /// From bound to bound, where there are both.
    pub fn length(self) -> Option<Duration> {
        Some(self.to?.since(self.from?))
    }
}

fn tellable(moment: Moment) -> Moment {
    moment.clamp(TELLABLE.0, TELLABLE.1)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_bounds_can_be_told_in_four_digits_of_a_year() {
        let (first, last) = (Moment::from_millis(i64::MIN), Moment::from_millis(i64::MAX));
        let text = Window::between(first, last).to_string();
        assert_eq!(text, "0001-01-01T00:00:00.000Z to 9999-12-31T23:59:59.999Z");
        assert_eq!(Window::since(first).to_string(), "since 0001-01-01T00:00:00.000Z");
    }
}
