//! The condition of one target, judged from what was noted of it. Pure.
//!
//! Owns: the states, their order, and the sentence for each. Never: what is noted.

use std::time::Duration;

use serde::Serialize;

use super::format::{JsonTimestamp, pluralize, span};
use super::poll_history::{PollHistoryInner, ProblemInterval};
use crate::timestamp::Timestamp;

/// Without a successful poll for this long a target is stale, and the alert `PolyAITargetStale` is about to fire; with long
/// intervals, it takes three of them.
pub(super) const STALE_AFTER: Duration = Duration::from_secs(600);

/// What state a target is in, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// The state on disk cannot be written: the numbers stand still.
    StorageFailing,
    /// No poll has succeeded for too long.
    Stale,
    /// The last poll failed; its stretch is read by the next one that succeeds.
    Failing,
    /// No poll has ended yet.
    NotTried,
    /// Polls succeed, and have not reached the present yet.
    CatchingUp,
    /// Up to date, with a problem that does not stop polling.
    Limited,
    /// Nothing is wrong.
    UpToDate,
}

impl State {
    /// All, the worst first.
    pub const ALL: [Self; 7] = [
        Self::StorageFailing,
        Self::Stale,
        Self::Failing,
        Self::NotTried,
        Self::CatchingUp,
        Self::Limited,
        Self::UpToDate,
    ];

    /// In words.
    pub const fn label(self) -> &'static str {
        match self {
            Self::StorageFailing => "storage failing",
            Self::Stale => "stale",
            Self::Failing => "failing",
            Self::NotTried => "not tried yet",
            Self::CatchingUp => "catching up",
            Self::Limited => "limited",
            Self::UpToDate => "up to date",
        }
    }

    /// Whether it needs a look.
    pub const fn tone(self) -> Severity {
        match self {
            Self::StorageFailing | Self::Stale => Severity::Bad,
            Self::Failing | Self::Limited => Severity::Warn,
            Self::NotTried | Self::CatchingUp => Severity::Wait,
            Self::UpToDate => Severity::Good,
        }
    }
}

/// How grave something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// As it should be.
    Good,
    /// It will be, by itself.
    Wait,
    /// Worth a look.
    Warn,
    /// Act.
    Bad,
}

/// What a target is judged by.
#[derive(Debug)]
pub(super) struct TargetInputs<'a> {
    /// What its poller noted.
    pub(super) entries: &'a PollHistoryInner,
    /// When the daemon started; a target may have been added later.
    pub(super) started: Timestamp,
    /// `polling.interval`
    pub(super) interval: Duration,
    /// Whether the state cannot be written, and since when as far as is known.
    pub(super) storage_fails: Option<Option<Timestamp>>,
}

/// A state, since when, and in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TargetStatus {
    pub(super) state: State,
    pub(super) since: Option<Timestamp>,
    pub(super) sentence: String,
}

impl TargetInputs<'_> {
    pub(super) fn evaluate(&self, now: Timestamp) -> TargetStatus {
        let (state, since) = self.state(now);
        TargetStatus { state, since, sentence: self.sentence(state, since, now) }
    }

    fn state(&self, now: Timestamp) -> (State, Option<Timestamp>) {
        let entries = self.entries;
        if let Some(since) = self.storage_fails {
            return (State::StorageFailing, since);
        }
        let stale_after = STALE_AFTER.max(self.interval * 3);
        // After a start, what the state says has been read tells the age of the data.
        let resumed = read_to(entries).filter(|_| entries.failures > 0);
        let fresh_from = entries.last_success.or(resumed).or(entries.first_due).unwrap_or(self.started);
        let fresh_until = fresh_from + stale_after;
        if entries.polls.is_empty() && now <= fresh_until {
            return (State::NotTried, None);
        }
        if now > fresh_until {
            // Since when there is no data, not since when it is called stale.
            return (State::Stale, Some(fresh_from));
        }
        if entries.failures > 0 {
            return (State::Failing, entries.failing_since);
        }
        if self.behind(now) > self.far_behind() {
            return (State::CatchingUp, None);
        }
        match entries.problems().map(|episode| episode.since).min() {
            Some(since) => (State::Limited, Some(since)),
            None => (State::UpToDate, None),
        }
    }

    fn far_behind(&self) -> Duration {
        (self.interval * 4).max(Duration::from_secs(30))
    }

    fn behind(&self, now: Timestamp) -> Duration {
        read_to(self.entries).map(|read_to| now.saturating_duration_since(read_to)).unwrap_or_default()
    }

    fn sentence(&self, state: State, since: Option<Timestamp>, now: Timestamp) -> String {
        let entries = self.entries;
        let since = since
            .map(|since| format!(" since {}", JsonTimestamp(since).hh_mm(JsonTimestamp(now))))
            .unwrap_or_default();
        match state {
            State::StorageFailing => {
                format!("The state cannot be written{since}; the last committed numbers are served")
            }
            State::Stale if entries.last_success.is_none() => {
                let read_to = read_to(entries)
                    .map(|to| format!(", data ends at {}", JsonTimestamp(to).hh_mm(JsonTimestamp(now))));
                format!("No poll has succeeded yet{}{}", self.failure_reason(), read_to.unwrap_or_default())
            }
            State::Stale => format!("No poll has succeeded{since}{}", self.failure_reason()),
            State::Failing => {
                let failures = pluralize(entries.failures.into(), "poll");
                format!("{failures} failed{since}{}", self.failure_reason())
            }
            State::NotTried => match entries.underway {
                Some(began) => {
                    format!("The first poll runs, for {}", span(now.saturating_duration_since(began)))
                }
                None => "Not tried yet".to_owned(),
            },
            State::CatchingUp => {
                let up_to = read_to(entries)
                    .map(|to| format!("read up to {}, ", JsonTimestamp(to).hh_mm(JsonTimestamp(now))));
                let behind = span(self.behind(now));
                format!("Catching up: {}{behind} behind", up_to.unwrap_or_default())
            }
            State::Limited => {
                let titles: Vec<&str> = entries.problems().map(|episode| episode.problem.title()).collect();
                super::format::capitalize(&titles.join("; "))
            }
            State::UpToDate => "Up to date".to_owned(),
        }
    }

    /// The problem that stops the polls, or that one does not end.
    fn failure_reason(&self) -> String {
        let failure = self.entries.polls.back().and_then(|poll| poll.failure);
        match failure {
            Some(problem) => format!(": {}", problem.title()),
            None if self.entries.underway.is_some() => ": one has been running all this time".to_owned(),
            None => String::new(),
        }
    }
}

/// How far a target has been read, on this machine's clock.
pub(super) fn read_to(entries: &PollHistoryInner) -> Option<Timestamp> {
    entries.read_to.map(|at| to_local(entries, at))
}

/// A time of the API on this machine's clock.
pub(super) fn to_local(entries: &PollHistoryInner, at: Timestamp) -> Timestamp {
    Timestamp::from_millis(at.millis().saturating_sub(entries.api_ahead_millis))
}

/// Whether polling comes to nothing because of it, or some detail is missing only.
pub(super) fn stops_polling(entries: &PollHistoryInner, episode: &ProblemInterval) -> bool {
    episode.until.is_none() && entries.polls.back().and_then(|poll| poll.failure) == Some(episode.problem)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::api::RequestStats;
    use crate::problem::Problem;
    use crate::status::poll_history::{Poll, PollHistory, Report};

    const INTERVAL: Duration = Duration::from_secs(30);

    fn at(clock: &str) -> Timestamp {
        Timestamp::parse(&format!("2026-11-24T{clock}:00Z")).unwrap()
    }

    fn poll(
        journal: &PollHistory,
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
        journal.poll_finished(&Report {
            poll,
            problems: &problems,
            reason: failure.map(|_| "HTTP 503"),
            api_ahead_millis: 0,
            counts_since: None,
            read_to: Some(at(read_to)),
            tracked: 0,
            next: began + INTERVAL,
        });
    }

    fn judged(journal: &PollHistory, now: &str) -> (State, String) {
        let condition = journal.read(|entries| {
            let evidence =
                TargetInputs { entries, started: at("12:00"), interval: INTERVAL, storage_fails: None };
            evidence.evaluate(at(now))
        });
        (condition.state, condition.sentence)
    }

    #[test]
    fn each_state_has_a_sentence() {
        let journal = PollHistory::default();
        assert_eq!(judged(&journal, "12:00"), (State::NotTried, "Not tried yet".to_owned()));
        journal.poll_started(at("12:00"));
        assert_eq!(judged(&journal, "12:02"), (State::NotTried, "The first poll runs, for 2 min".to_owned()));

        poll(&journal, "12:03", None, &[], "10:00");
        let behind = "Catching up: read up to 10:00, 2 h 3 min behind".to_owned();
        assert_eq!(judged(&journal, "12:03"), (State::CatchingUp, behind));

        poll(&journal, "12:04", None, &[], "12:04");
        assert_eq!(judged(&journal, "12:04"), (State::UpToDate, "Up to date".to_owned()));

        poll(&journal, "12:05", None, &[Problem::LatencyMissing], "12:05");
        let limited = "Turns carry no latency".to_owned();
        assert_eq!(judged(&journal, "12:05"), (State::Limited, limited));

        poll(&journal, "12:06", Some(Problem::ServerError), &[Problem::LatencyMissing], "12:05");
        poll(&journal, "12:07", Some(Problem::ServerError), &[Problem::LatencyMissing], "12:05");
        let failing = "2 polls failed since 12:06: the API answers with server errors".to_owned();
        assert_eq!(judged(&journal, "12:08"), (State::Failing, failing));

        let stale = "No poll has succeeded since 12:05: the API answers with server errors".to_owned();
        assert_eq!(judged(&journal, "12:16"), (State::Stale, stale));

        poll(&journal, "12:20", None, &[], "12:20");
        assert_eq!(judged(&journal, "12:20").0, State::UpToDate);
    }

    #[test]
    fn endless_poll_makes_target_stale() {
        let journal = PollHistory::default();
        poll(&journal, "12:00", None, &[], "12:00");
        journal.poll_started(at("12:01"));
        let stale = "No poll has succeeded since 12:00: one has been running all this time".to_owned();
        assert_eq!(judged(&journal, "12:11"), (State::Stale, stale));
    }

    #[test]
    fn rejected_key_is_failing_then_stale_since_start() {
        let journal = PollHistory::default();
        poll(&journal, "12:00", Some(Problem::Unauthorized), &[], "12:00");
        let failing = "1 poll failed since 12:00: the API refuses the key".to_owned();
        assert_eq!(judged(&journal, "12:01"), (State::Failing, failing));
        let stale = "No poll has succeeded yet: the API refuses the key, data ends at 12:00".to_owned();
        assert_eq!(judged(&journal, "12:11"), (State::Stale, stale));
    }

    #[test]
    fn added_target_has_time_for_first_poll() {
        let journal = PollHistory::default();
        journal.set_first_due(at("14:00"));
        assert_eq!(judged(&journal, "14:00"), (State::NotTried, "Not tried yet".to_owned()));
        journal.poll_started(at("14:00"));
        assert_eq!(judged(&journal, "14:09").0, State::NotTried);
        let endless = "No poll has succeeded yet: one has been running all this time".to_owned();
        assert_eq!(judged(&journal, "14:11"), (State::Stale, endless));
        // Its poller is started anew meanwhile: that is no new beginning.
        journal.set_first_due(at("14:12"));
        assert_eq!(judged(&journal, "14:12").0, State::Stale);
    }

    #[test]
    fn staleness_after_restart_follows_data_age() {
        let journal = PollHistory::default();
        poll(&journal, "12:00", Some(Problem::ServerError), &[], "11:30");
        let stale = "No poll has succeeded yet: the API answers with server errors, data ends at 11:30";
        assert_eq!(judged(&journal, "12:01"), (State::Stale, stale.to_owned()));
    }

    #[test]
    fn clock_step_back_does_not_delay_staleness() {
        let journal = PollHistory::default();
        poll(&journal, "14:00", None, &[], "12:00");
        poll(&journal, "14:01", Some(Problem::Timeout), &[], "12:00");
        journal.poll_started(at("14:02"));
        journal.on_clock_step_back(Duration::from_secs(2 * 3600), at("12:03"));
        let failing = "1 poll failed since 12:01: the API does not answer in time".to_owned();
        assert_eq!(judged(&journal, "12:03"), (State::Failing, failing));
        assert_eq!(judged(&journal, "12:11").0, State::Stale);
        journal.read(|entries| {
            assert_eq!((entries.underway, entries.next), (Some(at("12:02")), Some(at("12:01") + INTERVAL)));
            assert_eq!(
                entries.polls.iter().map(|poll| poll.began).collect::<Vec<_>>(),
                [at("12:00"), at("12:01")]
            );
            assert_eq!(entries.episodes[0].since, at("12:01"));
        });
    }

    #[test]
    fn storage_failure_outranks_other_states() {
        let entries = PollHistoryInner::default();
        let mut evidence = TargetInputs {
            entries: &entries,
            started: at("12:00"),
            interval: INTERVAL,
            storage_fails: Some(None),
        };
        let unknown = "The state cannot be written; the last committed numbers are served";
        assert_eq!(evidence.evaluate(at("12:30")).sentence, unknown);
        evidence.storage_fails = Some(Some(at("12:10")));
        let judged = evidence.evaluate(at("12:30"));
        let known = "The state cannot be written since 12:10; the last committed numbers are served";
        assert_eq!((judged.state, judged.sentence.as_str()), (State::StorageFailing, known));
    }

    #[test]
    fn staleness_respects_poll_interval() {
        let journal = PollHistory::default();
        poll(&journal, "12:00", None, &[], "12:00");
        journal.read(|entries| {
            let interval = Duration::from_secs(3600);
            let evidence = TargetInputs { entries, started: at("12:00"), interval, storage_fails: None };
            assert_eq!(evidence.evaluate(at("12:50")).state, State::UpToDate);
            assert_eq!(evidence.evaluate(at("15:01")).state, State::Stale);
        });
    }
}
