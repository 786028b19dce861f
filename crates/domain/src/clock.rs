//! The wall clock of the program, in one place so that tests can steer it.
//!
//! Owns: the answer to "what time is it here". Never: the time at the API, which each poller learns from the `Date` header.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::Instant;

/// Where "now" comes from. Cheap to clone; clones of a virtual clock move together.
#[derive(Debug, Clone)]
pub struct Clock(Source);

#[derive(Debug, Clone)]
enum Source {
    System,
    /// Follows the runtime's timer, which tests may pause, from a fixed origin; `jump_ms` imitates a stepped clock.
    Virtual {
        origin: DateTime<Utc>,
        started: Instant,
        jump_ms: Arc<AtomicI64>,
    },
    /// Stands still but for its jumps.
    Fixed {
        now_ms: Arc<AtomicI64>,
    },
}

/// One look at both clocks of this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockReading {
    /// The clock on the wall, which may be wrong and may be stepped.
    pub wall: DateTime<Utc>,
    /// The one that only tells how much time has passed, and stands still while the machine sleeps.
    pub steady: Instant,
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that shows `origin` now and from here on advances with the runtime's timer.
    pub fn virtual_from(origin: DateTime<Utc>) -> Self {
        Self(Source::Virtual { origin, started: Instant::now(), jump_ms: Arc::default() })
    }

    /// A clock that shows `origin` until it is moved by [`step`](Self::step): for time that is lived through faster than it
    /// passes. Whole milliseconds.
    pub fn fixed(origin: DateTime<Utc>) -> Self {
        Self(Source::Fixed { now_ms: Arc::new(AtomicI64::new(origin.timestamp_millis())) })
    }

    /// The wall-clock time.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that asks the machine")]
    pub fn now(&self) -> DateTime<Utc> {
        match &self.0 {
            Source::System => Utc::now(),
            Source::Virtual { origin, started, jump_ms } => {
                let elapsed = TimeDelta::from_std(started.elapsed()).unwrap_or(TimeDelta::MAX);
                *origin + elapsed + TimeDelta::milliseconds(jump_ms.load(Ordering::Relaxed))
            }
            Source::Fixed { now_ms } => DateTime::from_timestamp_millis(now_ms.load(Ordering::Relaxed))
                .unwrap_or(DateTime::UNIX_EPOCH),
        }
    }

    /// The wall-clock time, and where the steady clock stands.
    pub fn read(&self) -> ClockReading {
        ClockReading { wall: self.now(), steady: Instant::now() }
    }

    /// Steps a virtual or standing clock by `step`, as an operator or NTP would; the system clock is left alone.
    pub fn step(&self, step: TimeDelta) {
        match &self.0 {
            Source::System => {}
            Source::Virtual { jump_ms: shown, .. } | Source::Fixed { now_ms: shown } => {
                shown.fetch_add(step.num_milliseconds(), Ordering::Relaxed);
            }
        }
    }
}
