//! The single writer: batches of observations become transitions, contributions, one transaction, and a new snapshot.
//!
//! It does not read the clock: each batch brings its own `now`. A scrape sees a [`Snapshot`], which exists only after the
//! commit.

mod apply_batch;
mod batch;
mod codec;
mod gauges;
mod prune;
mod reconfigure;
mod snapshot;
mod target;
pub mod task;
mod writer;

pub(crate) use batch::FirstFinished;
pub use batch::{Batch, BatchOutcome, Observation, PollStatus, TargetIndex};
pub use reconfigure::{TargetAssignment, TargetEntry, TargetSet};
pub use snapshot::{Snapshot, SnapshotTarget, TargetList};
pub use target::{CountingPolicy, PollerCheckpoint, TargetSetup};
pub use writer::Recorder;

#[cfg(test)]
mod tests;
