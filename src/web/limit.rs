//! The limit of requests: a bucket that a token drips into.
//!
//! Owns: section `rate_limit` and its arithmetic. Never: what becomes of a request that is refused.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::reader::{Reader, Section};
use crate::config::Value;

/// How many requests are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RateLimitConfig {
    /// Between two requests, greater than 0.
    interval: Duration,
    /// At once, at least 1.
    burst: u32,
}

/// Far longer than any scrape interval.
const MAX_INTERVAL: Duration = Duration::from_secs(24 * 3600);

impl RateLimitConfig {
    /// None: no limit.
    pub(super) fn read(reader: &mut Reader, section: &Section<'_>) -> Option<Self> {
        const RIGHT: &str = "a duration up to 24h, such as \"100ms\", or 0 for no limit";
        let interval = match section.get("interval") {
            None => Some(Duration::ZERO),
            Some(node) => {
                let span = parse_interval(&node.value);
                if span.is_none() {
                    reader.misfit(node, &section.key("interval"), RIGHT);
                }
                span
            }
        }?;
        let node = section.get("burst");
        if interval.is_zero() {
            if let (Some(node), None) = (node, section.get("interval")) {
                let key = section.key("burst");
                let sentence = "has no effect without rate_limit.interval; set it, or remove the key";
                reader.warnings.push(crate::config::Diagnostic::new(&node.location, &key, sentence));
            }
            return None;
        }
        let burst = node.and_then(|node| {
            let Value::Integer(count) = node.value else { return None };
            u32::try_from(count).ok().filter(|count| *count > 0)
        });
        if burst.is_none() {
            let key = section.key("burst");
            match (node, section.get("interval")) {
                (Some(node), _) => {
                    reader.misfit(node, &key, "a whole number from 1, since 0 would refuse every request")
                }
                (None, Some(node)) => reader.complain(
                    node,
                    &key,
                    "is missing; write how many requests may come at once, at least 1",
                ),
                (None, None) => {}
            }
        }
        Some(Self { interval, burst: burst? })
    }
}

/// A bare number has no unit, but for 0, which needs none.
fn parse_interval(value: &Value) -> Option<Duration> {
    if *value == Value::Integer(0) {
        return Some(Duration::ZERO);
    }
    let Value::Text(text) = value else { return None };
    let text = text.trim();
    if text == "0" {
        return Some(Duration::ZERO);
    }
    if text.parse::<f64>().is_ok() {
        return None;
    }
    humantime::parse_duration(text).ok().filter(|span| *span <= MAX_INTERVAL)
}

/// The bucket.
#[derive(Debug)]
pub(crate) struct RateLimiter {
    rate: RateLimitConfig,
    /// When it would be full again, if nothing came.
    theoretical_arrival_time: Mutex<Option<Instant>>,
}

impl RateLimiter {
    pub(super) fn new(rate: RateLimitConfig) -> Self {
        Self { rate, theoretical_arrival_time: Mutex::new(None) }
    }

    pub(super) const fn rate(&self) -> RateLimitConfig {
        self.rate
    }

    /// Whether a request at `now` may be answered; if so, it has taken its token.
    pub(crate) fn try_acquire(&self, now: Instant) -> bool {
        let mut full_at = self.theoretical_arrival_time.lock().unwrap_or_else(PoisonError::into_inner);
        let emptied = full_at.map_or(now, |at| at.max(now)) + self.rate.interval;
        let allowed = emptied.duration_since(now) <= self.rate.interval.saturating_mul(self.rate.burst);
        if allowed {
            *full_at = Some(emptied);
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_answered_and_then_one_request_per_interval() {
        let limiter = RateLimiter::new(RateLimitConfig { interval: Duration::from_secs(1), burst: 3 });
        let start = Instant::now();
        let at = |millis| limiter.try_acquire(start + Duration::from_millis(millis));
        assert_eq!([at(0), at(0), at(0), at(0)], [true, true, true, false]);
        assert_eq!([at(999), at(1000), at(1001)], [false, true, false]);
        assert_eq!([at(2000), at(2000)], [true, false]);
        assert_eq!(
            [at(60_000), at(60_000), at(60_000), at(60_000)],
            [true, true, true, false],
            "it does not overflow"
        );
    }
}
