//! A target whose conversations are known, and whoever watches it: polls as the poller does, and notes what was asked for.

use std::collections::{BTreeMap, BTreeSet};

use super::super::*;
use crate::conversation::{Amount, ConversationData, Transcript};

pub(super) const INTERVAL: i64 = 30;
pub(super) const MINUTE: i64 = 60;
pub(super) const HOUR: i64 = 3600;
pub(super) const DAY: i64 = 24 * HOUR;

pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(1_787_217_300_000 + seconds * 1000)
}

pub(super) fn seconds(moment: Timestamp) -> i64 {
    (moment.millis() - at(0).millis()).div_euclid(1000)
}

pub(super) fn secs(seconds: i64) -> Duration {
    Duration::from_secs(u64::try_from(seconds).unwrap())
}

pub(super) fn policy() -> PollPolicy {
    PollPolicy {
        interval: secs(INTERVAL),
        ages: vec![secs(5 * MINUTE), secs(HOUR), secs(DAY)],
        initial_lookback: Duration::ZERO,
        anchor: None,
        narrow_requests: 5,
    }
}

pub(super) fn id(name: &str) -> ConversationId {
    ConversationId::new(name).unwrap()
}

/// A call at the API.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) id: ConversationId,
    pub(super) start: i64,
    pub(super) end: i64,
    /// Not in any list while it runs.
    pub(super) hidden: bool,
    /// In no list at all from then on.
    pub(super) gone_from: i64,
}

pub(super) fn call(name: &str, start: i64, end: i64) -> Call {
    Call { id: id(name), start, end, hidden: false, gone_from: i64::MAX }
}

impl Call {
    pub(super) fn conversation(&self, now: i64) -> Conversation {
        let is_over = self.end <= now;
        let data = ConversationData {
            started_at: at(self.start),
            state: if is_over { ConversationState::Finished } else { ConversationState::InProgress },
            channel: None,
            variant: None,
            duration: is_over.then(|| Amount::from_count(u32::try_from(self.end - self.start).unwrap())),
            agent_duration: None,
            last_turn_at: None,
            turns: None,
            ood_turns: 0,
            silence_turns: 0,
            barge_in_turns: 0,
            handoff: None,
            greeting: None,
            replies: Box::default(),
            transcript: Transcript::Empty,
            complete: true,
        };
        Conversation { id: self.id.clone(), data }
    }
}

/// A target and whoever watches it.
pub(super) struct Watch {
    pub(super) passes: PollPlanner,
    pub(super) calls: Vec<Call>,
    /// What has been asked for: when, and what.
    pub(super) asked: Vec<(i64, FetchPlan)>,
    /// How often each finished conversation was downloaded.
    pub(super) downloads: BTreeMap<ConversationId, u32>,
    pub(super) abandoned: Vec<(i64, ConversationId)>,
    pub(super) seen_open: BTreeSet<ConversationId>,
    pub(super) seen_finished: BTreeMap<ConversationId, SeenBy>,
    /// They run, and the live list does not have them.
    pub(super) unlisted: Vec<ConversationId>,
    /// Windows that hold a start of one of these calls are not answered.
    pub(super) poisoned: Vec<ConversationId>,
    /// Polls in which something failed.
    pub(super) failed_at: Vec<i64>,
}

impl Watch {
    pub(super) fn over(calls: Vec<Call>) -> Self {
        Self::resumed(policy(), calls, PollerCheckpoint::default())
    }

    pub(super) fn resumed(policy: PollPolicy, mut calls: Vec<Call>, resume: PollerCheckpoint) -> Self {
        calls.sort_by_key(|call| call.start);
        Self {
            passes: PollPlanner::resume(policy, resume),
            calls,
            asked: Vec::new(),
            downloads: BTreeMap::new(),
            abandoned: Vec::new(),
            seen_open: BTreeSet::new(),
            seen_finished: BTreeMap::new(),
            unlisted: Vec::new(),
            poisoned: Vec::new(),
            failed_at: Vec::new(),
        }
    }

    /// What the API answers to `walk`.
    pub(super) fn answer(&mut self, walk: &FetchPlan, now: i64) -> Vec<Conversation> {
        let starts_before = |moment: Timestamp| self.calls.partition_point(|call| at(call.start) < moment);
        let first = walk.window.from.map_or(0, starts_before);
        let seen: Vec<Conversation> = self.calls[first..]
            .iter()
            .take_while(|call| call.start <= now && walk.window.to.is_none_or(|to| at(call.start) <= to))
            .filter(|call| match walk.filter {
                Filter::InProgress => now < call.end,
                Filter::Finished => call.end <= now,
                Filter::Any => true,
            })
            .filter(|call| walk.purpose != PassKind::Live || !self.unlisted.contains(&call.id))
            .filter(|call| now < call.gone_from && !(call.hidden && now < call.end))
            .map(|call| call.conversation(now))
            .collect();
        for conversation in
            seen.iter().filter(|conversation| conversation.data.state == ConversationState::Finished)
        {
            *self.downloads.entry(conversation.id.clone()).or_default() += 1;
        }
        self.asked.push((now, walk.clone()));
        seen
    }

    /// What the ledger would say of a walk: who was seen finished for the first time.
    pub(super) fn first_finishes(&mut self, walk: &FetchPlan, seen: &[Conversation]) -> Vec<FirstFinished> {
        let mut first = Vec::new();
        for Conversation { id, data } in seen {
            if data.state == ConversationState::InProgress {
                self.seen_open.insert(id.clone());
            } else if !self.seen_finished.contains_key(id) {
                let sight = PollPlanner::observation_kind(walk, data.started_at);
                self.seen_finished.insert(id.clone(), sight);
                let was_open = self.seen_open.contains(id);
                first.push(FirstFinished {
                    started_at: data.started_at,
                    ended_at: data.ended_at(),
                    was_open,
                    sight,
                });
            }
        }
        first
    }

    /// One poll, as the poller does it.
    pub(super) fn tick(&mut self, now: i64) {
        self.tick_under(now, now);
    }

    /// One poll at `now`, when the clock says `told`.
    pub(super) fn tick_under(&mut self, told: i64, now: i64) {
        let live = self.passes.open_pass(at(told));
        let seen = self.answer(&live, now);
        self.first_finishes(&live, &seen);
        self.passes.on_server_time(at(told), at(told));
        let (mut tick, _) = self.passes.on_open_list(&seen, at(told));
        while let Some(walk) = self.passes.next(&mut tick, at(told)) {
            assert!(self.asked.len() < 100_000, "it never comes to an end");
            if self.is_poisoned(&walk) {
                self.asked.push((now, walk.clone()));
                self.failed_at.push(now);
                self.passes.on_failed(&mut tick, &walk, at(told));
                continue;
            }
            let fresh_before = self.passes.fresh_watermark().unwrap();
            let seen = self.answer(&walk, now);
            let progress = self.passes.on_fetched(&walk, &seen, at(told));
            self.abandoned.extend(progress.abandoned.into_iter().map(|id| (now, id)));
            let finished = self.first_finishes(&walk, &seen);
            self.passes.observe_first_finished(&finished, fresh_before, at(told));
        }
    }

    fn is_poisoned(&self, walk: &FetchPlan) -> bool {
        let poisoned = self.calls.iter().filter(|call| self.poisoned.contains(&call.id));
        let Window { from: Some(from), to: Some(to) } = walk.window else { return false };
        poisoned.map(|call| at(call.start)).any(|start| from <= start && start <= to)
    }

    /// Polls from `from` up to and with `to`.
    pub(super) fn run(&mut self, from: i64, to: i64) {
        (from..=to).step_by(usize::try_from(INTERVAL).unwrap()).for_each(|now| self.tick(now));
    }

    /// What was asked for after the live list since the last call of this, one line per walk.
    pub(super) fn said(&mut self) -> Vec<String> {
        let asked = std::mem::take(&mut self.asked);
        asked.iter().filter(|(_, walk)| walk.purpose != PassKind::Live).map(|(_, walk)| line(walk)).collect()
    }

    pub(super) fn overlap(&self) -> i64 {
        i64::try_from(self.passes.overlap.estimate().as_secs()).unwrap()
    }
}

pub(super) fn line(walk: &FetchPlan) -> String {
    let bound =
        |bound: Option<Timestamp>| bound.map_or("..".to_owned(), |moment| seconds(moment).to_string());
    format!("{} {} to {}", walk.purpose.name(), bound(walk.window.from), bound(walk.window.to))
}

/// Calls of two minutes, one every `every` seconds from `from` to `to`.
pub(super) fn steady_calls(from: i64, to: i64, every: i64) -> Vec<Call> {
    (from..to)
        .step_by(usize::try_from(every).unwrap())
        .map(|start| call(&format!("CA{start}"), start, start + 2 * MINUTE))
        .collect()
}
