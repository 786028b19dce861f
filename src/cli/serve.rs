//! `serve`: the daemon.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::Failure;
use crate::app::{App, Ended};
use crate::clock::Clock;
use crate::config::{self, Input};

/// The flags of `serve`.
#[derive(Debug, Clone, clap::Args)]
pub struct Serve {
    /// Configuration file: YAML, or TOML or JSON by extension. Without it, POLYAI_API_KEY, POLYAI_BASE_URL,
    /// POLYAI_ACCOUNT_ID and POLYAI_PROJECT_ID give one target.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where to serve /metrics; wins over server.listen.
    #[arg(long = "web.listen-address", value_name = "ADDRESS:PORT")]
    pub listen: Option<SocketAddr>,
}

/// Runs the daemon until `stop`.
///
/// # Errors
/// When the configuration or the state cannot be used, or the port is taken.
pub async fn run(
    flags: &Serve,
    env: &BTreeMap<String, String>,
    stop: CancellationToken,
) -> Result<(), Failure> {
    let input = Input { file: flags.config.as_deref(), env, listen: flags.listen };
    let loaded = config::load(&input).map_err(|problems| Failure::configuration(&problems))?;
    for warning in &loaded.warnings {
        warn!(%warning, "configuration");
    }
    let app =
        App::build(&loaded.settings, Clock::system()).await.map_err(|error| Failure::run_time(&error))?;
    match app.run(stop).await {
        Ended::Orderly => Ok(()),
        Ended::Cut => Err(Failure::run_time(&"the daemon did not stop in order; see the log")),
    }
}
