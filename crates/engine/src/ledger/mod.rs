//! The ledger: which conversations have been seen, followed and counted.

mod entry;
pub mod store;
pub mod transition;
mod watermarks;

pub(crate) use entry::{Amounts, Observations, Observed};
pub use entry::{Counted, LedgerEntry};
pub(crate) use watermarks::max_overlap;
pub use watermarks::{CatchUp, RecheckWatermark, Watermarks};
