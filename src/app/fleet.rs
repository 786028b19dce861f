//! The pollers that run: one task per target.
//!
//! Owns: what each is made from, and their beginning and end, at the start, at a change of the configuration and at the stop.
//! Targets that a change does not concern go on in the middle of what they do. Never: what a poll does, or whether a
//! configuration is right.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;

use super::clients::Clients;
use super::derive;
use super::difference::Difference;
use super::fall::{Attendant, Fallen};
use crate::api::client::{Access, ClientError};
use crate::api::pace::Pace;
use crate::api::pages::{List, Traffic};
use crate::api::server_clock::ServerClock;
use crate::clock::Clock;
use crate::config::{Polling, Secret, Settings, Target};
use crate::events::Events;
use crate::moment::Moment;
use crate::recorder::task::{Handle, Stopped};
use crate::recorder::{Enlisted, Place, Resume, Roster, TargetIndex};
use crate::schedule::poller::{Spare, Tried};
use crate::schedule::{Passes, Poller};
use crate::selfstats::SelfStats;
use crate::shutdown::{Drained, drain};
use crate::status::Journals;
use crate::target::TargetKey;

/// First ticks of targets are spread by this much each, up to an interval.
const FIRST_TICK_SPREAD: Duration = Duration::from_millis(30);

/// Where every poller reports to.
pub(super) struct Surroundings {
    pub(super) clock: Clock,
    pub(super) stats: SelfStats,
    pub(super) events: Events,
    pub(super) recorder: Handle,
    pub(super) journals: Journals,
}

/// The pollers of the settings in force.
pub(super) struct Fleet {
    around: Surroundings,
    settings: Arc<Settings>,
    clients: Clients,
    keys: HashMap<Secret, KeyShare>,
    running: BTreeMap<TargetKey, Running>,
    tracker: TaskTracker,
    roll: Roll,
    /// Pollers that fell; no more at a time than there are targets.
    fallen: (mpsc::UnboundedSender<Fallen>, mpsc::UnboundedReceiver<Fallen>),
}

/// What all targets of one API key share. As long as there is one, it outlives their pollers, so that no change of the
/// configuration brings a fresh budget or ends a pause that the API has asked for.
struct KeyShare {
    pace: Pace,
    spare: Spare,
}

struct Running {
    stop: CancellationToken,
    task: JoinHandle<()>,
    tried: Tried,
}

/// Who has to be tried before the daemon can be relied on.
pub(super) type Roll = Arc<ArcSwap<Vec<Tried>>>;

impl Fleet {
    /// A fleet without pollers, equipped for `settings`.
    ///
    /// # Errors
    /// When a client cannot be made: a `ca_file` that is no bundle.
    pub(super) fn equip(settings: Arc<Settings>, around: Surroundings) -> Result<Self, ClientError> {
        let clients = Clients::make(&settings, &around.stats, &around.clock)?;
        // None has been tried before any is there.
        let roll = vec![Tried::default(); settings.targets.len()];
        Ok(Self {
            around,
            settings,
            clients,
            keys: HashMap::new(),
            running: BTreeMap::new(),
            tracker: TaskTracker::new(),
            roll: Arc::new(ArcSwap::from_pointee(roll)),
            fallen: mpsc::unbounded_channel(),
        })
    }

    /// The settings in force.
    pub(super) fn settings(&self) -> &Arc<Settings> {
        &self.settings
    }

    /// Takes `settings` for those in force, from which they do not differ: at most a key is found elsewhere.
    pub(super) fn restate(&mut self, settings: Arc<Settings>) {
        self.settings = settings;
    }

    /// Who has to be tried.
    pub(super) fn roll(&self) -> Roll {
        self.roll.clone()
    }

    /// Starts a poller for every target; each goes on where the resume in its place says.
    pub(super) fn start(&mut self, resumes: Vec<Resume>) {
        self.share_keys();
        let settings = self.settings.clone();
        let beginners = settings.targets.iter().zip(resumes).enumerate();
        let beginners = beginners.map(|(place, (target, resume))| (target, TargetIndex(place), resume));
        self.launch(beginners.collect());
    }

    /// Turns to other settings, which differ as `difference` says. Until it can no longer fail, nothing is stopped.
    ///
    /// # Errors
    /// When a client cannot be made; or when the program stops meanwhile.
    pub(super) async fn turn_to(
        &mut self,
        settings: Arc<Settings>,
        difference: &Difference,
    ) -> Result<(), TurnError> {
        self.clients = self.clients.renewed(&self.settings, &settings)?;
        let ending: Vec<TargetKey> = self
            .running
            .keys()
            .filter(|key| difference.removed.contains(key) || difference.restarts(key))
            .cloned()
            .collect();
        self.end(&ending).await;
        let places = settings.targets.iter().map(|target| Place {
            setup: derive::setup(target),
            resumes: !self.running.contains_key(&target.key),
        });
        let roster = Roster { counting: derive::counting(&settings), places: places.collect() };
        let now = Moment::from(self.around.clock.now());
        let enlisted = self.around.recorder.turn_to(roster, now).await?;
        self.settings = settings.clone();
        self.share_keys();
        let beginners = settings.targets.iter().zip(enlisted);
        let beginners =
            beginners.filter_map(|(target, Enlisted { index, resume })| Some((target, index, resume?)));
        self.launch(beginners.collect());
        for key in &difference.removed {
            self.around.events.forget(key);
            self.around.journals.forget(key);
        }
        Ok(())
    }

    /// Waits until a poller has fallen and its target has been left alone for a while.
    pub(super) async fn fallen(&mut self) -> Fallen {
        match self.fallen.1.recv().await {
            Some(fallen) => fallen,
            // The fleet itself can always send.
            None => std::future::pending().await,
        }
    }

    /// Lets the target of a poller that fell begin anew from what was committed.
    ///
    /// # Errors
    /// When the program stops meanwhile.
    pub(super) async fn revive(&mut self, fallen: &Fallen) -> Result<(), TurnError> {
        // A reload may have been faster.
        if self.running.get(&fallen.target).is_none_or(|running| running.task.id() != fallen.task) {
            return Ok(());
        }
        self.end(std::slice::from_ref(&fallen.target)).await;
        self.turn_to(self.settings.clone(), &Difference::default()).await
    }

    /// Stops every poller, waiting no longer than `deadline`.
    pub(super) async fn stop(self, deadline: Duration) -> Drained {
        self.running.values().for_each(|one| one.stop.cancel());
        drain(&self.tracker, deadline).await
        // With it goes the last way to the recorder, which then ends too.
    }

    /// Stops these pollers and waits until they have sent their last.
    async fn end(&mut self, keys: &[TargetKey]) {
        let ending: Vec<Running> = keys.iter().filter_map(|key| self.running.remove(key)).collect();
        ending.iter().for_each(|one| one.stop.cancel());
        for Running { task, .. } in ending {
            let _ = task.await;
        }
    }

    /// Brings the shares of all keys up to the settings in force.
    fn share_keys(&mut self) {
        let polling = &self.settings.polling;
        let sharing = self.settings.targets_per_key();
        self.keys.retain(|key, _| sharing.contains_key(key.reveal()));
        for target in &self.settings.targets {
            let sharing = sharing.get(target.api_key.reveal()).copied().unwrap_or(1);
            let requests = derive::narrow_requests(polling, sharing);
            let fresh =
                || KeyShare { pace: Pace::new(polling.requests_per_minute), spare: Spare::new(requests) };
            let share = self.keys.entry(target.api_key.clone()).or_insert_with(fresh);
            share.pace.set_budget(polling.requests_per_minute);
            share.spare.set(requests);
        }
    }

    fn launch(&mut self, beginners: Vec<(&Target, TargetIndex, Resume)>) {
        let interval = self.settings.polling.interval;
        let spread = interval.min(FIRST_TICK_SPREAD.saturating_mul(derive::count(beginners.len())));
        for (target, index, resume) in beginners {
            let tried = Tried::default();
            let phase = spread.mul_f64(rand::random());
            let Some(poller) = self.poller(target, index, resume, phase, tried.clone()) else { continue };
            let stop = CancellationToken::new();
            let attendant = self.attendant(target, index, tried.clone());
            let task = self.tracker.spawn(attendant.attend(poller, stop.clone()));
            self.running.insert(target.key.clone(), Running { stop, task, tried });
        }
        // Once all have been tried, a target that a reload adds does not take that back: whatever finds its scrape targets by
        // readiness would then miss the others too.
        let is_ready = self.roll.load().iter().all(Tried::is_so);
        let untried = self.running.values().map(|one| one.tried.clone()).filter(|_| !is_ready);
        self.roll.store(Arc::new(untried.collect()));
    }

    fn attendant(&self, target: &Target, index: TargetIndex, tried: Tried) -> Attendant {
        let Surroundings { clock, events, recorder, journals, .. } = &self.around;
        Attendant {
            target: target.key.clone(),
            index,
            tried,
            clock: clock.clone(),
            events: events.clone(),
            recorder: recorder.clone(),
            journal: journals.of(&target.key),
            fallen: self.fallen.0.clone(),
        }
    }

    /// None does not happen: clients and shares of the settings in force are made before its pollers.
    fn poller(
        &self,
        target: &Target,
        index: TargetIndex,
        resume: Resume,
        phase: Duration,
        tried: Tried,
    ) -> Option<Poller> {
        let polling = &self.settings.polling;
        let KeyShare { pace, spare } = self.keys.get(&target.api_key)?;
        warn_of_another_anchor(target, polling, &resume);
        let Surroundings { clock, stats, events, recorder, journals } = &self.around;
        let list = List {
            client: self.clients.of(target)?.clone(),
            access: Access {
                endpoint: derive::endpoint(target),
                key: target.api_key.clone(),
                pace: pace.clone(),
            },
            page_size: polling.page_size,
            target: target.key.clone(),
            events: events.clone(),
            clock: clock.clone(),
            server_clock: ServerClock::default(),
            traffic: Traffic::default(),
        };
        Some(Poller {
            index,
            passes: Passes::resume(derive::policy(polling, spare.requests()), resume),
            list,
            interval: polling.interval,
            phase,
            recorder: recorder.clone(),
            stats: stats.clone(),
            spare: spare.clone(),
            tried,
            journal: journals.of(&target.key),
        })
    }
}

/// Why a fleet did not turn.
#[derive(Debug, thiserror::Error)]
pub(super) enum TurnError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("the program is stopping")]
    Stopped(#[from] Stopped),
}

fn warn_of_another_anchor(target: &Target, polling: &Polling, resume: &Resume) {
    if let (Some(anchor), Some(marks)) = (polling.anchor, &resume.marks)
        && Moment::from(anchor) != marks.anchor
    {
        warn!(target = %target.key, configured = %Moment::from(anchor), state = %marks.anchor,
            "polling.anchor differs from the state's, which was kept: what has counted cannot be taken back. For another anchor use another storage.path");
    }
}

#[cfg(test)]
mod tests;
