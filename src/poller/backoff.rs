//! The delay of polls after a target could not be reached.

use std::time::Duration;

use polyai_api::FetchError;

/// The longest `Retry-After` that is obeyed.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);
/// The delay after failures that only a person can resolve, and the longest after others.
const MAX_DELAY: Duration = Duration::from_secs(300);

/// The consecutive failures of one target.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// A poll has reached the target.
    pub(super) fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// A poll has not reached the target. Returns how long to wait before the next; `random` is between 0 and 1.
    pub(super) fn failed(&mut self, error: &FetchError, interval: Duration, random: f64) -> Duration {
        self.failures = self.failures.saturating_add(1);
        if error.kind.is_permanent() {
            return MAX_DELAY.max(interval).mul_f64(0.9 + random * 0.2);
        }
        let requested = error.retry_after.unwrap_or_default().min(MAX_RETRY_AFTER);
        let doubled = interval.saturating_mul(2u32.saturating_pow((self.failures - 1).min(16)));
        doubled.min(MAX_DELAY.max(interval)).mul_f64(0.8 + random * 0.2).max(requested)
    }
}

#[cfg(test)]
mod tests {
    use polyai_api::FetchErrorKind;

    use super::*;

    const INTERVAL: Duration = Duration::from_secs(30);

    fn error(kind: FetchErrorKind) -> FetchError {
        FetchError { kind, ..FetchError::bad_payload("failed") }
    }

    #[test]
    fn transient_failures_double_wait_up_to_five_minutes() {
        let mut backoff = Backoff::default();
        let waits: Vec<u64> = (0..6)
            .map(|_| backoff.failed(&error(FetchErrorKind::ServerError), INTERVAL, 1.0).as_secs())
            .collect();
        assert_eq!(waits, [30, 60, 120, 240, 300, 300]);
        backoff.succeeded();
        assert_eq!(backoff.failed(&error(FetchErrorKind::Timeout), INTERVAL, 1.0).as_secs(), 30);
    }

    #[test]
    fn permanent_failure_waits_five_minutes_at_once() {
        let mut backoff = Backoff::default();
        assert_eq!(backoff.failed(&error(FetchErrorKind::Unauthorized), INTERVAL, 0.5).as_secs(), 300);
    }

    #[test]
    fn retry_after_is_obeyed_up_to_an_hour() {
        for (requested, expected) in [(5, 30), (200, 200), (86_400, 3600)] {
            let retry_after = Some(Duration::from_secs(requested));
            let error = FetchError { retry_after, ..error(FetchErrorKind::ServerError) };
            assert_eq!(Backoff::default().failed(&error, INTERVAL, 1.0).as_secs(), expected);
        }
    }
}
