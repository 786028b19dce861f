//! The latest polls and problems of each target: pollers write them, the status page reads them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Serialize, Serializer};

use super::format::{Seconds, as_text};
use polyai_api::RequestStats;
use polyai_domain::conversation::MissingField;
use polyai_domain::problem::Problem;
use polyai_domain::target::TargetKey;
use polyai_domain::timestamp::Timestamp;

/// 25 minutes with the default interval.
const MAX_POLLS: usize = 50;
/// More than there are kinds of problems, so that active ones always fit.
const MAX_PROBLEMS: usize = 25;
const MAX_REASON_CHARS: usize = 300;

/// One poll of one target; in JSON as in `docs/api.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Poll {
    /// Start, on the clock of this host.
    #[serde(rename = "began_at", serialize_with = "as_text")]
    pub began: Timestamp,
    /// Duration, including waits for the request budget.
    #[serde(rename = "duration_seconds", serialize_with = "as_seconds")]
    pub took: Duration,
    /// Why it failed; `None` if it succeeded.
    #[serde(rename = "problem")]
    pub failure: Option<Problem>,
    /// Time ranges read, including incomplete ones.
    pub walks: u32,
    /// Requests, pages and bytes.
    #[serde(flatten)]
    pub traffic: RequestStats,
    /// Records read; the same record may be read more than once.
    pub records: u64,
    /// Records that could not be parsed.
    pub rejected: u64,
    /// Conversations counted.
    pub counted: u64,
}

fn as_seconds<S: Serializer>(length: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    Seconds(*length).serialize(serializer)
}

/// The time during which a problem is active.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProblemInterval {
    /// The problem.
    pub problem: Problem,
    /// Start, on the clock of this host.
    pub since: Timestamp,
    /// End; `None` while it is active.
    pub until: Option<Timestamp>,
    /// The most recent error, or the missing fields; empty if there is neither.
    pub reason: String,
}

/// The result of a poll.
#[derive(Debug)]
pub struct Report<'a> {
    /// The poll.
    pub poll: Poll,
    /// The active problems.
    pub problems: &'a BTreeSet<Problem>,
    /// The fields that conversations lack.
    pub missing_fields: &'a BTreeSet<MissingField>,
    /// Why the poll failed.
    pub reason: Option<&'a str>,
    /// The progress of the target.
    pub progress: Progress,
    /// When the next poll is due.
    pub next: Timestamp,
}

/// The progress of a target after a poll.
#[derive(Debug, Clone, Copy, Default)]
pub struct Progress {
    /// API time minus the time of this host.
    pub api_ahead_millis: i64,
    /// The anchor, in API time.
    pub counts_since: Option<Timestamp>,
    /// How far the target has been read, in API time.
    pub read_to: Option<Timestamp>,
    /// Conversations that are open or missing.
    pub tracked: usize,
}

/// The histories of all targets. Clones share them; a new poller of the same target continues its history.
#[derive(Debug, Clone, Default)]
pub struct PollHistories(Arc<Mutex<BTreeMap<TargetKey, Arc<PollHistory>>>>);

impl PollHistories {
    /// The history of `target`, created if absent.
    pub fn get_or_create(&self, target: &TargetKey) -> Arc<PollHistory> {
        Arc::clone(self.lock().entry(target.clone()).or_default())
    }

    /// The history of `target`.
    pub fn get(&self, target: &TargetKey) -> Option<Arc<PollHistory>> {
        self.lock().get(target).cloned()
    }

    /// Adjusts all histories after the clock of this host was set back by `step` to `now`.
    pub fn on_clock_step_back(&self, step: Duration, now: Timestamp) {
        self.lock().values().for_each(|history| history.on_clock_step_back(step, now));
    }

    /// Removes the history of `target`.
    pub fn forget(&self, target: &TargetKey) {
        self.lock().remove(target);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<TargetKey, Arc<PollHistory>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The history of one target.
#[derive(Debug, Default)]
pub struct PollHistory(Mutex<PollRecords>);

/// The contents of a history. Times are those of this host unless stated otherwise.
#[derive(Debug, Clone, Default)]
pub struct PollRecords {
    /// When the first poll of the first poller was due.
    pub(super) first_due: Option<Timestamp>,
    /// Newest last.
    pub polls: VecDeque<Poll>,
    /// Newest start last.
    pub(super) problem_history: VecDeque<ProblemInterval>,
    pub(super) running_since: Option<Timestamp>,
    pub(super) next_poll: Option<Timestamp>,
    /// End of the last successful poll.
    pub(super) last_success: Option<Timestamp>,
    /// End of the first failed poll since then.
    pub(super) failing_since: Option<Timestamp>,
    pub(super) failed_polls: u32,
    /// As of the last poll.
    pub progress: Progress,
}

impl PollHistory {
    /// Records when the first poll of a new poller is due. A poll of its predecessor will not finish.
    pub fn set_first_due(&self, next: Timestamp) {
        let mut records = self.lock();
        records.first_due.get_or_insert(next);
        (records.running_since, records.next_poll) = (None, Some(next));
    }

    /// Records the start of a poll.
    pub fn poll_started(&self, now: Timestamp) {
        self.lock().running_since = Some(now);
    }

    /// Records the result of a poll.
    pub fn poll_finished(&self, report: &Report<'_>) {
        let ended = report.poll.began + report.poll.took;
        let mut records = self.lock();
        records.running_since = None;
        records.next_poll = Some(report.next);
        records.progress = report.progress;
        if report.poll.failure.is_none() {
            (records.last_success, records.failing_since, records.failed_polls) = (Some(ended), None, 0);
        } else {
            records.failing_since.get_or_insert(ended);
            records.failed_polls = records.failed_polls.saturating_add(1);
        }
        if records.polls.len() >= MAX_POLLS {
            records.polls.pop_front();
        }
        records.polls.push_back(report.poll);
        records.update_problems(report, ended);
    }

    /// Records a panic of the poller; its successor starts polling at `next`.
    pub fn poller_panicked(&self, now: Timestamp, next: Timestamp) {
        let (running_since, progress) = self.read(|records| (records.running_since, records.progress));
        let began = running_since.unwrap_or(now);
        let failure = Problem::InternalError;
        self.poll_finished(&Report {
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
            missing_fields: &BTreeSet::new(),
            reason: None,
            progress,
            next,
        });
    }

    /// Adjusts the history after the clock of this host was set back by `step` to `now`. Otherwise a success recorded two
    /// hours ahead would hide failing polls for two hours.
    pub fn on_clock_step_back(&self, step: Duration, now: Timestamp) {
        // Past events after `now` are from before the step, and so are plans much further ahead than usual.
        let shift = |at: &mut Timestamp, from: Timestamp| *at = if *at > from { *at - step } else { *at };
        let records = &mut *self.lock();
        records.polls.iter_mut().for_each(|poll| shift(&mut poll.began, now));
        for ProblemInterval { since, until, .. } in &mut records.problem_history {
            shift(since, now);
            until.iter_mut().for_each(|until| shift(until, now));
        }
        for past in [&mut records.running_since, &mut records.last_success, &mut records.failing_since] {
            past.iter_mut().for_each(|past| shift(past, now));
        }
        for plan in [&mut records.first_due, &mut records.next_poll] {
            plan.iter_mut().for_each(|plan| shift(plan, now + step / 2));
        }
    }

    /// Calls `look` with the contents.
    pub fn read<T>(&self, look: impl FnOnce(&PollRecords) -> T) -> T {
        look(&self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, PollRecords> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PollRecords {
    fn update_problems(&mut self, report: &Report<'_>, now: Timestamp) {
        for interval in self.problem_history.iter_mut().filter(|interval| interval.until.is_none()) {
            if !report.problems.contains(&interval.problem) {
                interval.until = Some(now);
            }
        }
        for &problem in report.problems {
            let reason = report.reason.filter(|_| report.poll.failure == Some(problem));
            let reason = reason.map(|reason| reason.chars().take(MAX_REASON_CHARS).collect::<String>());
            let fields: Vec<&str> = report.missing_fields.iter().map(|field| field.as_str()).collect();
            let reason = reason.or_else(|| {
                (problem == Problem::PartialFields).then(|| format!("missing: {}", fields.join(", ")))
            });
            let mut known = self.problem_history.iter_mut();
            match known.find(|known| known.until.is_none() && known.problem == problem) {
                Some(active) => active.reason = reason.unwrap_or_else(|| std::mem::take(&mut active.reason)),
                None => {
                    if self.problem_history.len() >= MAX_PROBLEMS {
                        let ended = self.problem_history.iter().position(|known| known.until.is_some());
                        self.problem_history.remove(ended.unwrap_or(0));
                    }
                    let reason = reason.unwrap_or_default();
                    let interval = ProblemInterval { problem, since: now, until: None, reason };
                    self.problem_history.push_back(interval);
                }
            }
        }
    }

    /// The active problems.
    pub fn problems(&self) -> impl Iterator<Item = &ProblemInterval> {
        self.problem_history.iter().filter(|interval| interval.until.is_none())
    }

    /// Why the last poll failed.
    pub(super) fn failure(&self) -> Option<Problem> {
        self.polls.back().and_then(|poll| poll.failure)
    }

    /// How far the target has been read, on the clock of this host.
    pub(super) fn read_to(&self) -> Option<Timestamp> {
        self.progress.read_to.map(|at| self.to_local(at))
    }

    /// Converts API time to the time of this host.
    pub(super) fn to_local(&self, at: Timestamp) -> Timestamp {
        Timestamp::from_millis(at.millis().saturating_sub(self.progress.api_ahead_millis))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(1_787_217_300_000) + Duration::from_secs(seconds)
    }

    fn finish(
        history: &PollHistory,
        second: u64,
        failure: Option<Problem>,
        others: &[Problem],
        reason: &str,
    ) {
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
        history.poll_started(poll.began);
        history.poll_finished(&Report {
            poll,
            problems: &failure.into_iter().chain(others.iter().copied()).collect(),
            missing_fields: &BTreeSet::from([MissingField::Handoff, MissingField::Turns]),
            reason: failure.map(|_| reason),
            progress: Progress {
                api_ahead_millis: 0,
                counts_since: Some(at(0)),
                read_to: Some(at(second)),
                tracked: 0,
            },
            next: at(second + 30),
        });
    }

    #[test]
    fn reason_of_partial_fields_names_the_fields() {
        let history = PollHistory::default();
        let problems = [Problem::LatencyMissing, Problem::PartialFields];
        finish(&history, 0, Some(Problem::ServerError), &problems, "HTTP 503");
        history.read(|records| {
            let reasons: Vec<_> = records.problems().map(|one| (one.problem, one.reason.as_str())).collect();
            let expected = [
                (Problem::ServerError, "HTTP 503"),
                (Problem::LatencyMissing, ""),
                (Problem::PartialFields, "missing: handoff, turns"),
            ];
            assert_eq!(reasons, expected);
        });
    }

    #[test]
    fn oldest_polls_and_problems_are_evicted() {
        let history = PollHistory::default();
        for second in 0..200 {
            let failure = (second % 2 == 0).then_some(Problem::ServerError);
            finish(&history, second * 30, failure, &[Problem::ClockSkew], "HTTP 503");
        }
        history.read(|records| {
            assert_eq!(records.polls.len(), MAX_POLLS);
            assert_eq!(records.polls.back().map(|poll| poll.began), Some(at(199 * 30)));
            assert_eq!(records.problem_history.len(), MAX_PROBLEMS);
            let active: Vec<_> = records.problems().map(|one| (one.problem, one.since)).collect();
            assert_eq!(active, [(Problem::ClockSkew, at(1))], "active problems are kept");
        });
    }

    #[test]
    fn problem_is_active_between_its_first_and_last_poll() {
        let history = PollHistory::default();
        finish(&history, 0, None, &[], "");
        finish(&history, 30, Some(Problem::Timeout), &[], "no answer within 60s");
        finish(&history, 60, Some(Problem::Timeout), &[], "no answer within 60 s, again");
        history.read(|records| {
            assert_eq!((records.failing_since, records.failed_polls), (Some(at(31)), 2));
            assert_eq!(records.last_success, Some(at(1)));
        });
        finish(&history, 90, None, &[], "");
        history.read(|records| {
            let expected = ProblemInterval {
                problem: Problem::Timeout,
                since: at(31),
                until: Some(at(91)),
                reason: "no answer within 60 s, again".to_owned(),
            };
            assert_eq!(records.problem_history, [expected]);
            assert_eq!((records.failing_since, records.failed_polls), (None, 0));
        });
    }

    #[test]
    fn reason_is_truncated_at_a_character() {
        let history = PollHistory::default();
        finish(&history, 0, Some(Problem::BadPayload), &[], &"ключ".repeat(200));
        history
            .read(|records| assert_eq!(records.problem_history[0].reason.chars().count(), MAX_REASON_CHARS));
    }

    #[test]
    fn history_survives_a_new_poller_but_not_its_target() {
        use polyai_domain::target::{ClientEnv, Region};
        let key =
            TargetKey { project: "billing".to_owned(), region: Region::Uk1, client_env: ClientEnv::Live };
        let histories = PollHistories::default();
        let now = Timestamp::from_millis(1);
        histories.get_or_create(&key).poll_started(now);
        assert_eq!(histories.get_or_create(&key).read(|records| records.running_since), Some(now));
        histories.forget(&key);
        assert!(histories.get(&key).is_none());
        assert_eq!(histories.get_or_create(&key).read(|records| records.running_since), None);
    }
}
