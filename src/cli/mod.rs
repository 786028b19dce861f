//! The commands: flags, assembly and printing. No logic of their own.

pub mod check;
pub mod check_live;
pub mod completions;
#[cfg(feature = "demo")]
pub mod demo;
pub mod healthcheck;
pub mod man;
pub mod rules;
pub mod serve;
#[cfg(feature = "demo")]
pub mod simulate;
mod systemd;

use std::fmt::Display;

/// Why a command failed, and the exit code that says so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CliError {
    /// 1 for a run-time failure, 2 for bad usage or configuration.
    pub code: u8,
    /// For people; may have several lines.
    pub message: String,
}

impl CliError {
    /// The configuration cannot be used.
    pub fn configuration(problem: &dyn Display) -> Self {
        Self { code: 2, message: problem.to_string() }
    }

    /// Something failed at run time.
    pub fn run_time(problem: &dyn Display) -> Self {
        Self { code: 1, message: problem.to_string() }
    }
}

/// Logs that a text for people could not be printed: a closed standard output must not end a command that serves.
#[cfg(feature = "demo")]
fn warn_unprinted(printed: std::io::Result<()>) {
    if let Err(error) = printed {
        tracing::warn!(%error, "standard output cannot be written");
    }
}
