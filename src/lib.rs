//! The library behind `polyai-exporter`: a daemon that polls the conversations of voice agents on PolyAI, counts each
//! exactly once, and serves the counts to Prometheus.
//!
//! The flow, in one line:
//! **Tick → Window → Page → Conversation → Verdict → Contribution → Series → Family → bytes**.

pub mod api;
pub mod app;
pub mod cli;
pub mod config;
pub mod events;
pub mod exporter_metrics;
pub mod exposition;
#[cfg(feature = "demo")]
pub mod history;
pub mod logging;
pub mod rules;
pub mod schedule;
pub mod server;
pub mod shutdown;
pub mod status;
mod turns;
pub mod web;

pub use polyai_domain::{clock, conversation, phone_number, problem, target, timestamp};
pub use polyai_engine::{aggregate, ledger, recorder};
#[cfg(feature = "demo")]
pub use polyai_simulator as simulator;
