//! The ledger: which conversations have been seen, followed and counted.

mod entry;
pub mod store;
pub mod transition;
mod watermarks;

pub use entry::{Amounts, Counted, LedgerEntry};
pub use watermarks::{RecheckWatermark, WatermarkPosition, Watermarks, max_overlap};
