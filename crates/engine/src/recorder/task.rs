//! The recorder's task: commits what the pollers send in groups, and publishes a snapshot after each commit.
//!
//! One transaction, and one flush to disk, carries everything that has queued up. A commit that fails is retried. Commits run
//! as blocking tasks, so that no scrape and no poll waits for the disk.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use polyai_domain::target::TargetKey;
use polyai_domain::timestamp::Timestamp;

use super::batch::{Batch, BatchOutcome, PollStatus, TargetIndex};
use super::reconfigure::{TargetAssignment, TargetSet};
use super::snapshot::Snapshot;
use super::writer::Recorder;
use crate::ledger::store::StoreError;

/// Pollers wait when more messages than this are queued.
const QUEUE: usize = 256;
/// Bounds the memory of one transaction.
const MAX_GROUP_OBSERVATIONS: usize = 20_000;
/// How often watermarks are committed that have moved without anything being counted.
const WATERMARK_FLUSH_INTERVAL: Duration = Duration::from_secs(60);
/// How often one target is pruned, of those that have enough to prune: each of 5,000 once in 84 minutes.
const PRUNE_INTERVAL: Duration = Duration::from_secs(1);
/// How often an idle task checks that the state file is still there.
const FILE_CHECK_INTERVAL: Duration = Duration::from_secs(1);
const RETRY_INITIAL: Duration = Duration::from_millis(500);
const RETRY_MAX: Duration = Duration::from_secs(30);

/// The latest committed snapshot.
pub type SnapshotCell = Arc<ArcSwap<Snapshot>>;

enum Message {
    Batch(Batch, oneshot::Sender<BatchOutcome>),
    Status(PollStatus),
    Reconfigure(Reconfigure),
}

struct Reconfigure {
    targets: TargetSet,
    now: Timestamp,
    reply: oneshot::Sender<Vec<TargetAssignment>>,
}

/// Sends messages to the recorder's task.
#[derive(Debug, Clone)]
pub struct RecorderHandle(mpsc::Sender<Message>);

/// The recorder has stopped, because the program is stopping: a batch that was not committed never takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the recorder has stopped")]
pub struct RecorderStopped;

/// A batch that is not durable yet.
#[derive(Debug)]
pub struct PendingCommit(oneshot::Receiver<BatchOutcome>);

impl PendingCommit {
    /// Waits until the batch is committed.
    pub async fn wait_committed(self) -> Result<BatchOutcome, RecorderStopped> {
        self.0.await.map_err(|_| RecorderStopped)
    }
}

impl RecorderHandle {
    /// Sends a batch; waits while too many messages are queued.
    pub async fn record(&self, batch: Batch) -> Result<PendingCommit, RecorderStopped> {
        let (reply, pending) = oneshot::channel();
        self.0.send(Message::Batch(batch, reply)).await.map_err(|_| RecorderStopped)?;
        Ok(PendingCommit(pending))
    }

    /// Sends the result of a poll; it takes effect after every batch that was sent before.
    pub async fn set_poll_status(&self, status: PollStatus) -> Result<(), RecorderStopped> {
        self.0.send(Message::Status(status)).await.map_err(|_| RecorderStopped)
    }

    /// Changes the targets, after every batch that was sent before; waits until that is committed and published, however
    /// long commits fail.
    pub async fn reconfigure(
        &self,
        targets: TargetSet,
        now: Timestamp,
    ) -> Result<Vec<TargetAssignment>, RecorderStopped> {
        let (reply, assignments) = oneshot::channel();
        let message = Message::Reconfigure(Reconfigure { targets, now, reply });
        self.0.send(message).await.map_err(|_| RecorderStopped)?;
        assignments.await.map_err(|_| RecorderStopped)
    }
}

/// Observes the commits.
pub trait RecorderObserver: Send + Sync + 'static {
    /// A transaction was committed; failures before it are over.
    fn on_commit(&self, duration: Duration);

    /// A transaction failed and had no effect; it is retried after `retry_in`.
    fn on_commit_failed(&self, duration: Duration, error: &StoreError, retry_in: Duration);

    /// A target with a new state has caught up and is exposed from now on, with so many conversations.
    fn on_exposed(&self, target: &TargetKey, conversations: u64);

    /// Failures are over, although there was nothing to commit.
    fn on_recovery(&self);

    /// A value of `label` was replaced by `other`, because the target has too many.
    fn on_label_limit(&self, target: &TargetKey, label: &'static str);
}

/// The task that owns the recorder.
pub struct RecorderTask {
    recorder: Recorder,
    inbox: mpsc::Receiver<Message>,
    published: SnapshotCell,
    observer: Box<dyn RecorderObserver>,
}

impl RecorderTask {
    /// A task for `recorder`, the handle to it, and the snapshots that it publishes.
    pub fn new(recorder: Recorder, observer: impl RecorderObserver) -> (Self, RecorderHandle, SnapshotCell) {
        let (outbox, inbox) = mpsc::channel(QUEUE);
        let published: SnapshotCell = Arc::new(ArcSwap::new(recorder.snapshot().clone()));
        let task = Self { recorder, inbox, published: published.clone(), observer: Box::new(observer) };
        (task, RecorderHandle(outbox), published)
    }

    /// Runs until every [`RecorderHandle`] is gone, or, while commits fail, until `abort`. What has been received is
    /// committed before it returns, unless the last commit fails until `abort`; its conversations are then read again.
    pub async fn run(mut self, abort: CancellationToken) -> Result<(), StoreError> {
        let mut watermarks_due = Instant::now() + WATERMARK_FLUSH_INTERVAL;
        let mut prune_due = Instant::now() + PRUNE_INTERVAL;
        let mut last_pruned = 0;
        loop {
            let mut group = CommitGroup::default();
            match timeout(FILE_CHECK_INTERVAL, self.inbox.recv()).await {
                Ok(Some(first)) => group.push(first),
                Ok(None) => break,
                Err(_) => {
                    let outcome;
                    (self.recorder, outcome) =
                        run_blocking(self.recorder, |recorder| recorder.store.check_file()).await;
                    if outcome.is_ok() {
                        continue;
                    }
                    // The empty commit fails in the same way and is retried.
                }
            }
            while group.has_room()
                && let Ok(message) = self.inbox.try_recv()
            {
                group.push(message);
            }
            let flush_watermarks = Instant::now() >= watermarks_due;
            if flush_watermarks {
                watermarks_due = Instant::now() + WATERMARK_FLUSH_INTERVAL;
            }
            self = self.commit(group, flush_watermarks, &abort).await?;
            if Instant::now() >= prune_due {
                prune_due = Instant::now() + PRUNE_INTERVAL;
                if let Some((place, target)) = self.recorder.next_to_prune(last_pruned) {
                    last_pruned = place;
                    self = self.prune(target).await;
                }
            }
        }
        let (_, outcome) = run_blocking(self.recorder, |recorder| recorder.commit(true)).await;
        outcome.map(|_| ())
    }

    /// Commits a group, however long commits fail; until then scrapes see the last snapshot with the problem `storage`.
    async fn commit(
        mut self,
        group: CommitGroup,
        flush_watermarks: bool,
        abort: &CancellationToken,
    ) -> Result<Self, StoreError> {
        let group = Arc::new(group);
        let mut retry_in = RETRY_INITIAL;
        let mut applied: Option<Vec<BatchOutcome>> = None;
        let mut failed = false;
        loop {
            let started = Instant::now();
            let shared = group.clone();
            let outcome;
            (self.recorder, outcome) = run_blocking(self.recorder, move |recorder| {
                // Batches are applied once; their changes wait in the working state until they are written.
                let batches = match applied {
                    Some(outcomes) => outcomes,
                    None => shared.apply(recorder)?,
                };
                let written = shared.write(recorder, flush_watermarks);
                Ok((batches, written))
            })
            .await;
            let error;
            (applied, error) = match outcome {
                Ok((batches, Ok((written, assignments)))) => {
                    if written {
                        self.observer.on_commit(started.elapsed());
                    } else if failed {
                        // The failure was a read, and there is nothing to write.
                        self.observer.on_recovery();
                    }
                    self.published.store(self.recorder.snapshot().clone());
                    for (target, conversations) in std::mem::take(&mut self.recorder.exposed) {
                        self.observer.on_exposed(&target, conversations);
                    }
                    self.respond(group, batches, assignments);
                    return Ok(self);
                }
                Ok((batches, Err(error))) => (Some(batches), error),
                Err(error) => (None, error),
            };
            failed = true;
            self.observer.on_commit_failed(started.elapsed(), &error, retry_in);
            self.published.store(self.recorder.snapshot_with_storage_problem().clone());
            self.recorder.reopen();
            tokio::select! {
                () = tokio::time::sleep(retry_in) => retry_in = (retry_in * 2).min(RETRY_MAX),
                () = abort.cancelled() => return Err(error),
            }
        }
    }

    fn respond(
        &self,
        group: Arc<CommitGroup>,
        batches: Vec<BatchOutcome>,
        assignments: Vec<TargetAssignment>,
    ) {
        let Some(group) = Arc::into_inner(group) else { return };
        // Receivers that have stopped waiting are gone with the program or with their poller.
        if let Some(reconfigure) = group.reconfigure {
            let _ = reconfigure.reply.send(assignments);
        }
        for ((batch, reply), outcome) in group.batches.into_iter().zip(batches) {
            if let Some(state) = self.recorder.targets.get(&batch.target) {
                let labels = outcome.limited_labels.iter();
                labels.for_each(|label| self.observer.on_label_limit(&state.key, label));
            }
            let _ = reply.send(outcome);
        }
    }

    async fn prune(mut self, target: TargetIndex) -> Self {
        let started = Instant::now();
        let outcome;
        (self.recorder, outcome) = run_blocking(self.recorder, move |recorder| recorder.prune(target)).await;
        match outcome {
            Ok(0) => {}
            Ok(_) => self.observer.on_commit(started.elapsed()),
            Err(error) => {
                self.observer.on_commit_failed(started.elapsed(), &error, PRUNE_INTERVAL);
                self.recorder.reopen();
            }
        }
        self
    }
}

/// The messages that are committed together.
#[derive(Default)]
struct CommitGroup {
    batches: Vec<(Batch, oneshot::Sender<BatchOutcome>)>,
    statuses: Vec<PollStatus>,
    observations: usize,
    /// Takes effect after all of them.
    reconfigure: Option<Reconfigure>,
}

impl CommitGroup {
    fn has_room(&self) -> bool {
        self.observations < MAX_GROUP_OBSERVATIONS && self.reconfigure.is_none()
    }

    fn push(&mut self, message: Message) {
        match message {
            Message::Batch(batch, reply) => {
                self.observations += batch.observations.len();
                self.batches.push((batch, reply));
            }
            Message::Status(status) => self.statuses.push(status),
            Message::Reconfigure(reconfigure) => self.reconfigure = Some(reconfigure),
        }
    }

    /// Applies everything to the working state. Safe to repeat.
    fn apply(&self, recorder: &mut Recorder) -> Result<Vec<BatchOutcome>, StoreError> {
        let batches = self.batches.iter().map(|(batch, _)| recorder.apply_batch(batch));
        let outcomes = batches.collect::<Result<_, _>>()?;
        for status in &self.statuses {
            recorder.set_poll_status(status);
        }
        Ok(outcomes)
    }

    /// Writes what was applied, and changes the targets if requested. Returns whether there was a transaction. Safe to repeat.
    fn write(
        &self,
        recorder: &mut Recorder,
        flush_watermarks: bool,
    ) -> Result<(bool, Vec<TargetAssignment>), StoreError> {
        Ok(match &self.reconfigure {
            None => (recorder.commit(flush_watermarks)?, Vec::new()),
            Some(Reconfigure { targets, now, .. }) => (true, recorder.reconfigure(targets, *now)?),
        })
    }
}

/// Runs `work` where it may wait for the disk.
async fn run_blocking<T: Send + 'static>(
    mut recorder: Recorder,
    work: impl FnOnce(&mut Recorder) -> T + Send + 'static,
) -> (Recorder, T) {
    let done = tokio::task::spawn_blocking(move || {
        let outcome = work(&mut recorder);
        (recorder, outcome)
    });
    match done.await {
        Ok(done) => done,
        // The working state is lost with the task: stop, and restart from what is committed.
        Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
    }
}
