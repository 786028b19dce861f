//! The polls of one target, as a state machine without input or output.
//!
//! A driver calls [`PollSession::start`] when a poll is due, performs what [`PollSession::next_command`] returns, and reports the
//! results, until there is no further command. The daemon's poller, the backfill and the model test drive the same session, so
//! what the model proves holds for the daemon.

use std::collections::VecDeque;
use std::time::Duration;

use polyai_domain::conversation::{Conversation, ConversationId, ConversationState};
use polyai_domain::fetch::{FetchError, FetchedPages, Limit, RejectedRecords, WindowError};
use polyai_domain::problem::Problem;
use polyai_domain::timestamp::Timestamp;

use crate::data_quality::{DataProblems, DataQuality};
use crate::ledger::transition::SeenBy;
use crate::planner::{FetchPlan, PassKind, PlannerUpdate, PollPlanner, PollPolicy, PollState};
use crate::recorder::{Batch, BatchOutcome, Observation, PollStatus, PollerCheckpoint, TargetIndex};

/// More open conversations than any project has. Beyond it the gauge of open conversations is too low, which is reported.
const MAX_OPEN: usize = 10_000;
/// A window with more conversations is not kept; smaller ones are read instead.
const MAX_WINDOW: usize = 10_000;
/// So many failed fetches in a row end a poll: more would only burden an API in trouble.
const MAX_CONSECUTIVE_FAILURES: u32 = 3;
/// A target that is behind by more than this many intervals reports its progress.
const PROGRESS_INTERVALS: u32 = 10;

/// The time as its driver knows it when it calls a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionTime {
    /// The API's time, by the latest estimate.
    pub api: Timestamp,
    /// A steady clock, from any fixed origin.
    pub steady: Duration,
    /// Whether `api` is certain.
    pub certain: bool,
    /// Whether this machine's clock and the API's differ so much that it is a problem.
    pub skewed: bool,
}

impl SessionTime {
    /// The API's time at an earlier moment, by the latest estimate.
    fn api_at(&self, steady: Duration) -> Timestamp {
        self.api - self.steady.saturating_sub(steady)
    }
}

/// The next step of a driver.
#[derive(Debug)]
pub enum Command {
    /// Read all pages of a window, each conversation once, and call [`PollSession::on_fetched`].
    Fetch(FetchPlan, Limit),
    /// Send the batch to the recorder, without waiting for its commit: the next window is read meanwhile.
    Submit(Batch),
    /// Wait until the submitted batch is committed, and call [`PollSession::on_committed`].
    AwaitCommit,
    /// Log an event.
    Notify(Notice),
    /// The poll has ended: publish how it went. The last command of a poll.
    Report(PollReport),
}

/// An event of a poll, to be logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// There are more open conversations than are read.
    OpenListTruncated,
    /// A window held more than this many conversations; smaller ones are read instead.
    WindowTooLarge(FetchPlan, usize),
    /// Records could not be read.
    RecordsRejected(RejectedRecords),
    /// A conversation that was open is neither listed nor found, and is no longer searched for.
    ConversationAbandoned(ConversationId),
    /// A target that has a new state, or had fallen behind, begins to catch up or has read on.
    Progress {
        /// The fresh watermark when the poll began.
        from: Timestamp,
        /// How far it has read.
        reached: Timestamp,
        /// The time at which it is no longer behind.
        to: Timestamp,
        /// Conversations that counted meanwhile.
        conversations: u64,
    },
}

/// The result of a poll.
#[derive(Debug)]
pub struct PollReport {
    /// For the recorder.
    pub status: PollStatus,
    /// The failure, if it failed.
    pub failure: Option<PollFailure>,
    /// Its counts.
    pub stats: PollStats,
    /// The conversation that has been open longest, with its start, if that is longer than a day.
    pub stuck: Option<(ConversationId, Timestamp)>,
    /// The time from which conversations that end count.
    pub anchor: Option<Timestamp>,
    /// The fresh watermark.
    pub read_to: Option<Timestamp>,
    /// The number of open and missing conversations.
    pub tracked: usize,
}

/// The failure of a poll.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PollFailure {
    /// The failed request.
    pub error: FetchError,
    /// Whether only some windows failed, and the rest of the poll was done.
    pub partial: bool,
}

/// The counts of a poll.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PollStats {
    /// Requested windows, failed ones included.
    pub fetches: u32,
    /// Read conversations; one may be in several windows.
    pub records: u64,
    /// Records that could not be read.
    pub rejected: u64,
    /// Conversations that counted.
    pub counted: u64,
}

/// The polls of one target.
#[derive(Debug)]
pub struct PollSession {
    target: TargetIndex,
    interval: Duration,
    planner: PollPlanner,
    data_quality: DataQuality,
    /// When the first open list that was answered had been requested, on the steady clock.
    first_answer: Option<Duration>,
    /// The fresh watermark before the fetch of a batch that is submitted and not yet committed.
    pending: Option<Timestamp>,
    /// Conversations counted since the target fell behind.
    counted_while_behind: u64,
    /// Whether a poll has read up to its beginning.
    has_caught_up: bool,
    /// Whether the beginning of catching up with a past has been reported.
    has_announced: bool,
    poll: Poll,
}

/// The current poll.
#[derive(Debug, Default)]
struct Poll {
    /// On the steady clock.
    started: Duration,
    stage: Stage,
    /// Known once the open list is.
    state: Option<PollState>,
    notices: VecDeque<Notice>,
    /// The next batch, with the fresh watermark before its fetch.
    batch: Option<(Batch, Timestamp)>,
    /// The range that a target which had fallen behind catches up on.
    backlog: Option<(Timestamp, Timestamp)>,
    /// How far it has read, to be reported.
    progress: Option<Timestamp>,
    consecutive_failures: u32,
    /// The first window that failed.
    failure: Option<PollFailure>,
    stats: PollStats,
}

#[derive(Debug, Default)]
enum Stage {
    #[default]
    Idle,
    /// Waits for the result of this fetch.
    Fetching(FetchPlan, Limit),
    Planning,
    Ending,
}

impl PollSession {
    /// Continues from the last commit.
    pub fn resume(target: TargetIndex, policy: PollPolicy, checkpoint: PollerCheckpoint) -> Self {
        Self {
            target,
            interval: policy.interval,
            planner: PollPlanner::resume(policy, checkpoint),
            data_quality: DataQuality::default(),
            first_answer: None,
            pending: None,
            counted_while_behind: 0,
            has_caught_up: false,
            has_announced: false,
            poll: Poll::default(),
        }
    }

    /// The time from which conversations that end count; absent before the first answer.
    pub fn anchor(&self) -> Option<Timestamp> {
        self.planner.watermarks().map(|watermarks| watermarks.anchor)
    }

    /// Sets the maximum number of refetch requests per poll.
    pub fn set_refetch_budget(&mut self, requests: usize) {
        self.planner.set_refetch_budget(requests);
    }

    /// Starts a poll. What an earlier one has not submitted is dropped and will be read again.
    pub fn start(&mut self, time: SessionTime) {
        let plan = self.planner.open_pass(time.api);
        self.poll = Poll {
            started: time.steady,
            stage: Stage::Fetching(plan, Limit::StopAt(MAX_OPEN)),
            stats: PollStats { fetches: 1, ..PollStats::default() },
            ..Poll::default()
        };
    }

    /// Returns what to do next, or `None` when the poll is over. Returns the same until a fetch or a commit that it asks for is
    /// reported.
    pub fn next_command(&mut self, time: SessionTime) -> Option<Command> {
        if let Some(notice) = self.poll.notices.pop_front() {
            return Some(Command::Notify(notice));
        }
        if let Some((batch, fresh_before)) = self.poll.batch.take_if(|_| self.pending.is_none()) {
            self.pending = Some(fresh_before);
            return Some(Command::Submit(batch));
        }
        if self.poll.batch.is_some() {
            return Some(Command::AwaitCommit);
        }
        if let (Some(reached), Some((from, to))) = (self.poll.progress, self.poll.backlog) {
            if reached >= to && self.pending.is_some() {
                // The last report should include everything.
                return Some(Command::AwaitCommit);
            }
            self.poll.progress = None;
            let conversations = self.counted_while_behind;
            return Some(Command::Notify(Notice::Progress { from, reached, to, conversations }));
        }
        if let Stage::Planning = self.poll.stage {
            let plan = self.poll.state.as_mut().and_then(|state| self.planner.next(state, time.api));
            self.poll.stage = match plan {
                Some(plan) => {
                    self.poll.stats.fetches += 1;
                    Stage::Fetching(plan, Limit::RefuseAt(MAX_WINDOW))
                }
                None => Stage::Ending,
            };
        }
        match &self.poll.stage {
            Stage::Idle | Stage::Planning => None,
            Stage::Fetching(plan, limit) => Some(Command::Fetch(plan.clone(), *limit)),
            Stage::Ending => {
                let is_reachable = self.poll.failure.as_ref().is_none_or(|failure| failure.partial);
                if is_reachable && self.pending.is_some() {
                    return Some(Command::AwaitCommit);
                }
                Some(Command::Report(self.report(time)))
            }
        }
    }

    /// Handles the result of the requested fetch.
    pub fn on_fetched(&mut self, result: Result<FetchedPages, WindowError>, time: SessionTime) {
        let Stage::Fetching(plan, limit) = std::mem::replace(&mut self.poll.stage, Stage::Planning) else {
            return;
        };
        match result.and_then(|fetched| self.require_readable(fetched)) {
            Ok(fetched) if plan.pass == PassKind::Open => self.on_open_list(&plan, fetched, time),
            Ok(fetched) => self.on_window(&plan, fetched, time),
            Err(WindowError::Fetch(error)) => self.on_failed(&plan, error, time),
            Err(WindowError::TooLarge(max)) if self.planner.on_too_large(&plan) => {
                self.poll.consecutive_failures = 0;
                self.poll.notices.push_back(Notice::WindowTooLarge(plan, max));
            }
            // Smaller windows would hold as many where the window is ignored.
            Err(WindowError::TooLarge(_) | WindowError::WindowIgnored(_)) if limit != Limit::Unlimited => {
                self.poll.stage = Stage::Fetching(plan, Limit::Unlimited);
            }
            Err(error @ (WindowError::TooLarge(_) | WindowError::WindowIgnored(_))) => {
                self.on_failed(&plan, FetchError::bad_payload(error.to_string()), time);
            }
        }
    }

    /// A window without a readable record has not been read: after a change of the format, its conversations would be lost.
    fn require_readable(&mut self, fetched: FetchedPages) -> Result<FetchedPages, WindowError> {
        let is_read = !fetched.conversations.is_empty() || !fetched.foreign.is_empty();
        if is_read || fetched.rejected.is_empty() {
            return Ok(fetched);
        }
        let message = format!("no record of {} could be read", fetched.rejected.len());
        self.poll.stats.rejected += fetched.rejected.len() as u64;
        self.poll.notices.push_back(Notice::RecordsRejected(fetched.rejected));
        Err(FetchError::bad_payload(message).into())
    }

    fn on_open_list(&mut self, plan: &FetchPlan, mut fetched: FetchedPages, time: SessionTime) {
        if !fetched.complete {
            self.poll.notices.push_back(Notice::OpenListTruncated);
        }
        // The answer has improved the estimate of the API's time. What has started since the request belongs to the next poll.
        let now = time.api_at(self.poll.started);
        let first_answer = *self.first_answer.get_or_insert(self.poll.started);
        if time.certain {
            self.planner.on_server_time(now, time.api_at(first_answer));
        }
        let (state, update) = self.planner.on_open_list(&fetched.conversations, now);
        self.poll.state = Some(state);
        let catches_up = self.planner.is_new_state() && !self.has_caught_up;
        if catches_up || self.planner.lag(now) > self.interval * PROGRESS_INTERVALS {
            self.poll.backlog = self.planner.fresh_watermark().map(|fresh| (fresh, now));
        } else {
            self.counted_while_behind = 0;
        }
        if catches_up && !std::mem::replace(&mut self.has_announced, true) {
            self.poll.progress = self.planner.fresh_watermark();
        }
        // A finished record here means that the filter was ignored; the fresh pass reads those.
        fetched.conversations.retain(|one| one.data.state == ConversationState::InProgress);
        self.submit(plan, fetched, update, now, time.api);
    }

    fn on_window(&mut self, plan: &FetchPlan, fetched: FetchedPages, time: SessionTime) {
        let until = self.poll.state.as_ref().map_or(time.api, PollState::until);
        let fresh_before = self.planner.fresh_watermark().unwrap_or(until);
        self.poll.consecutive_failures = 0;
        let update = self.planner.on_fetched(plan, &fetched.conversations, time.api);
        let abandoned = update.abandoned.iter().cloned();
        self.poll.notices.extend(abandoned.map(Notice::ConversationAbandoned));
        self.submit(plan, fetched, update, fresh_before, time.api);
        if let Some(reached) = plan.fresh_to() {
            self.poll.progress = self.poll.backlog.map(|_| reached);
            let elapsed = time.steady.saturating_sub(self.poll.started);
            if self.planner.lag(until) > Duration::ZERO && elapsed >= self.interval {
                // Catching up takes longer than an interval: what is open now is read in between.
                self.poll.stage = Stage::Ending;
            }
        }
    }

    fn on_failed(&mut self, plan: &FetchPlan, error: FetchError, time: SessionTime) {
        let is_window_specific = error.kind.is_window_specific();
        if let Some(state) = self.poll.state.as_mut().filter(|_| is_window_specific) {
            self.planner.on_failed(state, plan, time.api);
        }
        // `Retry-After` concerns all windows.
        if is_window_specific && self.poll.state.is_some() && error.retry_after.is_none() {
            self.poll.failure.get_or_insert(PollFailure { error, partial: true });
            self.poll.consecutive_failures += 1;
            if self.poll.consecutive_failures < MAX_CONSECUTIVE_FAILURES {
                return;
            }
        } else {
            self.poll.failure = Some(PollFailure { error, partial: false });
        }
        self.poll.stage = Stage::Ending;
    }

    fn submit(
        &mut self,
        plan: &FetchPlan,
        fetched: FetchedPages,
        update: PlannerUpdate,
        fresh_before: Timestamp,
        now: Timestamp,
    ) {
        let is_new = |start| plan.seen_by(start) == SeenBy::Fresh;
        self.data_quality.observe(&fetched, is_new);
        let FetchedPages { conversations, rejected, foreign, .. } = fetched;
        self.poll.stats.records += conversations.len() as u64;
        for rejected in [rejected, foreign] {
            self.poll.stats.rejected += rejected.len() as u64;
            if !rejected.is_empty() {
                self.poll.notices.push_back(Notice::RecordsRejected(rejected));
            }
        }
        let observation = |conversation: Conversation| Observation {
            seen_by: plan.seen_by(conversation.data.started_at),
            conversation,
        };
        let batch = Batch {
            target: self.target,
            now,
            observations: conversations.into_iter().map(observation).collect(),
            lists_all_open: plan.pass == PassKind::Open,
            abandoned: update.abandoned,
            watermarks: update.watermarks,
        };
        self.poll.batch = Some((batch, fresh_before));
    }

    /// Handles the outcome of the submitted batch, which is committed.
    pub fn on_committed(&mut self, outcome: &BatchOutcome, time: SessionTime) {
        let Some(fresh_before) = self.pending.take() else { return };
        self.counted_while_behind += outcome.counted;
        self.poll.stats.counted += outcome.counted;
        self.planner.observe_first_finished(&outcome.finished, fresh_before, time.api);
    }

    fn report(&mut self, time: SessionTime) -> PollReport {
        let Poll { failure, stats, state, .. } = std::mem::take(&mut self.poll);
        let until = state.as_ref().map(PollState::until);
        // The fresh pass of a new state reads all that an earlier one may have counted. Other windows that fail hold nothing up.
        let is_read = |until| self.planner.fresh_watermark().is_some_and(|fresh| fresh >= until);
        let caught_up = time.certain && until.is_some_and(is_read);
        self.has_caught_up |= caught_up;
        let DataProblems { mut problems, missing_fields } = self.data_quality.finish_poll(time.api);
        problems.extend(time.skewed.then_some(Problem::ClockSkew));
        let stuck = self.planner.oldest_open(time.api).map(|(id, start)| (id.clone(), start));
        problems.extend(stuck.as_ref().map(|_| Problem::StuckConversations));
        problems.extend(failure.as_ref().map(|failure| failure.error.kind.problem()));
        PollReport {
            status: PollStatus {
                target: self.target,
                now: time.api,
                up: failure.is_none(),
                caught_up,
                problems,
                missing_fields,
            },
            failure,
            stats,
            stuck,
            anchor: self.anchor(),
            read_to: self.planner.fresh_watermark(),
            tracked: self.planner.tracked_count(),
        }
    }
}

#[cfg(test)]
mod tests;
