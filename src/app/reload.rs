//! Reading the configuration again while the daemon runs.
//!
//! Owns: the order of it (read whole, compare, turn), one attempt at a time, and the record of what is in force and how the last
//! attempt went. A configuration that cannot be used changes nothing. Never: what a configuration must look like, or how a
//! poller is made.

use std::sync::Arc;

use arc_swap::ArcSwap;
use chrono::{DateTime, Utc};
use tracing::warn;

use super::config_diff::{Difference, NeedsRestart};
use super::config_watcher::Watch;
use super::pollers::{PollerSet, ReconfigureError};
use super::reload_requests::{Outcome, ReloadHandle, ReloadReceiver, ReloadTrigger, asks};
use super::settings_mapping;
use crate::clock::Clock;
use crate::config::{ConfigErrors, LoadedConfig, Settings, TrackedFiles};
use crate::events::Events;
use crate::exporter_metrics::ExporterMetrics;
use crate::metrics_source::MetricsProvider;
use crate::timestamp::Timestamp;
use crate::web::{InstallOutcome, LoadedWebConfig, WebConfig};

/// Reads the configuration from where it came from. May wait for files.
pub type ConfigLoader = Arc<dyn Fn() -> Result<LoadedConfig, ConfigErrors> + Send + Sync>;

/// The configuration in force, for whoever shows it.
pub type Configuration = Arc<ArcSwap<ActiveConfig>>;

/// What is in force, and since when.
#[derive(Debug, Clone)]
pub struct ActiveConfig {
    /// The settings.
    pub settings: Arc<Settings>,
    /// Where they came from, for people: `polyai.yaml and 2 environment variables`.
    pub origin: String,
    /// When they were read.
    pub since: Timestamp,
    /// The last attempt to read them again.
    pub last_attempt: Option<ReloadAttempt>,
}

/// An attempt to read the configuration again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReloadAttempt {
    /// When.
    pub at: Timestamp,
    /// What changed, or why nothing was changed; for people.
    pub outcome: Result<String, String>,
}

/// Attends to reloads.
pub(super) struct Reloader {
    pub(super) fleet: PollerSet,
    scrape: Arc<MetricsProvider>,
    web: WebConfig,
    load: Option<ConfigLoader>,
    watch: Watch,
    asks: ReloadReceiver,
    configuration: Configuration,
    clock: Clock,
    stats: ExporterMetrics,
    events: Events,
}

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
enum ReloadError {
    #[error("{0}")]
    Problems(ConfigErrors),
    #[error(transparent)]
    NeedsRestart(#[from] NeedsRestart),
    #[error(transparent)]
    Turn(#[from] ReconfigureError),
    #[error("the configuration did not come from a file or the environment; there is nothing to read again")]
    NoSource,
    #[error("reading the configuration failed: {0}")]
    Reading(#[from] tokio::task::JoinError),
}

impl Reloader {
    /// For the fleet that runs; without a source there is nothing to read again.
    pub(super) fn new(
        fleet: PollerSet,
        scrape: Arc<MetricsProvider>,
        web: WebConfig,
        clock: Clock,
        stats: ExporterMetrics,
        events: Events,
    ) -> (Self, ReloadHandle) {
        let (reloads, asks) = asks();
        let active = ActiveConfig {
            settings: fleet.settings().clone(),
            origin: "the program".to_owned(),
            since: Timestamp::from(clock.now()),
            last_attempt: None,
        };
        let configuration = Arc::new(ArcSwap::from_pointee(active));
        let (load, watch) = (None, Watch::new(None));
        (Self { fleet, scrape, web, load, watch, asks, configuration, clock, stats, events }, reloads)
    }

    /// From now on the configuration, which was `loaded` before, is read again with `load`.
    pub(super) fn set_source(&mut self, loaded: &LoadedConfig, load: ConfigLoader, watch: Watch) {
        self.load = Some(load);
        self.watch = watch;
        self.watch.reset(loaded.sources.clone());
        let in_force =
            ActiveConfig { origin: loaded.origin.clone(), ..(**self.configuration.load()).clone() };
        self.configuration.store(Arc::new(in_force));
    }

    pub(super) fn configuration(&self) -> Configuration {
        self.configuration.clone()
    }

    /// The fleet alone, for the stop: whoever waits for a reload, or asks for one from now on, is told that the program stops,
    /// and no connection waits for an answer.
    pub(super) fn into_fleet(self) -> PollerSet {
        self.fleet
    }

    /// Attends to those who ask, to changes of files and to pollers that fell for as long as it is polled. Dropping it in between
    /// leaves the fleet in order.
    pub(super) async fn run(&mut self) {
        loop {
            tokio::select! {
                asked = self.asks.next() => {
                    let outcome = self.reload(asked.trigger).await;
                    self.asks.answer(asked, outcome);
                }
                () = self.watch.changed() => {
                    let _ = self.reload(ReloadTrigger::Files).await;
                }
                fallen = self.fleet.next_panicked() => {
                    // It fails only when the program stops.
                    let _ = self.fleet.restart(&fallen).await;
                }
            }
        }
    }

    async fn reload(&mut self, trigger: ReloadTrigger) -> Outcome {
        let attempt = self.attempt(trigger).await;
        let at = self.clock.now();
        let mut in_force = (**self.configuration.load()).clone();
        let outcome = match attempt {
            Ok(changes) => {
                self.stats.config_loaded(at);
                self.events.config_reloaded(trigger.as_str(), changes.as_deref());
                in_force.since = Timestamp::from(at);
                Ok(changes.unwrap_or_else(|| Difference::default().to_string()))
            }
            Err(refusal) => {
                let reason = refusal.to_string();
                self.stats.config_reload_failed();
                self.events.config_reload_failed(trigger.as_str(), &reason);
                Err(reason)
            }
        };
        in_force.settings = self.fleet.settings().clone();
        in_force.last_attempt = Some(ReloadAttempt { at: Timestamp::from(at), outcome: outcome.clone() });
        self.configuration.store(Arc::new(in_force));
        outcome
    }

    /// Answers what changed; none if nothing did.
    async fn attempt(&mut self, trigger: ReloadTrigger) -> Result<Option<String>, ReloadError> {
        let load = self.load.clone().ok_or(ReloadError::NoSource)?;
        let now = self.clock.now();
        let (read, sources) = tokio::task::spawn_blocking(move || read(&load, now)).await?;
        // Whatever comes of it, and however long that takes: what is edited from here on has not been read.
        self.watch.reset(sources);
        let (loaded, web) = read.map_err(ReloadError::Problems)?;
        let removed = self.web.removed_protections(&web);
        if trigger == ReloadTrigger::Files
            && let Some(removed) = removed
        {
            return Err(ReloadError::Problems(removed.into()));
        }
        for warning in loaded.warnings.iter().chain(web.warnings()).chain(&removed) {
            warn!(%warning, "configuration");
        }
        let difference = Difference::diff(self.fleet.settings(), &loaded.settings)?;
        let settings = Arc::new(loaded.settings);
        let is_same = difference == Difference::default();
        if is_same {
            self.fleet.replace_settings(settings);
        } else {
            self.fleet.reconfigure(settings.clone(), &difference).await?;
            self.scrape.set_options(settings_mapping::shown(&settings));
        }
        let installed = self.web.install(web);
        // Of one that came later, the watch over it has told.
        if installed != InstallOutcome::Stale {
            self.stats.web_config_in_force(self.web.certificate_expiry());
        }
        Ok(match (installed, is_same) {
            (InstallOutcome::Same | InstallOutcome::Stale, true) => None,
            (InstallOutcome::Same | InstallOutcome::Stale, false) => Some(difference.to_string()),
            (InstallOutcome::Changed, true) => Some("web configuration changed".to_owned()),
            (InstallOutcome::Changed, false) => Some(format!("{difference}; web configuration changed")),
        })
    }
}

/// Reads all there is to read, and answers beside it what that was.
fn read(
    load: &ConfigLoader,
    now: DateTime<Utc>,
) -> (Result<(LoadedConfig, LoadedWebConfig), ConfigErrors>, TrackedFiles) {
    let read = load().and_then(|loaded| {
        let file = loaded.settings.server.web_config_file.as_deref();
        match LoadedWebConfig::read(file, now) {
            Ok(web) => Ok((loaded, web)),
            // What is missing may come later, as a Secret may be mounted after the ConfigMap that names it.
            Err(problems) => Err(problems.with_files(loaded.sources)),
        }
    });
    // The files of a web configuration that can be used are looked at by its own watch.
    let sources = match &read {
        Ok((loaded, _)) => loaded.sources.clone(),
        Err(problems) => problems.files().clone(),
    };
    (read, sources)
}
