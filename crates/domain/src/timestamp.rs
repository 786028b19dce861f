//! Points in time, and the parser for every format that the API uses.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

use chrono::{DateTime, NaiveDate, NaiveDateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

/// Milliseconds since the Unix epoch. Arithmetic saturates, so that a malformed record cannot cause a panic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From milliseconds since the epoch.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the epoch.
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// Seconds since the epoch, as in Prometheus.
    #[expect(clippy::cast_precision_loss, reason = "exact until the year 280,000")]
    pub fn seconds(self) -> f64 {
        self.0 as f64 / 1000.0
    }

    /// From seconds since the epoch, to the nearest millisecond.
    #[expect(clippy::cast_possible_truncation, reason = "saturates")]
    pub fn from_seconds(seconds: f64) -> Self {
        Self((seconds * 1000.0).round() as i64)
    }

    /// The time since `earlier`; zero if that is later.
    pub fn saturating_duration_since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Parses a timestamp of the API: ISO 8601 with `T` or a space, 0 to 9 fraction digits, `Z`, an offset or no zone
    /// (then UTC), or RFC 1123. Fractions of a millisecond are truncated.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        parse_fast_path(text.as_bytes()).or_else(|| parse_slow(text))
    }
}

/// Parses `2026-08-20T09:15:02[.370000][Z|+00:00]`, the format of nearly all records, faster than the general parser.
fn parse_fast_path(text: &[u8]) -> Option<Timestamp> {
    let number = |range: std::ops::Range<usize>| -> Option<u32> {
        text.get(range)?
            .iter()
            .try_fold(0u32, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + u32::from(byte - b'0')))
    };
    let separators = [(4, b'-'), (7, b'-'), (13, b':'), (16, b':')];
    if separators.iter().any(|&(at, byte)| text.get(at) != Some(&byte))
        || !matches!(text.get(10), Some(b'T' | b' '))
    {
        return None;
    }
    let date = NaiveDate::from_ymd_opt(i32::try_from(number(0..4)?).ok()?, number(5..7)?, number(8..10)?)?;
    let seconds = date.and_hms_opt(number(11..13)?, number(14..16)?, number(17..19)?)?.and_utc().timestamp();
    let mut rest = text.get(19..)?;
    let mut millis = 0;
    if let Some(fraction) = rest.strip_prefix(b".") {
        let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if !(1..=9).contains(&digits) {
            return None;
        }
        let (fraction, zone) = fraction.split_at(digits);
        millis =
            (0..3).fold(0, |sum, at| sum * 10 + fraction.get(at).map_or(0, |byte| i64::from(byte - b'0')));
        rest = zone;
    }
    matches!(rest, b"" | b"Z" | b"z" | b"+00:00" | b"+0000" | b"+00" | b"-00:00")
        .then_some(Timestamp(seconds * 1000 + millis))
}

fn parse_slow(text: &str) -> Option<Timestamp> {
    let zoned = DateTime::parse_from_rfc3339(text)
        .or_else(|_| DateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f%z"))
        .or_else(|_| DateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f%z"))
        .or_else(|_| DateTime::parse_from_rfc2822(text));
    match zoned {
        Ok(time) => Some(Timestamp(time.timestamp_millis())),
        Err(_) => ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f"]
            .iter()
            .find_map(|format| NaiveDateTime::parse_from_str(text, format).ok())
            .map(|time| Timestamp(time.and_utc().timestamp_millis())),
    }
}

impl From<DateTime<Utc>> for Timestamp {
    fn from(time: DateTime<Utc>) -> Self {
        Self(time.timestamp_millis())
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, length: Duration) -> Self {
        Self(self.0.saturating_add(whole_millis(length)))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;

    fn sub(self, length: Duration) -> Self {
        Self(self.0.saturating_sub(whole_millis(length)))
    }
}

fn whole_millis(length: Duration) -> i64 {
    i64::try_from(length.as_millis()).unwrap_or(i64::MAX)
}

/// The format of the API's query parameters: `2026-08-20T09:15:02.370Z`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match DateTime::from_timestamp_millis(self.0) {
            Some(time) => f.write_str(&time.to_rfc3339_opts(SecondsFormat::Millis, true)),
            None => write!(f, "{} ms", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_format_of_a_time_is_parsed() {
        let expected = Timestamp::from_millis(1_787_217_302_370);
        for text in [
            "2026-08-20T09:15:02.370000+00:00",
            "2026-08-20T09:15:02.37Z",
            "2026-08-20 09:15:02.37",
            "2026-08-20T09:15:02.370999999",
            "2026-08-20T10:15:02.370+01:00",
            "2026-08-20T11:15:02.370+0200",
        ] {
            assert_eq!(Timestamp::parse(text), Some(expected), "{text}");
        }
        let whole_second = Timestamp::from_millis(1_787_217_302_000);
        assert_eq!(Timestamp::parse("Thu, 20 Aug 2026 09:15:02 GMT"), Some(whole_second));
        assert_eq!(expected.to_string(), "2026-08-20T09:15:02.370Z");
    }

    #[test]
    fn invalid_text_is_rejected() {
        for text in
            ["", "yesterday", "2026-13-01T00:00:00Z", "2026-02-30T00:00:00Z", "2026-08-20", "1787217302"]
        {
            assert_eq!(Timestamp::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn fast_path_agrees_with_general_parser(millis in -2_000_000_000_000i64..4_000_000_000_000) {
            let text = Timestamp::from_millis(millis).to_string();
            prop_assert_eq!(parse_fast_path(text.as_bytes()), parse_slow(&text));
            prop_assert_eq!(Timestamp::parse(&text), Some(Timestamp::from_millis(millis)));
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,40}") {
            let _ = Timestamp::parse(&text);
        }
    }
}
