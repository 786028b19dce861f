//! The state of one target, with a sentence that explains it.

use std::time::Duration;

use serde::Serialize;

use super::format::{JsonTimestamp, capitalize, pluralize, span};
use super::poll_history::PollRecords;
use super::thresholds::{Breach, STALE_AFTER};
use polyai_domain::timestamp::Timestamp;

/// The state of a target, worst first. `docs/api.md` defines each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum State {
    StorageFailing,
    Stale,
    Failing,
    NotTried,
    CatchingUp,
    Limited,
    UpToDate,
}

/// Declared from the least to the most severe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Severity {
    Good,
    /// Resolves by itself.
    Wait,
    Warn,
    Bad,
}

impl State {
    pub(super) const ALL: [Self; 7] = [
        Self::StorageFailing,
        Self::Stale,
        Self::Failing,
        Self::NotTried,
        Self::CatchingUp,
        Self::Limited,
        Self::UpToDate,
    ];

    const fn texts_and_severity(self) -> (&'static str, &'static str, Severity) {
        match self {
            Self::StorageFailing => ("storage_failing", "storage failing", Severity::Bad),
            Self::Stale => ("stale", "stale", Severity::Bad),
            Self::Failing => ("failing", "failing", Severity::Warn),
            Self::NotTried => ("not_tried", "not polled yet", Severity::Wait),
            Self::CatchingUp => ("catching_up", "catching up", Severity::Wait),
            Self::Limited => ("limited", "limited", Severity::Warn),
            Self::UpToDate => ("up_to_date", "up to date", Severity::Good),
        }
    }

    /// The name in the JSON.
    pub(super) const fn name(self) -> &'static str {
        self.texts_and_severity().0
    }

    pub(super) const fn label(self) -> &'static str {
        self.texts_and_severity().1
    }

    pub(super) const fn severity(self) -> Severity {
        self.texts_and_severity().2
    }
}

impl Serialize for State {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// The facts that determine the state of a target.
#[derive(Debug)]
pub(super) struct TargetInputs<'a> {
    pub(super) records: &'a PollRecords,
    /// Start of the process.
    pub(super) started: Timestamp,
    /// `polling.interval`
    pub(super) interval: Duration,
    /// Whether the state cannot be written, and since when if known.
    pub(super) storage_failing: Option<Option<Timestamp>>,
    /// Whether its state is new and its conversations are not shown yet.
    pub(super) is_hidden: bool,
    pub(super) breaches: Vec<Breach>,
}

impl TargetInputs<'_> {
    /// Whether the data is not fresh as `target:polyai_data:fresh` of the rules defines it.
    pub(super) fn is_stale(&self, now: Timestamp) -> bool {
        let is_recent = |last| now.saturating_duration_since(last) <= STALE_AFTER;
        self.storage_failing.is_some() || !self.records.last_success.is_some_and(is_recent)
    }

    /// The state, and its start if known.
    pub(super) fn state(&self, now: Timestamp) -> (State, Option<Timestamp>) {
        let records = self.records;
        if let Some(since) = self.storage_failing {
            return (State::StorageFailing, since);
        }
        // After a restart, what was read before it shows the age of the data.
        let resumed = records.read_to().filter(|_| records.failed_polls > 0);
        let data_from = records.last_success.or(resumed).or(records.first_due).unwrap_or(self.started);
        if now > data_from + STALE_AFTER {
            (State::Stale, Some(data_from))
        } else if records.polls.is_empty() {
            (State::NotTried, None)
        } else if records.failed_polls > 0 {
            (State::Failing, records.failing_since)
        } else if self.is_hidden || self.lag(now) > (self.interval * 4).max(Duration::from_secs(30)) {
            (State::CatchingUp, None)
        } else {
            let since = records.problems().map(|interval| interval.since).min();
            let is_limited = since.is_some() || !self.breaches.is_empty();
            (if is_limited { State::Limited } else { State::UpToDate }, since)
        }
    }

    fn lag(&self, now: Timestamp) -> Duration {
        self.records.read_to().map(|read_to| now.saturating_duration_since(read_to)).unwrap_or_default()
    }

    /// Explains the state.
    pub(super) fn sentence(&self, state: State, since: Option<Timestamp>, now: Timestamp) -> String {
        let records = self.records;
        let hh_mm = |at: Timestamp| JsonTimestamp(at).hh_mm(JsonTimestamp(now));
        let since = since.map(|since| format!(" since {}", hh_mm(since))).unwrap_or_default();
        let read_to =
            |text: &str| records.read_to().map(|at| text.replace("{}", &hh_mm(at))).unwrap_or_default();
        let reason = match records.failure() {
            Some(problem) => format!(": {}", problem.title()),
            None if records.running_since.is_some() => ": a poll is still running".to_owned(),
            None => String::new(),
        };
        match state {
            State::StorageFailing => {
                format!("The state cannot be written{since}; the last committed numbers are served")
            }
            State::Stale if records.last_success.is_none() => {
                format!("No poll has succeeded yet{reason}{}", read_to(", data ends at {}"))
            }
            State::Stale => format!("No poll has succeeded{since}{reason}"),
            State::Failing => {
                format!("{} failed{since}{reason}", pluralize(records.failed_polls.into(), "poll"))
            }
            State::NotTried => records.running_since.map_or_else(
                || "Not polled yet".to_owned(),
                |began| {
                    format!("First poll has been running for {}", span(now.saturating_duration_since(began)))
                },
            ),
            State::CatchingUp if self.is_hidden => {
                let until = read_to(&format!(": read up to {{}} of {}", hh_mm(now)));
                format!("Catching up{until}; its conversations are not shown yet")
            }
            State::CatchingUp => {
                format!("Catching up: {}{} behind", read_to("read up to {}, "), span(self.lag(now)))
            }
            State::Limited => {
                let titles = records.problems().map(|interval| interval.problem.title());
                let breaches = self.breaches.iter().map(|breach| breach.sentence.as_str());
                capitalize(&titles.chain(breaches).collect::<Vec<_>>().join("; "))
            }
            State::UpToDate => "Up to date".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::status::poll_history::{Poll, PollHistory, Progress, Report};
    use polyai_api::RequestStats;
    use polyai_domain::problem::Problem;

    const INTERVAL: Duration = Duration::from_secs(30);

    fn at(clock: &str) -> Timestamp {
        Timestamp::parse(&format!("2026-11-24T{clock}:00Z")).unwrap()
    }

    fn poll(
        history: &PollHistory,
        when: &str,
        failure: Option<Problem>,
        problems: &[Problem],
        read_to: &str,
    ) {
        let traffic = RequestStats::default();
        let began = at(when);
        let took = Duration::ZERO;
        let poll = Poll { began, took, failure, walks: 1, traffic, records: 0, rejected: 0, counted: 0 };
        let problems: BTreeSet<Problem> = problems.iter().copied().chain(failure).collect();
        history.poll_finished(&Report {
            poll,
            problems: &problems,
            missing_fields: &BTreeSet::new(),
            reason: failure.map(|_| "HTTP 503"),
            progress: Progress {
                api_ahead_millis: 0,
                counts_since: None,
                read_to: Some(at(read_to)),
                tracked: 0,
            },
            next: began + INTERVAL,
        });
    }

    fn inputs(records: &PollRecords) -> TargetInputs<'_> {
        TargetInputs {
            records,
            started: at("12:00"),
            interval: INTERVAL,
            storage_failing: None,
            is_hidden: false,
            breaches: Vec::new(),
        }
    }

    fn evaluate(inputs: &TargetInputs<'_>, now: &str) -> (State, String) {
        let (state, since) = inputs.state(at(now));
        (state, inputs.sentence(state, since, at(now)))
    }

    fn status(history: &PollHistory, now: &str) -> (State, String) {
        history.read(|records| evaluate(&inputs(records), now))
    }

    #[test]
    fn each_state_has_its_sentence() {
        let history = PollHistory::default();
        assert_eq!(status(&history, "12:00"), (State::NotTried, "Not polled yet".to_owned()));
        history.poll_started(at("12:00"));
        assert_eq!(
            status(&history, "12:02"),
            (State::NotTried, "First poll has been running for 2 min".to_owned())
        );

        poll(&history, "12:03", None, &[], "10:00");
        let behind = "Catching up: read up to 10:00, 2 h 3 min behind".to_owned();
        assert_eq!(status(&history, "12:03"), (State::CatchingUp, behind));

        poll(&history, "12:04", None, &[], "12:04");
        assert_eq!(status(&history, "12:04"), (State::UpToDate, "Up to date".to_owned()));

        poll(&history, "12:05", None, &[Problem::LatencyMissing], "12:05");
        let limited = "Turns carry no latency".to_owned();
        assert_eq!(status(&history, "12:05"), (State::Limited, limited));

        poll(&history, "12:06", Some(Problem::ServerError), &[Problem::LatencyMissing], "12:05");
        poll(&history, "12:07", Some(Problem::ServerError), &[Problem::LatencyMissing], "12:05");
        let failing = "2 polls failed since 12:06: the API answers with server errors".to_owned();
        assert_eq!(status(&history, "12:08"), (State::Failing, failing));

        let stale = "No poll has succeeded since 12:05: the API answers with server errors".to_owned();
        assert_eq!(status(&history, "12:16"), (State::Stale, stale));

        poll(&history, "12:20", None, &[], "12:20");
        assert_eq!(status(&history, "12:20").0, State::UpToDate);
    }

    #[test]
    fn new_state_is_catching_up_until_it_is_shown() {
        let history = PollHistory::default();
        poll(&history, "12:03", None, &[], "10:00");
        let hidden =
            |now| history.read(|records| evaluate(&TargetInputs { is_hidden: true, ..inputs(records) }, now));
        let behind = "Catching up: read up to 10:00 of 12:03; its conversations are not shown yet".to_owned();
        assert_eq!(hidden("12:03"), (State::CatchingUp, behind));
        poll(&history, "12:04", None, &[], "12:04");
        assert_eq!(hidden("12:04").0, State::CatchingUp, "what it has read still settles");
        poll(&history, "12:05", Some(Problem::ServerError), &[], "12:04");
        assert_eq!(hidden("12:05").0, State::Failing, "what keeps it is more important");
    }

    #[test]
    fn unfinished_poll_makes_a_target_stale() {
        let history = PollHistory::default();
        poll(&history, "12:00", None, &[], "12:00");
        history.poll_started(at("12:01"));
        let stale = "No poll has succeeded since 12:00: a poll is still running".to_owned();
        assert_eq!(status(&history, "12:11"), (State::Stale, stale));
    }

    #[test]
    fn key_that_never_worked_is_failing_then_stale() {
        let history = PollHistory::default();
        poll(&history, "12:00", Some(Problem::Unauthorized), &[], "12:00");
        let failing = "1 poll failed since 12:00: the API refuses the key".to_owned();
        assert_eq!(status(&history, "12:01"), (State::Failing, failing));
        let stale = "No poll has succeeded yet: the API refuses the key, data ends at 12:00".to_owned();
        assert_eq!(status(&history, "12:11"), (State::Stale, stale));
    }

    #[test]
    fn added_target_has_time_for_its_first_poll() {
        let history = PollHistory::default();
        history.set_first_due(at("14:00"));
        assert_eq!(status(&history, "14:00"), (State::NotTried, "Not polled yet".to_owned()));
        history.poll_started(at("14:00"));
        assert_eq!(status(&history, "14:09").0, State::NotTried);
        let endless = "No poll has succeeded yet: a poll is still running".to_owned();
        assert_eq!(status(&history, "14:11"), (State::Stale, endless));
        // A restart of its poller changes nothing.
        history.set_first_due(at("14:12"));
        assert_eq!(status(&history, "14:12").0, State::Stale);
    }

    #[test]
    fn age_of_the_data_counts_after_a_restart() {
        let history = PollHistory::default();
        poll(&history, "12:00", Some(Problem::ServerError), &[], "11:30");
        let stale = "No poll has succeeded yet: the API answers with server errors, data ends at 11:30";
        assert_eq!(status(&history, "12:01"), (State::Stale, stale.to_owned()));
    }

    #[test]
    fn clock_step_back_makes_no_target_stale_later() {
        let history = PollHistory::default();
        poll(&history, "14:00", None, &[], "12:00");
        poll(&history, "14:01", Some(Problem::Timeout), &[], "12:00");
        history.poll_started(at("14:02"));
        history.on_clock_step_back(Duration::from_secs(2 * 3600), at("12:03"));
        let failing = "1 poll failed since 12:01: the API does not answer in time".to_owned();
        assert_eq!(status(&history, "12:03"), (State::Failing, failing));
        assert_eq!(status(&history, "12:11").0, State::Stale);
        history.read(|records| {
            assert_eq!(
                (records.running_since, records.next_poll),
                (Some(at("12:02")), Some(at("12:01") + INTERVAL))
            );
            assert_eq!(
                records.polls.iter().map(|poll| poll.began).collect::<Vec<_>>(),
                [at("12:00"), at("12:01")]
            );
            assert_eq!(records.problem_history[0].since, at("12:01"));
        });
    }

    #[test]
    fn storage_failure_comes_first() {
        let records = PollRecords::default();
        let mut inputs = TargetInputs { storage_failing: Some(None), ..inputs(&records) };
        let unknown = "The state cannot be written; the last committed numbers are served";
        assert_eq!(evaluate(&inputs, "12:30").1, unknown);
        inputs.storage_failing = Some(Some(at("12:10")));
        let known = "The state cannot be written since 12:10; the last committed numbers are served";
        assert_eq!(evaluate(&inputs, "12:30"), (State::StorageFailing, known.to_owned()));
    }

    #[test]
    fn target_is_stale_after_the_time_of_the_rules() {
        let history = PollHistory::default();
        poll(&history, "12:00", None, &[], "12:00");
        history.read(|records| {
            let inputs = TargetInputs { interval: Duration::from_secs(3600), ..inputs(records) };
            assert_eq!(evaluate(&inputs, "12:10").0, State::UpToDate);
            assert!(!inputs.is_stale(at("12:10")));
            assert_eq!(evaluate(&inputs, "12:11").0, State::Stale, "whatever the interval");
            assert!(inputs.is_stale(at("12:11")));
        });
        poll(&history, "12:09", Some(Problem::Timeout), &[], "12:00");
        history.read(|records| {
            let inputs = inputs(records);
            assert!(!inputs.is_stale(at("12:10")), "a failed poll does not make data stale");
        });
    }
}
