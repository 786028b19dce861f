//! The task of one target: tick, walk, hand over, say how it went.
//!
//! Owns: the order of requests of its target, and nothing that another target could wait for. Never: what counts.

mod telling;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::backoff::Backoff;
use super::health::Health;
use super::passes::{Passes, Progress, SLICE_MOST, Tick};
pub use super::shared::{Spare, Tried};
use super::timer::Timer;
use super::walk::{Purpose, Stretch, Walk};
use super::work::Work;
use crate::api::FetchError;
use crate::api::pages::{Limit, List, WalkError, Walked};
use crate::clock::Look;
use crate::conversation::Phase;
use crate::ledger::verdict::Sight;
use crate::moment::Moment;
use crate::recorder::task::{Handle, Stopped, Underway};
use crate::recorder::{Batch, Sighting, TargetIndex};
use crate::selfstats::SelfStats;
use crate::status::Journal;

/// More open conversations than any project has; beyond it the gauge falls short, and says so.
const MOST_OPEN: usize = 10_000;
/// So many walks that fail one after the other end a poll: more would only be a burden to an API that is not well.
const MOST_FAILURES_IN_A_ROW: u32 = 3;
/// Behind by this many intervals, progress is told.
const TOLD_FROM_INTERVALS: u32 = 10;

/// One target's poller.
#[derive(Debug)]
pub struct Poller {
    /// Which target.
    pub index: TargetIndex,
    /// Its list at the API.
    pub list: List,
    /// Where its passes stand.
    pub passes: Passes,
    /// `polling.interval`
    pub interval: Duration,
    /// When its first tick comes.
    pub phase: Duration,
    /// Where batches go.
    pub recorder: Handle,
    /// The exporter's own metrics.
    pub stats: SelfStats,
    /// What its key's budget leaves for the narrow pass.
    pub spare: Spare,
    /// Set by the first poll.
    pub tried: Tried,
    /// Told of every poll, for people to read.
    pub journal: Arc<Journal>,
}

/// Why a poll ended early.
enum Ended {
    /// The target cannot be had.
    Failed(FetchError),
    /// Some windows could not be had, with the first failure; the rest of the poll is done.
    InPart(FetchError),
    Stopped,
}

impl From<Stopped> for Ended {
    fn from(_: Stopped) -> Self {
        Self::Stopped
    }
}

impl Poller {
    /// Polls until `stop`. A poll that is under way then is given up; what it has not committed is read again.
    pub async fn run(self, stop: CancellationToken) {
        let timer = Timer::new(self.interval, self.phase);
        let run = Run {
            poller: self,
            timer,
            backoff: Backoff::default(),
            health: Health::default(),
            first_answer: None,
            underway: None,
            caught_up: 0,
            work: Work::default(),
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = run.forever() => {}
        }
    }
}

/// A poller at work.
struct Run {
    poller: Poller,
    timer: Timer,
    backoff: Backoff,
    health: Health,
    /// When the live list that was answered first was asked for.
    first_answer: Option<Look>,
    /// The batch that is being committed while the next walk is read, and where the fresh watermark stood before its walk.
    underway: Option<(Underway, Moment)>,
    /// Conversations read since the target fell behind.
    caught_up: u64,
    /// What the poll that is running has done.
    work: Work,
}

impl Run {
    async fn forever(mut self) {
        self.poller.journal.awaits(self.next_tick());
        loop {
            for _ in 0..self.timer.tick().await {
                self.poller.list.events.tick_refused(&self.poller.list.target);
            }
            let started = Instant::now();
            self.poller.journal.began(Moment::from(self.poller.list.clock.now()));
            let outcome = self.poll(started).await;
            let took = started.elapsed();
            self.poller.stats.poll(took);
            let (failure, is_whole) = match outcome {
                Ok(()) => (None, false),
                Err(Ended::Failed(error)) => (Some(error), true),
                Err(Ended::InPart(error)) => (Some(error), false),
                Err(Ended::Stopped) => return,
            };
            // What is open now can be had, and what ends is found by that: only a target that is away is left alone.
            match failure.as_ref().filter(|_| is_whole) {
                Some(error) => self.wait_after(error),
                None => self.backoff.succeeded(),
            }
            // By the clock of now, which may have been stepped meanwhile.
            let began = Moment::from(self.poller.list.clock.now()) - took;
            let traffic = std::mem::take(&mut self.poller.list.traffic);
            let poll = std::mem::take(&mut self.work).ended(began, took, failure.as_ref(), traffic);
            if self.report(failure, poll).await.is_err() {
                return;
            }
            self.poller.tried.set();
        }
    }

    /// When the next poll is due, on this machine's clock.
    fn next_tick(&self) -> Moment {
        Moment::from(self.poller.list.clock.now()) + self.timer.until_next()
    }

    /// One tick's worth of walks.
    async fn poll(&mut self, started: Instant) -> Result<(), Ended> {
        let asked = self.poller.list.clock.look();
        self.poller.passes.spare(self.poller.spare.requests());
        let live = self.poller.passes.live(self.server_time(asked));
        self.work.walks += 1;
        let mut walked = self.walk(&live, Limit::StopAt(MOST_OPEN)).await?;
        if !walked.complete {
            self.poller.list.events.live_list_capped(&self.poller.list.target);
        }
        // The API's clock is known only now; what started after the question was asked belongs to the next tick.
        let now = self.server_time(asked);
        let first_answer = *self.first_answer.get_or_insert(asked);
        if self.poller.list.server_clock.is_certain() {
            self.poller.passes.trust(now, self.server_time(first_answer));
        }
        let (mut tick, progress) = self.poller.passes.listed(&walked.conversations, now);
        // A finished record here means that the filter was ignored; the fresh pass reads those.
        walked.conversations.retain(|conversation| conversation.facts.phase == Phase::Running);
        self.hand_over(&live, walked, progress, now).await?;

        let fell_behind = self.poller.passes.behind(now);
        let behind_from = self.poller.passes.fresh_mark().unwrap_or(now);
        let (mut first_failure, mut failures_in_a_row) = (None, 0);
        while let Some(walk) = self.poller.passes.next(&mut tick, self.now()) {
            match self.read(&walk, &tick).await {
                Ok(()) => failures_in_a_row = 0,
                Err(Ended::Failed(error)) if error.kind.spares_other_windows() => {
                    let now = self.now();
                    self.poller.passes.failed(&mut tick, &walk, now);
                    first_failure.get_or_insert(error);
                    failures_in_a_row += 1;
                    if failures_in_a_row == MOST_FAILURES_IN_A_ROW {
                        break;
                    }
                    continue;
                }
                Err(ended) => return Err(ended),
            }
            if fell_behind > self.poller.interval * TOLD_FROM_INTERVALS {
                self.tell_progress(&walk, behind_from, now).await?;
            }
            let is_fresh = matches!(walk.purpose, Purpose::Stretch(Stretch { fresh: Some(_), .. }));
            if is_fresh
                && self.poller.passes.behind(now) > Duration::ZERO
                && started.elapsed() >= self.poller.interval
            {
                // Catching up takes longer than an interval: look at what is open now in between.
                break;
            }
        }
        self.finish_underway().await?;
        first_failure.map_or(Ok(()), |error| Err(Ended::InPart(error)))
    }

    async fn read(&mut self, walk: &Walk, tick: &Tick) -> Result<(), Ended> {
        let fresh_before = self.poller.passes.fresh_mark().unwrap_or(tick.until());
        let mut limit = Limit::RefuseAt(SLICE_MOST);
        self.work.walks += 1;
        let walked = loop {
            match self.poller.list.walk(walk.window, walk.filter, limit).await {
                Ok(walked) => break walked,
                Err(WalkError::Fetch(error)) => return Err(Ended::Failed(error)),
                Err(error @ WalkError::TooLarge(_)) => {
                    if self.poller.passes.too_large(walk) {
                        let reason = format!("{} pass, {}: {error}", walk.purpose.name(), walk.window);
                        self.poller.list.events.walk_abandoned(&self.poller.list.target, &reason);
                        return Ok(());
                    }
                    limit = Limit::None;
                }
            }
        };
        let now = self.now();
        let progress = self.poller.passes.read(walk, &walked.conversations, now);
        for id in &progress.abandoned {
            self.poller.list.events.conversation_vanished(&self.poller.list.target, id.as_str());
        }
        self.hand_over(walk, walked, progress, fresh_before).await
    }

    async fn walk(&mut self, walk: &Walk, limit: Limit) -> Result<Walked, Ended> {
        let walked = self.poller.list.walk(walk.window, walk.filter, limit).await;
        walked.map_err(|error| match error {
            WalkError::Fetch(error) => Ended::Failed(error),
            WalkError::TooLarge(_) => Ended::Failed(FetchError::bad_payload(error.to_string())),
        })
    }

    /// Sends what a walk saw to the recorder. The next walk is read while it is committed.
    async fn hand_over(
        &mut self,
        walk: &Walk,
        walked: Walked,
        progress: Progress,
        fresh_before: Moment,
    ) -> Result<(), Ended> {
        let Poller { list, .. } = &self.poller;
        for rejected in &walked.rejected {
            let detail = "the record could not be read; its page was otherwise counted";
            list.events.record_rejected(
                &list.target,
                rejected.id.as_deref(),
                rejected.kind.as_str(),
                &detail,
            );
        }
        let is_new = |start| Passes::sight(walk, start) == Sight::Timely;
        self.health.saw(&walked.conversations, walked.rejected.len(), is_new);
        self.work.read(&walked);
        let sighting = |conversation: crate::conversation::Conversation| Sighting {
            sight: Passes::sight(walk, conversation.facts.started_at),
            conversation,
        };
        let batch = Batch {
            target: self.poller.index,
            now: self.now(),
            sightings: walked.conversations.into_iter().map(sighting).collect(),
            is_listing: walk.purpose == Purpose::Live,
            abandoned: progress.abandoned,
            marks: progress.marks,
        };
        self.finish_underway().await?;
        let underway = self.poller.recorder.record(batch).await?;
        self.underway = Some((underway, fresh_before));
        Ok(())
    }

    async fn finish_underway(&mut self) -> Result<(), Ended> {
        if let Some((underway, fresh_before)) = self.underway.take() {
            let recorded = underway.committed().await?;
            self.caught_up += recorded.counted;
            self.work.counted += recorded.counted;
            let now = self.now();
            self.poller.passes.learn(&recorded.finished, fresh_before, now);
        }
        Ok(())
    }

    fn now(&self) -> Moment {
        self.server_time(self.poller.list.clock.look())
    }

    fn server_time(&self, look: Look) -> Moment {
        Moment::from(self.poller.list.server_clock.at(look))
    }
}
