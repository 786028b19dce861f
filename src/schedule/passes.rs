//! The passes of one target: what to read next, and what it means to have read it. The heart of not losing anything.
//!
//! Owns: the windows of the live, fresh, narrow and recheck passes, the set of open conversations, and the watermarks. Pure:
//! a state machine that is told the time and what was seen. Never: requests, rows, or the clock.
//!
//! A tick goes: the live pass, then the fresh pass up to now (in slices, if it is behind), then conversations that left the
//! open list, then the rechecks that are due. Where one of them fails, the others go on.

mod course;
mod search;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use course::WatermarkHistory;
use search::MissingConversations;

use super::crowd::StartIndex;
use super::heed::FilterSupport;
use super::overlap::{self, LookbackEstimator};
use super::slices::{PassId, WindowSizer};
use super::walk::{FetchPlan, FetchRange, PassKind};
use crate::api::{Filter, Window};
use crate::conversation::{Conversation, ConversationId, ConversationState};
use crate::ledger::transition::SeenBy;
use crate::ledger::{Watermarks, max_overlap};
use crate::recorder::{FirstFinished, PollerCheckpoint};
use crate::timestamp::Timestamp;

/// What the settings decide about the passes of a target.
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
    /// How many requests per tick the budget leaves for conversations that left the open list, until
    /// [`PollPlanner::set_refetch_budget`] says otherwise.
    pub narrow_requests: usize,
}

/// Beyond this a slice is given up and read in smaller ones.
pub const MAX_SLICE: usize = 10_000;
/// How far in the future a start may lie and be believed.
const MAX_FUTURE_SKEW: Duration = Duration::from_secs(3600);
/// A live list without a filter goes back as far as this at least.
const OPEN_LOOKBACK: Duration = Duration::from_secs(2 * 3600);
/// A conversation in progress for longer than this is a problem worth telling.
const STUCK_AFTER: Duration = Duration::from_secs(24 * 3600);

/// The passes of one target.
#[derive(Debug)]
pub struct PollPlanner {
    policy: PollPolicy,
    marks: Option<Watermarks>,
    overlap: LookbackEstimator,
    crowd: StartIndex,
    open: BTreeMap<ConversationId, Timestamp>,
    search: MissingConversations,
    /// Given up since the last walk that was read.
    given_up: Vec<ConversationId>,
    slices: WindowSizer,
    course: WatermarkHistory,
    overlap_read_at: Option<Timestamp>,
    /// Conversations that started before this were first read after a start or an outage, and teach nothing.
    learn_from: Option<Timestamp>,
    heed: FilterSupport,
}

/// How far one tick has come.
#[derive(Debug)]
pub struct PollState {
    /// The fresh pass reads up to here.
    until: Timestamp,
    narrow: Option<Vec<(Window, Vec<ConversationId>)>>,
    failed: BTreeSet<PassId>,
    rechecks_done: bool,
}

impl PollState {
    /// The time up to which this tick reads.
    pub fn until(&self) -> Timestamp {
        self.until
    }
}

/// What the passes conclude from a finished walk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PlannerUpdate {
    /// Where the target stands now.
    pub marks: Option<Watermarks>,
    /// Conversations that are followed no longer: not listed, and not found for long.
    pub abandoned: Vec<ConversationId>,
}

impl PollPlanner {
    /// Takes up where the state left off.
    pub fn resume(policy: PollPolicy, resume: PollerCheckpoint) -> Self {
        let most = max_overlap(&policy.ages);
        let oldest_age = policy.ages.iter().copied().max().unwrap_or(most);
        let mut crowd = StartIndex::with_capacity(oldest_age * 5 / 4);
        if let Some(marks) = &resume.marks {
            resume.starts.iter().for_each(|&start| crowd.add(start, marks.fresh + MAX_FUTURE_SKEW));
        }
        let marks = resume.marks.map(|marks| marks.with_ages(&policy.ages));
        Self {
            overlap: LookbackEstimator::resume(
                marks.as_ref().map_or(Duration::ZERO, |marks| marks.overlap),
                most,
            ),
            marks,
            crowd,
            open: resume.open,
            search: MissingConversations::default(),
            given_up: Vec::new(),
            slices: WindowSizer::default(),
            course: WatermarkHistory::default(),
            overlap_read_at: None,
            learn_from: None,
            heed: FilterSupport::default(),
            policy,
        }
    }

    /// From now on the budget leaves so many requests per tick for conversations that left the open list.
    pub fn set_refetch_budget(&mut self, narrow_requests: usize) {
        self.policy.narrow_requests = narrow_requests;
    }

    /// The time at the API is known for certain to be `now`, and was `first_answer` when it answered for the first time. At the
    /// very first start counting begins there, and again if that turns out to lie in the future. Marks that lie in the future come from a clock that was ahead: they go back to
    /// where they stood before, since nothing is known of what has started meanwhile.
    pub fn on_server_time(&mut self, now: Timestamp, first_answer: Timestamp) {
        let Some(marks) = &mut self.marks else {
            if self.policy.anchor.is_none() {
                self.begin(first_answer - self.policy.initial_lookback);
            }
            return;
        };
        let latest = now + overlap::MIN_OVERLAP;
        if self.policy.anchor.is_none() && marks.anchor > latest {
            // Nothing can have counted.
            self.begin(first_answer - self.policy.initial_lookback);
            return;
        }
        let before = self.course.rollback_before(latest);
        let lost_position =
            before.as_ref().map_or(marks.fresh, |before| before.fresh.min(marks.fresh)) > latest;
        if let Some(before) = &before {
            marks.rewind_to(before);
        }
        if lost_position {
            marks.rewind_to(&course::fallback_position(marks.anchor, now, &self.policy));
        }
        if before.is_some() || lost_position {
            (self.overlap_read_at, self.learn_from) = (None, None);
            self.search.on_clock_rollback(now, &self.policy);
        }
    }

    fn begin(&mut self, anchor: Timestamp) {
        self.marks = Some(Watermarks::initial(anchor, &self.policy.ages));
    }

    /// The live pass: everything that is open, however long ago it started.
    pub fn open_pass(&self, now: Timestamp) -> FetchPlan {
        let window = if self.heed.is_ignored() {
            // A server that sends finished conversations too would send its whole history. What has been open for longer than a
            // day is followed by itself.
            let of_the_day = self
                .open
                .values()
                .copied()
                .filter(|&start| now.saturating_duration_since(start) <= STUCK_AFTER);
            let oldest = of_the_day.min().unwrap_or(now);
            Window::since(oldest.min(now - self.overlap.estimate().max(OPEN_LOOKBACK)))
        } else {
            Window::ALL
        };
        FetchPlan { purpose: PassKind::Live, window, filter: Filter::InProgress }
    }

    /// The live pass saw these. Starts the tick.
    pub fn on_open_list(&mut self, seen: &[Conversation], now: Timestamp) -> (PollState, PlannerUpdate) {
        let listed: BTreeMap<ConversationId, Timestamp> = seen
            .iter()
            .filter(|conversation| conversation.data.state == ConversationState::InProgress)
            .map(|conversation| (conversation.id.clone(), conversation.data.started_at))
            .collect();
        self.heed.observe(seen);
        listed.values().for_each(|&start| self.crowd.add(start, now + MAX_FUTURE_SKEW));
        for (id, started_at) in std::mem::take(&mut self.open) {
            if !listed.contains_key(&id) {
                self.search.on_left_open_list(id, started_at, now);
            }
        }
        self.search.listed(&listed);
        self.open = listed;

        // One that has not come yet may still be set right, and nothing can count before it.
        if let Some(anchor) = self.policy.anchor.filter(|&anchor| self.marks.is_none() && anchor <= now) {
            self.begin(anchor);
        }
        if let Some(marks) = &self.marks {
            self.course.begin(now, marks);
        }
        let tick = PollState { until: now, narrow: None, failed: BTreeSet::new(), rechecks_done: false };
        (tick, PlannerUpdate { marks: self.marks.clone(), abandoned: Vec::new() })
    }

    /// The next walk of the tick; none when it is complete.
    pub fn next(&mut self, tick: &mut PollState, now: Timestamp) -> Option<FetchPlan> {
        // As long as it is not known since when to count, nothing that is read would be kept.
        self.marks.as_ref()?;
        if let Some(walk) = self.fresh(tick) {
            return Some(walk);
        }
        let narrow = tick.narrow.get_or_insert_with(|| self.search.due(now, &self.policy));
        if let Some((window, ids)) = narrow.pop() {
            // One that still runs, though it is not listed, is not given up.
            return Some(FetchPlan { purpose: PassKind::Narrow(ids), window, filter: Filter::Any });
        }
        if tick.rechecks_done {
            return None;
        }
        // Up to the tick's own time: were it to follow the clock, a slow API would have its rechecks read without end.
        let walk = self.recheck(tick);
        tick.rechecks_done = walk.is_none();
        walk
    }

    /// The fresh pass, joined by every recheck that can be read with it at no cost.
    fn fresh(&self, tick: &PollState) -> Option<FetchPlan> {
        let marks = self.marks.as_ref()?;
        if marks.fresh >= tick.until || tick.failed.contains(&PassId::Fresh) {
            return None;
        }
        let width = self.overlap.estimate();
        let whole_overlap = self
            .overlap_read_at
            .is_none_or(|read_at| self.is_due(tick.until.saturating_duration_since(read_at), width));
        let back = if whole_overlap { width } else { overlap::MIN_OVERLAP };
        let timely_from = marks.fresh - back;
        let to = tick.until.min(marks.fresh + self.slices.length(PassId::Fresh));
        let aged = marks.rechecks.iter().map(|mark| to.min(tick.until - mark.age)).enumerate();
        let mut stretch = FetchRange {
            fresh: Some((marks.fresh, to)),
            fresh_from: Some(timely_from),
            whole_overlap,
            rechecks: Vec::new(),
            satisfies: aged.filter(|&(_, aged)| aged > marks.fresh).collect(),
        };
        let mut from = timely_from;
        if to == tick.until && !self.slices.is_failing(PassId::Fresh) {
            for (index, mark) in marks.rechecks.iter().enumerate() {
                let read_from = mark.read_to - overlap::MIN_OVERLAP;
                let near = tick.until.saturating_duration_since(read_from)
                    <= mark.age + (mark.age / 4).max(self.policy.interval * 2);
                let reach = (tick.until - mark.age).min(marks.fresh);
                if mark.already_read.is_none()
                    && near
                    && self.is_due(reach.saturating_duration_since(mark.read_to), mark.age)
                    && !self.slices.is_failing(PassId::Recheck(index))
                    && self.crowd.is_empty_between(read_from, timely_from)
                {
                    stretch.rechecks.push((index, reach));
                    from = from.min(read_from);
                }
            }
        }
        // A recheck asks for running conversations too, and so finds those that the live list hides.
        let is_recheck = !stretch.rechecks.is_empty() || !stretch.satisfies.is_empty();
        let filter = if is_recheck { Filter::Any } else { Filter::Finished };
        Some(FetchPlan { purpose: PassKind::Stretch(stretch), window: Window::between(from, to), filter })
    }

    /// The first recheck that is due.
    fn recheck(&self, tick: &PollState) -> Option<FetchPlan> {
        let marks = self.marks.as_ref()?;
        marks.rechecks.iter().enumerate().find_map(|(index, mark)| {
            let reader = PassId::Recheck(index);
            let aged = (tick.until - mark.age).min(marks.fresh);
            if tick.failed.contains(&reader)
                || !self.is_due(aged.saturating_duration_since(mark.read_to), mark.age)
            {
                return None;
            }
            let reach = mark.already_read.map_or(aged, |(covered_from, _)| aged.min(covered_from));
            let to = reach.min(mark.read_to + self.slices.length(reader));
            let stretch = FetchRange { rechecks: vec![(index, to)], ..FetchRange::default() };
            let window = Window::between(mark.read_to - overlap::MIN_OVERLAP, to);
            Some(FetchPlan { purpose: PassKind::Stretch(stretch), window, filter: Filter::Any })
        })
    }

    /// Stretches are read in steps of a tenth of their age or width, but at least one interval; ticks are not punctual, so
    /// half an interval is let pass.
    fn is_due(&self, since: Duration, span: Duration) -> bool {
        since + self.policy.interval / 2 >= (span / 10).max(self.policy.interval)
    }

    /// How `walk` sees a conversation that started at `start`, should it be new.
    pub fn observation_kind(walk: &FetchPlan, start: Timestamp) -> SeenBy {
        match &walk.purpose {
            PassKind::Stretch(FetchRange { fresh_from: timely_from, .. })
                if timely_from.is_none_or(|from| start < from) =>
            {
                SeenBy::Recheck
            }
            PassKind::Stretch(_) | PassKind::Live | PassKind::Narrow(_) => SeenBy::Fresh,
        }
    }

    /// `walk` was read to its last page, and saw these.
    pub fn on_fetched(&mut self, walk: &FetchPlan, seen: &[Conversation], now: Timestamp) -> PlannerUpdate {
        for conversation in seen {
            let started_at = conversation.data.started_at;
            self.crowd.add(started_at, now + MAX_FUTURE_SKEW);
            match conversation.data.state {
                ConversationState::Finished => {
                    self.open.remove(&conversation.id);
                    self.search.found(&conversation.id);
                }
                ConversationState::InProgress if !self.open.contains_key(&conversation.id) => {
                    self.search.on_running_unlisted(&conversation.id, started_at, now, &self.policy);
                }
                ConversationState::InProgress => {}
            }
        }
        match &walk.purpose {
            PassKind::Live => {}
            PassKind::Narrow(ids) => {
                let given_up = self.search.on_refetched(ids, seen, now, &self.policy);
                self.given_up.extend(given_up);
            }
            PassKind::Stretch(stretch) => self.advance(stretch, walk.window, seen.len(), now),
        }
        if let Some(marks) = &mut self.marks {
            marks.overlap = self.overlap.estimate();
        }
        PlannerUpdate { marks: self.marks.clone(), abandoned: std::mem::take(&mut self.given_up) }
    }

    /// `walk` failed, though the target can be had: the tick goes on without it, and next time it is tried in another way.
    pub fn on_failed(&mut self, tick: &mut PollState, walk: &FetchPlan, now: Timestamp) {
        match &walk.purpose {
            PassKind::Live => {}
            PassKind::Narrow(ids) => {
                let given_up = self.search.failed(ids, now, &self.policy);
                self.given_up.extend(given_up);
            }
            PassKind::Stretch(stretch) => {
                let Some((reader, step)) = self.step(stretch) else { return };
                self.slices.failed(reader, step);
                tick.failed.insert(reader);
                if stretch.whole_overlap {
                    // Perhaps it is the overlap that fails; what is new must not wait for it.
                    self.overlap_read_at = Some(tick.until);
                }
            }
        }
    }

    /// Who reads `stretch`, and how far that brings it.
    fn step(&self, stretch: &FetchRange) -> Option<(PassId, Duration)> {
        if let Some((from, to)) = stretch.fresh {
            return Some((PassId::Fresh, to.saturating_duration_since(from)));
        }
        let &(index, to) = stretch.rechecks.first()?;
        let from = self.marks.as_ref()?.rechecks.get(index)?.read_to;
        Some((PassId::Recheck(index), to.saturating_duration_since(from)))
    }

    fn advance(&mut self, stretch: &FetchRange, window: Window, seen: usize, now: Timestamp) {
        if let Some((reader, step)) = self.step(stretch) {
            self.slices.read(reader, step, window.length().unwrap_or_default(), seen);
        }
        let Some(marks) = &mut self.marks else { return };
        for &(index, to) in &stretch.rechecks {
            if let Some(mark) = marks.rechecks.get_mut(index) {
                mark.read_to = mark.read_to.max(to);
                if let Some((covered_from, covered_to)) = mark.already_read
                    && mark.read_to >= covered_from
                {
                    mark.read_to = mark.read_to.max(covered_to);
                    mark.already_read = None;
                }
            }
        }
        if let Some((from, to)) = stretch.fresh {
            for &(index, covered_to) in &stretch.satisfies {
                if let Some(mark) = marks.rechecks.get_mut(index) {
                    mark_covered(mark, from, covered_to);
                }
            }
            marks.fresh = marks.fresh.max(to);
            if stretch.whole_overlap {
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

    /// A walk would hold more than [`MAX_SLICE`] conversations: read less at once. Answers false if it cannot be made smaller.
    pub fn too_large(&mut self, walk: &FetchPlan) -> bool {
        match &walk.purpose {
            PassKind::Live => false,
            PassKind::Narrow(ids) => self.search.split(ids),
            PassKind::Stretch(_) => walk.window.length().is_some_and(|length| self.slices.too_large(length)),
        }
    }

    /// Learns how wide the overlap must be from conversations that were seen finished for the first time by a walk that
    /// started when the fresh watermark stood at `fresh_before`.
    pub fn observe_first_finished(
        &mut self,
        finished: &[FirstFinished],
        fresh_before: Timestamp,
        now: Timestamp,
    ) {
        let Some(learn_from) = self.learn_from else { return };
        for first in finished.iter().filter(|first| first.started_at >= learn_from) {
            let need = match (first.was_open, first.sight) {
                (true, _) => Duration::ZERO,
                (false, SeenBy::Fresh) => fresh_before.saturating_duration_since(first.started_at),
                (false, SeenBy::Recheck) => {
                    first.ended_at.unwrap_or(now).saturating_duration_since(first.started_at)
                        + self.policy.interval
                }
            };
            self.overlap.learn(need);
        }
    }

    /// From when on conversations that end count; known once there has been an answer.
    pub fn anchor(&self) -> Option<Timestamp> {
        self.marks.as_ref().map(|marks| marks.anchor)
    }

    /// Where the fresh pass stands.
    pub fn fresh_watermark(&self) -> Option<Timestamp> {
        self.marks.as_ref().map(|marks| marks.fresh)
    }

    /// How far the fresh pass is behind `now`.
    pub fn lag(&self, now: Timestamp) -> Duration {
        self.fresh_watermark().map_or(Duration::ZERO, |fresh| now.saturating_duration_since(fresh))
    }

    /// The conversation that has been open longest, with its start, if that is longer than a day.
    pub fn oldest_open(&self, now: Timestamp) -> Option<(&ConversationId, Timestamp)> {
        let open = self.open.iter().map(|(id, start)| (id, *start));
        let longest = open.chain(self.search.starts()).min_by_key(|&(_, start)| start)?;
        (now.saturating_duration_since(longest.1) > STUCK_AFTER).then_some(longest)
    }

    /// How many conversations are open or searched for.
    pub fn tracked_count(&self) -> usize {
        self.open.len() + self.search.len()
    }
}

/// The fresh pass has read `from` to `to` at an age that a recheck wants: the recheck need not read it again.
fn mark_covered(mark: &mut crate::ledger::RecheckWatermark, from: Timestamp, to: Timestamp) {
    match mark.already_read {
        None if mark.read_to >= from => mark.read_to = mark.read_to.max(to),
        None => mark.already_read = Some((from, to)),
        Some((covered_from, covered_to)) if covered_to >= from => {
            mark.already_read = Some((covered_from, covered_to.max(to)));
        }
        // A second gap: only the newer stretch is remembered, and the older one is read again.
        Some(_) => mark.already_read = Some((from, to)),
    }
}

#[cfg(test)]
mod tests;
