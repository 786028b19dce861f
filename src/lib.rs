//! The library behind `polyai-exporter`: a daemon that polls the conversations of voice agents on PolyAI, counts each
//! exactly once, and serves the counts to Prometheus.
//!
//! The flow, in one line:
//! **Tick → Window → Page → Conversation → Verdict → Contribution → Series → Family → bytes**.

pub mod aggregate;
pub mod api;
pub mod app;
pub mod cli;
pub mod config;
pub mod events;
#[cfg(feature = "demo")]
pub mod history;
pub mod ledger;
pub mod logging;
pub mod metrics_source;
pub mod recorder;
pub mod rules;
pub mod schedule;
pub mod selfstats;
pub mod server;
pub mod shutdown;
pub mod status;
mod turns;
pub mod web;

pub use exporter_exposition as exposition;
pub use polyai_domain::{clock, conversation, phone_number, problem, target, timestamp};
#[cfg(feature = "demo")]
pub use polyai_simulator as simulator;
