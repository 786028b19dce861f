//! Counting: from observed conversations to committed series.
//!
//! ```text
//! Conversation -> Transition -> SeriesUpdate -> Snapshot
//!    domain         ledger       aggregate      recorder
//! ```

pub mod aggregate;
pub mod dimension;
pub mod ledger;
pub mod recorder;
