//! The plan of the next fetch of a target's list, and the progress that each fetch makes.
//!
//! The list has no end time, no "updated since" and no documented order, so a target is read in passes over start times, each
//! with a watermark of its own. A poll begins with the open pass; then come the fresh pass up to now (in several windows if it
//! is behind), conversations that left the open list, and the rechecks that are due. Where one of them fails, the others go on.
//!
//! A state machine without input or output: the time and the conversations that were seen are arguments.

mod fetch_plan;
mod filter_support;
mod lookback;
mod missing;
mod read_starts;
mod refetch;
mod rollback;
mod start_index;
mod window_size;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

pub use fetch_plan::{FetchPlan, FetchRange, PassKind};
use filter_support::FilterSupport;
use lookback::{LookbackEstimator, MIN_OVERLAP};
use missing::MissingConversations;
use polyai_domain::conversation::{Conversation, ConversationId, ConversationState};
use polyai_domain::fetch::{Filter, Window};
use polyai_domain::timestamp::Timestamp;
use read_starts::ReadStarts;
use rollback::WatermarkHistory;
use start_index::StartIndex;
use window_size::{PassId, WindowSizer};

use crate::ledger::transition::SeenBy;
use crate::ledger::{CatchUp, RecheckWatermark, Watermarks, max_overlap};
use crate::recorder::{FirstFinished, PollerCheckpoint};

/// How far in the future a start may be and still be believed.
const MAX_FUTURE_SKEW: Duration = Duration::from_secs(3600);
/// How far behind its watermark a recheck reads again, in case the API rounds the bounds of windows.
const RECHECK_OVERLAP: Duration = Duration::from_secs(1);
/// An open list without a filter goes back at least this far.
const OPEN_LOOKBACK: Duration = Duration::from_secs(2 * 3600);
/// A conversation that is in progress for longer than this is reported.
const STUCK_AFTER: Duration = Duration::from_secs(24 * 3600);

/// The settings that decide how a target is polled.
#[derive(Debug, Clone)]
pub struct PollPolicy {
    /// `polling.interval`
    pub interval: Duration,
    /// `polling.recheck`
    pub ages: Vec<Duration>,
    /// `polling.initial_lookback`
    pub initial_lookback: Duration,
    /// `polling.anchor`
    pub anchor: Option<Timestamp>,
    /// The first number of refetch requests per poll.
    pub refetch_budget: usize,
}

impl PollPolicy {
    fn max_age(&self) -> Option<Duration> {
        self.ages.iter().copied().max()
    }

    /// Whether a new state counts conversations that ended before it.
    fn counts_the_past(&self) -> bool {
        self.anchor.is_some() || !self.initial_lookback.is_zero()
    }
}

/// Plans the polls of one target.
#[derive(Debug)]
pub(crate) struct PollPlanner {
    policy: PollPolicy,
    watermarks: Option<Watermarks>,
    overlap: LookbackEstimator,
    start_index: StartIndex,
    open: BTreeMap<ConversationId, Timestamp>,
    missing: MissingConversations,
    read_starts: ReadStarts,
    /// Given up since the last fetch.
    given_up: Vec<ConversationId>,
    window_sizer: WindowSizer,
    history: WatermarkHistory,
    overlap_read_at: Option<Timestamp>,
    /// Conversations that started before this were first read after a start or an outage; the overlap is not learned from them.
    learn_from: Option<Timestamp>,
    filter_support: FilterSupport,
}

/// How far one poll has come.
#[derive(Debug)]
pub(crate) struct PollState {
    /// The time up to which it reads.
    until: Timestamp,
    refetches: Option<Vec<FetchPlan>>,
    failed: BTreeSet<PassId>,
    rechecks_done: bool,
}

impl PollState {
    pub(crate) fn until(&self) -> Timestamp {
        self.until
    }
}

/// The result of a fetch.
#[derive(Debug)]
pub(crate) struct PlannerUpdate {
    pub(crate) watermarks: Option<Watermarks>,
    /// Conversations that are no longer searched for: neither listed nor found for long.
    pub(crate) abandoned: Vec<ConversationId>,
}

impl PollPlanner {
    /// Continues from the last commit.
    pub(crate) fn resume(policy: PollPolicy, checkpoint: PollerCheckpoint) -> Self {
        let max_overlap = max_overlap(&policy.ages);
        let mut start_index = StartIndex::with_capacity(policy.max_age().unwrap_or(max_overlap) * 5 / 4);
        let watermarks = checkpoint.watermarks.map(|watermarks| watermarks.with_ages(&policy.ages));
        if let Some(watermarks) = &watermarks {
            let latest = watermarks.fresh + MAX_FUTURE_SKEW;
            checkpoint.starts.iter().for_each(|&start| start_index.add(start, latest));
        }
        let mut read_starts = ReadStarts::default();
        checkpoint.starts.iter().for_each(|&start| read_starts.add(start));
        let overlap = watermarks.as_ref().map_or(Duration::ZERO, |watermarks| watermarks.overlap);
        Self {
            policy,
            overlap: LookbackEstimator::resume(overlap, max_overlap),
            watermarks,
            start_index,
            open: checkpoint.open,
            missing: MissingConversations::default(),
            read_starts,
            given_up: Vec::new(),
            window_sizer: WindowSizer::default(),
            history: WatermarkHistory::default(),
            overlap_read_at: None,
            learn_from: None,
            filter_support: FilterSupport::default(),
        }
    }

    pub(crate) fn set_refetch_budget(&mut self, requests: usize) {
        self.policy.refetch_budget = requests;
    }

    /// The API's time is certainly `now`, and was `first_answer` when the API answered for the first time. At the very first
    /// start counting begins at `first_answer`, and begins again if that turns out to be in the future. It does not if there are
    /// conversations from after `now`: then it is `now` that is wrong. Watermarks in the future come from a clock that was ahead;
    /// they go back to where they were before it, since nothing is known of what has started meanwhile.
    pub(crate) fn on_server_time(&mut self, now: Timestamp, first_answer: Timestamp) {
        let latest = now + MIN_OVERLAP;
        let has_anchor = self.policy.anchor.is_some();
        let keeps_anchor = has_anchor || self.start_index.has_start_after(latest);
        let Some(watermarks) =
            self.watermarks.as_mut().filter(|watermarks| keeps_anchor || watermarks.anchor <= latest)
        else {
            if !has_anchor {
                self.begin(first_answer - self.policy.initial_lookback);
            }
            return;
        };
        let before = self.history.rollback_before(latest);
        if let Some(before) = &before {
            watermarks.rewind_to(before);
        }
        let lost_position = watermarks.fresh > latest;
        if lost_position {
            watermarks.rewind_to(&rollback::fallback_watermarks(watermarks.anchor, now, &self.policy));
        }
        if before.is_some() || lost_position {
            (self.overlap_read_at, self.learn_from) = (None, None);
            self.missing.on_clock_rollback(now, &self.policy);
        }
    }

    /// Begins to count from `anchor`. Where that is in the past, an earlier state may have exposed conversations that the rechecks
    /// would reach only when they are old, so the fresh pass reads everything from the last recheck age before the anchor. Otherwise
    /// nothing has counted yet, and the series are exposed at 0.
    fn begin(&mut self, anchor: Timestamp) {
        let mut watermarks = Watermarks::initial(anchor, &self.policy.ages);
        if self.policy.counts_the_past() {
            watermarks.fresh = watermarks.oldest();
        } else {
            watermarks.catch_up = CatchUp::Done;
        }
        self.watermarks = Some(watermarks);
    }

    /// The open pass: everything that is in progress, whenever it started.
    pub(crate) fn open_pass(&self, now: Timestamp) -> FetchPlan {
        let window = if self.filter_support.is_ignored() {
            // An API that returns finished conversations too would return its whole history. What has been open for longer than
            // a day is refetched by itself.
            let recent = |start: &Timestamp| now.saturating_duration_since(*start) <= STUCK_AFTER;
            let oldest = self.open.values().copied().filter(recent).min().unwrap_or(now);
            Window::since(oldest.min(now - self.overlap.estimate().max(OPEN_LOOKBACK)))
        } else {
            Window::ALL
        };
        FetchPlan { pass: PassKind::Open, window, filter: Filter::InProgress }
    }

    /// The open pass has returned `seen`. Begins the poll.
    pub(crate) fn on_open_list(
        &mut self,
        seen: &[Conversation],
        now: Timestamp,
    ) -> (PollState, PlannerUpdate) {
        let listed: BTreeMap<ConversationId, Timestamp> = seen
            .iter()
            .filter(|conversation| conversation.data.state == ConversationState::InProgress)
            .map(|conversation| (conversation.id.clone(), conversation.data.started_at))
            .collect();
        self.filter_support.observe(seen);
        listed.values().for_each(|&start| self.start_index.add(start, now + MAX_FUTURE_SKEW));
        self.missing.on_open_list(&self.open, &listed, now);
        self.open = listed;
        let tracked = self.open.values().copied().chain(self.missing.starts().map(|(_, start)| start));
        self.read_starts.forget_before(tracked.min().unwrap_or(now));

        // An anchor in the future may still be corrected, and nothing can count before it.
        if let Some(anchor) = self.policy.anchor.filter(|&anchor| self.watermarks.is_none() && anchor <= now)
        {
            self.begin(anchor);
        }
        if let Some(watermarks) = &self.watermarks {
            self.history.push(now, watermarks);
        }
        let state = PollState { until: now, refetches: None, failed: BTreeSet::new(), rechecks_done: false };
        (state, PlannerUpdate { watermarks: self.watermarks.clone(), abandoned: Vec::new() })
    }

    /// Returns the next fetch of the poll, or `None` when the poll is complete.
    pub(crate) fn next(&mut self, state: &mut PollState, now: Timestamp) -> Option<FetchPlan> {
        // Until it is known since when to count, nothing that is read would be kept.
        self.watermarks.as_ref()?;
        if let Some(plan) = self.fresh(state) {
            return Some(plan);
        }
        let refetches = match state.refetches.take() {
            Some(refetches) => refetches,
            None => self.missing.due(now, self.next_recheck(state), &self.read_starts, &self.policy),
        };
        let refetches = state.refetches.insert(refetches);
        if let Some(plan) = refetches.pop() {
            return Some(plan);
        }
        if state.rechecks_done {
            return None;
        }
        // Only up to the time at which the poll began, or a slow API would have its rechecks read without end.
        let plan = self.recheck(state);
        state.rechecks_done = plan.is_none();
        plan
    }

    /// The fresh pass, joined by every recheck that can be read with it at no cost.
    fn fresh(&self, state: &PollState) -> Option<FetchPlan> {
        let watermarks = self.watermarks.as_ref()?;
        if watermarks.fresh >= state.until || state.failed.contains(&PassId::Fresh) {
            return None;
        }
        let overlap = self.overlap.estimate();
        let whole_overlap = self
            .overlap_read_at
            .is_none_or(|read_at| self.is_due(state.until.saturating_duration_since(read_at), overlap));
        let fresh_from = watermarks.fresh - if whole_overlap { overlap } else { MIN_OVERLAP };
        let to = state.until.min(watermarks.fresh + self.window_sizer.length(PassId::Fresh));
        let aged = watermarks.rechecks.iter().map(|recheck| to.min(state.until - recheck.age)).enumerate();
        let mut range = FetchRange {
            fresh: Some((watermarks.fresh, to)),
            fresh_from: Some(fresh_from),
            whole_overlap,
            rechecks: Vec::new(),
            satisfies: aged.filter(|&(_, aged)| aged > watermarks.fresh).collect(),
        };
        let mut from = fresh_from;
        if to == state.until && !self.window_sizer.is_failing(PassId::Fresh) {
            for (index, recheck) in watermarks.rechecks.iter().enumerate() {
                let read_from = recheck.read_to - RECHECK_OVERLAP;
                let near = state.until.saturating_duration_since(read_from)
                    <= recheck.age + (recheck.age / 4).max(self.policy.interval * 2);
                let aged = (state.until - recheck.age).min(watermarks.fresh);
                if recheck.already_read.is_none()
                    && near
                    && self.is_due(aged.saturating_duration_since(recheck.read_to), recheck.age)
                    && !self.window_sizer.is_failing(PassId::Recheck(index))
                    && self.start_index.is_empty_between(read_from, fresh_from)
                {
                    range.rechecks.push((index, aged));
                    from = from.min(read_from);
                }
            }
        }
        // A recheck asks for running conversations too, and so finds those that the open list hides.
        let is_recheck = !range.rechecks.is_empty() || !range.satisfies.is_empty();
        let filter = if is_recheck { Filter::Any } else { Filter::Finished };
        Some(FetchPlan { pass: PassKind::Range(range), window: Window::between(from, to), filter })
    }

    /// The window that the first due recheck reads in this poll; `None` if no recheck is due or it is failing.
    fn next_recheck(&self, state: &PollState) -> Option<Window> {
        let plan = self.recheck(state)?;
        let PassKind::Range(range) = &plan.pass else { return None };
        let (pass, _) = self.step(range)?;
        (!self.window_sizer.is_failing(pass)).then_some(plan.window)
    }

    /// The first recheck that is due.
    fn recheck(&self, state: &PollState) -> Option<FetchPlan> {
        let watermarks = self.watermarks.as_ref()?;
        watermarks.rechecks.iter().enumerate().find_map(|(index, recheck)| {
            let pass = PassId::Recheck(index);
            let aged = (state.until - recheck.age).min(watermarks.fresh);
            if state.failed.contains(&pass)
                || !self.is_due(aged.saturating_duration_since(recheck.read_to), recheck.age)
            {
                return None;
            }
            let end = recheck.already_read.map_or(aged, |(covered_from, _)| aged.min(covered_from));
            let to = end.min(recheck.read_to + self.window_sizer.length(pass));
            let range = FetchRange { rechecks: vec![(index, to)], ..FetchRange::default() };
            let window = Window::between(recheck.read_to - RECHECK_OVERLAP, to);
            Some(FetchPlan { pass: PassKind::Range(range), window, filter: Filter::Any })
        })
    }

    /// Whether a range is read again after `since`: in steps of a tenth of its age or width, but at least one interval. Polls
    /// are not punctual, so half an interval is tolerated.
    fn is_due(&self, since: Duration, span: Duration) -> bool {
        since + self.policy.interval / 2 >= (span / 10).max(self.policy.interval)
    }

    /// All pages of `plan` have been read, and hold `seen`.
    pub(crate) fn on_fetched(
        &mut self,
        plan: &FetchPlan,
        seen: &[Conversation],
        now: Timestamp,
    ) -> PlannerUpdate {
        for conversation in seen {
            let started_at = conversation.data.started_at;
            self.start_index.add(started_at, now + MAX_FUTURE_SKEW);
            self.missing.on_listed(plan.window, started_at);
            match conversation.data.state {
                ConversationState::Finished => {
                    self.open.remove(&conversation.id);
                    self.missing.on_found(&conversation.id);
                    self.read_starts.add(started_at);
                }
                ConversationState::InProgress if !self.open.contains_key(&conversation.id) => {
                    self.missing.on_running_unlisted(&conversation.id, started_at, now, &self.policy);
                }
                ConversationState::InProgress => {}
            }
        }
        match &plan.pass {
            PassKind::Open => {}
            PassKind::Refetch(ids) => {
                self.given_up.extend(self.missing.on_refetched(ids, seen, now, &self.policy));
            }
            PassKind::Range(range) => self.advance(range, plan.window, seen.len(), now),
        }
        if let Some(watermarks) = &mut self.watermarks {
            watermarks.overlap = self.overlap.estimate();
        }
        PlannerUpdate { watermarks: self.watermarks.clone(), abandoned: std::mem::take(&mut self.given_up) }
    }

    /// `plan` failed, though the target answers: the poll goes on without it, and the next one plans it differently.
    pub(crate) fn on_failed(&mut self, state: &mut PollState, plan: &FetchPlan, now: Timestamp) {
        match &plan.pass {
            PassKind::Open => {}
            PassKind::Refetch(ids) => self.given_up.extend(self.missing.on_failed(ids, now, &self.policy)),
            PassKind::Range(range) => {
                let Some((pass, step)) = self.step(range) else { return };
                self.window_sizer.on_failed(pass, step);
                state.failed.insert(pass);
                if range.whole_overlap {
                    // Perhaps the overlap is what fails; what is new must not wait for it.
                    self.overlap_read_at = Some(state.until);
                }
            }
        }
    }

    /// The pass that reads `range`, and how far that moves it.
    fn step(&self, range: &FetchRange) -> Option<(PassId, Duration)> {
        if let Some((from, to)) = range.fresh {
            return Some((PassId::Fresh, to.saturating_duration_since(from)));
        }
        let &(index, to) = range.rechecks.first()?;
        let from = self.watermarks.as_ref()?.rechecks.get(index)?.read_to;
        Some((PassId::Recheck(index), to.saturating_duration_since(from)))
    }

    fn advance(&mut self, range: &FetchRange, window: Window, seen: usize, now: Timestamp) {
        if let Some((pass, step)) = self.step(range) {
            self.window_sizer.on_fetched(pass, step, window.length().unwrap_or_default(), seen);
        }
        let Some(watermarks) = &mut self.watermarks else { return };
        for &(index, to) in &range.rechecks {
            if let Some(recheck) = watermarks.rechecks.get_mut(index) {
                recheck.read_to = recheck.read_to.max(to);
                if let Some((covered_from, covered_to)) = recheck.already_read
                    && recheck.read_to >= covered_from
                {
                    recheck.read_to = recheck.read_to.max(covered_to);
                    recheck.already_read = None;
                }
            }
        }
        if let Some((from, to)) = range.fresh {
            for &(index, covered_to) in &range.satisfies {
                if let Some(recheck) = watermarks.rechecks.get_mut(index) {
                    mark_covered(recheck, from, covered_to);
                }
            }
            watermarks.fresh = watermarks.fresh.max(to);
            if range.whole_overlap {
                self.overlap_read_at = Some(now);
            }
            let was_behind = to.saturating_duration_since(from) > self.policy.interval * 3;
            let is_current = now.saturating_duration_since(to) <= self.policy.interval;
            if is_current && (was_behind || self.learn_from.is_none()) {
                self.learn_from = Some(now);
            } else if !is_current {
                self.learn_from = None;
            }
        }
    }

    /// `plan` would bring too many conversations. Returns whether the next plan is smaller; if not, this one has to be read.
    pub(crate) fn on_too_large(&mut self, plan: &FetchPlan) -> bool {
        match &plan.pass {
            PassKind::Open => false,
            PassKind::Refetch(ids) => self.missing.split(ids),
            PassKind::Range(_) => {
                plan.window.length().is_some_and(|length| self.window_sizer.on_too_large(length))
            }
        }
    }

    /// Learns how wide the overlap must be from conversations that were first seen finished by a fetch that began when the
    /// fresh watermark was at `fresh_before`.
    pub(crate) fn observe_first_finished(
        &mut self,
        finished: &[FirstFinished],
        fresh_before: Timestamp,
        now: Timestamp,
    ) {
        let Some(learn_from) = self.learn_from else { return };
        for first in finished.iter().filter(|first| first.started_at >= learn_from) {
            let needed = match (first.was_open, first.seen_by) {
                (true, _) => Duration::ZERO,
                (false, SeenBy::Fresh) => fresh_before.saturating_duration_since(first.started_at),
                (false, SeenBy::Recheck) => {
                    first.ended_at.unwrap_or(now).saturating_duration_since(first.started_at)
                        + self.policy.interval
                }
            };
            self.overlap.observe(needed);
        }
    }

    /// Whether the state was new when the poller started, or still catching up.
    pub(crate) fn is_new_state(&self) -> bool {
        self.watermarks.as_ref().is_some_and(|watermarks| watermarks.catch_up != CatchUp::Done)
    }

    /// How far the target has been read; absent before the first answer.
    pub(crate) fn watermarks(&self) -> Option<&Watermarks> {
        self.watermarks.as_ref()
    }

    pub(crate) fn fresh_watermark(&self) -> Option<Timestamp> {
        self.watermarks.as_ref().map(|watermarks| watermarks.fresh)
    }

    /// How far the fresh pass is behind `now`.
    pub(crate) fn lag(&self, now: Timestamp) -> Duration {
        self.fresh_watermark().map_or(Duration::ZERO, |fresh| now.saturating_duration_since(fresh))
    }

    /// The conversation that has been open longest, with its start, if that is longer than a day.
    pub(crate) fn oldest_open(&self, now: Timestamp) -> Option<(&ConversationId, Timestamp)> {
        let open = self.open.iter().map(|(id, start)| (id, *start));
        let oldest = open.chain(self.missing.starts()).min_by_key(|&(_, start)| start)?;
        (now.saturating_duration_since(oldest.1) > STUCK_AFTER).then_some(oldest)
    }

    pub(crate) fn tracked_count(&self) -> usize {
        self.open.len() + self.missing.len()
    }
}

/// Records that the fresh pass has read `from` to `to` at an age that a recheck wants, so the recheck need not read it again.
fn mark_covered(recheck: &mut RecheckWatermark, from: Timestamp, to: Timestamp) {
    recheck.already_read = match recheck.already_read {
        None if recheck.read_to >= from => {
            recheck.read_to = recheck.read_to.max(to);
            None
        }
        Some((covered_from, covered_to)) if covered_to >= from => Some((covered_from, covered_to.max(to))),
        // After a second gap only the newer range is remembered, and the older one is read again.
        None | Some(_) => Some((from, to)),
    };
}
