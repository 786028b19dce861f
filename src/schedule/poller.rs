//! The task of one target: tick, walk, hand over, say how it went.
//!
//! Owns: the order of requests of its target, and nothing that another target could wait for. Never: what counts.

mod telling;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::backoff::Backoff;
use super::health::DataQuality;
use super::passes::{MAX_SLICE, PlannerUpdate, PollPlanner, PollState};
pub use super::shared::{FirstPollLatch, RefetchBudget};
use super::timer::Timer;
use super::walk::{FetchPlan, FetchRange, PassKind};
use super::work::PollStats;
use crate::api::{ConversationList, FetchError, FetchedPages, Limit, WalkError};
use crate::clock::{Clock, ClockReading};
use crate::conversation::ConversationState;
use crate::events::Events;
use crate::exporter_metrics::ExporterMetrics;
use crate::ledger::transition::SeenBy;
use crate::recorder::task::{PendingCommit, RecorderHandle, RecorderStopped};
use crate::recorder::{Batch, Observation, TargetIndex};
use crate::status::PollHistory;
use crate::target::TargetKey;
use crate::timestamp::Timestamp;

/// More open conversations than any project has; beyond it the gauge falls short, and says so.
const MAX_OPEN: usize = 10_000;
/// So many walks that fail one after the other end a poll: more would only be a burden to an API that is not well.
const MAX_CONSECUTIVE_FAILURES: u32 = 3;
/// Behind by this many intervals, progress is told.
const PROGRESS_LOG_THRESHOLD: u32 = 10;

/// One target's poller.
#[derive(Debug)]
pub struct Poller {
    /// Which target.
    pub index: TargetIndex,
    /// The target's key.
    pub target: TargetKey,
    /// Its list at the API.
    pub list: ConversationList,
    /// This machine's clock.
    pub clock: Clock,
    /// The log.
    pub events: Events,
    /// Where its passes stand.
    pub passes: PollPlanner,
    /// `polling.interval`
    pub interval: Duration,
    /// When its first tick comes.
    pub phase: Duration,
    /// Where batches go.
    pub recorder: RecorderHandle,
    /// The exporter's own metrics.
    pub stats: ExporterMetrics,
    /// What its key's budget leaves for the narrow pass.
    pub spare: RefetchBudget,
    /// Set by the first poll.
    pub tried: FirstPollLatch,
    /// Told of every poll, for people to read.
    pub journal: Arc<PollHistory>,
}

/// Why a poll ended early.
enum PollError {
    /// The target cannot be had.
    Failed(FetchError),
    /// Some windows could not be had, with the first failure; the rest of the poll is done.
    Partial(FetchError),
    Stopped,
}

impl From<RecorderStopped> for PollError {
    fn from(_: RecorderStopped) -> Self {
        Self::Stopped
    }
}

impl Poller {
    /// Polls until `stop`. A poll that is under way then is given up; what it has not committed is read again.
    pub async fn run(self, stop: CancellationToken) {
        let timer = Timer::new(self.interval, self.phase);
        let run = PollLoop {
            poller: self,
            timer,
            backoff: Backoff::default(),
            health: DataQuality::default(),
            first_answer: None,
            pending: None,
            backfilled_count: 0,
            work: PollStats::default(),
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = run.run() => {}
        }
    }
}

/// A poller at work.
struct PollLoop {
    poller: Poller,
    timer: Timer,
    backoff: Backoff,
    health: DataQuality,
    /// When the live list that was answered first was asked for.
    first_answer: Option<ClockReading>,
    /// The batch that is being committed while the next walk is read, and where the fresh watermark stood before its walk.
    pending: Option<(PendingCommit, Timestamp)>,
    /// Conversations read since the target fell behind.
    backfilled_count: u64,
    /// What the poll that is running has done.
    work: PollStats,
}

impl PollLoop {
    async fn run(mut self) {
        self.poller.journal.set_first_due(self.next_tick());
        loop {
            for _ in 0..self.timer.tick().await {
                self.poller.events.poll_skipped(&self.poller.target);
            }
            let started = Instant::now();
            self.poller.journal.poll_started(Timestamp::from(self.poller.clock.now()));
            let outcome = self.poll(started).await;
            let took = started.elapsed();
            self.poller.stats.poll(took);
            let (failure, is_whole) = match outcome {
                Ok(()) => (None, false),
                Err(PollError::Failed(error)) => (Some(error), true),
                Err(PollError::Partial(error)) => (Some(error), false),
                Err(PollError::Stopped) => return,
            };
            // What is open now can be had, and what ends is found by that: only a target that is away is left alone.
            match failure.as_ref().filter(|_| is_whole) {
                Some(error) => self.back_off(error),
                None => self.backoff.succeeded(),
            }
            // By the clock of now, which may have been stepped meanwhile.
            let began = Timestamp::from(self.poller.clock.now()) - took;
            let traffic = std::mem::take(&mut self.poller.list.request_stats);
            let poll = std::mem::take(&mut self.work).finish(began, took, failure.as_ref(), traffic);
            if self.report(failure, poll).await.is_err() {
                return;
            }
            self.poller.tried.set();
        }
    }

    /// When the next poll is due, on this machine's clock.
    fn next_tick(&self) -> Timestamp {
        Timestamp::from(self.poller.clock.now()) + self.timer.until_next()
    }

    /// One tick's worth of walks.
    async fn poll(&mut self, started: Instant) -> Result<(), PollError> {
        let asked = self.poller.clock.read();
        self.poller.passes.set_refetch_budget(self.poller.spare.requests());
        let live = self.poller.passes.open_pass(self.server_time(asked));
        self.work.walks += 1;
        let mut walked = self.walk(&live, Limit::StopAt(MAX_OPEN)).await?;
        if !walked.complete {
            self.poller.events.open_conversations_truncated(&self.poller.target);
        }
        // The API's clock is known only now; what started after the question was asked belongs to the next tick.
        let now = self.server_time(asked);
        let first_answer = *self.first_answer.get_or_insert(asked);
        if self.poller.list.server_clock.is_certain() {
            self.poller.passes.on_server_time(now, self.server_time(first_answer));
        }
        let (mut tick, progress) = self.poller.passes.on_open_list(&walked.conversations, now);
        // A finished record here means that the filter was ignored; the fresh pass reads those.
        walked.conversations.retain(|conversation| conversation.data.state == ConversationState::InProgress);
        self.submit_batch(&live, walked, progress, now).await?;

        let fell_behind = self.poller.passes.lag(now);
        let behind_from = self.poller.passes.fresh_watermark().unwrap_or(now);
        let (mut first_failure, mut failures_in_a_row) = (None, 0);
        while let Some(walk) = self.poller.passes.next(&mut tick, self.now()) {
            match self.read(&walk, &tick).await {
                Ok(()) => failures_in_a_row = 0,
                Err(PollError::Failed(error)) if error.kind.is_window_specific() => {
                    let now = self.now();
                    self.poller.passes.on_failed(&mut tick, &walk, now);
                    first_failure.get_or_insert(error);
                    failures_in_a_row += 1;
                    if failures_in_a_row == MAX_CONSECUTIVE_FAILURES {
                        break;
                    }
                    continue;
                }
                Err(ended) => return Err(ended),
            }
            if fell_behind > self.poller.interval * PROGRESS_LOG_THRESHOLD {
                self.report_progress(&walk, behind_from, now).await?;
            }
            let is_fresh = matches!(walk.purpose, PassKind::Stretch(FetchRange { fresh: Some(_), .. }));
            if is_fresh
                && self.poller.passes.lag(now) > Duration::ZERO
                && started.elapsed() >= self.poller.interval
            {
                // Catching up takes longer than an interval: look at what is open now in between.
                break;
            }
        }
        self.finish_underway().await?;
        first_failure.map_or(Ok(()), |error| Err(PollError::Partial(error)))
    }

    async fn read(&mut self, walk: &FetchPlan, tick: &PollState) -> Result<(), PollError> {
        let fresh_before = self.poller.passes.fresh_watermark().unwrap_or(tick.until());
        let mut limit = Limit::RefuseAt(MAX_SLICE);
        self.work.walks += 1;
        let walked = loop {
            match self.poller.list.walk(walk.window, walk.filter, limit).await {
                Ok(walked) => break walked,
                Err(WalkError::Fetch(error)) => return Err(PollError::Failed(error)),
                Err(error @ WalkError::TooLarge(_)) => {
                    if self.poller.passes.too_large(walk) {
                        let reason = format!("{} pass, {}: {error}", walk.purpose.name(), walk.window);
                        self.poller.events.fetch_abandoned(&self.poller.target, &reason);
                        return Ok(());
                    }
                    limit = Limit::None;
                }
            }
        };
        let now = self.now();
        let progress = self.poller.passes.on_fetched(walk, &walked.conversations, now);
        for id in &progress.abandoned {
            self.poller.events.conversation_missing(&self.poller.target, id.as_str());
        }
        self.submit_batch(walk, walked, progress, fresh_before).await
    }

    async fn walk(&mut self, walk: &FetchPlan, limit: Limit) -> Result<FetchedPages, PollError> {
        let walked = self.poller.list.walk(walk.window, walk.filter, limit).await;
        walked.map_err(|error| match error {
            WalkError::Fetch(error) => PollError::Failed(error),
            WalkError::TooLarge(_) => PollError::Failed(FetchError::bad_payload(error.to_string())),
        })
    }

    /// Sends what a walk saw to the recorder. The next walk is read while it is committed.
    async fn submit_batch(
        &mut self,
        walk: &FetchPlan,
        walked: FetchedPages,
        progress: PlannerUpdate,
        fresh_before: Timestamp,
    ) -> Result<(), PollError> {
        let Poller { target, events, .. } = &self.poller;
        for rejected in &walked.rejected {
            let detail = "the record could not be read; its page was otherwise counted";
            events.record_rejected(target, rejected.id.as_deref(), rejected.kind.as_str(), &detail);
        }
        let is_new = |start| PollPlanner::observation_kind(walk, start) == SeenBy::Fresh;
        self.health.observe(&walked.conversations, walked.rejected.len(), is_new);
        self.work.read(&walked);
        let sighting = |conversation: crate::conversation::Conversation| Observation {
            sight: PollPlanner::observation_kind(walk, conversation.data.started_at),
            conversation,
        };
        let batch = Batch {
            target: self.poller.index,
            now: self.now(),
            sightings: walked.conversations.into_iter().map(sighting).collect(),
            is_listing: walk.purpose == PassKind::Live,
            abandoned: progress.abandoned,
            marks: progress.marks,
        };
        self.finish_underway().await?;
        let underway = self.poller.recorder.record(batch).await?;
        self.pending = Some((underway, fresh_before));
        Ok(())
    }

    async fn finish_underway(&mut self) -> Result<(), PollError> {
        if let Some((underway, fresh_before)) = self.pending.take() {
            let recorded = underway.wait_committed().await?;
            self.backfilled_count += recorded.counted;
            self.work.counted += recorded.counted;
            let now = self.now();
            self.poller.passes.observe_first_finished(&recorded.finished, fresh_before, now);
        }
        Ok(())
    }

    fn now(&self) -> Timestamp {
        self.server_time(self.poller.clock.read())
    }

    fn server_time(&self, look: ClockReading) -> Timestamp {
        Timestamp::from(self.poller.list.server_clock.at(look))
    }
}
