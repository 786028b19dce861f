//! The library behind `polyai-exporter`: a daemon that polls the conversations of voice agents on PolyAI, counts each
//! exactly once, and serves the counts to Prometheus.
//!
//! The flow, in one line:
//! **Tick → Window → Page → Conversation → Verdict → Contribution → Series → Family → bytes**.

pub mod cli;
pub mod clock;
pub mod config;
pub mod problem;
pub mod simulator;
pub mod target;
