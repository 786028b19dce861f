//! The rate limit: section `rate_limit` and its token bucket.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use exporter_schema::{Report, Section};
use tokio::time::Instant;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RateLimitConfig {
    /// Time per request, greater than 0.
    interval: Duration,
    /// Requests at once, at least 1.
    burst: u32,
}

impl RateLimitConfig {
    /// `None` for no limit.
    pub(super) fn parse(section: &Section<'_>, report: &mut Report) -> Option<Self> {
        let burst = section.get("burst");
        let Some(interval) = section.get::<Duration>("interval") else {
            if let (Some(burst), None) = (section.entry("burst"), section.entry("interval")) {
                let text = "has no effect without rate_limit.interval; set it, or remove the key";
                report.warnings.push(burst.diagnostic(text));
            }
            return None;
        };
        if interval.is_zero() {
            return None;
        }
        if section.entry("burst").is_none() {
            let text = "is missing; write how many requests may come at once, at least 1";
            report.errors.push(section.diagnostic("burst", text));
        }
        Some(Self { interval, burst: burst? })
    }
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

    pub(super) const fn config(&self) -> &RateLimitConfig {
        &self.config
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
