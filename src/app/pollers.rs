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

use super::clients::ClientPool;
use super::config_diff::Difference;
use super::settings_mapping;
use super::supervisor::{PollerPanicked, PollerSupervisor};
use crate::api::{ClientError, ConversationList, RateLimiter};
use crate::clock::Clock;
use crate::config::{Polling, Secret, Settings, Target};
use crate::events::{Events, TargetEvents};
use crate::exporter_metrics::ExporterMetrics;
use crate::poll_session::PollSession;
use crate::poller::{FirstPollLatch, Poller, RefetchBudget};
use crate::recorder::task::{RecorderHandle, RecorderStopped};
use crate::recorder::{PollerCheckpoint, TargetAssignment, TargetEntry, TargetIndex, TargetSet};
use crate::status::PollHistories;
use crate::target::TargetKey;
use crate::timestamp::Timestamp;
use crate::web::{DrainOutcome, drain};

/// First ticks of targets are spread by this much each, up to an interval.
const START_JITTER_STEP: Duration = Duration::from_millis(30);

/// Where every poller reports to.
pub(super) struct PollerContext {
    pub(super) clock: Clock,
    pub(super) stats: ExporterMetrics,
    pub(super) events: Events,
    pub(super) recorder: RecorderHandle,
    pub(super) histories: PollHistories,
}

/// The pollers of the settings in force.
pub(super) struct PollerSet {
    ctx: PollerContext,
    settings: Arc<Settings>,
    clients: ClientPool,
    keys: HashMap<Secret, ApiKeyState>,
    running: BTreeMap<TargetKey, PollerTask>,
    tracker: TaskTracker,
    roll: ReadinessLatches,
    /// Pollers that fell; no more at a time than there are targets.
    fallen: (mpsc::UnboundedSender<PollerPanicked>, mpsc::UnboundedReceiver<PollerPanicked>),
}

/// What all targets of one API key share. As long as there is one, it outlives their pollers, so that no change of the
/// configuration brings a fresh budget or ends a pause that the API has asked for.
struct ApiKeyState {
    rate_limiter: RateLimiter,
    refetch_budget: RefetchBudget,
}

struct PollerTask {
    stop: CancellationToken,
    task: JoinHandle<()>,
    first_poll: FirstPollLatch,
}

/// Who has to be tried before the daemon can be relied on.
pub(super) type ReadinessLatches = Arc<ArcSwap<Vec<FirstPollLatch>>>;

impl PollerSet {
    /// A fleet without pollers, equipped for `settings`.
    ///
    /// # Errors
    /// When a client cannot be made: a `ca_file` that is no bundle.
    pub(super) fn new(settings: Arc<Settings>, around: PollerContext) -> Result<Self, ClientError> {
        let clients = ClientPool::new(&settings, &around.clock)?;
        // None has been tried before any is there.
        let roll = vec![FirstPollLatch::default(); settings.targets.len()];
        Ok(Self {
            ctx: around,
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
    pub(super) fn replace_settings(&mut self, settings: Arc<Settings>) {
        self.settings = settings;
    }

    /// Who has to be tried.
    pub(super) fn readiness(&self) -> ReadinessLatches {
        self.roll.clone()
    }

    /// Starts a poller for every target; each goes on where the resume in its place says.
    pub(super) fn start(&mut self, resumes: Vec<PollerCheckpoint>) {
        self.sync_api_keys();
        let settings = self.settings.clone();
        let to_start = settings.targets.iter().zip(resumes).enumerate();
        let beginners = to_start.map(|(place, (target, resume))| (target, TargetIndex(place), resume));
        self.spawn_pollers(beginners.collect());
    }

    /// Turns to other settings, which differ as `difference` says. Until it can no longer fail, nothing is stopped.
    ///
    /// # Errors
    /// When a client cannot be made; or when the program stops meanwhile.
    pub(super) async fn reconfigure(
        &mut self,
        settings: Arc<Settings>,
        difference: &Difference,
    ) -> Result<(), ReconfigureError> {
        self.clients = self.clients.rebuild(&self.settings, &settings)?;
        let ending: Vec<TargetKey> = self
            .running
            .keys()
            .filter(|key| difference.removed.contains(key) || difference.restarts(key))
            .cloned()
            .collect();
        self.stop_and_wait(&ending).await;
        let places = settings.targets.iter().map(|target| TargetEntry {
            setup: settings_mapping::setup(target),
            needs_checkpoint: !self.running.contains_key(&target.key),
        });
        let roster = TargetSet { counting: settings_mapping::counting(&settings), targets: places.collect() };
        let now = Timestamp::from(self.ctx.clock.now());
        let enlisted = self.ctx.recorder.reconfigure(roster, now).await?;
        self.settings = settings.clone();
        self.sync_api_keys();
        let beginners = settings.targets.iter().zip(enlisted);
        let beginners = beginners.filter_map(|(target, TargetAssignment { index, checkpoint })| {
            Some((target, index, checkpoint?))
        });
        self.spawn_pollers(beginners.collect());
        for key in &difference.removed {
            self.ctx.events.forget(key);
            self.ctx.histories.forget(key);
        }
        Ok(())
    }

    /// Waits until a poller has fallen and its target has been left alone for a while.
    pub(super) async fn next_panicked(&mut self) -> PollerPanicked {
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
    pub(super) async fn restart(&mut self, fallen: &PollerPanicked) -> Result<(), ReconfigureError> {
        // A reload may have been faster.
        if self.running.get(&fallen.target).is_none_or(|running| running.task.id() != fallen.task) {
            return Ok(());
        }
        self.stop_and_wait(std::slice::from_ref(&fallen.target)).await;
        self.reconfigure(self.settings.clone(), &Difference::default()).await
    }

    /// Stops every poller, waiting no longer than `deadline`.
    pub(super) async fn stop(self, deadline: Duration) -> DrainOutcome {
        self.running.values().for_each(|one| one.stop.cancel());
        drain(&self.tracker, deadline).await
        // With it goes the last way to the recorder, which then ends too.
    }

    /// Stops these pollers and waits until they have sent their last.
    async fn stop_and_wait(&mut self, keys: &[TargetKey]) {
        let ending: Vec<PollerTask> = keys.iter().filter_map(|key| self.running.remove(key)).collect();
        ending.iter().for_each(|one| one.stop.cancel());
        for PollerTask { task, .. } in ending {
            let _ = task.await;
        }
    }

    /// Brings the shares of all keys up to the settings in force.
    fn sync_api_keys(&mut self) {
        let polling = &self.settings.polling;
        let sharing = self.settings.targets_per_key();
        self.keys.retain(|key, _| sharing.contains_key(key.expose_secret()));
        for target in &self.settings.targets {
            let sharing = sharing.get(target.api_key.expose_secret()).copied().unwrap_or(1);
            let requests = settings_mapping::refetch_budget(polling, sharing);
            let fresh = || ApiKeyState {
                rate_limiter: RateLimiter::new(polling.requests_per_minute),
                refetch_budget: RefetchBudget::new(requests),
            };
            let share = self.keys.entry(target.api_key.clone()).or_insert_with(fresh);
            share.rate_limiter.set_budget(polling.requests_per_minute);
            share.refetch_budget.set(requests);
        }
    }

    fn spawn_pollers(&mut self, beginners: Vec<(&Target, TargetIndex, PollerCheckpoint)>) {
        let interval = self.settings.polling.interval;
        let spread = interval.min(START_JITTER_STEP.saturating_mul(settings_mapping::count(beginners.len())));
        for (target, index, resume) in beginners {
            let tried = FirstPollLatch::default();
            let phase = spread.mul_f64(rand::random());
            let Some(poller) = self.poller(target, index, resume, phase, tried.clone()) else { continue };
            let stop = CancellationToken::new();
            let attendant = self.attendant(target, index, tried.clone());
            let task = self.tracker.spawn(attendant.supervise(poller, stop.clone()));
            self.running.insert(target.key.clone(), PollerTask { stop, task, first_poll: tried });
        }
        // Once all have been tried, a target that a reload adds does not take that back: whatever finds its scrape targets by
        // readiness would then miss the others too.
        let is_ready = self.roll.load().iter().all(FirstPollLatch::is_set);
        let untried = self.running.values().map(|one| one.first_poll.clone()).filter(|_| !is_ready);
        self.roll.store(Arc::new(untried.collect()));
    }

    fn attendant(&self, target: &Target, index: TargetIndex, tried: FirstPollLatch) -> PollerSupervisor {
        let PollerContext { clock, events, recorder, histories, .. } = &self.ctx;
        PollerSupervisor {
            target: target.key.clone(),
            index,
            tried,
            clock: clock.clone(),
            events: events.clone(),
            recorder: recorder.clone(),
            history: histories.get_or_create(&target.key),
            fallen: self.fallen.0.clone(),
        }
    }

    /// None does not happen: clients and shares of the settings in force are made before its pollers.
    fn poller(
        &self,
        target: &Target,
        index: TargetIndex,
        resume: PollerCheckpoint,
        phase: Duration,
        tried: FirstPollLatch,
    ) -> Option<Poller> {
        let polling = &self.settings.polling;
        let ApiKeyState { rate_limiter, refetch_budget } = self.keys.get(&target.api_key)?;
        warn_anchor_mismatch(target, polling, &resume);
        let PollerContext { clock, stats, events, recorder, histories } = &self.ctx;
        let credentials = settings_mapping::credentials(target, rate_limiter.clone());
        let observer = TargetEvents { target: target.key.clone(), events: events.clone() };
        let client = self.clients.get(target)?.clone();
        let list = ConversationList::new(client, credentials, polling.page_size, Arc::new(observer));
        Some(Poller {
            target: target.key.clone(),
            session: PollSession::resume(index, settings_mapping::policy(polling, refetch_budget.requests()), resume),
            list,
            clock: clock.clone(),
            events: events.clone(),
            interval: polling.interval,
            phase,
            recorder: recorder.clone(),
            stats: stats.clone(),
            refetch_budget: refetch_budget.clone(),
            first_poll: tried,
            history: histories.get_or_create(&target.key),
        })
    }
}

/// Why a fleet did not turn.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReconfigureError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("the program is stopping")]
    Stopped(#[from] RecorderStopped),
}

fn warn_anchor_mismatch(target: &Target, polling: &Polling, resume: &PollerCheckpoint) {
    if let (Some(anchor), Some(marks)) = (polling.anchor, &resume.watermarks)
        && Timestamp::from(anchor) != marks.anchor
    {
        warn!(target = %target.key, configured = %Timestamp::from(anchor), state = %marks.anchor,
            "polling.anchor differs from the state's, which was kept: what has counted cannot be taken back. For another anchor use another storage.path");
    }
}

#[cfg(test)]
mod tests;
