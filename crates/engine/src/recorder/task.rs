//! The recorder's task: takes what the pollers send, commits it in groups, and publishes each generation.
//!
//! Owns: the grouping (one transaction, one flush to disk, for all that has queued up meanwhile), the retry when the disk
//! fails, the turn to another roster between two groups, and the pauses for forgetting. Never: a verdict. Commits run as blocking tasks, so that no scrape and no poll
//! waits for the disk.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use polyai_domain::target::TargetKey;
use polyai_domain::timestamp::Timestamp;

use super::{Batch, BatchOutcome, PollStatus, Recorder, Snapshot, TargetAssignment, TargetSet};
use crate::ledger::store::StoreError;

/// How many batches may wait; pollers are held back beyond that.
const QUEUE: usize = 256;
/// The most that one transaction takes, so that its memory stays bounded.
const MAX_GROUP_OBSERVATIONS: usize = 20_000;
/// Marks that moved without anything being counted are written this often.
const WATERMARK_FLUSH_INTERVAL: Duration = Duration::from_secs(60);
/// One target is looked through for rows to forget this often.
const PRUNE_INTERVAL: Duration = Duration::from_secs(60);
const RETRY_INITIAL: Duration = Duration::from_millis(500);
const RETRY_MAX: Duration = Duration::from_secs(30);

/// The latest committed generation, for whoever serves it.
pub type SnapshotCell = Arc<ArcSwap<Snapshot>>;

enum Message {
    Batch(Batch, oneshot::Sender<BatchOutcome>),
    Status(PollStatus),
    Turn(Reconfigure),
}

/// A turn to another roster.
struct Reconfigure {
    roster: TargetSet,
    now: Timestamp,
    answer: oneshot::Sender<Vec<TargetAssignment>>,
}

/// The way to the recorder.
#[derive(Debug, Clone)]
pub struct RecorderHandle(mpsc::Sender<Message>);

/// The recorder has stopped, because the program is stopping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the recorder has stopped")]
pub struct RecorderStopped;

/// A batch on its way; what became of it is known once it is durable.
#[derive(Debug)]
pub struct PendingCommit(oneshot::Receiver<BatchOutcome>);

impl PendingCommit {
    /// Waits until the batch is committed.
    ///
    /// # Errors
    /// When the program stops first; the batch then never took effect.
    pub async fn wait_committed(self) -> Result<BatchOutcome, RecorderStopped> {
        self.0.await.map_err(|_| RecorderStopped)
    }
}

impl RecorderHandle {
    /// Sends a batch; waits only if too many are queued.
    ///
    /// # Errors
    /// When the program is stopping.
    pub async fn record(&self, batch: Batch) -> Result<PendingCommit, RecorderStopped> {
        let (answer, underway) = oneshot::channel();
        self.0.send(Message::Batch(batch, answer)).await.map_err(|_| RecorderStopped)?;
        Ok(PendingCommit(underway))
    }

    /// Sends the outcome of a poll; it takes effect after every batch that was sent before it.
    ///
    /// # Errors
    /// When the program is stopping.
    pub async fn note(&self, status: PollStatus) -> Result<(), RecorderStopped> {
        self.0.send(Message::Status(status)).await.map_err(|_| RecorderStopped)
    }

    /// Turns to another roster, after every batch that was sent before; waits until that is durable and published, however
    /// long the disk refuses.
    ///
    /// # Errors
    /// When the program stops first.
    pub async fn turn_to(
        &self,
        roster: TargetSet,
        now: Timestamp,
    ) -> Result<Vec<TargetAssignment>, RecorderStopped> {
        let (answer, enlisted) = oneshot::channel();
        self.0.send(Message::Turn(Reconfigure { roster, now, answer })).await.map_err(|_| RecorderStopped)?;
        enlisted.await.map_err(|_| RecorderStopped)
    }
}

/// The task to run, and the way to it.
pub struct RecorderTask {
    recorder: Recorder,
    inbox: mpsc::Receiver<Message>,
    published: SnapshotCell,
    observer: Box<dyn RecorderObserver>,
}

/// Learns how commits go.
pub trait RecorderObserver: Send + Sync + 'static {
    /// A transaction was committed. Any failure before it is over.
    fn on_commit(&self, duration: Duration);

    /// A transaction failed; nothing of it took effect, and it is retried after `retry_in`.
    fn on_commit_failed(&self, duration: Duration, error: &StoreError, retry_in: Duration);

    /// A failure is over although there was nothing to commit.
    fn on_recovery(&self);

    /// A value of `label` was replaced by `other`, because the target has too many of them.
    fn on_label_limit(&self, target: &TargetKey, label: &'static str);
}

impl RecorderTask {
    /// Prepares the task around a loaded recorder.
    pub fn new(recorder: Recorder, observer: impl RecorderObserver) -> (Self, RecorderHandle, SnapshotCell) {
        let (outbox, inbox) = mpsc::channel(QUEUE);
        let published: SnapshotCell = Arc::new(ArcSwap::from_pointee(recorder.generation().clone()));
        let observer = Box::new(observer);
        (Self { recorder, inbox, published: published.clone(), observer }, RecorderHandle(outbox), published)
    }

    /// Runs until every [`RecorderHandle`] is gone, or, while the disk fails, until `abort`. What has been taken is committed
    /// before it returns.
    ///
    /// # Errors
    /// When the last commit did not succeed before `abort`. Nothing counted is lost by that: it is read again.
    pub async fn run(self, give_up: CancellationToken) -> Result<(), StoreError> {
        let Self { mut recorder, mut inbox, published, observer } = self;
        let mut marks_due = Instant::now() + WATERMARK_FLUSH_INTERVAL;
        let mut prune_due = Instant::now() + PRUNE_INTERVAL;
        let mut next_to_prune = 0;
        while let Some(first) = inbox.recv().await {
            let mut group = CommitGroup::default();
            group.take(first);
            while group.has_room()
                && let Ok(message) = inbox.try_recv()
            {
                group.take(message);
            }
            let even_marks = Instant::now() >= marks_due;
            if even_marks {
                marks_due = Instant::now() + WATERMARK_FLUSH_INTERVAL;
            }
            let outcome = commit(recorder, group, even_marks, &published, &*observer, &give_up).await;
            recorder = outcome?;

            if Instant::now() >= prune_due {
                prune_due = Instant::now() + PRUNE_INTERVAL;
                next_to_prune = (next_to_prune + 1) % recorder.display_order.len().max(1);
                if let Some(&target) = recorder.display_order.get(next_to_prune) {
                    let started = Instant::now();
                    let outcome;
                    (recorder, outcome) =
                        run_blocking(recorder, move |recorder| recorder.prune(target)).await;
                    match outcome {
                        Ok(0) => {}
                        Ok(_) => observer.on_commit(started.elapsed()),
                        Err(error) => {
                            observer.on_commit_failed(started.elapsed(), &error, PRUNE_INTERVAL);
                            recorder.reopen();
                        }
                    }
                }
            }
        }
        let (_, outcome) = run_blocking(recorder, |recorder| recorder.commit(true)).await;
        outcome.map(|_| ())
    }
}

/// What is committed together.
#[derive(Default)]
struct CommitGroup {
    batches: Vec<(Batch, oneshot::Sender<BatchOutcome>)>,
    statuses: Vec<PollStatus>,
    sightings: usize,
    /// After all of them.
    turn: Option<Reconfigure>,
}

impl CommitGroup {
    fn has_room(&self) -> bool {
        self.sightings < MAX_GROUP_OBSERVATIONS && self.turn.is_none()
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Batch(batch, answer) => {
                self.sightings += batch.sightings.len();
                self.batches.push((batch, answer));
            }
            Message::Status(status) => self.statuses.push(status),
            Message::Turn(turn) => self.turn = Some(turn),
        }
    }

    /// Takes everything into the working state. Safe to repeat.
    fn absorb(&self, recorder: &mut Recorder) -> Result<Vec<BatchOutcome>, StoreError> {
        let mut recorded = Vec::with_capacity(self.batches.len());
        for (batch, _) in &self.batches {
            recorded.push(recorder.apply_batch(batch)?);
        }
        for status in &self.statuses {
            recorder.set_poll_status(status);
        }
        Ok(recorded)
    }

    /// Writes what was taken, and turns to the next roster if there is one. Safe to repeat.
    fn write(&self, recorder: &mut Recorder, even_marks: bool) -> Result<GroupOutcome, StoreError> {
        match &self.turn {
            None => Ok(GroupOutcome { anything: recorder.commit(even_marks)?, enlisted: Vec::new() }),
            Some(turn) => {
                Ok(GroupOutcome { anything: true, enlisted: recorder.reconfigure(&turn.roster, turn.now)? })
            }
        }
    }
}

/// What came of writing a group.
struct GroupOutcome {
    /// Whether there was a transaction.
    anything: bool,
    enlisted: Vec<TargetAssignment>,
}

/// Commits a group, however long the disk refuses; until then scrapes see the last generation with a problem on it.
async fn commit(
    mut recorder: Recorder,
    group: CommitGroup,
    even_marks: bool,
    published: &SnapshotCell,
    observer: &dyn RecorderObserver,
    abort: &CancellationToken,
) -> Result<Recorder, StoreError> {
    let group = Arc::new(group);
    let mut wait = RETRY_INITIAL;
    let mut recorded: Option<Vec<BatchOutcome>> = None;
    let mut failed = false;
    loop {
        let taken = recorded.take();
        let shared = group.clone();
        let started = Instant::now();
        let outcome;
        (recorder, outcome) = run_blocking(recorder, move |recorder| {
            // What has been taken once is not taken again: its contributions wait in the working state.
            let recorded = match taken {
                Some(recorded) => recorded,
                None => shared.absorb(recorder)?,
            };
            let written = shared.write(recorder, even_marks);
            Ok((recorded, written))
        })
        .await;
        let error = match outcome {
            Ok((answers, Ok(written))) => {
                if written.anything {
                    observer.on_commit(started.elapsed());
                } else if failed {
                    // What failed was to read, and there is nothing to write.
                    observer.on_recovery();
                }
                published.store(Arc::new(recorder.generation().clone()));
                respond(group, answers, written.enlisted, observer, &recorder);
                return Ok(recorder);
            }
            Ok((answers, Err(error))) => {
                recorded = Some(answers);
                error
            }
            Err(error) => error,
        };
        failed = true;
        observer.on_commit_failed(started.elapsed(), &error, wait);
        published.store(Arc::new(recorder.snapshot_with_storage_problem().clone()));
        recorder.reopen();
        tokio::select! {
            () = tokio::time::sleep(wait) => wait = (wait * 2).min(RETRY_MAX),
            () = abort.cancelled() => return Err(error),
        }
    }
}

fn respond(
    group: Arc<CommitGroup>,
    answers: Vec<BatchOutcome>,
    enlisted: Vec<TargetAssignment>,
    observer: &dyn RecorderObserver,
    recorder: &Recorder,
) {
    let Some(group) = Arc::into_inner(group) else { return };
    if let Some(turn) = group.turn {
        // Whoever asked may have stopped waiting, because the program is stopping.
        let _ = turn.answer.send(enlisted);
    }
    for ((batch, sender), recorded) in group.batches.into_iter().zip(answers) {
        if let Some(state) = recorder.targets.get(&batch.target) {
            recorded.folded.iter().for_each(|label| observer.on_label_limit(&state.key, label));
        }
        // A poller that has stopped no longer asks.
        let _ = sender.send(recorded);
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
        // The working state is gone with the task: stop, and start from what is committed.
        Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
    }
}
