//! Polls the conversations of voice agents on PolyAI, counts each exactly once, and serves the counts to Prometheus.
//!
//! **Ticker → PollPlanner → FetchPlan → pages → Conversation → Transition → SeriesUpdate → Snapshot → encoder → bytes**.

pub mod alert_rules;
pub mod app;
#[cfg(feature = "demo")]
pub mod backfill;
pub mod cli;
pub mod config;
pub mod events;
pub mod exporter_metrics;
pub mod http;
pub mod logging;
pub mod metrics_source;
pub mod poller;
pub mod shutdown;
pub mod status;
mod text;
