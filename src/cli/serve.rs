//! `serve`: the daemon.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{CliError, systemd};
use crate::app::{App, BuildError, ConfigLoader, ReloadHandle, ReloadTrigger, ShutdownOutcome};
use crate::clock::Clock;
use crate::config::{self, ConfigInput, ListenAddress};

/// The flags of `serve`.
#[derive(Debug, Clone, clap::Args)]
pub struct ServeArgs {
    /// Configuration file: YAML, or TOML or JSON by extension. Without it, POLYAI_API_KEY, POLYAI_BASE_URL,
    /// POLYAI_ACCOUNT_ID and POLYAI_PROJECT_ID give one target.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where to serve /metrics: an IP address and port, :PORT for all addresses, or unix:/PATH; may be repeated. Wins over
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
    flags: &ServeArgs,
    env: &BTreeMap<String, String>,
    stop: CancellationToken,
) -> Result<(), CliError> {
    // From here on SIGHUP no longer ends the process.
    let sighup = signal(SignalKind::hangup())
        .map_err(|error| CliError::run_time(&format!("cannot listen for SIGHUP: {error}")))?;
    let source = Source::new(flags, env);
    let loaded = config::load(&source.input()).map_err(|problems| CliError::configuration(&problems))?;
    for warning in &loaded.warnings {
        warn!(%warning, "configuration");
    }
    let app = App::build(&loaded.settings, Clock::system()).await.map_err(|error| match error {
        BuildError::Web(problems) => CliError::configuration(&problems),
        BuildError::Store(_) | BuildError::Bind(_) | BuildError::Client(_) => CliError::run_time(&error),
    })?;
    let load: ConfigLoader = Arc::new(move || config::load_again(&source.input()));
    let app = app.with_reload(&loaded, load, flags.auto_reload_interval);
    let reloading = tokio::spawn(reload_on(sighup, app.reloads()));
    let stopping = tokio::spawn(notify_stopping(stop.clone()));
    systemd::ready();
    let ended = app.run(stop).await;
    stopping.abort();
    reloading.abort();
    match ended {
        ShutdownOutcome::Orderly => Ok(()),
        ShutdownOutcome::Cut => Err(CliError::run_time(&"the daemon did not stop in order; see the log")),
    }
}

/// Where the configuration comes from, at the start and again.
struct Source {
    file: Option<PathBuf>,
    env: BTreeMap<String, String>,
    listen: Vec<ListenAddress>,
    web_config_file: Option<PathBuf>,
}

impl Source {
    fn new(flags: &ServeArgs, env: &BTreeMap<String, String>) -> Self {
        let ServeArgs { config, web_config_file, .. } = flags.clone();
        let listen = if flags.systemd_socket { vec![ListenAddress::Inherited] } else { flags.listen.clone() };
        Self { file: config, env: env.clone(), listen, web_config_file }
    }

    fn input(&self) -> ConfigInput<'_> {
        let Self { file, env, listen, web_config_file } = self;
        ConfigInput {
            file: file.as_deref(),
            env,
            listen,
            web_config_file: web_config_file.as_deref(),
            now: Clock::system().now(),
        }
    }
}

async fn notify_stopping(stop: CancellationToken) {
    stop.cancelled().await;
    systemd::stopping();
}

/// The outcome is in the log.
async fn reload_on(mut hangups: Signal, reloads: ReloadHandle) {
    while hangups.recv().await.is_some() {
        systemd::reloading();
        let _ = reloads.reload(ReloadTrigger::Signal).await;
        systemd::ready();
    }
}
