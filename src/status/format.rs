//! Times, spans and amounts in words. Pure.
//!
//! Owns: how they are written, for the page and for sentences. Times are UTC, to the minute unless they are of today's polls.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Serialize, Serializer};

pub(super) use crate::text::{count, pluralize};
use crate::timestamp::Timestamp;

/// A point in time as JSON has it: RFC 3339 with milliseconds, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct JsonTimestamp(pub Timestamp);

/// A span as JSON has it: seconds, to the millisecond.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seconds(pub Duration);

/// A share from 0 to 1, as JSON has it: to a millionth.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Ratio(pub f64);

impl JsonTimestamp {
    fn utc(self) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(self.0.millis()).unwrap_or_default()
    }

    /// RFC 3339.
    pub(super) fn rfc3339(self) -> String {
        self.utc().to_rfc3339_opts(SecondsFormat::Millis, true)
    }

    /// `14:03`, with the day if it is not that of `now`.
    pub(super) fn hh_mm(self, now: Self) -> String {
        self.written(now, "%H:%M")
    }

    /// `14:03:27`, with the day if it is not that of `now`.
    pub(super) fn clock_to_the_second(self, now: Self) -> String {
        self.written(now, "%H:%M:%S")
    }

    fn written(self, now: Self, clock: &str) -> String {
        let (then, now) = (self.utc(), now.utc());
        let form =
            if then.date_naive() == now.date_naive() { clock.to_owned() } else { format!("%-d %b {clock}") };
        then.format(&form).to_string()
    }

    /// `3 min ago`, `in 20 s`, `now`.
    pub(super) fn from(self, now: Self) -> String {
        let (past, ahead) =
            (now.0.saturating_duration_since(self.0), self.0.saturating_duration_since(now.0));
        // Tenths, and seconds beside minutes, would be noise here.
        let coarse = |length: Duration| match length.as_secs() {
            seconds @ 0..60 => format!("{seconds} s"),
            seconds @ 60..3600 => format!("{} min", seconds / 60),
            3600.. => span(length),
        };
        if past.as_millis() >= 1000 {
            format!("{} ago", coarse(past))
        } else if ahead.as_millis() >= 1000 {
            format!("in {}", coarse(ahead))
        } else {
            "now".to_owned()
        }
    }
}

impl Serialize for JsonTimestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.rfc3339())
    }
}

impl Serialize for Seconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64((self.0.as_secs_f64() * 1000.0).round() / 1000.0)
    }
}

impl Serialize for Ratio {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64((self.0 * 1e6).round() / 1e6)
    }
}

impl fmt::Display for Ratio {
    /// Per cent: whole ones from 10 on, else one digit more.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = self.0 * 100.0;
        if percent >= 9.95 || percent.abs() < 0.05 {
            write!(f, "{percent:.0} %")
        } else {
            write!(f, "{percent:.1} %")
        }
    }
}

/// `340 ms`, `12 s`, `3 min 5 s`, `2 h 14 min`, `3 d 4 h`: at most two units.
pub(super) fn span(length: Duration) -> String {
    let millis = length.as_millis();
    if millis < 1000 {
        return format!("{millis} ms");
    }
    let seconds = length.as_secs();
    let two = |big: u64, big_unit: &str, small: u64, small_unit: &str| match small {
        0 => format!("{big} {big_unit}"),
        small => format!("{big} {big_unit} {small} {small_unit}"),
    };
    match seconds {
        0..10 if !millis.is_multiple_of(1000) => format!("{:.1} s", length.as_secs_f64()),
        0..60 => format!("{seconds} s"),
        60..600 => two(seconds / 60, "min", seconds % 60, "s"),
        600..3600 => format!("{} min", seconds / 60),
        3600..86_400 => two(seconds / 3600, "h", seconds % 3600 / 60, "min"),
        86_400.. => two(seconds / 86_400, "d", seconds % 86_400 / 3600, "h"),
    }
}

/// `812 B`, `12.4 kB`, `3.1 MB`.
#[expect(clippy::cast_precision_loss, reason = "for people")]
pub(super) fn bytes(count: u64) -> String {
    match count {
        0..1000 => format!("{count} B"),
        1000..1_000_000 => format!("{:.1} kB", count as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", count as f64 / 1e6),
        1_000_000_000.. => format!("{:.1} GB", count as f64 / 1e9),
    }
}

/// A name as it may stand in a sentence: what is not visible, or would turn the sentence around, is replaced.
pub(super) fn strip_control(name: &str) -> String {
    let turns = |letter: char| matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    name.chars()
        .map(|letter| if letter.is_control() || turns(letter) { '\u{fffd}' } else { letter })
        .collect()
}

/// The sentence with a capital letter.
pub(super) fn capitalize(sentence: &str) -> String {
    let mut letters = sentence.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_at_most_two_units() {
        for (millis, words) in [
            (0, "0 ms"),
            (340, "340 ms"),
            (1000, "1 s"),
            (1234, "1.2 s"),
            (12_999, "12 s"),
            (185_000, "3 min 5 s"),
            (180_000, "3 min"),
            (754_000, "12 min"),
            (8_040_000, "2 h 14 min"),
            (273_600_000, "3 d 4 h"),
        ] {
            assert_eq!(span(Duration::from_millis(millis)), words);
        }
    }

    #[test]
    fn times_include_other_days_only() {
        let at = |text: &str| JsonTimestamp(Timestamp::parse(text).unwrap());
        let now = at("2026-11-24T14:10:30Z");
        assert_eq!(at("2026-11-24T14:03:27Z").hh_mm(now), "14:03");
        assert_eq!(at("2026-11-24T14:03:27Z").clock_to_the_second(now), "14:03:27");
        assert_eq!(at("2026-11-03T14:03:27Z").hh_mm(now), "3 Nov 14:03");
        assert_eq!(at("2026-11-24T14:07:30Z").from(now), "3 min ago");
        assert_eq!(at("2026-11-24T14:10:50Z").from(now), "in 20 s");
        assert_eq!(now.from(now), "now");
    }

    #[test]
    fn control_characters_are_replaced() {
        assert_eq!(strip_control("a\u{202e}b\n<c> é 🤖"), "a\u{fffd}b\u{fffd}<c> é 🤖");
    }

    #[test]
    fn numbers_are_short_with_units() {
        assert_eq!([999, 12_400, 3_100_000].map(bytes), ["999 B", "12.4 kB", "3.1 MB"]);
        assert_eq!([0, 999, 1000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(
            [0.0, 0.031, 0.0999, 0.18, 1.0].map(|ratio| Ratio(ratio).to_string()),
            ["0 %", "3.1 %", "10 %", "18 %", "100 %"]
        );
        assert_eq!(
            serde_json::to_string(&(Ratio(1.0 / 3.0), Seconds(Duration::from_micros(1_234_567)))).unwrap(),
            "[0.333333,1.235]"
        );
    }
}
