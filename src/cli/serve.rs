//! `serve`: the daemon.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use polyai_domain::clock::Clock;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{CliError, systemd};
use crate::app::{App, BuildError, ConfigLoader, ReloadHandle, ReloadTrigger, ShutdownOutcome};
use crate::config::{self, ConfigInput, ListenAddress};
use crate::exporter_metrics::BuildInfo;

/// The flags of `serve`.
#[derive(Debug, Clone, clap::Args)]
pub struct ServeArgs {
    /// Configuration file in YAML, of which JSON is a part. Without it, POLYAI_API_KEY, POLYAI_BASE_URL,
    /// POLYAI_ACCOUNT_ID and POLYAI_PROJECT_ID define one target.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Address of /metrics: an IP address and port, :PORT for all addresses, or unix:/PATH; may be repeated. Wins over
    /// server.listen.
    #[arg(long = "web.listen-address", value_name = "ADDRESS:PORT")]
    pub listen: Vec<ListenAddress>,
    /// Serve on the sockets that systemd hands over instead of binding addresses.
    #[arg(long = "web.systemd-socket", conflicts_with = "listen")]
    pub systemd_socket: bool,
    /// The web configuration of the Prometheus exporters: TLS, client certificates, users, headers. Wins over
    /// server.web_config_file.
    #[arg(long = "web.config.file", value_name = "FILE")]
    pub web_config_file: Option<PathBuf>,
    /// Reload the configuration automatically when its files change, checking at this interval (min 1s). SIGHUP and POST
    /// /-/reload always work.
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
/// If the configuration or the state is invalid, or the port is taken.
pub async fn run(
    flags: &ServeArgs,
    env: &BTreeMap<String, String>,
    stop: CancellationToken,
) -> Result<(), CliError> {
    // From here on SIGHUP no longer ends the process.
    let sighup = signal(SignalKind::hangup())
        .map_err(|error| CliError::run_time(&format!("cannot listen for SIGHUP: {error}")))?;
    let source = Source { flags: flags.clone(), env: env.clone() };
    let loaded = config::load(&source.input()).map_err(|problems| CliError::configuration(&problems))?;
    let BuildInfo { version, revision, .. } = BuildInfo::CURRENT;
    let revision = revision.unwrap_or("unknown");
    let (configuration, state) = (&loaded.origin, &loaded.settings.storage);
    info!(version, revision, %configuration, %state, "starting polyai-exporter");
    for warning in &loaded.warnings {
        warn!(%warning, "configuration");
    }
    let app = App::build(&loaded.settings, Clock::system()).await.map_err(|error| match error {
        BuildError::Web(problems) => CliError::configuration(&problems),
        BuildError::Client(_) => CliError::configuration(&error),
        BuildError::Store(_) | BuildError::Bind(_) => CliError::run_time(&error),
    })?;
    let load: ConfigLoader = Arc::new(move || config::load_again(&source.input()));
    let app = app.with_reload(&loaded, load, flags.auto_reload_interval);
    let reloading = tokio::spawn(reload_on(sighup, app.reloads()));
    let stopped = stop.clone();
    let stopping = tokio::spawn(async move {
        stopped.cancelled().await;
        systemd::stopping();
    });
    systemd::ready();
    let ended = app.run(stop).await;
    stopping.abort();
    reloading.abort();
    match ended {
        ShutdownOutcome::Orderly => Ok(()),
        ShutdownOutcome::Cut => Err(CliError::run_time(&"the daemon did not stop in order; see the log")),
    }
}

/// The source of the configuration, at the start and for reloads.
struct Source {
    flags: ServeArgs,
    env: BTreeMap<String, String>,
}

impl Source {
    fn input(&self) -> ConfigInput<'_> {
        let Self { flags, env } = self;
        ConfigInput {
            file: flags.config.as_deref(),
            env,
            listen: if flags.systemd_socket { &[ListenAddress::Inherited] } else { &flags.listen },
            web_config_file: flags.web_config_file.as_deref(),
            now: Clock::system().now(),
        }
    }
}

async fn reload_on(mut sighup: Signal, reloads: ReloadHandle) {
    while sighup.recv().await.is_some() {
        systemd::reloading();
        // The outcome is logged.
        let _ = reloads.reload(ReloadTrigger::Signal).await;
        systemd::ready();
    }
}
