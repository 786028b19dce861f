//! Reading the configuration again while the daemon runs.
//!
//! Owns: the order of it (read whole, compare, turn), one attempt at a time, and the record of what is in force and how the last
//! attempt went. A configuration that cannot be used changes nothing. Never: what a configuration must look like, or how a
//! poller is made.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, oneshot};
use tracing::warn;

use super::derive;
use super::difference::{Difference, NeedsRestart};
use super::fleet::{Fleet, TurnError};
use super::scrape::Scrape;
use super::watch::Watch;
use crate::clock::Clock;
use crate::config::{Loaded, Problems, Settings};
use crate::events::Events;
use crate::moment::Moment;
use crate::selfstats::SelfStats;
use crate::server::{Reload, Reloading};
use crate::web::{Prepared, Web};

/// Reads the configuration from where it came from. May wait for files.
pub type Load = Arc<dyn Fn() -> Result<Loaded, Problems> + Send + Sync>;

/// What made the configuration be read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// SIGHUP.
    Signal,
    /// `POST /-/reload`.
    Request,
    /// A file has another content than before.
    Files,
}

impl Trigger {
    /// For the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Signal => "SIGHUP",
            Self::Request => "POST /-/reload",
            Self::Files => "file change",
        }
    }
}

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

/// The way to have the configuration read again.
#[derive(Debug, Clone)]
pub struct Reloads(mpsc::Sender<Request>);

#[derive(Debug)]
struct Request {
    trigger: Trigger,
    answer: oneshot::Sender<Result<String, String>>,
}

impl Reloads {
    /// Reads it, and answers what changed.
    ///
    /// # Errors
    /// Why nothing was changed, for people; may have several lines.
    pub async fn reload(&self, trigger: Trigger) -> Result<String, String> {
        let (answer, outcome) = oneshot::channel();
        let stopping = || "the program is stopping".to_owned();
        self.0.send(Request { trigger, answer }).await.map_err(|_| stopping())?;
        outcome.await.map_err(|_| stopping())?
    }
}

impl Reload for Reloads {
    fn reload(&self) -> Reloading<'_> {
        Box::pin(self.reload(Trigger::Request))
    }
}

/// Attends to reloads.
pub(super) struct Reloader {
    pub(super) fleet: Fleet,
    scrape: Arc<Scrape>,
    web: Web,
    load: Option<Load>,
    watch: Watch,
    requests: mpsc::Receiver<Request>,
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
        let (outbox, requests) = mpsc::channel(8);
        let in_force = InForce {
            settings: fleet.settings().clone(),
            origin: "the program".to_owned(),
            since: Moment::from(clock.now()),
            last_attempt: None,
        };
        let configuration = Arc::new(ArcSwap::from_pointee(in_force));
        let (load, watch) = (None, Watch::default());
        (
            Self { fleet, scrape, web, load, watch, requests, configuration, clock, stats, events },
            Reloads(outbox),
        )
    }

    /// From now on the configuration, which was `loaded` before, is read again with `load`.
    pub(super) fn read_again(&mut self, loaded: &Loaded, load: Load, watch: Watch) {
        self.load = Some(load);
        self.watch = watch;
        self.watch.over(loaded.files.clone());
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

    /// Attends to requests, to changes of files and to pollers that fell for as long as it is polled. Dropping it in between leaves the fleet in order.
    pub(super) async fn attend(&mut self) {
        self.catch_up().await;
        loop {
            tokio::select! {
                // Without anybody who could ask, files and pollers are left to look after.
                Some(Request { trigger, answer }) = self.requests.recv() => {
                    let outcome = self.reload(trigger).await;
                    // Who asked may have hung up.
                    let _ = answer.send(outcome);
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

    /// Notices what has changed since the configuration was read for the start, which a large state makes a while ago. From
    /// here on the watch does.
    async fn catch_up(&mut self) {
        let Some(load) = self.load.clone().filter(|_| self.watch.is_on()) else { return };
        self.watch.look().await;
        let Ok(read) = tokio::task::spawn_blocking(move || load()).await else { return };
        let is_same = read.is_ok_and(|read| read.settings == **self.fleet.settings());
        if !is_same {
            let _ = self.reload(Trigger::Files).await;
        }
    }

    async fn reload(&mut self, trigger: Trigger) -> Result<String, String> {
        let outcome = self.attempt().await.map_err(|refusal| refusal.to_string());
        let at = self.clock.now();
        let mut in_force = (**self.configuration.load()).clone();
        match &outcome {
            Ok(changes) => {
                self.stats.config_loaded(at);
                self.events.config_reloaded(trigger.as_str(), changes);
                in_force.since = Moment::from(at);
            }
            Err(reason) => {
                self.stats.config_rejected();
                self.events.config_rejected(trigger.as_str(), reason);
            }
        }
        in_force.settings = self.fleet.settings().clone();
        in_force.last_attempt = Some(Attempt { at: Moment::from(at), outcome: outcome.clone() });
        self.configuration.store(Arc::new(in_force));
        outcome
    }

    async fn attempt(&mut self) -> Result<String, Refusal> {
        let load = self.load.clone().ok_or(Refusal::NoSource)?;
        self.watch.look().await;
        let now = self.clock.now();
        let both = move || {
            let loaded = load()?;
            let file = loaded.settings.server.web_config_file.as_deref();
            let web = Prepared::read(file, now).map_err(|problems| {
                problems.found_in(loaded.files.iter().cloned().chain(file.map(Path::to_path_buf)).collect())
            })?;
            Ok((loaded, web))
        };
        let (loaded, web) = tokio::task::spawn_blocking(both).await?.map_err(|problems: Problems| {
            // What is missing may come later, as a Secret may be mounted after the ConfigMap that names it.
            self.watch.also_over(problems.files());
            Refusal::Problems(problems)
        })?;
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
        self.watch.over(loaded.files);
        let has_changed = self.web.install(web);
        self.stats.web_config_in_force(self.web.certificate_expiry());
        Ok(match (has_changed, is_same) {
            (false, _) => difference.to_string(),
            (true, true) => "web configuration changed".to_owned(),
            (true, false) => format!("{difference}; web configuration changed"),
        })
    }
}

impl fmt::Display for Trigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
