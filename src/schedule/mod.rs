//! When each target is read, and which stretch of time.
//!
//! Owns: targets, timers with a random phase, the passes and their windows (pure), back-off, one task per target. Never: the
//! ledger or metrics; batches go to the recorder, failures to `events`.

pub mod backoff;
pub mod crowd;
pub mod health;
pub mod heed;
pub mod narrow;
pub mod overlap;
pub mod passes;
pub mod poller;
mod shared;
pub mod slices;
pub mod timer;
mod walk;
mod work;

pub use passes::{PollPlanner, PollPolicy};
pub use poller::Poller;
pub use walk::{FetchPlan, FetchRange, PassKind};
