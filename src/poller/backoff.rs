//! How long a target is left alone after its poll failed.
//!
//! Owns: the circuit. What only a person can mend is asked for rarely; what passes by itself is asked for at ever longer
//! intervals; the first success closes it. Pure: the random part is an argument.

use std::time::Duration;

use crate::api::FetchErrorKind;

/// How often a target is tried whose key or address is wrong.
const MAX_DELAY: Duration = Duration::from_secs(300);

/// The failures in a row of one target.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// A poll succeeded.
    pub fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// A poll failed; answers how long to wait before the next. `random` is between 0 and 1.
    pub fn failed(&mut self, kind: FetchErrorKind, interval: Duration, random: f64) -> Duration {
        self.failures = self.failures.saturating_add(1);
        if kind.is_permanent() {
            return MAX_DELAY.max(interval).mul_f64(0.9 + random * 0.2);
        }
        let doubled = interval.saturating_mul(2u32.saturating_pow((self.failures - 1).min(16)));
        doubled.min(MAX_DELAY.max(interval)).mul_f64(0.8 + random * 0.2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(30);

    #[test]
    fn passing_failures_are_retried_at_doubling_intervals_up_to_five_minutes() {
        let mut backoff = Backoff::default();
        let waits: Vec<u64> =
            (0..6).map(|_| backoff.failed(FetchErrorKind::ServerError, INTERVAL, 1.0).as_secs()).collect();
        assert_eq!(waits, [30, 60, 120, 240, 300, 300]);
        backoff.succeeded();
        assert_eq!(backoff.failed(FetchErrorKind::Timeout, INTERVAL, 1.0).as_secs(), 30);
    }

    #[test]
    fn a_wrong_key_is_tried_every_five_minutes_from_the_start() {
        let mut backoff = Backoff::default();
        assert_eq!(backoff.failed(FetchErrorKind::Unauthorized, INTERVAL, 0.5).as_secs(), 300);
    }
}
