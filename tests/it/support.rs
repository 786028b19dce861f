//! Support for scenarios: the API and the daemon, scrapes, the captured log, and calls.

pub(crate) mod calls;
pub(crate) mod log;
pub(crate) mod recount;
pub(crate) mod scenario;
pub(crate) mod scrape;

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

/// 20 August 2026, 09:00 UTC, a Thursday: when scenarios begin.
pub(crate) fn start_time() -> DateTime<Utc> {
    DateTime::from_timestamp(1_787_216_400, 0).unwrap()
}

/// `offset` after [`start_time`].
pub(crate) fn at(offset: Duration) -> DateTime<Utc> {
    start_time() + TimeDelta::from_std(offset).unwrap()
}

pub(crate) const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

pub(crate) const fn minutes(count: u64) -> Duration {
    Duration::from_secs(count * 60)
}

pub(crate) const fn hours(count: u64) -> Duration {
    Duration::from_secs(count * 3600)
}
