//! When each target is read, and which stretch of time.
//!
//! Owns: targets, timers with a random phase, the passes and their windows (pure), back-off, one task per target. Never: the
//! ledger or metrics; batches go to the recorder, failures to `events`.

pub mod crowd;
pub mod narrow;
pub mod overlap;
pub mod passes;
pub mod window;

pub use passes::{Passes, Policy};
pub use window::{Filter, Purpose, Walk, Window};
