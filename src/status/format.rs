//! Formats of times, durations, ratios and amounts, in JSON and in text.

use std::fmt;
use std::time::Duration;

use chrono::DateTime;
use serde::{Serialize, Serializer};

pub(super) use crate::text::{count, pluralize};
use polyai_domain::timestamp::Timestamp;

/// In JSON RFC 3339 with milliseconds, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) struct JsonTimestamp(#[serde(serialize_with = "as_text")] pub(super) Timestamp);

/// In JSON seconds, to the millisecond.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Seconds(pub(super) Duration);

/// From 0 to 1; in JSON to a millionth, in text as a percentage.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub(super) struct Ratio(pub(super) f64);

impl JsonTimestamp {
    /// `14:03`, with the date unless it is that of `now`.
    pub(super) fn hh_mm(self, now: Self) -> String {
        self.format(now, "%H:%M")
    }

    /// `14:03:27`, with the date unless it is that of `now`.
    pub(super) fn hh_mm_ss(self, now: Self) -> String {
        self.format(now, "%H:%M:%S")
    }

    fn format(self, now: Self, time: &str) -> String {
        let [at, now] =
            [self, now].map(|time| DateTime::from_timestamp_millis(time.0.millis()).unwrap_or_default());
        let date = if at.date_naive() == now.date_naive() { "" } else { "%-d %b " };
        at.format(&format!("{date}{time}")).to_string()
    }

    pub(super) fn age(self, now: Self) -> Duration {
        now.0.saturating_duration_since(self.0)
    }

    /// `3 min ago`, `in 20 s`, `now`.
    pub(super) fn relative(self, now: Self) -> String {
        let (past, ahead) = (self.age(now), now.age(self));
        if past.as_secs() > 0 {
            format!("{} ago", coarse_span(past))
        } else if ahead.as_secs() > 0 {
            format!("in {}", coarse_span(ahead))
        } else {
            "now".to_owned()
        }
    }
}

/// Serializes what [`Display`](fmt::Display) writes.
pub(super) fn as_text<S: Serializer>(value: &impl fmt::Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

impl Serialize for Seconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64((self.0.as_secs_f64() * 1e3).round() / 1e3)
    }
}

impl Serialize for Ratio {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64((self.0 * 1e6).round() / 1e6)
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = self.0 * 100.0;
        let digits = usize::from((0.05..9.95).contains(&percent));
        write!(f, "{percent:.digits$} %")
    }
}

/// `340 ms`, `1.2 s`, `3 min 5 s`, `2 h 14 min`, `3 d 4 h`: at most two units.
pub(super) fn span(length: Duration) -> String {
    let seconds = length.as_secs();
    let two = |unit: u64, name: &str, small: u64, small_name: &str| match seconds % unit / small {
        0 => format!("{} {name}", seconds / unit),
        rest => format!("{} {name} {rest} {small_name}", seconds / unit),
    };
    match seconds {
        0 => format!("{} ms", length.as_millis()),
        1..10 if length.subsec_millis() > 0 => format!("{:.1} s", length.as_secs_f64()),
        1..600 if seconds >= 60 => two(60, "min", 1, "s"),
        1..3600 => coarse_span(length),
        3600..86_400 => two(3600, "h", 60, "min"),
        86_400.. => two(86_400, "d", 3600, "h"),
    }
}

fn coarse_span(length: Duration) -> String {
    match length.as_secs() {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds @ 60..3600 => format!("{} min", seconds / 60),
        3600.. => span(length),
    }
}

/// `812 B`, `12.4 kB`, `3.1 MB`.
#[expect(clippy::cast_precision_loss, reason = "rounded anyway")]
pub(super) fn bytes(count: u64) -> String {
    let size = count as f64;
    match count {
        0..1000 => format!("{count} B"),
        1000..1_000_000 => format!("{:.1} kB", size / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", size / 1e6),
        1_000_000_000.. => format!("{:.1} GB", size / 1e9),
    }
}

/// Replaces control characters, and those that change the direction of the text around a name.
pub(super) fn strip_control(name: &str) -> String {
    name.replace(
        |letter: char| {
            letter.is_control()
                || matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        },
        "\u{fffd}",
    )
}

pub(super) fn capitalize(sentence: &str) -> String {
    let mut letters = sentence.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn span_has_two_units_at_most() {
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
    fn time_has_a_date_only_on_another_day() {
        let at = |text: &str| JsonTimestamp(Timestamp::parse(text).unwrap());
        let now = at("2026-11-24T14:10:30Z");
        assert_eq!(at("2026-11-24T14:03:27Z").hh_mm(now), "14:03");
        assert_eq!(at("2026-11-24T14:03:27Z").hh_mm_ss(now), "14:03:27");
        assert_eq!(at("2026-11-03T14:03:27Z").hh_mm(now), "3 Nov 14:03");
        assert_eq!(at("2026-11-24T14:07:30Z").relative(now), "3 min ago");
        assert_eq!(at("2026-11-24T14:10:50Z").relative(now), "in 20 s");
        assert_eq!(now.relative(now), "now");
    }

    #[test]
    fn control_characters_in_names_are_replaced() {
        assert_eq!(strip_control("a\u{202e}b\n<c> é 🤖"), "a\u{fffd}b\u{fffd}<c> é 🤖");
    }

    #[test]
    fn amounts_are_rounded() {
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
