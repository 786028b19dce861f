//! The poller tasks, one per target: start, reconfiguration, restart and stop.
//!
//! Targets that a change of the configuration does not concern keep their task.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use exporter_web::{DrainOutcome, drain};
use polyai_api::{ClientError, ConversationList, RateLimiter};
use polyai_domain::clock::Clock;
use polyai_domain::target::TargetKey;
use polyai_domain::timestamp::Timestamp;
use polyai_engine::poll_session::PollSession;
use polyai_engine::recorder::task::{RecorderHandle, RecorderStopped};
use polyai_engine::recorder::{PollerCheckpoint, TargetAssignment, TargetEntry, TargetIndex, TargetSet};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;

use super::clients::ClientPool;
use super::config_diff::ConfigDiff;
use super::settings_mapping;
use super::supervisor::{PollerPanicked, PollerSupervisor};
use crate::config::{Polling, Secret, Settings, Target};
use crate::events::{Events, TargetEvents};
use crate::exporter_metrics::ExporterMetrics;
use crate::poller::{FirstPollLatch, Poller, RefetchBudget};
use crate::status::PollHistories;

/// The first polls of targets are spread over this much per target, up to an interval.
const START_JITTER_STEP: Duration = Duration::from_millis(30);

/// What all pollers share.
pub(super) struct PollerContext {
    pub(super) clock: Clock,
    pub(super) stats: ExporterMetrics,
    pub(super) events: Events,
    pub(super) recorder: RecorderHandle,
    pub(super) histories: PollHistories,
}

/// The pollers of the active settings.
pub(super) struct PollerSet {
    ctx: PollerContext,
    settings: Arc<Settings>,
    clients: ClientPool,
    keys: HashMap<Secret, ApiKeyState>,
    running: BTreeMap<TargetKey, PollerTask>,
    tracker: TaskTracker,
    readiness: ReadinessLatches,
    /// At most one message per target.
    panicked: (mpsc::UnboundedSender<PollerPanicked>, mpsc::UnboundedReceiver<PollerPanicked>),
}

/// Shared by the targets of an API key. It outlives their pollers, so that a reload neither renews the request budget nor ends
/// a pause that the API has requested.
struct ApiKeyState {
    rate_limiter: RateLimiter,
    refetch_budget: RefetchBudget,
}

struct PollerTask {
    stop: CancellationToken,
    task: JoinHandle<()>,
    first_poll: FirstPollLatch,
}

/// The targets that must have been polled once before the daemon is ready.
#[derive(Clone)]
pub(super) struct ReadinessLatches(Arc<ArcSwap<Vec<FirstPollLatch>>>);

impl ReadinessLatches {
    /// How many targets have not been polled yet.
    pub(super) fn unset(&self) -> usize {
        self.0.load().iter().filter(|latch| !latch.is_set()).count()
    }
}

impl PollerSet {
    /// Prepares for `settings`, without starting a poller.
    ///
    /// # Errors
    /// If a client cannot be set up.
    pub(super) fn new(settings: Arc<Settings>, ctx: PollerContext) -> Result<Self, ClientError> {
        let clients = ClientPool::new(&settings, &ctx.clock)?;
        let latches = vec![FirstPollLatch::default(); settings.targets.len()];
        Ok(Self {
            ctx,
            settings,
            clients,
            keys: HashMap::new(),
            running: BTreeMap::new(),
            tracker: TaskTracker::new(),
            readiness: ReadinessLatches(Arc::new(ArcSwap::from_pointee(latches))),
            panicked: mpsc::unbounded_channel(),
        })
    }

    /// The active settings.
    pub(super) fn settings(&self) -> &Arc<Settings> {
        &self.settings
    }

    /// Replaces the settings by equal ones; at most the source of a key differs.
    pub(super) fn replace_settings(&mut self, settings: Arc<Settings>) {
        self.settings = settings;
    }

    pub(super) fn readiness(&self) -> ReadinessLatches {
        self.readiness.clone()
    }

    /// Starts a poller per target from its checkpoint.
    pub(super) fn start(&mut self, checkpoints: Vec<PollerCheckpoint>) {
        self.sync_api_keys();
        let settings = self.settings.clone();
        let to_start = settings.targets.iter().zip(checkpoints).enumerate();
        let to_start = to_start.map(|(index, (target, checkpoint))| (target, TargetIndex(index), checkpoint));
        self.spawn_pollers(to_start.collect());
    }

    /// Applies other settings, which differ by `diff`. Nothing is stopped before everything that can fail has succeeded.
    ///
    /// # Errors
    /// If a client cannot be built, or at shutdown.
    pub(super) async fn reconfigure(
        &mut self,
        settings: Arc<Settings>,
        diff: &ConfigDiff,
    ) -> Result<(), ReconfigureError> {
        self.clients = self.clients.rebuild(&self.settings, &settings)?;
        let to_stop = self.running.keys().filter(|key| diff.removed.contains(key) || diff.restarts(key));
        let to_stop: Vec<TargetKey> = to_stop.cloned().collect();
        self.stop_and_wait(&to_stop).await;
        let entries = settings.targets.iter().map(|target| TargetEntry {
            setup: settings_mapping::setup(target),
            needs_checkpoint: !self.running.contains_key(&target.key),
        });
        let targets =
            TargetSet { counting: settings_mapping::counting(&settings), targets: entries.collect() };
        let now = Timestamp::from(self.ctx.clock.now());
        let assignments = self.ctx.recorder.reconfigure(targets, now).await?;
        self.settings = settings.clone();
        self.sync_api_keys();
        let to_start = settings.targets.iter().zip(assignments);
        let to_start = to_start.filter_map(|(target, TargetAssignment { index, checkpoint })| {
            Some((target, index, checkpoint?))
        });
        self.spawn_pollers(to_start.collect());
        for key in &diff.removed {
            self.ctx.events.forget(key);
            self.ctx.histories.forget(key);
        }
        Ok(())
    }

    /// Waits until a poller has panicked and its restart is due.
    pub(super) async fn next_panicked(&mut self) -> PollerPanicked {
        match self.panicked.1.recv().await {
            Some(panicked) => panicked,
            // Does not happen: `self` has a sender.
            None => std::future::pending().await,
        }
    }

    /// Restarts the poller of a target from its last committed state.
    ///
    /// # Errors
    /// At shutdown.
    pub(super) async fn restart(&mut self, panicked: &PollerPanicked) -> Result<(), ReconfigureError> {
        // A reload may have restarted it already.
        if self.running.get(&panicked.target).is_none_or(|running| running.task.id() != panicked.task) {
            return Ok(());
        }
        self.stop_and_wait(std::slice::from_ref(&panicked.target)).await;
        self.reconfigure(self.settings.clone(), &ConfigDiff::default()).await
    }

    /// Stops every poller within `deadline`. This drops the last handle of the recorder, which then ends.
    pub(super) async fn stop(self, deadline: Duration) -> DrainOutcome {
        self.running.values().for_each(|running| running.stop.cancel());
        drain(&self.tracker, deadline).await
    }

    async fn stop_and_wait(&mut self, keys: &[TargetKey]) {
        let stopping: Vec<PollerTask> = keys.iter().filter_map(|key| self.running.remove(key)).collect();
        stopping.iter().for_each(|running| running.stop.cancel());
        for PollerTask { task, .. } in stopping {
            let _ = task.await;
        }
    }

    /// Adjusts the state of all API keys to the active settings.
    fn sync_api_keys(&mut self) {
        let polling = &self.settings.polling;
        let sharing = self.settings.targets_per_key();
        self.keys.retain(|key, _| sharing.contains_key(key.expose_secret()));
        for target in &self.settings.targets {
            let sharing = sharing.get(target.api_key.expose_secret()).copied().unwrap_or(1);
            let requests = settings_mapping::refetch_budget(polling, sharing);
            let state = self.keys.entry(target.api_key.clone()).or_insert_with(|| ApiKeyState {
                rate_limiter: RateLimiter::new(polling.requests_per_minute),
                refetch_budget: RefetchBudget::new(requests),
            });
            state.rate_limiter.set_budget(polling.requests_per_minute);
            state.refetch_budget.set(requests);
        }
    }

    fn spawn_pollers(&mut self, to_start: Vec<(&Target, TargetIndex, PollerCheckpoint)>) {
        let interval = self.settings.polling.interval;
        let spread = interval.min(START_JITTER_STEP.saturating_mul(settings_mapping::count(to_start.len())));
        for (target, index, checkpoint) in to_start {
            let first_poll = FirstPollLatch::default();
            let phase = spread.mul_f64(rand::random());
            let Some(poller) = self.poller(target, index, checkpoint, phase, first_poll.clone()) else {
                continue;
            };
            let PollerContext { clock, events, recorder, histories, .. } = &self.ctx;
            let supervisor = PollerSupervisor {
                target: target.key.clone(),
                index,
                first_poll: first_poll.clone(),
                clock: clock.clone(),
                events: events.clone(),
                recorder: recorder.clone(),
                history: histories.get_or_create(&target.key),
                panicked: self.panicked.0.clone(),
            };
            let stop = CancellationToken::new();
            let task = self.tracker.spawn(supervisor.supervise(poller, stop.clone()));
            self.running.insert(target.key.clone(), PollerTask { stop, task, first_poll });
        }
        // Once ready, a target that a reload adds does not revoke readiness: service discovery that requires it would drop the
        // other targets too.
        let is_ready = self.readiness.0.load().iter().all(FirstPollLatch::is_set);
        let latches = self.running.values().map(|running| running.first_poll.clone());
        self.readiness.0.store(Arc::new(latches.filter(|_| !is_ready).collect()));
    }

    /// Always present: the client and the key of a target of the active settings exist before its poller.
    fn poller(
        &self,
        target: &Target,
        index: TargetIndex,
        checkpoint: PollerCheckpoint,
        phase: Duration,
        first_poll: FirstPollLatch,
    ) -> Option<Poller> {
        let polling = &self.settings.polling;
        let ApiKeyState { rate_limiter, refetch_budget } = self.keys.get(&target.api_key)?;
        warn_anchor_mismatch(target, polling, &checkpoint);
        let PollerContext { clock, stats, events, recorder, histories } = &self.ctx;
        let credentials = settings_mapping::credentials(target, rate_limiter.clone());
        let observer = TargetEvents { target: target.key.clone(), events: events.clone() };
        let client = self.clients.get(target)?.clone();
        let policy = settings_mapping::policy(polling, refetch_budget.requests());
        Some(Poller {
            target: target.key.clone(),
            session: PollSession::resume(index, policy, checkpoint),
            list: ConversationList::new(client, credentials, polling.page_size, Arc::new(observer)),
            clock: clock.clone(),
            events: events.clone(),
            interval: polling.interval,
            phase,
            recorder: recorder.clone(),
            stats: stats.clone(),
            refetch_budget: refetch_budget.clone(),
            first_poll,
            history: histories.get_or_create(&target.key),
        })
    }
}

/// The reason a reconfiguration failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReconfigureError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("the program is stopping")]
    Stopped(#[from] RecorderStopped),
}

fn warn_anchor_mismatch(target: &Target, polling: &Polling, checkpoint: &PollerCheckpoint) {
    if let (Some(anchor), Some(marks)) = (polling.anchor, &checkpoint.watermarks)
        && Timestamp::from(anchor) != marks.anchor
    {
        warn!(
            target = %target.key,
            configured = %Timestamp::from(anchor),
            state = %marks.anchor,
            "polling.anchor differs from the anchor in the state, which stays: counted conversations cannot be uncounted. For another anchor use another storage.path"
        );
    }
}

#[cfg(test)]
mod tests;
