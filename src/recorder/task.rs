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

use super::{Batch, Enlisted, Generation, Recorded, Recorder, Roster, Status};
use crate::events::Events;
use crate::ledger::store::StoreError;
use crate::moment::Moment;
use crate::selfstats::SelfStats;

/// How many batches may wait; pollers are held back beyond that.
const QUEUE: usize = 256;
/// The most that one transaction takes, so that its memory stays bounded.
const MOST_SIGHTINGS: usize = 20_000;
/// Marks that moved without anything being counted are written this often.
const MARKS_EVERY: Duration = Duration::from_secs(60);
/// One target is looked through for rows to forget this often.
const PRUNE_EVERY: Duration = Duration::from_secs(60);
const RETRY_FIRST: Duration = Duration::from_millis(500);
const RETRY_MOST: Duration = Duration::from_secs(30);

/// The latest committed generation, for whoever serves it.
pub type Published = Arc<ArcSwap<Generation>>;

enum Message {
    Batch(Batch, oneshot::Sender<Recorded>),
    Status(Status),
    Turn(Turn),
}

/// A turn to another roster.
struct Turn {
    roster: Roster,
    now: Moment,
    answer: oneshot::Sender<Vec<Enlisted>>,
}

/// The way to the recorder.
#[derive(Debug, Clone)]
pub struct Handle(mpsc::Sender<Message>);

/// The recorder has stopped, because the program is stopping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the recorder has stopped")]
pub struct Stopped;

/// A batch on its way; what became of it is known once it is durable.
#[derive(Debug)]
pub struct Underway(oneshot::Receiver<Recorded>);

impl Underway {
    /// Waits until the batch is committed.
    ///
    /// # Errors
    /// When the program stops first; the batch then never took effect.
    pub async fn committed(self) -> Result<Recorded, Stopped> {
        self.0.await.map_err(|_| Stopped)
    }
}

impl Handle {
    /// Sends a batch; waits only if too many are queued.
    ///
    /// # Errors
    /// When the program is stopping.
    pub async fn record(&self, batch: Batch) -> Result<Underway, Stopped> {
        let (answer, underway) = oneshot::channel();
        self.0.send(Message::Batch(batch, answer)).await.map_err(|_| Stopped)?;
        Ok(Underway(underway))
    }

    /// Sends the outcome of a poll; it takes effect after every batch that was sent before it.
    ///
    /// # Errors
    /// When the program is stopping.
    pub async fn note(&self, status: Status) -> Result<(), Stopped> {
        self.0.send(Message::Status(status)).await.map_err(|_| Stopped)
    }

    /// Turns to another roster, after every batch that was sent before; waits until that is durable and published, however
    /// long the disk refuses.
    ///
    /// # Errors
    /// When the program stops first.
    pub async fn turn_to(&self, roster: Roster, now: Moment) -> Result<Vec<Enlisted>, Stopped> {
        let (answer, enlisted) = oneshot::channel();
        self.0.send(Message::Turn(Turn { roster, now, answer })).await.map_err(|_| Stopped)?;
        enlisted.await.map_err(|_| Stopped)
    }
}

/// The task to run, and the way to it.
pub struct Task {
    recorder: Recorder,
    inbox: mpsc::Receiver<Message>,
    published: Published,
    reports: Reports,
}

/// Where the task tells how commits go.
struct Reports {
    events: Events,
    stats: SelfStats,
}

impl Reports {
    /// Something was written. What failed before, a commit or the forgetting of rows, is over with that.
    fn committed(&self, started: Instant) {
        self.stats.committed(started.elapsed());
        self.events.commit_recovered();
    }

    fn failed(&self, started: Instant, error: &StoreError, retry_in: Duration) {
        self.stats.commit_failed(started.elapsed());
        self.events.commit_failed(error, retry_in);
    }
}

impl Task {
    /// Prepares the task around a loaded recorder.
    pub fn new(recorder: Recorder, events: Events, stats: SelfStats) -> (Self, Handle, Published) {
        let (outbox, inbox) = mpsc::channel(QUEUE);
        let published: Published = Arc::new(ArcSwap::from_pointee(recorder.generation().clone()));
        let reports = Reports { events, stats };
        (Self { recorder, inbox, published: published.clone(), reports }, Handle(outbox), published)
    }

    /// Runs until every [`Handle`] is gone, or, while the disk fails, until `give_up`. What has been taken is committed
    /// before it returns.
    ///
    /// # Errors
    /// When the last commit did not succeed before `give_up`. Nothing counted is lost by that: it is read again.
    pub async fn run(self, give_up: CancellationToken) -> Result<(), StoreError> {
        let Self { mut recorder, mut inbox, published, reports } = self;
        let mut marks_due = Instant::now() + MARKS_EVERY;
        let mut prune_due = Instant::now() + PRUNE_EVERY;
        let mut next_to_prune = 0;
        while let Some(first) = inbox.recv().await {
            let mut group = Group::default();
            group.take(first);
            while group.has_room()
                && let Ok(message) = inbox.try_recv()
            {
                group.take(message);
            }
            let even_marks = Instant::now() >= marks_due;
            if even_marks {
                marks_due = Instant::now() + MARKS_EVERY;
            }
            let outcome = commit(recorder, group, even_marks, &published, &reports, &give_up).await;
            recorder = outcome?;

            if Instant::now() >= prune_due {
                prune_due = Instant::now() + PRUNE_EVERY;
                next_to_prune = (next_to_prune + 1) % recorder.shown.len().max(1);
                if let Some(&target) = recorder.shown.get(next_to_prune) {
                    let started = Instant::now();
                    let outcome;
                    (recorder, outcome) = blocking(recorder, move |recorder| recorder.prune(target)).await;
                    match outcome {
                        Ok(0) => {}
                        Ok(_) => reports.committed(started),
                        Err(error) => {
                            reports.failed(started, &error, PRUNE_EVERY);
                            recorder.reopen();
                        }
                    }
                }
            }
        }
        let (_, outcome) = blocking(recorder, |recorder| recorder.commit(true)).await;
        outcome.map(|_| ())
    }
}

/// What is committed together.
#[derive(Default)]
struct Group {
    batches: Vec<(Batch, oneshot::Sender<Recorded>)>,
    statuses: Vec<Status>,
    sightings: usize,
    /// After all of them.
    turn: Option<Turn>,
}

impl Group {
    fn has_room(&self) -> bool {
        self.sightings < MOST_SIGHTINGS && self.turn.is_none()
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
    fn absorb(&self, recorder: &mut Recorder) -> Result<Vec<Recorded>, StoreError> {
        let mut recorded = Vec::with_capacity(self.batches.len());
        for (batch, _) in &self.batches {
            recorded.push(recorder.absorb(batch)?);
        }
        for status in &self.statuses {
            recorder.note(status);
        }
        Ok(recorded)
    }

    /// Writes what was taken, and turns to the next roster if there is one. Safe to repeat.
    fn write(&self, recorder: &mut Recorder, even_marks: bool) -> Result<Written, StoreError> {
        match &self.turn {
            None => Ok(Written { anything: recorder.commit(even_marks)?, enlisted: Vec::new() }),
            Some(turn) => Ok(Written { anything: true, enlisted: recorder.turn_to(&turn.roster, turn.now)? }),
        }
    }
}

/// What came of writing a group.
struct Written {
    /// Whether there was a transaction.
    anything: bool,
    enlisted: Vec<Enlisted>,
}

/// Commits a group, however long the disk refuses; until then scrapes see the last generation with a problem on it.
async fn commit(
    mut recorder: Recorder,
    group: Group,
    even_marks: bool,
    published: &Published,
    reports: &Reports,
    give_up: &CancellationToken,
) -> Result<Recorder, StoreError> {
    let group = Arc::new(group);
    let mut wait = RETRY_FIRST;
    let mut recorded: Option<Vec<Recorded>> = None;
    let mut failed = false;
    loop {
        let taken = recorded.take();
        let shared = group.clone();
        let started = Instant::now();
        let outcome;
        (recorder, outcome) = blocking(recorder, move |recorder| {
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
                    reports.committed(started);
                } else if failed {
                    // What failed was to read, and there is nothing to write.
                    reports.events.commit_recovered();
                }
                published.store(Arc::new(recorder.generation().clone()));
                answer(group, answers, written.enlisted, &reports.events, &recorder);
                return Ok(recorder);
            }
            Ok((answers, Err(error))) => {
                recorded = Some(answers);
                error
            }
            Err(error) => error,
        };
        failed = true;
        reports.failed(started, &error, wait);
        published.store(Arc::new(recorder.generation_without_storage().clone()));
        recorder.reopen();
        tokio::select! {
            () = tokio::time::sleep(wait) => wait = (wait * 2).min(RETRY_MOST),
            () = give_up.cancelled() => return Err(error),
        }
    }
}

fn answer(
    group: Arc<Group>,
    answers: Vec<Recorded>,
    enlisted: Vec<Enlisted>,
    events: &Events,
    recorder: &Recorder,
) {
    let Some(group) = Arc::into_inner(group) else { return };
    if let Some(turn) = group.turn {
        // Whoever asked may have stopped waiting, because the program is stopping.
        let _ = turn.answer.send(enlisted);
    }
    for ((batch, sender), recorded) in group.batches.into_iter().zip(answers) {
        if let Some(state) = recorder.targets.get(&batch.target) {
            recorded.folded.iter().for_each(|label| events.label_folded(&state.key, label));
        }
        // A poller that has stopped no longer asks.
        let _ = sender.send(recorded);
    }
}

/// Runs `work` where it may wait for the disk.
async fn blocking<T: Send + 'static>(
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
