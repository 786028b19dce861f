//! The daemon put together: the only place that knows all its parts.
//!
//! Owns: the order of building (state first, then the port, then the pollers) and of stopping (pollers, recorder, port).
//! Building tells every address and refuses every problem before anything runs.

pub(crate) mod derive;

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::api::Client;
use crate::api::client::{Access, ClientError};
use crate::api::pace::{Concurrency, Pace};
use crate::api::pages::List;
use crate::api::server_clock::ServerClock;
use crate::clock::Clock;
use crate::config::{Settings, Target};
use crate::events::Events;
use crate::exposition::board::Board;
use crate::exposition::page::{Coding, Page};
use crate::exposition::{Family, Format};
use crate::ledger::store::{Store, StoreError};
use crate::moment::Moment;
use crate::recorder::task::{Handle, Published, Task};
use crate::recorder::{Generation, Recorder, Resume, TargetIndex};
use crate::schedule::poller::Untried;
use crate::schedule::{Passes, Poller};
use crate::selfstats::{BuildInfo, SelfStats};
use crate::server::{BindError, Exposition, Limits, Readiness, Routes, Server};
use crate::web::Web;
use crate::shutdown::drain;

/// How long pollers and the last commit may take to stop.
const STOP_DEADLINE: Duration = Duration::from_secs(10);
/// First ticks of targets are spread by this much each, up to an interval.
const FIRST_TICK_SPREAD: Duration = Duration::from_millis(30);

/// The daemon, built and bound, not yet running.
pub struct App {
    server: Server,
    routes: Routes,
    recorder: Task,
    pollers: Vec<Poller>,
    published: Published,
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
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Everything stopped in order, and the state holds all that was counted.
    Orderly,
    /// Something did not stop in time, or the last commit failed; what it held is read again at the next start.
    Cut,
}

impl App {
    /// Opens the state, binds the port, prepares a poller per target.
    ///
    /// # Errors
    /// With a sentence for people: state in use, newer or damaged, port taken, a `ca_file` that is no bundle.
    pub async fn build(settings: &Settings, clock: Clock) -> Result<Self, BuildError> {
        let storage = settings.storage.clone();
        Self::build_on(settings, clock, move || Store::open(&storage)).await
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
        let stats = SelfStats::new(BuildInfo::CURRENT, Moment::from(clock.now()));
        let events = Events::new(stats.clone());
        let (recorder, resumes) = load(settings, &clock, open).await?;
        let server = Server::bind(settings.server.listen, Limits::default(), events.clone()).await?;
        let (task, handle, published) = Task::new(recorder, events.clone(), stats.clone());
        let untried = Untried::new(settings.targets.len());
        let parts =
            Parts { settings, stats: &stats, events: &events, clock: &clock, handle, untried: &untried };
        let pollers = parts.pollers(resumes)?;
        stats.config_loaded(clock.now());
        let shown = derive::shown(settings);
        let scrape =
            Scrape { published: published.clone(), stats: stats.clone(), board: Board::new(shown), clock };
        let routes = Routes::new(Arc::new(scrape), Arc::new(Tried(untried)));
        Ok(Self { server, routes, recorder: task, pollers, published })
    }

    /// Where it serves.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// What it serves, for those in the same process.
    pub fn published(&self) -> Published {
        self.published.clone()
    }

    /// Runs until `stop`; then pollers stop, what they handed over is committed, and open scrapes are answered.
    pub async fn run(self, stop: CancellationToken) -> Ended {
        let Self { server, routes, recorder, pollers, .. } = self;
        info!(targets = pollers.len(), "polling");
        let (stop_pollers, give_up, stop_server) =
            (stop.child_token(), CancellationToken::new(), CancellationToken::new());
        let tracker = TaskTracker::new();
        for poller in pollers {
            tracker.spawn(poller.run(stop_pollers.clone()));
        }
        tracker.close();
        let mut recorder = tokio::spawn(recorder.run(give_up.clone()));
        let serving = tokio::spawn(server.run(routes, stop_server.clone()));

        let early = tokio::select! {
            () = stop.cancelled() => None,
            // It ends by itself only when it cannot go on.
            outcome = &mut recorder => Some(outcome),
        };
        stop_pollers.cancel();
        let left = drain(&tracker, STOP_DEADLINE).await.left;
        let committed = match early {
            Some(outcome) => Some(outcome),
            None => tokio::time::timeout(STOP_DEADLINE, async {
                // Without pollers the recorder commits what it has and ends; on a broken disk it must be told.
                tokio::select! {
                    outcome = &mut recorder => outcome,
                    () = tokio::time::sleep(STOP_DEADLINE / 2) => {
                        give_up.cancel();
                        recorder.await
                    }
                }
            })
            .await
            .ok(),
        };
        stop_server.cancel();
        let connections_left = serving.await.map_or(0, |drained| drained.left);
        match committed {
            Some(Ok(Ok(()))) if left == 0 => {
                info!(connections_left, "stopped; all that was counted is in the state");
                Ended::Orderly
            }
            Some(Ok(Err(error))) => {
                warn!(%error, "stopped without the last commit; its stretch is read again at the next start");
                Ended::Cut
            }
            Some(Ok(Ok(())) | Err(_)) | None => {
                warn!(tasks_left = left, "stopped with work left; it is read again at the next start");
                Ended::Cut
            }
        }
    }
}

async fn load(
    settings: &Settings,
    clock: &Clock,
    open: impl FnOnce() -> Result<Store, StoreError> + Send + 'static,
) -> Result<(Recorder, Vec<Resume>), StoreError> {
    let (counting, setups) = (derive::counting(settings), derive::setups(settings));
    let now = Moment::from(clock.now());
    let loading = tokio::task::spawn_blocking(move || Recorder::load(open()?, &setups, counting, now));
    match loading.await {
        Ok(outcome) => outcome,
        Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
    }
}

/// What every poller is made from.
struct Parts<'a> {
    settings: &'a Settings,
    stats: &'a SelfStats,
    events: &'a Events,
    clock: &'a Clock,
    handle: Handle,
    untried: &'a Untried,
}

impl Parts<'_> {
    fn pollers(&self, resumes: Vec<Resume>) -> Result<Vec<Poller>, ClientError> {
        let polling = &self.settings.polling;
        let concurrency = Concurrency::new(polling.max_concurrent_requests);
        let targets_per_key = self.settings.targets_per_key();
        let mut paces: HashMap<&str, Pace> = HashMap::new();
        let mut clients: HashMap<Option<&std::path::Path>, Client> = HashMap::new();
        let spread = polling
            .interval
            .min(FIRST_TICK_SPREAD.saturating_mul(derive::count(self.settings.targets.len())));
        let mut pollers = Vec::with_capacity(self.settings.targets.len());
        for (index, (target, resume)) in self.settings.targets.iter().zip(resumes).enumerate() {
            let ca_file = target.ca_file.as_deref();
            let client = match clients.get(&ca_file) {
                Some(client) => client.clone(),
                None => {
                    let (stats, clock) = (self.stats.clone(), self.clock.clone());
                    let client = Client::new(polling.timeout, ca_file, concurrency.clone(), stats, clock)?;
                    clients.insert(ca_file, client.clone());
                    client
                }
            };
            let key = target.api_key.reveal();
            let pace = paces.entry(key).or_insert_with(|| Pace::new(polling.requests_per_minute)).clone();
            let sharing = targets_per_key.get(key).copied().unwrap_or(1);
            if let (Some(anchor), Some(marks)) = (polling.anchor, &resume.marks)
                && Moment::from(anchor) != marks.anchor
            {
                warn!(target = %target.key, configured = %Moment::from(anchor), state = %marks.anchor,
                    "polling.anchor differs from the state's, which was kept: what has counted cannot be taken back. For another anchor use another storage.path");
            }
            pollers.push(Poller {
                index: TargetIndex(index),
                passes: Passes::resume(derive::policy(polling, sharing), resume),
                list: self.list(target, client, pace),
                interval: polling.interval,
                phase: spread.mul_f64(rand::random()),
                recorder: self.handle.clone(),
                stats: self.stats.clone(),
                untried: self.untried.clone(),
            });
        }
        Ok(pollers)
    }

    fn list(&self, target: &Target, client: Client, pace: Pace) -> List {
        List {
            client,
            access: Access { endpoint: derive::endpoint(target), key: target.api_key.clone(), pace },
            page_size: self.settings.polling.page_size,
            target: target.key.clone(),
            events: self.events.clone(),
            clock: self.clock.clone(),
            server_clock: ServerClock::default(),
        }
    }
}

/// What a scrape shows.
struct Scrape {
    published: Published,
    stats: SelfStats,
    board: Board,
    clock: Clock,
}

impl Exposition for Scrape {
    fn generation(&self) -> u64 {
        self.published.load().number
    }

    fn ready(&self, format: Format, coding: Coding, generation: u64) -> Option<Page> {
        self.board.ready(format, coding, generation, Moment::from(self.clock.now()))
    }

    fn make(&self, format: Format, coding: Coding) -> io::Result<Page> {
        let generation = self.published.load_full();
        let now = Moment::from(self.clock.now());
        self.board.make(format, coding, &generation, now, || live(&generation, &self.stats))
    }
}

/// The exporter's own metrics beside `generation`.
pub(crate) fn live(generation: &Generation, stats: &SelfStats) -> Vec<Family> {
    stats.set_series(generation.targets.iter().map(|(_, series)| series.len()).sum());
    stats.set_state_bytes(generation.state_bytes);
    stats.gather()
}

struct Tried(Untried);

impl Readiness for Tried {
    fn ready(&self) -> Result<(), String> {
        match self.0.left() {
            0 => Ok(()),
            1 => Err("1 target has not been tried yet".to_owned()),
            left => Err(format!("{left} targets have not been tried yet")),
        }
    }
}
