//! The daemon put together: the only place that knows all its parts.
//!
//! Owns: the order of building (state first, then the port, then the pollers) and of stopping (pollers, recorder, port).
//! Building tells every address and refuses every problem before anything runs.

mod clients;
mod config_diff;
mod config_watcher;
mod http;
mod pollers;
mod readiness;
mod reload;
mod reload_requests;
pub(crate) mod settings_mapping;
mod status_source;
mod supervisor;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

pub use reload::{ActiveConfig, ConfigLoader, Configuration, ReloadAttempt};
pub use reload_requests::{ReloadHandle, ReloadTrigger};

use crate::api::ClientError;
use crate::clock::Clock;
use crate::config::{ConfigErrors, LoadedConfig, Settings};
use crate::events::Events;
use crate::exporter_metrics::{BuildInfo, ExporterMetrics};
use crate::ledger::store::{Store, StoreError};
use crate::metrics_source::MetricsProvider;
use crate::recorder::task::{RecorderTask, SnapshotCell};
use crate::recorder::{PollerCheckpoint, Recorder};
use crate::http::{BindError, Limits, Routes, Server};
use crate::status::PollHistories;
use crate::timestamp::Timestamp;
use crate::web::{LoadedWebConfig, WebConfig};
use config_watcher::Watch;
use pollers::{PollerContext, PollerSet};
use self::http::{HttpTasks, WebConfigWatch};
use readiness::Ready;
use reload::Reloader;
use status_source::StatusProvider;

/// How long pollers and the last commit may take to stop.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);

/// The daemon, built and bound, not yet running.
pub struct App {
    server: Server,
    routes: Routes,
    watching: WebConfigWatch,
    recorder: RecorderTask,
    reloader: Reloader,
    reloads: ReloadHandle,
    resumes: Vec<PollerCheckpoint>,
    published: SnapshotCell,
    desk: Arc<StatusProvider>,
}

/// Why the daemon cannot start.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The state.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The port.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The HTTP client.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The web configuration.
    #[error("{0}")]
    Web(ConfigErrors),
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShutdownOutcome {
    /// Everything stopped in order, and the state holds all that was counted.
    Orderly,
    /// Something did not stop in time, the last commit failed, or the port fell; what was not committed is read again at the
    /// next start.
    Cut,
}

impl App {
    /// Opens the state, binds the port, prepares a poller per target.
    ///
    /// # Errors
    /// With a sentence for people: state in use, newer or damaged, port taken, a `ca_file` that is no bundle.
    pub async fn build(settings: &Settings, clock: Clock) -> Result<Self, BuildError> {
        let storage = settings.storage.clone();
        Self::build_on(settings, clock, move || settings_mapping::open_store(&storage)).await
    }

    /// The same on the state that `open` answers with, whatever the settings name.
    ///
    /// # Errors
    /// As [`build`](Self::build).
    pub async fn build_on(
        settings: &Settings,
        clock: Clock,
        open: impl FnOnce() -> Result<Store, StoreError> + Send + 'static,
    ) -> Result<Self, BuildError> {
        let stats = ExporterMetrics::new(BuildInfo::CURRENT, Timestamp::from(clock.now()));
        let events = Events::new(stats.clone());
        let (recorder, resumes) = load(settings, &clock, open).await?;
        let web = open_web(settings, &clock).await?;
        stats.web_config_in_force(web.certificate_expiry());
        let server = Server::bind(&settings.server.listen, Limits::default()).await?;
        let (task, handle, published) = RecorderTask::new(recorder, events.clone());
        let histories = PollHistories::default();
        let around = PollerContext {
            clock: clock.clone(),
            stats: stats.clone(),
            events: events.clone(),
            recorder: handle,
            histories: histories.clone(),
        };
        let fleet = PollerSet::new(Arc::new(settings.clone()), around)?;
        stats.config_loaded(clock.now());
        let shown = settings_mapping::shown(settings);
        let scrape = Arc::new(MetricsProvider::new(published.clone(), stats.clone(), shown, clock.clone()));
        let ready = Arc::new(Ready(fleet.readiness()));
        let watching = WebConfigWatch { web: web.clone(), events: events.clone(), clock: clock.clone() };
        let (reloader, reloads) = Reloader::new(fleet, scrape.clone(), web, clock.clone(), stats, events);
        let addresses = server.addresses().map(ToString::to_string).collect();
        let configuration = reloader.configuration();
        let desk =
            Arc::new(StatusProvider::new(published.clone(), histories, configuration, clock, addresses));
        let routes = Routes::new(scrape, ready).with_status(desk.clone());
        Ok(Self { server, routes, watching, recorder: task, reloader, reloads, resumes, published, desk })
    }

    /// Lets the configuration, which was `loaded` before, be read again with `load`: when somebody asks for it, and, with
    /// `watch`, when a look at its files, as often as that says, finds another content.
    pub fn with_reload(mut self, loaded: &LoadedConfig, load: ConfigLoader, watch: Option<Duration>) -> Self {
        self.reloader.set_source(loaded, load, Watch::new(watch));
        self.routes = self.routes.with_reload(Arc::new(self.reloads.clone()));
        self
    }

    /// The way to have the configuration read again.
    pub fn reloads(&self) -> ReloadHandle {
        self.reloads.clone()
    }

    /// The configuration in force.
    pub fn configuration(&self) -> Configuration {
        self.reloader.configuration()
    }

    /// Where it serves, if it does so over TCP; the first such address.
    pub fn address(&self) -> Option<SocketAddr> {
        self.server.address()
    }

    /// What it serves, for those in the same process.
    pub fn published(&self) -> SnapshotCell {
        self.published.clone()
    }

    /// Runs until `stop`; then pollers stop, what they handed over is committed, and open scrapes are answered. Should the port or
    /// the recorder fall, it stops as well: a daemon that nobody can ask, or that counts nothing, is better started anew.
    pub async fn run(self, stop: CancellationToken) -> ShutdownOutcome {
        let Self { server, routes, watching, recorder, mut reloader, resumes, desk, .. } = self;
        info!(targets = resumes.len(), "polling");
        let give_up = CancellationToken::new();
        reloader.fleet.start(resumes);
        let mut recorder = tokio::spawn(recorder.run(give_up.clone()));
        let mut port = HttpTasks::spawn(server, routes, watching);

        let (mut recorder_exit, mut port_fell) = (None, false);
        tokio::select! {
            () = stop.cancelled() => {}
            // It ends by itself only when it cannot go on.
            outcome = &mut recorder => recorder_exit = Some(outcome),
            part = port.task_exited() => {
                error!(part, "the port is no longer served as it should be; ending, so that it is started anew");
                port_fell = true;
            }
            () = reloader.run() => {}
            () = desk.run() => {}
        }
        let left = reloader.into_fleet().stop(SHUTDOWN_TIMEOUT).await.remaining;
        let committed = match recorder_exit {
            Some(outcome) => Some(outcome),
            None => tokio::time::timeout(SHUTDOWN_TIMEOUT, async {
                // Without pollers the recorder commits what it has and ends; on a broken disk it must be told.
                tokio::select! {
                    outcome = &mut recorder => outcome,
                    () = tokio::time::sleep(SHUTDOWN_TIMEOUT / 2) => {
                        give_up.cancel();
                        recorder.await
                    }
                }
            })
            .await
            .ok(),
        };
        let connections_left = port.close().await;
        match committed {
            Some(Ok(Ok(()))) if left == 0 && port_fell => {
                warn!(connections_left, "stopped without a port; all that was counted is in the state");
                ShutdownOutcome::Cut
            }
            Some(Ok(Ok(()))) if left == 0 => {
                info!(connections_left, "stopped; all that was counted is in the state");
                ShutdownOutcome::Orderly
            }
            Some(Ok(Err(error))) => {
                warn!(%error, "stopped without the last commit; its stretch is read again at the next start");
                ShutdownOutcome::Cut
            }
            Some(Ok(Ok(())) | Err(_)) | None => {
                warn!(tasks_left = left, "stopped with work left; it is read again at the next start");
                ShutdownOutcome::Cut
            }
        }
    }
}

async fn open_web(settings: &Settings, clock: &Clock) -> Result<WebConfig, BuildError> {
    let (file, now) = (settings.server.web_config_file.clone(), clock.now());
    match tokio::task::spawn_blocking(move || LoadedWebConfig::read(file.as_deref(), now)).await {
        Ok(prepared) => {
            let prepared = prepared.map_err(BuildError::Web)?;
            for warning in prepared.warnings() {
                warn!(%warning, "web configuration");
            }
            Ok(WebConfig::new(prepared))
        }
        Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
    }
}

async fn load(
    settings: &Settings,
    clock: &Clock,
    open: impl FnOnce() -> Result<Store, StoreError> + Send + 'static,
) -> Result<(Recorder, Vec<PollerCheckpoint>), StoreError> {
    let (counting, setups) = (settings_mapping::counting(settings), settings_mapping::setups(settings));
    let now = Timestamp::from(clock.now());
    let loading = tokio::task::spawn_blocking(move || Recorder::load(open()?, &setups, counting, now));
    match loading.await {
        Ok(outcome) => outcome,
        Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
    }
}
