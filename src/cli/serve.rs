//! `serve`: the daemon.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::Failure;
use crate::app::{App, Ended, Load, Reloads, Trigger};
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
    /// Look at the files of the configuration this often, and read them again when they have changed; at least 1s. Without
    /// it, SIGHUP and POST /-/reload have them read again.
    #[arg(long = "config.auto-reload-interval", value_name = "DURATION", value_parser = reload_interval)]
    pub auto_reload_interval: Option<Duration>,
}

fn reload_interval(text: &str) -> Result<Duration, String> {
    let interval = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if interval < Duration::from_secs(1) { Err("must be at least 1s".into()) } else { Ok(interval) }
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
    // From here on SIGHUP no longer ends the process.
    let hangups = signal(SignalKind::hangup())
        .map_err(|error| Failure::run_time(&format!("cannot listen for SIGHUP: {error}")))?;
    let load = source(flags, env);
    let loaded = load().map_err(|problems| Failure::configuration(&problems))?;
    for warning in &loaded.warnings {
        warn!(%warning, "configuration");
    }
    let app =
        App::build(&loaded.settings, Clock::system()).await.map_err(|error| Failure::run_time(&error))?;
    let app = app.reloading(&loaded, load, flags.auto_reload_interval);
    let reloading = tokio::spawn(reload_on(hangups, app.reloads()));
    let ended = app.run(stop).await;
    reloading.abort();
    match ended {
        Ended::Orderly => Ok(()),
        Ended::Cut => Err(Failure::run_time(&"the daemon did not stop in order; see the log")),
    }
}

/// The configuration that these flags and this environment name, as often as it is asked for.
fn source(flags: &Serve, env: &BTreeMap<String, String>) -> Load {
    let (file, env, listen) = (flags.config.clone(), env.clone(), flags.listen);
    Arc::new(move || config::load(&Input { file: file.as_deref(), env: &env, listen }))
}

/// The outcome is in the log.
async fn reload_on(mut hangups: Signal, reloads: Reloads) {
    while hangups.recv().await.is_some() {
        let _ = reloads.reload(Trigger::Signal).await;
    }
}
