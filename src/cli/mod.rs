//! The commands: their flags and output.

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
use std::io::{self, Write};

/// The reason a command failed, with its exit code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CliError {
    /// 1 for a run-time failure, 2 for bad usage or configuration.
    pub code: u8,
    /// May have several lines.
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

impl From<io::Error> for CliError {
    fn from(error: io::Error) -> Self {
        Self::run_time(&error)
    }
}

/// Writes `text`; a failure names `what` could not be written.
fn write_all(out: &mut impl Write, text: &[u8], what: &str) -> Result<(), CliError> {
    let written = out.write_all(text).and_then(|()| out.flush());
    written.map_err(|error| CliError::run_time(&format!("cannot write {what}: {error}")))
}

/// Logs a failed write: a closed standard output must not end a command that serves.
#[cfg(feature = "demo")]
fn warn_unprinted(printed: io::Result<()>) {
    if let Err(error) = printed {
        tracing::warn!(%error, "standard output cannot be written");
    }
}
