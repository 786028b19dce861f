//! Polling and counting without network access: from the plan of a fetch to committed series.
//!
//! ```text
//! PollSession -> FetchPlan -> Conversation -> Transition -> SeriesUpdate -> Snapshot
//! poll_session    planner       domain         ledger       aggregate      recorder
//! ```

pub mod aggregate;
pub mod data_quality;
pub mod dimension;
pub mod ledger;
pub mod planner;
pub mod poll_session;
pub mod recorder;
