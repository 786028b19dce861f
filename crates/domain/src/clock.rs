//! This machine's clock, replaceable in tests.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::Instant;

/// A source of the current time. Clones of a virtual or fixed clock move together.
#[derive(Debug, Clone)]
pub struct Clock(Source);

#[derive(Debug, Clone)]
enum Source {
    System,
    /// Advances with the runtime's timer, which tests can pause.
    Virtual {
        origin: DateTime<Utc>,
        started: Instant,
        step_ms: Arc<AtomicI64>,
    },
    /// Changes only when stepped.
    Fixed {
        now_ms: Arc<AtomicI64>,
    },
}

/// The time of both clocks of this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockReading {
    /// The wall clock, which may be wrong or stepped.
    pub wall: DateTime<Utc>,
    /// The monotonic clock, which stops while the machine sleeps.
    pub steady: Instant,
}

impl Clock {
    /// The system clock.
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that starts at `origin` and advances with the runtime's timer.
    pub fn virtual_from(origin: DateTime<Utc>) -> Self {
        Self(Source::Virtual { origin, started: Instant::now(), step_ms: Arc::default() })
    }

    /// A clock that starts at `origin`, in whole milliseconds, and advances only by [`step`](Self::step).
    pub fn fixed(origin: DateTime<Utc>) -> Self {
        Self(Source::Fixed { now_ms: Arc::new(AtomicI64::new(origin.timestamp_millis())) })
    }

    /// The wall-clock time.
    #[expect(clippy::disallowed_methods, reason = "the only place that reads the system clock")]
    pub fn now(&self) -> DateTime<Utc> {
        match &self.0 {
            Source::System => Utc::now(),
            Source::Virtual { origin, started, step_ms } => {
                let elapsed = TimeDelta::from_std(started.elapsed()).unwrap_or(TimeDelta::MAX);
                *origin + elapsed + TimeDelta::milliseconds(step_ms.load(Ordering::Relaxed))
            }
            Source::Fixed { now_ms } => DateTime::from_timestamp_millis(now_ms.load(Ordering::Relaxed))
                .unwrap_or(DateTime::UNIX_EPOCH),
        }
    }

    /// The time of both clocks.
    pub fn read(&self) -> ClockReading {
        ClockReading { wall: self.now(), steady: Instant::now() }
    }

    /// Steps a virtual or fixed clock. The system clock is unaffected.
    pub fn step(&self, step: TimeDelta) {
        match &self.0 {
            Source::System => {}
            Source::Virtual { step_ms: offset, .. } | Source::Fixed { now_ms: offset } => {
                offset.fetch_add(step.num_milliseconds(), Ordering::Relaxed);
            }
        }
    }
}
