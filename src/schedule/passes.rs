//! The passes of one target: what to read next, and what it means to have read it. The heart of not losing anything.
//!
//! Owns: the windows of the live, fresh, narrow and recheck passes, the set of open conversations, and the watermarks. Pure:
//! a state machine that is told the time and what was seen. Never: requests, rows, or the clock.
//!
//! A tick goes: the live pass, then the fresh pass up to now (in slices, if it is behind), then conversations that left the
//! open list, then the rechecks that are due.

use std::collections::BTreeMap;
use std::time::Duration;

use super::crowd::Crowd;
use super::narrow;
use super::overlap::{self, Overlap};
use super::walk::{Purpose, Stretch, Walk};
use crate::api::{Filter, Window};
use crate::conversation::{Conversation, ConversationId, Phase};
use crate::ledger::verdict::Sight;
use crate::ledger::{Marks, widest_overlap};
use crate::moment::Moment;
use crate::recorder::{FirstFinish, Resume};

/// What the settings decide about the passes of a target.
#[derive(Debug, Clone)]
pub struct Policy {
    /// `polling.interval`
    pub interval: Duration,
    /// `polling.recheck`
    pub ages: Vec<Duration>,
    /// `polling.initial_lookback`
    pub initial_lookback: Duration,
    /// `polling.anchor`
    pub anchor: Option<Moment>,
    /// How many requests per tick the budget leaves for conversations that left the open list, until
    /// [`Passes::spare`] says otherwise.
    pub narrow_requests: usize,
}

/// A slice should hold about this many conversations: enough for cheap commits, few enough to hold in memory.
const SLICE_CONVERSATIONS: usize = 3_000;
/// Beyond this a slice is given up and read in smaller ones.
pub const SLICE_MOST: usize = 10_000;
const SLICE_FIRST: Duration = Duration::from_secs(15 * 60);
const SLICE_SHORTEST: Duration = Duration::from_secs(1);
const SLICE_LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);
/// A conversation that is neither listed nor found is asked for at every tick this many times, then less and less often.
const EAGER_TRIES: u32 = 4;
/// It is not given up before it was asked for this many times.
const PATIENT_TRIES: u32 = 12;
const RARELY: Duration = Duration::from_secs(10 * 60);
const SHORTEST_SEARCH: Duration = Duration::from_secs(3600);
/// A conversation in progress for longer than this is a problem worth telling.
const STUCK_AFTER: Duration = Duration::from_secs(24 * 3600);

/// The passes of one target.
#[derive(Debug)]
pub struct Passes {
    policy: Policy,
    marks: Option<Marks>,
    overlap: Overlap,
    crowd: Crowd,
    open: BTreeMap<ConversationId, Moment>,
    missing: BTreeMap<ConversationId, Missing>,
    slice: Duration,
    overlap_read_at: Option<Moment>,
    /// Conversations that started before this were first read after a start or an outage, and teach nothing.
    learn_from: Option<Moment>,
    filter_ignored: bool,
}

/// A conversation that was open and is not listed any more.
#[derive(Debug, Clone, Copy)]
struct Missing {
    started_at: Moment,
    since: Moment,
    tries: u32,
    due: Moment,
}

/// How far one tick has come.
#[derive(Debug)]
pub struct Tick {
    /// The fresh pass reads up to here.
    until: Moment,
    narrow: Option<Vec<(Window, Vec<ConversationId>)>>,
    rechecks_done: bool,
}

impl Tick {
    /// The time up to which this tick reads.
    pub fn until(&self) -> Moment {
        self.until
    }
}

/// What the passes conclude from a finished walk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// Where the target stands now.
    pub marks: Option<Marks>,
    /// Conversations that are followed no longer: not listed, and not found for long.
    pub abandoned: Vec<ConversationId>,
}

impl Passes {
    /// Takes up where the state left off.
    pub fn resume(policy: Policy, resume: Resume) -> Self {
        let most = widest_overlap(&policy.ages);
        let oldest_age = policy.ages.iter().copied().max().unwrap_or(most);
        let mut crowd = Crowd::over(oldest_age * 5 / 4);
        if let Some(marks) = &resume.marks {
            resume.starts.iter().for_each(|&start| crowd.add(start, marks.fresh + SHORTEST_SEARCH));
        }
        let marks = resume.marks.map(|marks| marks.with_ages(&policy.ages));
        Self {
            overlap: Overlap::resume(marks.as_ref().map_or(Duration::ZERO, |marks| marks.overlap), most),
            marks,
            crowd,
            open: resume.open,
            missing: BTreeMap::new(),
            slice: SLICE_FIRST,
            overlap_read_at: None,
            learn_from: None,
            filter_ignored: false,
            policy,
        }
    }

    /// From now on the budget leaves so many requests per tick for conversations that left the open list.
    pub fn spare(&mut self, narrow_requests: usize) {
        self.policy.narrow_requests = narrow_requests;
    }

    /// The live pass: everything that is open, however long ago it started.
    pub fn live(&self, now: Moment) -> Walk {
        let from = self.filter_ignored.then(|| {
            // A server that sends finished conversations too would send its whole history.
            let oldest = self.open.values().copied().min().unwrap_or(now);
            oldest.min(now - self.overlap.width().max(SHORTEST_SEARCH * 2))
        });
        Walk { purpose: Purpose::Live, window: Window { from, to: None }, filter: Filter::Running }
    }

    /// The live pass saw these. Starts the tick.
    pub fn listed(&mut self, seen: &[Conversation], now: Moment) -> (Tick, Progress) {
        let listed: BTreeMap<ConversationId, Moment> = seen
            .iter()
            .filter(|conversation| conversation.facts.phase == Phase::Running)
            .map(|conversation| (conversation.id.clone(), conversation.facts.started_at))
            .collect();
        self.filter_ignored |= seen.iter().any(|conversation| conversation.facts.phase == Phase::Finished);
        listed.values().for_each(|&start| self.crowd.add(start, now + SHORTEST_SEARCH));
        for (id, started_at) in std::mem::take(&mut self.open) {
            if !listed.contains_key(&id) {
                let unseen = Missing { started_at, since: now, tries: 0, due: now };
                self.missing.entry(id).or_insert(unseen);
            }
        }
        self.missing.retain(|id, _| !listed.contains_key(id));
        self.open = listed;

        if self.marks.is_none() {
            let anchor = self.policy.anchor.unwrap_or(now - self.policy.initial_lookback);
            self.marks = Some(Marks::at_first_start(anchor, &self.policy.ages));
        }
        let tick = Tick { until: now, narrow: None, rechecks_done: false };
        (tick, Progress { marks: self.marks.clone(), abandoned: Vec::new() })
    }

    /// The next walk of the tick; none when it is complete.
    pub fn next(&mut self, tick: &mut Tick, now: Moment) -> Option<Walk> {
        if let Some(walk) = self.fresh(tick) {
            return Some(walk);
        }
        let narrow = tick.narrow.get_or_insert_with(|| {
            let due = self.missing.iter().filter(|(_, missing)| missing.due <= now);
            let starts = due.map(|(id, missing)| (missing.started_at, id.clone())).collect();
            let mut windows = narrow::windows(starts, self.policy.narrow_requests);
            windows.reverse();
            windows
        });
        if let Some((window, ids)) = narrow.pop() {
            // One that still runs, though it is not listed, is not given up.
            return Some(Walk { purpose: Purpose::Narrow(ids), window, filter: Filter::Any });
        }
        if tick.rechecks_done {
            return None;
        }
        // Up to the tick's own time: were it to follow the clock, a slow API would have its rechecks read without end.
        let walk = self.recheck(tick.until);
        tick.rechecks_done = walk.is_none();
        walk
    }

    /// The fresh pass, joined by every recheck that can be read with it at no cost.
    fn fresh(&self, tick: &Tick) -> Option<Walk> {
        let marks = self.marks.as_ref()?;
        if marks.fresh >= tick.until {
            return None;
        }
        let width = self.overlap.width();
        let whole_overlap =
            self.overlap_read_at.is_none_or(|read_at| self.is_due(tick.until.since(read_at), width));
        let back = if whole_overlap { width } else { overlap::LEAST };
        let timely_from = marks.fresh - back;
        let to = tick.until.min(marks.fresh + self.slice);
        let aged = marks.rechecks.iter().map(|mark| to.min(tick.until - mark.age)).enumerate();
        let mut stretch = Stretch {
            fresh: Some((marks.fresh, to)),
            timely_from: Some(timely_from),
            whole_overlap,
            rechecks: Vec::new(),
            covers: aged.filter(|&(_, aged)| aged > marks.fresh).collect(),
        };
        let mut from = timely_from;
        if to == tick.until {
            for (index, mark) in marks.rechecks.iter().enumerate() {
                let read_from = mark.read_to - overlap::LEAST;
                let near =
                    tick.until.since(read_from) <= mark.age + (mark.age / 4).max(self.policy.interval * 2);
                let reach = (tick.until - mark.age).min(marks.fresh);
                if mark.covered.is_none()
                    && near
                    && self.is_due(reach.since(mark.read_to), mark.age)
                    && self.crowd.is_empty_between(read_from, timely_from)
                {
                    stretch.rechecks.push((index, reach));
                    from = from.min(read_from);
                }
            }
        }
        // A recheck asks for running conversations too, and so finds those that the live list hides.
        let is_recheck = !stretch.rechecks.is_empty() || !stretch.covers.is_empty();
        let filter = if is_recheck { Filter::Any } else { Filter::Finished };
        Some(Walk { purpose: Purpose::Stretch(stretch), window: Window::between(from, to), filter })
    }

    /// The first recheck that is due.
    fn recheck(&self, now: Moment) -> Option<Walk> {
        let marks = self.marks.as_ref()?;
        marks.rechecks.iter().enumerate().find_map(|(index, mark)| {
            let aged = (now - mark.age).min(marks.fresh);
            if !self.is_due(aged.since(mark.read_to), mark.age) {
                return None;
            }
            let reach = mark.covered.map_or(aged, |(covered_from, _)| aged.min(covered_from));
            let to = reach.min(mark.read_to + self.slice);
            let stretch = Stretch { rechecks: vec![(index, to)], ..Stretch::default() };
            let window = Window::between(mark.read_to - overlap::LEAST, to);
            Some(Walk { purpose: Purpose::Stretch(stretch), window, filter: Filter::Any })
        })
    }

    /// Stretches are read in steps of a tenth of their age or width, but at least one interval; ticks are not punctual, so
    /// half an interval is let pass.
    fn is_due(&self, since: Duration, span: Duration) -> bool {
        since + self.policy.interval / 2 >= (span / 10).max(self.policy.interval)
    }

    /// How `walk` sees a conversation that started at `start`, should it be new.
    pub fn sight(walk: &Walk, start: Moment) -> Sight {
        match &walk.purpose {
            Purpose::Stretch(Stretch { timely_from, .. }) if timely_from.is_none_or(|from| start < from) => {
                Sight::Late
            }
            Purpose::Stretch(_) | Purpose::Live | Purpose::Narrow(_) => Sight::Timely,
        }
    }

    /// `walk` was read to its last page, and saw these.
    pub fn read(&mut self, walk: &Walk, seen: &[Conversation], now: Moment) -> Progress {
        let mut abandoned = Vec::new();
        for conversation in seen {
            self.crowd.add(conversation.facts.started_at, now + SHORTEST_SEARCH);
            match conversation.facts.phase {
                Phase::Finished => {
                    self.open.remove(&conversation.id);
                    self.missing.remove(&conversation.id);
                }
                Phase::Running if !self.open.contains_key(&conversation.id) => {
                    // It runs but is not listed: follow it from here.
                    let started_at = conversation.facts.started_at;
                    let due = now + self.wait_for_running(started_at, now);
                    let unlisted = Missing { started_at, since: now, tries: EAGER_TRIES, due };
                    self.missing.entry(conversation.id.clone()).or_insert(unlisted).since = now;
                }
                Phase::Running => {}
            }
        }
        match &walk.purpose {
            Purpose::Live => {}
            Purpose::Narrow(ids) => abandoned = self.searched(ids, seen, now),
            Purpose::Stretch(stretch) => self.advance(stretch, walk.window, seen.len(), now),
        }
        if let Some(marks) = &mut self.marks {
            marks.overlap = self.overlap.width();
        }
        Progress { marks: self.marks.clone(), abandoned }
    }

    /// Looks after the conversations that a narrow read did not find finished.
    fn searched(
        &mut self,
        ids: &[ConversationId],
        seen: &[Conversation],
        now: Moment,
    ) -> Vec<ConversationId> {
        let longest = self.policy.ages.iter().copied().max().unwrap_or_default().max(SHORTEST_SEARCH);
        let mut abandoned = Vec::new();
        for id in ids {
            let Some(&Missing { started_at, .. }) = self.missing.get(id) else { continue };
            let wait_for_running = self.wait_for_running(started_at, now);
            let Some(missing) = self.missing.get_mut(id) else { continue };
            let runs = seen.iter().any(|conversation| conversation.id == *id);
            missing.tries = if runs { (missing.tries + 1).min(EAGER_TRIES) } else { missing.tries + 1 };
            let gone_for = now.since(missing.since);
            if missing.tries >= EAGER_TRIES {
                let wait = if runs { wait_for_running } else { gone_for / 2 };
                missing.due = now + wait.min(RARELY);
            }
            // By the clock alone, one that was stepped would give up what was looked for once.
            if gone_for > longest && missing.tries >= PATIENT_TRIES {
                abandoned.push(id.clone());
            }
        }
        self.missing.retain(|id, _| !abandoned.contains(id));
        abandoned
    }

    /// How long a conversation that runs, but is not listed, is left alone.
    fn wait_for_running(&self, started_at: Moment, now: Moment) -> Duration {
        (now.since(started_at) / 10).max(self.policy.interval).min(RARELY.max(self.policy.interval))
    }

    fn advance(&mut self, stretch: &Stretch, window: Window, seen: usize, now: Moment) {
        let Some(marks) = &mut self.marks else { return };
        for &(index, to) in &stretch.rechecks {
            if let Some(mark) = marks.rechecks.get_mut(index) {
                mark.read_to = mark.read_to.max(to);
                if let Some((covered_from, covered_to)) = mark.covered
                    && mark.read_to >= covered_from
                {
                    mark.read_to = mark.read_to.max(covered_to);
                    mark.covered = None;
                }
            }
        }
        if let Some((from, to)) = stretch.fresh {
            for &(index, covered_to) in &stretch.covers {
                if let Some(mark) = marks.rechecks.get_mut(index) {
                    cover(mark, from, covered_to);
                }
            }
            marks.fresh = marks.fresh.max(to);
            if stretch.whole_overlap {
                self.overlap_read_at = Some(now);
            }
            let was_behind = to.since(from) > self.policy.interval * 3;
            let is_current = now.since(to) <= self.policy.interval;
            if is_current && (was_behind || self.learn_from.is_none()) {
                self.learn_from = Some(now);
            } else if !is_current {
                self.learn_from = None;
            }
        }
        let length = match (window.from, window.to) {
            (Some(from), Some(to)) => to.since(from),
            (_, _) => Duration::ZERO,
        };
        if seen > SLICE_CONVERSATIONS * 2 {
            self.slice = (length / 2).max(SLICE_SHORTEST);
        } else if seen < SLICE_CONVERSATIONS && length >= self.slice {
            self.slice = (self.slice * 2).min(SLICE_LONGEST);
        }
    }

    /// A slice held more than [`SLICE_MOST`] conversations: read smaller ones. Answers false if it cannot be made smaller.
    pub fn too_large(&mut self, walk: &Walk) -> bool {
        let length = match (walk.window.from, walk.window.to) {
            (Some(from), Some(to)) => to.since(from),
            (_, _) => return false,
        };
        let smaller = (length.min(self.slice) / 4).max(SLICE_SHORTEST);
        let shrinks = smaller < self.slice && matches!(walk.purpose, Purpose::Stretch(_));
        self.slice = self.slice.min(smaller);
        shrinks
    }

    /// Learns how wide the overlap must be from conversations that were seen finished for the first time by a walk that
    /// started when the fresh watermark stood at `fresh_before`.
    pub fn learn(&mut self, finished: &[FirstFinish], fresh_before: Moment, now: Moment) {
        let Some(learn_from) = self.learn_from else { return };
        for first in finished.iter().filter(|first| first.started_at >= learn_from) {
            let need = match (first.was_open, first.sight) {
                (true, _) => Duration::ZERO,
                (false, Sight::Timely) => fresh_before.since(first.started_at),
                (false, Sight::Late) => {
                    first.ended_at.unwrap_or(now).since(first.started_at) + self.policy.interval
                }
            };
            self.overlap.learn(need);
        }
    }

    /// From when on conversations that end count; known once there has been an answer.
    pub fn anchor(&self) -> Option<Moment> {
        self.marks.as_ref().map(|marks| marks.anchor)
    }

    /// Where the fresh pass stands.
    pub fn fresh_mark(&self) -> Option<Moment> {
        self.marks.as_ref().map(|marks| marks.fresh)
    }

    /// How far the fresh pass is behind `now`.
    pub fn behind(&self, now: Moment) -> Duration {
        self.fresh_mark().map_or(Duration::ZERO, |fresh| now.since(fresh))
    }

    /// The conversation that has been open longest, with its start, if that is longer than a day.
    pub fn stuck(&self, now: Moment) -> Option<(&ConversationId, Moment)> {
        let open = self.open.iter().map(|(id, start)| (id, *start));
        let missing = self.missing.iter().map(|(id, missing)| (id, missing.started_at));
        let longest = open.chain(missing).min_by_key(|&(_, start)| start)?;
        (now.since(longest.1) > STUCK_AFTER).then_some(longest)
    }

    /// How many conversations are open or searched for.
    pub fn followed(&self) -> usize {
        self.open.len() + self.missing.len()
    }
}

/// The fresh pass has read `from` to `to` at an age that a recheck wants: the recheck need not read it again.
fn cover(mark: &mut crate::ledger::RecheckMark, from: Moment, to: Moment) {
    match mark.covered {
        None if mark.read_to >= from => mark.read_to = mark.read_to.max(to),
        None => mark.covered = Some((from, to)),
        Some((covered_from, covered_to)) if covered_to >= from => {
            mark.covered = Some((covered_from, covered_to.max(to)));
        }
        // A second gap: only the newer stretch is remembered, and the older one is read again.
        Some(_) => mark.covered = Some((from, to)),
    }
}

#[cfg(test)]
mod tests;
