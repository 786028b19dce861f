//! Builds and runs the daemon: the only module that knows all its parts.
//!
//! It starts the state, the port and the pollers, in this order, and stops pollers, recorder and port. Every address is bound
//! and every problem reported before anything runs.

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

use polyai_api::ClientError;
use polyai_domain::clock::Clock;
use polyai_domain::timestamp::Timestamp;
use polyai_engine::ledger::store::{Store, StoreError};
use polyai_engine::recorder::task::{RecorderTask, SnapshotCell};
use polyai_engine::recorder::{PollerCheckpoint, Recorder};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use self::http::{HttpTasks, WebConfigWatch};
use crate::config::{ConfigErrors, LoadedConfig, Settings};
use crate::events::Events;
use crate::exporter_metrics::{BuildInfo, ExporterMetrics};
use crate::http::{BindError, Limits, Routes, Server};
use crate::metrics_source::MetricsProvider;
use crate::status::PollHistories;
use config_watcher::Watch;
use exporter_web::{LoadedWebConfig, WebConfig};
use pollers::{PollerContext, PollerSet};
use readiness::ReadinessProbe;
use reload::Reloader;
pub use reload::{ActiveConfig, ConfigLoader, Configuration, ReloadAttempt};
pub use reload_requests::{ReloadHandle, ReloadTrigger};
use status_source::StatusProvider;

/// Limit for the pollers, and for the last commit, to stop.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);

/// The daemon, built and bound, not yet running.
pub struct App {
    server: Server,
    routes: Routes,
    web_watch: WebConfigWatch,
    recorder: RecorderTask,
    reloader: Reloader,
    reloads: ReloadHandle,
    checkpoints: Vec<PollerCheckpoint>,
    published: SnapshotCell,
    status: Arc<StatusProvider>,
}

/// The reason the daemon cannot start.
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

/// The way a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShutdownOutcome {
    /// Everything stopped in order, and all counts are persisted.
    Orderly,
    /// A task did not stop in time, the last commit failed, or the HTTP server exited. Uncommitted data is read again at the
    /// next start.
    Cut,
}

impl App {
    /// Opens the state, binds the port and prepares a poller per target.
    ///
    /// # Errors
    /// If the state is in use, newer or damaged, the port is taken, or a client cannot be set up.
    pub async fn build(settings: &Settings, clock: Clock) -> Result<Self, BuildError> {
        let storage = settings.storage.clone();
        Self::build_on(settings, clock, move || settings_mapping::open_store(&storage)).await
    }

    /// The same with the state that `open` returns.
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
        let (counting, setups) = (settings_mapping::counting(settings), settings_mapping::setups(settings));
        let now = Timestamp::from(clock.now());
        let load = move || {
            let store = open()?;
            let converted_from = store.converted_from();
            let (recorder, checkpoints) = Recorder::load(store, &setups, counting, now)?;
            Ok::<_, StoreError>((recorder, checkpoints, converted_from))
        };
        let (recorder, checkpoints, converted_from) = run_blocking(load).await?;
        if let Some(format) = converted_from {
            info!(
                format,
                "the state was converted from a former format; the version that wrote it cannot read it now"
            );
        }
        let (file, now) = (settings.server.web_config_file.clone(), clock.now());
        let web = run_blocking(move || LoadedWebConfig::read(file.as_deref(), now)).await;
        let web = web.map_err(BuildError::Web)?;
        for warning in web.warnings() {
            warn!(%warning, "web configuration");
        }
        let web = WebConfig::new(web);
        stats.web_config_loaded(web.certificate_expiry());
        let server = Server::bind(&settings.server.listen, Limits::default()).await?;
        let (task, handle, published) = RecorderTask::new(recorder, events.clone());
        let histories = PollHistories::default();
        let ctx = PollerContext {
            clock: clock.clone(),
            stats: stats.clone(),
            events: events.clone(),
            recorder: handle,
            histories: histories.clone(),
        };
        let pollers = PollerSet::new(Arc::new(settings.clone()), ctx)?;
        stats.config_loaded(clock.now());
        let options = settings_mapping::format_options(settings);
        let metrics =
            Arc::new(MetricsProvider::new(published.clone(), stats.clone(), options, clock.clone()));
        let readiness = Arc::new(ReadinessProbe::new(pollers.readiness(), published.clone()));
        let web_watch = WebConfigWatch { web: web.clone(), events: events.clone(), clock: clock.clone() };
        let (reloader, reloads) = Reloader::new(pollers, metrics.clone(), web, clock.clone(), stats, events);
        let addresses = server.addresses().map(ToString::to_string).collect();
        let configuration = reloader.configuration();
        let status =
            Arc::new(StatusProvider::new(published.clone(), histories, configuration, clock, addresses));
        let routes = Routes::new(metrics, readiness).with_status(status.clone());
        Ok(Self {
            server,
            routes,
            web_watch,
            recorder: task,
            reloader,
            reloads,
            checkpoints,
            published,
            status,
        })
    }

    /// Enables reloads of the configuration that was `loaded`, with `load`: on request and, at the interval `watch`, when its
    /// files have changed.
    pub fn with_reload(mut self, loaded: &LoadedConfig, load: ConfigLoader, watch: Option<Duration>) -> Self {
        self.reloader.set_source(loaded, load, Watch::new(watch));
        self.routes = self.routes.with_reload(Arc::new(self.reloads.clone()));
        self
    }

    /// Requests reloads.
    pub fn reloads(&self) -> ReloadHandle {
        self.reloads.clone()
    }

    /// The active configuration.
    pub fn configuration(&self) -> Configuration {
        self.reloader.configuration()
    }

    /// The first TCP address of the server.
    pub fn address(&self) -> Option<SocketAddr> {
        self.server.address()
    }

    /// The published snapshot.
    pub fn published(&self) -> SnapshotCell {
        self.published.clone()
    }

    /// Runs until `stop`, or until the server or the recorder exits. Then pollers stop, their batches are committed, and open
    /// scrapes are answered.
    pub async fn run(self, stop: CancellationToken) -> ShutdownOutcome {
        let Self { server, routes, web_watch, recorder, mut reloader, checkpoints, status, .. } = self;
        info!(targets = checkpoints.len(), "polling");
        let give_up = CancellationToken::new();
        reloader.pollers.start(checkpoints);
        let mut recorder = tokio::spawn(recorder.run(give_up.clone()));
        let mut http = HttpTasks::spawn(server, routes, web_watch);

        let (mut recorder_exit, mut http_exited) = (None, false);
        tokio::select! {
            () = stop.cancelled() => {}
            outcome = &mut recorder => recorder_exit = Some(outcome),
            task = http.task_exited() => {
                error!(
                    task,
                    "HTTP server task exited unexpectedly; shutting down so the service manager can restart the process"
                );
                http_exited = true;
            }
            () = reloader.run() => {}
            () = status.run() => {}
        }
        let tasks_left = reloader.into_pollers().stop(SHUTDOWN_TIMEOUT).await.remaining;
        let committed = match recorder_exit {
            Some(outcome) => Some(outcome),
            None => tokio::time::timeout(SHUTDOWN_TIMEOUT, async {
                // Without pollers the recorder commits what it has and ends; with a broken disk it retries until cancelled.
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
        let connections_left = http.close().await;
        match committed {
            Some(Ok(Ok(()))) if tasks_left == 0 && http_exited => {
                warn!(connections_left, "shutdown after HTTP server failure; all counts persisted");
            }
            Some(Ok(Ok(()))) if tasks_left == 0 => {
                info!(connections_left, "shutdown complete; all counts persisted");
                return ShutdownOutcome::Orderly;
            }
            Some(Ok(Err(error))) => {
                warn!(%error, "shutdown: last commit failed; that window will be re-read at next start");
            }
            Some(Ok(Ok(())) | Err(_)) | None => warn!(
                tasks_left,
                "shutdown deadline exceeded with tasks still running; unfinished work will be re-read at next start"
            ),
        }
        ShutdownOutcome::Cut
    }
}

/// Runs `work` on a thread that may block.
async fn run_blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
    }
}
