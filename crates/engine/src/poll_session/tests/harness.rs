//! Drives a session against a target whose conversations are known, and records its fetches.

use std::collections::{BTreeMap, BTreeSet};

use polyai_domain::conversation::{Amount, ConversationData, HandoffOutcome, LatencyValues, Transcript};
use polyai_domain::fetch::{FetchErrorKind, Filter, Window};

use super::super::*;
use crate::ledger::Watermarks;
use crate::recorder::FirstFinished;

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
        refetch_budget: 5,
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
            ood_turns: Some(0),
            silence_turns: Some(0),
            barge_in_turns: 0,
            handoff: HandoffOutcome::Contained,
            greeting: None,
            replies: Box::default(),
            transcript: Transcript::Empty,
            latency_values: LatencyValues::Plausible,
        };
        Conversation { id: self.id.clone(), data }
    }
}

/// A session and the target that it polls.
pub(super) struct Harness {
    pub(super) session: PollSession,
    pub(super) calls: Vec<Call>,
    /// The fetches, with their times.
    pub(super) fetches: Vec<(i64, FetchPlan)>,
    /// How often each finished conversation was downloaded.
    pub(super) downloads: BTreeMap<ConversationId, u32>,
    pub(super) abandoned: Vec<(i64, ConversationId)>,
    pub(super) seen_open: BTreeSet<ConversationId>,
    pub(super) seen_finished: BTreeMap<ConversationId, SeenBy>,
    /// In progress, but not in the open list.
    pub(super) unlisted: Vec<ConversationId>,
    /// How much later calls start than their records say.
    pub(super) rounded_off: Duration,
    /// Fetches of windows that contain a start of one of these calls fail.
    pub(super) poisoned: Vec<ConversationId>,
    /// When a fetch failed.
    pub(super) failed_at: Vec<i64>,
    /// The outcome of the submitted batch.
    outcome: Option<BatchOutcome>,
}

impl Harness {
    pub(super) fn new(calls: Vec<Call>) -> Self {
        Self::resumed(policy(), calls, PollerCheckpoint::default())
    }

    pub(super) fn resumed(policy: PollPolicy, mut calls: Vec<Call>, checkpoint: PollerCheckpoint) -> Self {
        calls.sort_by_key(|call| call.start);
        Self {
            session: PollSession::resume(TargetIndex(0), policy, checkpoint),
            calls,
            fetches: Vec::new(),
            downloads: BTreeMap::new(),
            abandoned: Vec::new(),
            seen_open: BTreeSet::new(),
            seen_finished: BTreeMap::new(),
            unlisted: Vec::new(),
            rounded_off: Duration::ZERO,
            poisoned: Vec::new(),
            failed_at: Vec::new(),
            outcome: None,
        }
    }

    pub(super) fn watermarks(&self) -> &Watermarks {
        self.session.planner.watermarks().unwrap()
    }

    /// The API's response to `plan`.
    pub(super) fn respond(&mut self, plan: &FetchPlan, now: i64) -> Vec<Conversation> {
        let starts_before =
            |moment: Timestamp| self.calls.partition_point(|call| at(call.start) + self.rounded_off < moment);
        let first = plan.window.from.map_or(0, starts_before);
        let seen: Vec<Conversation> = self.calls[first..]
            .iter()
            .take_while(|call| {
                call.start <= now && plan.window.to.is_none_or(|to| at(call.start) + self.rounded_off <= to)
            })
            .filter(|call| match plan.filter {
                Filter::InProgress => now < call.end,
                Filter::Finished => call.end <= now,
                Filter::Any => true,
            })
            .filter(|call| plan.pass != PassKind::Open || !self.unlisted.contains(&call.id))
            .filter(|call| now < call.gone_from && !(call.hidden && now < call.end))
            .map(|call| call.conversation(now))
            .collect();
        for conversation in
            seen.iter().filter(|conversation| conversation.data.state == ConversationState::Finished)
        {
            *self.downloads.entry(conversation.id.clone()).or_default() += 1;
        }
        self.fetches.push((now, plan.clone()));
        seen
    }

    /// The part of a batch that the ledger would report: which conversations it has first seen finished.
    fn first_finished(&mut self, batch: &Batch) -> Vec<FirstFinished> {
        let mut first = Vec::new();
        for Observation { conversation: Conversation { id, data }, seen_by: sight } in &batch.observations {
            if data.state == ConversationState::InProgress {
                self.seen_open.insert(id.clone());
            } else if !self.seen_finished.contains_key(id) {
                self.seen_finished.insert(id.clone(), *sight);
                first.push(FirstFinished {
                    started_at: data.started_at,
                    ended_at: data.ended_at(),
                    was_open: self.seen_open.contains(id),
                    seen_by: *sight,
                });
            }
        }
        first
    }

    pub(super) fn poll(&mut self, now: i64) -> PollReport {
        self.poll_with_clock(now, now)
    }

    /// Polls at `now`, when the clock says `clock`.
    pub(super) fn poll_with_clock(&mut self, clock: i64, now: i64) -> PollReport {
        let time = SessionTime { api: at(clock), steady: secs(now), certain: true, skewed: false };
        self.session.start(time);
        loop {
            assert!(self.fetches.len() < 100_000, "the poll does not end");
            match self.session.next_command(time).expect("a poll ends with a report") {
                Command::Fetch(plan, _) if self.is_poisoned(&plan) => {
                    self.fetches.push((now, plan));
                    self.failed_at.push(now);
                    self.session.on_fetched(Err(server_error()), time);
                }
                Command::Fetch(plan, _) => {
                    let conversations = self.respond(&plan, now);
                    self.session.on_fetched(Ok(fetched(conversations)), time);
                }
                Command::Submit(batch) => {
                    let finished = self.first_finished(&batch);
                    let outcome = BatchOutcome { finished, ..BatchOutcome::default() };
                    assert!(self.outcome.replace(outcome).is_none(), "one batch is pending at most");
                }
                Command::AwaitCommit => {
                    self.session.on_committed(&self.outcome.take().expect("a batch is pending"), time);
                }
                Command::Notify(Notice::ConversationAbandoned(id)) => self.abandoned.push((now, id)),
                Command::Notify(_) => {}
                Command::Report(report) => return report,
            }
        }
    }

    fn is_poisoned(&self, plan: &FetchPlan) -> bool {
        let poisoned = self.calls.iter().filter(|call| self.poisoned.contains(&call.id));
        let Window { from: Some(from), to: Some(to) } = plan.window else { return false };
        poisoned.map(|call| at(call.start)).any(|start| from <= start && start <= to)
    }

    /// Polls from `from` to `to`, both included.
    pub(super) fn run(&mut self, from: i64, to: i64) {
        for now in (from..=to).step_by(usize::try_from(INTERVAL).unwrap()) {
            self.poll(now);
        }
    }

    /// The fetches after the open list since the last call of this, one line each.
    pub(super) fn windows(&mut self) -> Vec<String> {
        let fetches = std::mem::take(&mut self.fetches);
        fetches.iter().filter(|(_, plan)| plan.pass != PassKind::Open).map(|(_, plan)| line(plan)).collect()
    }

    /// Seconds.
    pub(super) fn overlap(&self) -> i64 {
        i64::try_from(self.watermarks().overlap.as_secs()).unwrap()
    }
}

pub(super) fn fetched(conversations: Vec<Conversation>) -> FetchedPages {
    FetchedPages { conversations, complete: true, ..FetchedPages::default() }
}

pub(super) fn fetch_error(kind: FetchErrorKind) -> WindowError {
    WindowError::Fetch(FetchError { kind, ..FetchError::bad_payload("a failure for tests") })
}

pub(super) fn server_error() -> WindowError {
    fetch_error(FetchErrorKind::ServerError)
}

pub(super) fn line(plan: &FetchPlan) -> String {
    let bound =
        |bound: Option<Timestamp>| bound.map_or("..".to_owned(), |moment| seconds(moment).to_string());
    format!("{} {} to {}", plan.pass.name(), bound(plan.window.from), bound(plan.window.to))
}

/// Calls of two minutes, one every `every` seconds from `from` to `to`.
pub(super) fn steady_calls(from: i64, to: i64, every: i64) -> Vec<Call> {
    (from..to)
        .step_by(usize::try_from(every).unwrap())
        .map(|start| call(&format!("CA{start}"), start, start + 2 * MINUTE))
        .collect()
}
