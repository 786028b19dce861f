//! The ledger: which conversation has been seen, followed and counted.
//!
//! Owns: rows, the verdict on each sight of a conversation, what may be forgotten, and the store that keeps rows and series
//! in one transaction. Never: the network or the clock; `now` is always an argument.

mod marks;
pub mod retention;
mod row;
pub mod store;
pub mod verdict;

pub use marks::{RecheckWatermark, WatermarkPosition, Watermarks, max_overlap};
pub use row::{Amounts, Counted, LedgerEntry};
