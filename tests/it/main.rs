//! Stories that run through the public interface of the library, and stories of real processes: the built binary, its
//! state on disk, and a real Prometheus.

#![expect(clippy::unwrap_used, reason = "a story whose scene cannot be set has failed")]

mod busy;
mod cli;
mod config;
mod crash;
mod daemon;
mod disk;
mod prometheus;
mod scene;
mod scrape;
mod web;
