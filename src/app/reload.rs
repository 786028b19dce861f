//! Reading the configuration again while the daemon runs.
//!
//! Owns: the order of it (read whole, compare, turn), one attempt at a time, and the record of what is in force and how the last
//! attempt went. A configuration that cannot be used changes nothing. Never: what a configuration must look like, or how a
//! poller is made.

use std::sync::Arc;

use arc_swap::ArcSwap;
use chrono::{DateTime, Utc};
use tracing::warn;

use super::asks::{Asks, Outcome, Reloads, Trigger, asks};
use super::derive;
use super::difference::{Difference, NeedsRestart};
use super::fleet::{Fleet, TurnError};
use super::scrape::Scrape;
use super::watch::Watch;
use crate::clock::Clock;
use crate::config::{Loaded, Problems, Settings, Sources};
use crate::events::Events;
use crate::moment::Moment;
use crate::selfstats::SelfStats;
use crate::web::{Installed, Prepared, Web};

/// Reads the configuration from where it came from. May wait for files.
pub type Load = Arc<dyn Fn() -> Result<Loaded, Problems> + Send + Sync>;

/// The configuration in force, for whoever shows it.
pub type Configuration = Arc<ArcSwap<InForce>>;

/// What is in force, and since when.
#[derive(Debug, Clone)]
pub struct InForce {
    /// The settings.
    pub settings: Arc<Settings>,
    /// Where they came from, for people: `polyai.yaml and 2 environment variables`.
    pub origin: String,
    /// When they were read.
    pub since: Moment,
    /// The last attempt to read them again.
    pub last_attempt: Option<Attempt>,
}

/// An attempt to read the configuration again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// When.
    pub at: Moment,
    /// What changed, or why nothing was changed; for people.
    pub outcome: Result<String, String>,
}

/// Attends to reloads.
pub(super) struct Reloader {
    pub(super) fleet: Fleet,
    scrape: Arc<Scrape>,
    web: Web,
    load: Option<Load>,
    watch: Watch,
    asks: Asks,
    configuration: Configuration,
    clock: Clock,
    stats: SelfStats,
    events: Events,
}

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("{0}")]
    Problems(Problems),
    #[error(transparent)]
    NeedsRestart(#[from] NeedsRestart),
    #[error(transparent)]
    Turn(#[from] TurnError),
    #[error("the configuration did not come from a file or the environment; there is nothing to read again")]
    NoSource,
    #[error("reading the configuration failed: {0}")]
    Reading(#[from] tokio::task::JoinError),
}

impl Reloader {
    /// For the fleet that runs; without a source there is nothing to read again.
    pub(super) fn new(
        fleet: Fleet,
        scrape: Arc<Scrape>,
        web: Web,
        clock: Clock,
        stats: SelfStats,
        events: Events,
    ) -> (Self, Reloads) {
        let (reloads, asks) = asks();
        let in_force = InForce {
            settings: fleet.settings().clone(),
            origin: "the program".to_owned(),
            since: Moment::from(clock.now()),
            last_attempt: None,
        };
        let configuration = Arc::new(ArcSwap::from_pointee(in_force));
        let (load, watch) = (None, Watch::every(None));
        (Self { fleet, scrape, web, load, watch, asks, configuration, clock, stats, events }, reloads)
    }

    /// From now on the configuration, which was `loaded` before, is read again with `load`.
    pub(super) fn read_again(&mut self, loaded: &Loaded, load: Load, watch: Watch) {
        self.load = Some(load);
        self.watch = watch;
        self.watch.over(loaded.sources.clone());
        let in_force = InForce { origin: loaded.origin.clone(), ..(**self.configuration.load()).clone() };
        self.configuration.store(Arc::new(in_force));
    }

    pub(super) fn configuration(&self) -> Configuration {
        self.configuration.clone()
    }

    /// The fleet alone, for the stop: whoever waits for a reload, or asks for one from now on, is told that the program stops,
    /// and no connection waits for an answer.
    pub(super) fn into_fleet(self) -> Fleet {
        self.fleet
    }

    /// Attends to those who ask, to changes of files and to pollers that fell for as long as it is polled. Dropping it in between
    /// leaves the fleet in order.
    pub(super) async fn attend(&mut self) {
        loop {
            tokio::select! {
                asked = self.asks.next() => {
                    let outcome = self.reload(asked.trigger).await;
                    self.asks.answer(asked, outcome);
                }
                () = self.watch.changed() => {
                    let _ = self.reload(Trigger::Files).await;
                }
                fallen = self.fleet.fallen() => {
                    // It fails only when the program stops.
                    let _ = self.fleet.revive(&fallen).await;
                }
            }
        }
    }

    async fn reload(&mut self, trigger: Trigger) -> Outcome {
        let attempt = self.attempt().await;
        let at = self.clock.now();
        let mut in_force = (**self.configuration.load()).clone();
        let outcome = match attempt {
            Ok(changes) => {
                self.stats.config_loaded(at);
                self.events.config_reloaded(trigger.as_str(), changes.as_deref());
                in_force.since = Moment::from(at);
                Ok(changes.unwrap_or_else(|| Difference::default().to_string()))
            }
            Err(refusal) => {
                let reason = refusal.to_string();
                self.stats.config_rejected();
                self.events.config_rejected(trigger.as_str(), &reason);
                Err(reason)
            }
        };
        in_force.settings = self.fleet.settings().clone();
        in_force.last_attempt = Some(Attempt { at: Moment::from(at), outcome: outcome.clone() });
        self.configuration.store(Arc::new(in_force));
        outcome
    }

    /// Answers what changed; none if nothing did.
    async fn attempt(&mut self) -> Result<Option<String>, Refusal> {
        let load = self.load.clone().ok_or(Refusal::NoSource)?;
        let now = self.clock.now();
        let (read, sources) = tokio::task::spawn_blocking(move || read(&load, now)).await?;
        // Whatever comes of it, and however long that takes: what is edited from here on has not been read.
        self.watch.over(sources);
        let (loaded, web) = read.map_err(Refusal::Problems)?;
        for warning in loaded.warnings.iter().chain(web.warnings()) {
            warn!(%warning, "configuration");
        }
        let difference = Difference::between(self.fleet.settings(), &loaded.settings)?;
        let settings = Arc::new(loaded.settings);
        let is_same = difference == Difference::default();
        if is_same {
            self.fleet.restate(settings);
        } else {
            self.fleet.turn_to(settings.clone(), &difference).await?;
            self.scrape.show(derive::shown(&settings));
        }
        let installed = self.web.install(web);
        // Of one that came later, the watch over it has told.
        if installed != Installed::Superseded {
            self.stats.web_config_in_force(self.web.certificate_expiry());
        }
        Ok(match (installed, is_same) {
            (Installed::Same | Installed::Superseded, true) => None,
            (Installed::Same | Installed::Superseded, false) => Some(difference.to_string()),
            (Installed::Changed, true) => Some("web configuration changed".to_owned()),
            (Installed::Changed, false) => Some(format!("{difference}; web configuration changed")),
        })
    }
}

/// Reads all there is to read, and answers beside it what that was.
fn read(load: &Load, now: DateTime<Utc>) -> (Result<(Loaded, Prepared), Problems>, Sources) {
    let read = load().and_then(|loaded| {
        let file = loaded.settings.server.web_config_file.as_deref();
        match Prepared::read(file, now) {
            Ok(web) => Ok((loaded, web)),
            // What is missing may come later, as a Secret may be mounted after the ConfigMap that names it.
            Err(problems) => Err(problems.found_in(loaded.sources)),
        }
    });
    // The files of a web configuration that can be used are looked at by its own watch.
    let sources = match &read {
        Ok((loaded, _)) => loaded.sources.clone(),
        Err(problems) => problems.sources().clone(),
    };
    (read, sources)
}
