//! The rate limit: section `rate_limit` and its token bucket.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use exporter_schema::Value;
use tokio::time::Instant;

use super::parse::{Parser, Section, Spanned};

/// The rate at which requests are accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RateLimitConfig {
    /// Time per request, greater than 0.
    interval: Duration,
    /// Requests at once, at least 1.
    burst: u32,
}

/// Far longer than any scrape interval.
const MAX_INTERVAL: Duration = Duration::from_secs(24 * 3600);

impl RateLimitConfig {
    /// `None` for no limit.
    pub(super) fn parse(parser: &mut Parser, section: &Section<'_>) -> Option<Self> {
        let burst = section.get("burst");
        let Some(node) = section.get("interval") else {
            if let Some(burst) = burst {
                parser
                    .warning(&burst, "has no effect without rate_limit.interval; set it, or remove the key");
            }
            return None;
        };
        let Some(interval) = parse_interval(&node.value.value) else {
            parser.unexpected(&node, "a duration up to 24h, such as \"100ms\", or 0 for no limit");
            return None;
        };
        if interval.is_zero() {
            return None;
        }
        let Some(burst) = burst else {
            let missing = Spanned { key: section.key("burst"), ..node };
            parser.error(&missing, "is missing; write how many requests may come at once, at least 1");
            return None;
        };
        let count =
            if let Value::Integer(count) = burst.value.value { u32::try_from(count).ok() } else { None };
        let Some(count) = count.filter(|count| *count > 0) else {
            parser.unexpected(&burst, "a whole number from 1, since 0 would refuse every request");
            return None;
        };
        Some(Self { interval, burst: count })
    }
}

/// A number other than 0 needs a unit.
fn parse_interval(value: &Value) -> Option<Duration> {
    let text = match value {
        Value::Integer(0) => "0",
        Value::Text(text) => text.trim(),
        Value::Null
        | Value::Bool(_)
        | Value::Integer(_)
        | Value::Float(_)
        | Value::List(_)
        | Value::Table(_) => return None,
    };
    if text != "0" && text.parse::<f64>().is_ok() {
        return None;
    }
    humantime::parse_duration(text).ok().filter(|interval| *interval <= MAX_INTERVAL)
}

/// A token bucket, as the generic cell rate algorithm.
#[derive(Debug)]
pub(crate) struct RateLimiter {
    config: RateLimitConfig,
    /// When the bucket will be full again.
    theoretical_arrival_time: Mutex<Option<Instant>>,
}

impl RateLimiter {
    pub(super) fn new(config: RateLimitConfig) -> Self {
        Self { config, theoretical_arrival_time: Mutex::new(None) }
    }

    pub(super) const fn config(&self) -> RateLimitConfig {
        self.config
    }

    /// Whether a request at `now` is accepted, in which case it takes a token.
    pub(crate) fn try_acquire(&self, now: Instant) -> bool {
        let RateLimitConfig { interval, burst } = self.config;
        let mut full_at = self.theoretical_arrival_time.lock().unwrap_or_else(PoisonError::into_inner);
        let next = full_at.map_or(now, |at| at.max(now)) + interval;
        let is_accepted = next.duration_since(now) <= interval.saturating_mul(burst);
        if is_accepted {
            *full_at = Some(next);
        }
        is_accepted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn burst_is_accepted_then_one_request_per_interval() {
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
