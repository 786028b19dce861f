//! The wall clock of the program, in one place so that tests can steer it.
//!
//! Owns: the answer to "what time is it here". Never: the time at the API, which is this clock plus an offset that each
//! poller learns from the `Date` header.

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
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that shows `origin` now and from here on advances with the runtime's timer.
    pub fn starting_at(origin: DateTime<Utc>) -> Self {
        Self(Source::Virtual { origin, started: Instant::now(), jump_ms: Arc::default() })
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
        }
    }

    /// Steps a virtual clock by `step`, as an operator or NTP would; the system clock is left alone.
    pub fn jump(&self, step: TimeDelta) {
        if let Source::Virtual { jump_ms, .. } = &self.0 {
            jump_ms.fetch_add(step.num_milliseconds(), Ordering::Relaxed);
        }
    }
}
