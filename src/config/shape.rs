//! The formats that values have, and how each is told to people.
//!
//! Owns: formats, ranges and their wording. Never: which key has which.

use std::fmt;
use std::time::Duration;

use super::listen::RIGHT;
use crate::conversation::Amount;
use exporter_schema::join_list;

/// The format and range of a value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ValueType {
    /// One address to listen on, or a list of them.
    Addresses,
    /// `true` or `false`.
    Switch,
    /// A path of the file system.
    Path,
    /// Text that is not empty and has no control characters.
    Text,
    /// Text that becomes a segment of a URL: no slash either.
    Id,
    /// A URL of scheme http or https.
    Url,
    /// A point in time, RFC 3339.
    Time,
    /// Text that is never shown.
    Credential,
    /// A span of time with its unit.
    Duration {
        /// The shortest.
        min: Duration,
        /// The longest.
        max: Duration,
    },
    /// An ascending list of spans of time.
    Durations {
        /// The shortest.
        min: Duration,
        /// The longest.
        max: Duration,
    },
    /// A whole number.
    Count {
        /// The smallest.
        min: u32,
        /// The largest.
        max: u32,
    },
    /// Upper bounds of a histogram: ascending positive numbers, which differ in whole millionths.
    Bounds,
    /// One of a closed set.
    OneOf(&'static [&'static str]),
    /// A list of members of a closed set.
    SomeOf(&'static [&'static str]),
    /// A list of text.
    Texts,
}

/// The smallest upper bound of a histogram: observations are whole millionths.
pub(super) const MIN_BOUND: &str = "0.000001";

/// The most upper bounds of a histogram.
pub(super) const MOST_BOUNDS: usize = 50;

impl fmt::Display for ValueType {
    /// What would be right, as it ends a message: "write ...".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Addresses => f.write_str(RIGHT),
            Self::Switch => f.write_str("true or false"),
            Self::Path => f.write_str("a path"),
            Self::Text => f.write_str("text that is not empty, without control characters"),
            Self::Id => f.write_str(
                "text that is not empty, without slashes, control characters and spaces at its ends",
            ),
            Self::Url => f.write_str("a URL such as \"https://proxy.example.com/polyai\""),
            Self::Time => f.write_str("a time with its zone, such as \"2026-01-31T00:00:00Z\""),
            Self::Credential => f.write_str("text that is not empty"),
            Self::Duration { min, max } => {
                write!(f, "a duration from {} to {}", format_duration(*min), format_duration(*max))
            }
            Self::Durations { min, max } => {
                write!(
                    f,
                    "ascending durations from {} to {}, such as [5m, 1h]",
                    format_duration(*min),
                    format_duration(*max)
                )
            }
            Self::Count { min, max } => write!(f, "a whole number from {min} to {max}"),
            Self::Bounds => {
                let most = Amount::MAX.units();
                write!(
                    f,
                    "1 to {MOST_BOUNDS} ascending numbers from {MIN_BOUND} to {most}, such as [0.5, 1, 2.5]"
                )
            }
            Self::OneOf(names) => f.write_str(&join_list(names.iter().copied(), "or")),
            Self::SomeOf(names) => {
                write!(f, "a list of {}", join_list(names.iter().copied(), "or"))
            }
            Self::Texts => f.write_str("a list of text, such as [VOICE-SIP]"),
        }
    }
}

/// A duration in its largest whole unit, as people write it in the file: `24h`, `90days`.
pub fn format_duration(span: Duration) -> String {
    let seconds = span.as_secs();
    if span.subsec_nanos() > 0 || seconds == 0 || seconds > 366 * 24 * 3600 {
        return humantime::format_duration(span).to_string();
    }
    for (unit, size) in [("days", 24 * 3600), ("h", 3600), ("m", 60)] {
        if seconds.is_multiple_of(size) && (unit != "days" || seconds > size) {
            return format!("{}{unit}", seconds / size);
        }
    }
    humantime::format_duration(span).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_shown_as_people_write_it() {
        for (seconds, shown) in
            [(0, "0s"), (30, "30s"), (90, "1m 30s"), (300, "5m"), (86_400, "24h"), (90 * 86_400, "90days")]
        {
            assert_eq!(format_duration(Duration::from_secs(seconds)), shown);
        }
        assert_eq!(format_duration(Duration::from_millis(1500)), "1s 500ms");
    }
}
