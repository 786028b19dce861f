//! Reloads the configuration while the daemon runs; an invalid one changes nothing.

use std::sync::Arc;

use arc_swap::ArcSwap;
use chrono::{DateTime, Utc};
use exporter_web::{InstallOutcome, LoadedWebConfig, WebConfig};
use polyai_domain::clock::Clock;
use polyai_domain::timestamp::Timestamp;
use tracing::warn;

use super::config_diff::{ConfigDiff, NeedsRestart};
use super::config_watcher::Watch;
use super::pollers::{PollerSet, ReconfigureError};
use super::reload_requests::{self, Outcome, ReloadHandle, ReloadReceiver, ReloadTrigger};
use super::settings_mapping;
use crate::config::{ConfigErrors, LoadedConfig, Settings, TrackedFiles};
use crate::events::Events;
use crate::exporter_metrics::ExporterMetrics;
use crate::metrics_source::MetricsProvider;

/// Loads the configuration. Blocks while reading files.
pub type ConfigLoader = Arc<dyn Fn() -> Result<LoadedConfig, ConfigErrors> + Send + Sync>;

/// The active configuration, shared with the status page.
pub type Configuration = Arc<ArcSwap<ActiveConfig>>;

/// The active configuration.
#[derive(Debug, Clone)]
pub struct ActiveConfig {
    /// The settings.
    pub settings: Arc<Settings>,
    /// The sources, such as `polyai.yaml and 2 environment variables`.
    pub origin: String,
    /// The time it was loaded.
    pub since: Timestamp,
    /// The last reload.
    pub last_attempt: Option<ReloadAttempt>,
}

/// An attempt to reload the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReloadAttempt {
    /// Its time.
    pub at: Timestamp,
    /// The changes, or the reason it failed.
    pub outcome: Outcome,
}

/// Performs reloads, one at a time, and restarts panicked pollers.
pub(super) struct Reloader {
    pub(super) pollers: PollerSet,
    metrics: Arc<MetricsProvider>,
    web: WebConfig,
    load: Option<ConfigLoader>,
    watch: Watch,
    requests: ReloadReceiver,
    configuration: Configuration,
    clock: Clock,
    stats: ExporterMetrics,
    events: Events,
}

/// The reason a reload failed.
#[derive(Debug, thiserror::Error)]
enum ReloadError {
    #[error("{0}")]
    Invalid(ConfigErrors),
    #[error(transparent)]
    NeedsRestart(#[from] NeedsRestart),
    #[error(transparent)]
    Reconfigure(#[from] ReconfigureError),
    #[error("the configuration did not come from a file or the environment; there is nothing to read again")]
    NoSource,
    #[error("reading the configuration failed: {0}")]
    Reading(#[from] tokio::task::JoinError),
}

impl Reloader {
    /// A reloader that fails until [`set_source`](Self::set_source).
    pub(super) fn new(
        pollers: PollerSet,
        metrics: Arc<MetricsProvider>,
        web: WebConfig,
        clock: Clock,
        stats: ExporterMetrics,
        events: Events,
    ) -> (Self, ReloadHandle) {
        let (handle, requests) = reload_requests::channel();
        let active = ActiveConfig {
            settings: pollers.settings().clone(),
            origin: "the program".to_owned(),
            since: Timestamp::from(clock.now()),
            last_attempt: None,
        };
        let configuration = Arc::new(ArcSwap::from_pointee(active));
        let (load, watch) = (None, Watch::new(None));
        (Self { pollers, metrics, web, load, watch, requests, configuration, clock, stats, events }, handle)
    }

    /// Sets the source of reloads, of which `loaded` is the first result.
    pub(super) fn set_source(&mut self, loaded: &LoadedConfig, load: ConfigLoader, watch: Watch) {
        self.load = Some(load);
        self.watch = watch;
        self.watch.reset(loaded.sources.clone());
        let active = (**self.configuration.load()).clone();
        self.configuration.store(Arc::new(ActiveConfig { origin: loaded.origin.clone(), ..active }));
    }

    pub(super) fn configuration(&self) -> Configuration {
        self.configuration.clone()
    }

    /// Drops everything but the pollers, which rejects current and future requests.
    pub(super) fn into_pollers(self) -> PollerSet {
        self.pollers
    }

    /// Handles requests, file changes and panicked pollers. Cancel safe.
    pub(super) async fn run(&mut self) {
        loop {
            tokio::select! {
                request = self.requests.next() => {
                    let outcome = self.reload(request.trigger).await;
                    self.requests.answer(request, outcome);
                }
                () = self.watch.changed() => {
                    let _ = self.reload(ReloadTrigger::Files).await;
                }
                panicked = self.pollers.next_panicked() => {
                    // Fails only at shutdown.
                    let _ = self.pollers.restart(&panicked).await;
                }
            }
        }
    }

    async fn reload(&mut self, trigger: ReloadTrigger) -> Outcome {
        let changes = self.attempt(trigger).await;
        let now = self.clock.now();
        let at = Timestamp::from(now);
        let mut active = (**self.configuration.load()).clone();
        let outcome = match changes {
            Ok(changes) => {
                self.stats.config_loaded(now);
                self.events.config_reloaded(trigger.as_str(), changes.as_deref());
                active.since = at;
                Ok(changes.unwrap_or_else(|| ConfigDiff::default().to_string()))
            }
            Err(error) => {
                let reason = error.to_string();
                self.stats.config_reload_failed();
                self.events.config_reload_failed(trigger.as_str(), &reason);
                Err(reason)
            }
        };
        active.settings = self.pollers.settings().clone();
        active.last_attempt = Some(ReloadAttempt { at, outcome: outcome.clone() });
        self.configuration.store(Arc::new(active));
        outcome
    }

    /// Returns the changes, if any.
    async fn attempt(&mut self, trigger: ReloadTrigger) -> Result<Option<String>, ReloadError> {
        let load = self.load.clone().ok_or(ReloadError::NoSource)?;
        let now = self.clock.now();
        let (read, sources) = tokio::task::spawn_blocking(move || read(&load, now)).await?;
        // Even if the attempt fails or takes long: later edits have not been read.
        self.watch.reset(sources);
        let (loaded, web) = read.map_err(ReloadError::Invalid)?;
        let removed = self.web.removed_protections(&web);
        if trigger == ReloadTrigger::Files
            && let Some(removed) = removed
        {
            return Err(ReloadError::Invalid(removed.into()));
        }
        for warning in loaded.warnings.iter().chain(web.warnings()).chain(&removed) {
            warn!(%warning, "configuration");
        }
        let diff = ConfigDiff::diff(self.pollers.settings(), &loaded.settings)?;
        let settings = Arc::new(loaded.settings);
        let mut changes = Vec::new();
        if diff == ConfigDiff::default() {
            self.pollers.replace_settings(settings);
        } else {
            self.pollers.reconfigure(settings.clone(), &diff).await?;
            self.metrics.set_options(settings_mapping::format_options(&settings));
            changes.push(diff.to_string());
        }
        let installed = self.web.install(web);
        if installed == InstallOutcome::Changed {
            changes.push("web configuration changed".to_owned());
        }
        // A newer one was already reported by the watch of the web configuration.
        if installed != InstallOutcome::Stale {
            self.stats.web_config_loaded(self.web.certificate_expiry());
        }
        Ok(Some(changes.join("; ")).filter(|changes| !changes.is_empty()))
    }
}

/// Reads the configuration and the web configuration, and returns the files to watch.
fn read(
    load: &ConfigLoader,
    now: DateTime<Utc>,
) -> (Result<(LoadedConfig, LoadedWebConfig), ConfigErrors>, TrackedFiles) {
    let read = load().and_then(|loaded| {
        let file = loaded.settings.server.web_config_file.as_deref();
        match LoadedWebConfig::read(file, now) {
            Ok(web) => Ok((loaded, web)),
            // A missing file may appear later, as when a Secret is mounted after the ConfigMap that names it.
            Err(problems) => Err(problems.with_files(loaded.sources)),
        }
    });
    // The files of a valid web configuration have their own watch.
    let sources = match &read {
        Ok((loaded, _)) => loaded.sources.clone(),
        Err(problems) => problems.files().clone(),
    };
    (read, sources)
}
