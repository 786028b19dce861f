//! The language of the stories: given this world, when that happens, the scrape says this.
//!
//! Owns: the scene (simulator and daemon in one runtime, whose clock is paused and jumps from timer to timer), the scrape
//! with its matcher, the captured log, and calls to tell stories about. Never: what is right; that stands in the stories.

pub(crate) mod calls;
pub(crate) mod log;
pub(crate) mod recount;
pub(crate) mod scrape;
pub(crate) mod story;

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

/// 20 August 2026, 09:00 UTC, a Thursday: when stories begin.
pub(crate) fn dawn() -> DateTime<Utc> {
    DateTime::from_timestamp(1_787_216_400, 0).unwrap()
}

/// `offset` after [`dawn`].
pub(crate) fn at(offset: Duration) -> DateTime<Utc> {
    dawn() + TimeDelta::from_std(offset).unwrap()
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
