//! What the latest polls of one target were, and what was wrong with it.
//!
//! Owns: both, bounded: the poller writes, the page reads. Never: a secret; reasons come from errors that hold none.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::api::RequestStats;
use crate::problem::Problem;
use crate::timestamp::Timestamp;

/// Polls that are remembered: with the default interval, 25 minutes.
pub(super) const MAX_POLLS: usize = 50;
/// Problems that are remembered, those that last included; more than there are kinds of them.
pub(super) const MAX_EPISODES: usize = 20;
/// Longest reason, in characters.
const MAX_REASON_CHARS: usize = 300;

/// One poll of one target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Poll {
    /// When it began, on this machine's clock.
    pub began: Timestamp,
    /// How long it took, with every wait for its turn.
    pub took: Duration,
    /// Why it failed, if it did.
    pub failure: Option<Problem>,
    /// Stretches of time that were read, begun ones included.
    pub walks: u32,
    /// Requests, pages and bytes.
    pub traffic: RequestStats,
    /// Records that could be read; one may come in several walks.
    pub records: u64,
    /// Records that could not.
    pub rejected: u64,
    /// Conversations that counted.
    pub counted: u64,
}

/// A problem from its start to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProblemInterval {
    /// Which.
    pub problem: Problem,
    /// When it was first seen, on this machine's clock.
    pub since: Timestamp,
    /// When it was gone; none while it lasts.
    pub until: Option<Timestamp>,
    /// What was seen last, in words; empty when the problem says it all.
    pub reason: String,
}

/// How a poll went, as its poller tells it.
#[derive(Debug)]
pub struct Report<'a> {
    /// The poll.
    pub poll: Poll,
    /// What is wrong now.
    pub problems: &'a BTreeSet<Problem>,
    /// Why the poll failed, in words.
    pub reason: Option<&'a str>,
    /// The API's time less this machine's, milliseconds.
    pub api_ahead_millis: i64,
    /// From when on conversations that end count, in the API's time.
    pub counts_since: Option<Timestamp>,
    /// How far the target has been read, in the API's time.
    pub read_to: Option<Timestamp>,
    /// Conversations that are open or searched for.
    pub tracked: usize,
    /// When the next poll is due.
    pub next: Timestamp,
}

/// The journal of one target.
#[derive(Debug, Default)]
pub struct PollHistory(Mutex<PollHistoryInner>);

/// What a journal holds.
#[derive(Debug, Clone, Default)]
pub struct PollHistoryInner {
    /// When the first poll of all was due, on this machine's clock.
    pub first_due: Option<Timestamp>,
    /// Latest last.
    pub polls: VecDeque<Poll>,
    /// Latest start last.
    pub episodes: VecDeque<ProblemInterval>,
    /// When the poll that is running began.
    pub underway: Option<Timestamp>,
    /// When the next poll is due.
    pub next: Option<Timestamp>,
    /// When the last poll that succeeded ended, on this machine's clock.
    pub last_success: Option<Timestamp>,
    /// When the first of the failed polls since then ended.
    pub failing_since: Option<Timestamp>,
    /// How many have failed since then.
    pub failures: u32,
    /// From when on conversations that end count, in the API's time.
    pub counts_since: Option<Timestamp>,
    /// How far the target has been read, in the API's time.
    pub read_to: Option<Timestamp>,
    /// The API's time less this machine's, milliseconds.
    pub api_ahead_millis: i64,
    /// Conversations that are open or searched for.
    pub followed: usize,
}

impl PollHistory {
    /// The first poll of a new poller is due then. One that its predecessor had begun will not end.
    pub fn set_first_due(&self, next: Timestamp) {
        let mut entries = self.lock();
        entries.first_due.get_or_insert(next);
        (entries.underway, entries.next) = (None, Some(next));
    }

    /// A poll has begun.
    pub fn poll_started(&self, now: Timestamp) {
        self.lock().underway = Some(now);
    }

    /// A poll has ended.
    pub fn poll_finished(&self, report: &Report<'_>) {
        self.lock().take(report);
    }

    /// The poller is gone, through a fault of this program; another begins at `next`.
    pub fn poller_panicked(&self, now: Timestamp, next: Timestamp) {
        let mut entries = self.lock();
        let began = entries.underway.unwrap_or(now);
        let failure = Problem::InternalError;
        let report = Report {
            // What it had done is gone with it.
            poll: Poll {
                began,
                took: now.saturating_duration_since(began),
                failure: Some(failure),
                walks: 0,
                traffic: RequestStats::default(),
                records: 0,
                rejected: 0,
                counted: 0,
            },
            problems: &BTreeSet::from([failure]),
            reason: None,
            api_ahead_millis: entries.api_ahead_millis,
            counts_since: entries.counts_since,
            read_to: entries.read_to,
            tracked: entries.followed,
            next,
        };
        entries.take(&report);
    }

    /// This machine's clock was put back by `step` and shows `now`: what had been noted by the clock of before moves along, as
    /// far as that can be told. Otherwise a poll that succeeded two hours ahead would hide for two hours that none does.
    pub fn on_clock_step_back(&self, step: Duration, now: Timestamp) {
        self.lock().put_back(step, now);
    }

    /// What it holds now.
    pub fn read<T>(&self, look: impl FnOnce(&PollHistoryInner) -> T) -> T {
        look(&self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, PollHistoryInner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PollHistoryInner {
    fn put_back(&mut self, step: Duration, now: Timestamp) {
        // A past that lies ahead was noted by the clock of before; so was a plan that lies much further ahead than plans do.
        let past = |noted: &mut Timestamp| *noted = if *noted > now { *noted - step } else { *noted };
        let plan =
            |noted: &mut Timestamp| *noted = if *noted >= now + step / 2 { *noted - step } else { *noted };
        self.polls.iter_mut().for_each(|poll| past(&mut poll.began));
        for episode in &mut self.episodes {
            past(&mut episode.since);
            episode.until.iter_mut().for_each(past);
        }
        [&mut self.underway, &mut self.last_success, &mut self.failing_since]
            .into_iter()
            .flatten()
            .for_each(past);
        [&mut self.first_due, &mut self.next].into_iter().flatten().for_each(plan);
    }

    fn take(&mut self, report: &Report<'_>) {
        let ended = report.poll.began + report.poll.took;
        self.underway = None;
        self.next = Some(report.next);
        self.counts_since = report.counts_since;
        self.read_to = report.read_to;
        self.api_ahead_millis = report.api_ahead_millis;
        self.followed = report.tracked;
        if report.poll.failure.is_none() {
            (self.last_success, self.failing_since, self.failures) = (Some(ended), None, 0);
        } else {
            self.failing_since.get_or_insert(ended);
            self.failures = self.failures.saturating_add(1);
        }
        if self.polls.len() >= MAX_POLLS {
            self.polls.pop_front();
        }
        self.polls.push_back(report.poll);
        self.judge(report, ended);
    }

    fn judge(&mut self, report: &Report<'_>, now: Timestamp) {
        for episode in self.episodes.iter_mut().filter(|episode| episode.until.is_none()) {
            if !report.problems.contains(&episode.problem) {
                episode.until = Some(now);
            }
        }
        for &problem in report.problems {
            let reason = report.reason.filter(|_| report.poll.failure == Some(problem)).unwrap_or_default();
            let lasting =
                self.episodes.iter_mut().find(|known| known.until.is_none() && known.problem == problem);
            match lasting {
                Some(_) if reason.is_empty() => {}
                Some(episode) => write_reason(&mut episode.reason, reason),
                None => {
                    self.evict_oldest();
                    let mut episode =
                        ProblemInterval { problem, since: now, until: None, reason: String::new() };
                    write_reason(&mut episode.reason, reason);
                    self.episodes.push_back(episode);
                }
            }
        }
    }

    /// What is over goes before what lasts.
    fn evict_oldest(&mut self) {
        if self.episodes.len() >= MAX_EPISODES {
            let over = self.episodes.iter().position(|episode| episode.until.is_some());
            self.episodes.remove(over.unwrap_or(0));
        }
    }

    /// The problems that last.
    pub fn problems(&self) -> impl Iterator<Item = &ProblemInterval> {
        self.episodes.iter().filter(|episode| episode.until.is_none())
    }
}

fn write_reason(place: &mut String, reason: &str) {
    let end = reason.char_indices().nth(MAX_REASON_CHARS).map_or(reason.len(), |(at, _)| at);
    let reason = reason.get(..end).unwrap_or_default();
    if place != reason {
        place.clear();
        place.push_str(reason);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(1_787_217_300_000) + Duration::from_secs(seconds)
    }

    fn tell(journal: &PollHistory, second: u64, failure: Option<Problem>, others: &[Problem], reason: &str) {
        let poll = Poll {
            began: at(second),
            took: Duration::from_secs(1),
            failure,
            walks: 2,
            traffic: RequestStats::default(),
            records: 3,
            rejected: 0,
            counted: 1,
        };
        journal.poll_started(poll.began);
        journal.poll_finished(&Report {
            poll,
            problems: &failure.into_iter().chain(others.iter().copied()).collect(),
            reason: failure.map(|_| reason),
            api_ahead_millis: 0,
            counts_since: Some(at(0)),
            read_to: Some(at(second)),
            tracked: 0,
            next: at(second + 30),
        });
    }

    #[test]
    fn history_is_bounded() {
        let journal = PollHistory::default();
        for second in 0..200 {
            let failure = (second % 2 == 0).then_some(Problem::ServerError);
            tell(&journal, second * 30, failure, &[Problem::ClockSkew], "HTTP 503");
        }
        journal.read(|entries| {
            assert_eq!(entries.polls.len(), MAX_POLLS);
            assert_eq!(entries.polls.back().map(|poll| poll.began), Some(at(199 * 30)));
            assert_eq!(entries.episodes.len(), MAX_EPISODES);
            let lasting: Vec<_> = entries.problems().map(|one| (one.problem, one.since)).collect();
            assert_eq!(lasting, [(Problem::ClockSkew, at(1))], "what lasts is never pushed out");
        });
    }

    #[test]
    fn problem_interval_spans_polls_that_report_it() {
        let journal = PollHistory::default();
        tell(&journal, 0, None, &[], "");
        tell(&journal, 30, Some(Problem::Timeout), &[], "no answer within 60s");
        tell(&journal, 60, Some(Problem::Timeout), &[], "no answer within 60 s, again");
        journal.read(|entries| {
            assert_eq!((entries.failing_since, entries.failures), (Some(at(31)), 2));
            assert_eq!(entries.last_success, Some(at(1)));
        });
        tell(&journal, 90, None, &[], "");
        journal.read(|entries| {
            let expected = ProblemInterval {
                problem: Problem::Timeout,
                since: at(31),
                until: Some(at(91)),
                reason: "no answer within 60 s, again".to_owned(),
            };
            assert_eq!(entries.episodes, [expected]);
            assert_eq!((entries.failing_since, entries.failures), (None, 0));
        });
    }

    #[test]
    fn reason_is_truncated_between_characters() {
        let journal = PollHistory::default();
        tell(&journal, 0, Some(Problem::BadPayload), &[], &"ключ".repeat(200));
        journal.read(|entries| assert_eq!(entries.episodes[0].reason.chars().count(), MAX_REASON_CHARS));
    }
}
