//! One function per thing that goes wrong: it logs and counts together, so that the two never drift apart.
//!
//! Owns: the words, the levels and the restraint of the log. Never: a secret, a phone number or a word of a transcript in
//! a field; ids of conversations are fine.
//!
//! Levels: `error` lost something or needs a person, `warn` lost nothing, `info` is good news or progress. A failure that
//! lasts is said once; its repeats go to `debug` with their number, and its end to `info` with how many and how long.

mod api;
mod http;
mod log_throttle;
mod recorder;

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tracing::{debug, error, info, warn};

pub use crate::exporter_metrics::Event;
pub use api::{LIST_ENDPOINT, TargetEvents};
use log_throttle::{Key, LogRate, LogThrottle};

use crate::exporter_metrics::ExporterMetrics;
use crate::problem::Problem;
use crate::target::TargetKey;

/// The log and the counters of what goes wrong. Clones share what they have said.
#[derive(Debug, Clone)]
pub struct Events {
    stats: ExporterMetrics,
    repeats: Arc<LogThrottle>,
}

/// A failed request to the API, for [`Events::request_failed`].
#[derive(Debug, Clone, Copy)]
pub struct RequestFailure<'a> {
    /// The endpoint, a word of a closed set.
    pub endpoint: &'static str,
    /// What failed, a word of a closed set, such as `timeout`.
    pub kind: &'static str,
    /// The HTTP status, if there was an answer.
    pub status: Option<u16>,
    /// The API's correlation id, which its support asks for.
    pub correlation_id: Option<&'a str>,
    /// What happened, in words; never a header or a body.
    pub message: &'a str,
}

/// What may fail again and again, between successes: over once it has not happened for this long.
const CLEAR_AFTER: Duration = Duration::from_secs(5 * 60);

/// Lines about single conversations, per target and kind.
const RECORD_LOG_RATE: LogRate = LogRate { lines: 10, per: Duration::from_secs(10 * 60) };
/// Reloads that changed nothing, and those that were refused, each per trigger.
const RELOADS: LogRate = LogRate { lines: 10, per: Duration::from_secs(10 * 60) };
const PROGRESS: LogRate = LogRate { lines: 1, per: Duration::from_secs(30) };
const HOURLY: LogRate = LogRate { lines: 1, per: Duration::from_secs(3600) };
const LISTENER: LogRate = LogRate { lines: 1, per: Duration::from_secs(60) };

/// One line about a target, labelled as its series are.
macro_rules! line {
    ($level:ident, $target:expr, $($rest:tt)+) => {
        $level!(
            project = %$target.project,
            region = %$target.region,
            client_env = %$target.client_env,
            $($rest)+
        )
    };
}

/// The same words at `$level` the first time and at `debug` after that.
macro_rules! first_at {
    ($level:ident, $failures:expr, $target:expr, $($rest:tt)+) => {
        if $failures == 1 {
            line!($level, $target, $($rest)+)
        } else {
            line!(debug, $target, failures = $failures, $($rest)+)
        }
    };
}

impl Events {
    /// Events that count in `stats`.
    pub fn new(stats: ExporterMetrics) -> Self {
        Self { stats, repeats: Arc::default() }
    }

    /// A request to the API failed; it may yet be retried.
    pub fn request_failed(&self, target: &TargetKey, failure: RequestFailure<'_>) {
        let RequestFailure { endpoint, kind, status, correlation_id, message } = failure;
        let failures = self.record_repeat(target, Event::RequestFailed, [endpoint, kind]);
        first_at!(
            warn,
            failures,
            target,
            endpoint,
            kind,
            status,
            correlation_id,
            reason = message,
            "request failed"
        );
    }

    /// A poll came to nothing: nothing of it was kept, the next one reads the same stretch. `kind` is a word of a closed
    /// set.
    pub fn poll_failed(&self, target: &TargetKey, kind: &'static str, reason: &dyn Display) {
        let failures = self.record_repeat(target, Event::PollFailed, [kind, ""]);
        first_at!(warn, failures, target, kind, %reason, "poll failed; the next one reads the same stretch again");
    }

    /// The poller of a target ended by a panic. Where it happened is in the log already.
    pub fn poller_panicked(&self, target: &TargetKey) {
        self.stats.event(Event::PollerPanicked);
        line!(
            error,
            target,
            "a fault of the exporter ended this target's polls; they begin anew in a minute with what was committed"
        );
    }

    /// A poll succeeded. Call it after each one: it ends what had failed, and says so if anything had.
    pub fn poll_recovered(&self, target: &TargetKey) {
        if let Some(ended) = self.repeats.ended(Some(target), Event::PollFailed, Duration::ZERO) {
            let (failures, lasted) = (ended.failures, seconds(ended.duration));
            line!(info, target, failures, lasted_seconds = lasted, "polls succeed again");
        }
        for event in [Event::RequestFailed, Event::PollSkipped, Event::FetchAbandoned] {
            if let Some(ended) = self.repeats.ended(Some(target), event, CLEAR_AFTER) {
                let (event, failures, lasted) = (event.as_str(), ended.failures, seconds(ended.duration));
                line!(
                    info,
                    target,
                    event,
                    failures,
                    lasted_seconds = lasted,
                    "this has not happened for a while"
                );
            }
        }
    }

    /// A target has a problem. May be called as long as it lasts; says and counts only the first time, and answers whether this
    /// was it.
    pub fn problem_started(&self, target: &TargetKey, problem: Problem) -> bool {
        let key = key(target, Event::ProblemStarted, [problem.code(), ""]);
        if self.repeats.record_failure(key) > 1 {
            return false;
        }
        self.stats.event(Event::ProblemStarted);
        let (code, advice) = (problem.code(), problem.advice());
        if needs_a_person(problem) {
            line!(error, target, problem = code, advice, "problem started");
        } else {
            line!(warn, target, problem = code, advice, "problem started");
        }
        true
    }

    /// Which conversation has been open for more than a day, the longest if there are several: PolyAI asks for its id.
    pub fn conversation_stuck(&self, target: &TargetKey, id: &str, started_at: &dyn Display) {
        self.stats.event(Event::ConversationStuck);
        line!(warn, target, conversation_id = id, %started_at, "a conversation has been open for more than a day");
    }

    /// A target does not have this problem; says so if it had.
    pub fn problem_ended(&self, target: &TargetKey, problem: Problem) {
        let key = key(target, Event::ProblemStarted, [problem.code(), ""]);
        if let Some(ended) = self.repeats.end_streak(&key) {
            line!(
                info,
                target,
                problem = problem.code(),
                lasted_seconds = seconds(ended.duration),
                "problem ended"
            );
        }
    }

    /// A record of the API's answer could not be understood, and so is not counted. `kind` is a word of a closed set,
    /// `detail` says which field was wrong and how, without its content.
    pub fn record_rejected(
        &self,
        target: &TargetKey,
        id: Option<&str>,
        kind: &'static str,
        detail: &dyn Display,
    ) {
        self.stats.event(Event::RecordRejected);
        self.stats.record_rejected(kind);
        let key = key(target, Event::RecordRejected, [kind, ""]);
        match self.repeats.try_log(key, RECORD_LOG_RATE) {
            Some(unsaid) => {
                line!(error, target, conversation_id = id, kind, %detail, unsaid, "record rejected; it is not counted");
            }
            None => {
                line!(debug, target, conversation_id = id, kind, %detail, "record rejected; it is not counted")
            }
        }
    }

    /// A record of the API's answer counts, but without the fields that are named in `unread`, which could not be understood;
    /// without an id it is the answer as a whole. No problem of the target is raised by it, because no conversation is lost.
    pub fn record_partially_read(&self, target: &TargetKey, id: Option<&str>, unread: &dyn Display) {
        self.stats.event(Event::RecordPartiallyRead);
        let key = key(target, Event::RecordPartiallyRead, NO_DETAIL);
        match self.repeats.try_log(key, RECORD_LOG_RATE) {
            Some(unsaid) => {
                line!(warn, target, conversation_id = id, %unread, unsaid, "read in part; what could not be read counts as absent");
            }
            None => {
                line!(debug, target, conversation_id = id, %unread, "read in part; what could not be read counts as absent")
            }
        }
    }

    /// A conversation that was open is no longer listed, neither open nor finished; there is nothing to count.
    pub fn conversation_missing(&self, target: &TargetKey, id: &str) {
        self.stats.event(Event::ConversationMissing);
        let key = key(target, Event::ConversationMissing, NO_DETAIL);
        match self.repeats.try_log(key, RECORD_LOG_RATE) {
            Some(unsaid) => {
                line!(warn, target, conversation_id = id, unsaid, "an open conversation is no longer listed");
            }
            None => line!(debug, target, conversation_id = id, "an open conversation is no longer listed"),
        }
    }

    /// A poll was due while the previous one of the same target was still running.
    pub fn poll_skipped(&self, target: &TargetKey) {
        self.stats.poll_skipped();
        let failures = self.record_repeat(target, Event::PollSkipped, NO_DETAIL);
        first_at!(warn, failures, target, "poll skipped: the previous one is still running");
    }

    /// A walk over pages was given up; nothing of it was kept, and its stretch will be read again.
    pub fn fetch_abandoned(&self, target: &TargetKey, reason: &dyn Display) {
        let failures = self.record_repeat(target, Event::FetchAbandoned, NO_DETAIL);
        first_at!(warn, failures, target, %reason, "gave up reading a stretch of time; it will be read again");
    }

    /// The list of open conversations was longer than what is read of it: the gauges of open ones fall short.
    pub fn open_conversations_truncated(&self, target: &TargetKey) {
        self.stats.event(Event::OpenConversationsTruncated);
        let key = key(target, Event::OpenConversationsTruncated, NO_DETAIL);
        if let Some(unsaid) = self.repeats.try_log(key, HOURLY) {
            line!(
                warn,
                target,
                unsaid,
                "more open conversations than are read; the gauge of open ones falls short"
            );
        }
    }

    /// A value of `label` was folded into `other`, because the cap was reached; says so once per label and target.
    pub fn label_limit_reached(&self, target: &TargetKey, label: &'static str) {
        if self.record_repeat(target, Event::LabelLimitReached, [label, ""]) == 1 {
            line!(
                warn,
                target,
                label,
                "more label values than metrics.max_label_values; further ones count as \"other\""
            );
        }
    }

    /// A long stretch of time is being caught up on: from `from` to `to`, of which `done_ratio` (0 to 1) is done, with so
    /// many conversations until now.
    pub fn catching_up(
        &self,
        target: &TargetKey,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
        done_ratio: f64,
        conversations: u64,
    ) {
        self.stats.event(Event::CatchingUp);
        let key = key(target, Event::CatchingUp, NO_DETAIL);
        if done_ratio >= 1.0 || self.repeats.try_log(key, PROGRESS).is_some() {
            line!(info, target, %from, %to, done_ratio, conversations, "catching up");
        }
    }

    /// This machine's clock is `seconds` ahead of the API's (negative: behind); windows follow the API's.
    pub fn clock_skew(&self, target: &TargetKey, seconds: f64) {
        let failures = self.record_repeat(target, Event::ClockSkew, NO_DETAIL);
        first_at!(
            warn,
            failures,
            target,
            seconds,
            "this machine's clock and the API's differ; nothing is lost"
        );
    }

    /// The clocks agree; says so if they did not.
    pub fn clock_skew_resolved(&self, target: &TargetKey) {
        if let Some(ended) = self.repeats.ended(Some(target), Event::ClockSkew, Duration::ZERO) {
            line!(
                info,
                target,
                lasted_seconds = seconds(ended.duration),
                "this machine's clock and the API's agree again"
            );
        }
    }

    /// A transaction on the state failed and will be tried again after `retry_in`.
    pub fn commit_failed(&self, reason: &dyn Display, retry_in: Duration) {
        self.stats.event(Event::CommitFailed);
        let retry_in_seconds = seconds(retry_in);
        match self.repeats.record_failure(GLOBAL_COMMIT) {
            1 => {
                error!(%reason, retry_in_seconds, "state not written; the last committed numbers are served")
            }
            failures => debug!(failures, %reason, retry_in_seconds, "state not written"),
        }
    }

    /// A transaction on the state succeeded; says so if the ones before had failed.
    pub fn commit_recovered(&self) {
        if let Some(ended) = self.repeats.end_streak(&GLOBAL_COMMIT) {
            info!(failures = ended.failures, lasted_seconds = seconds(ended.duration), "state written again");
        }
    }

    /// The configuration was read again, because of `trigger`, and is in force; `changes` is what that changed, if anything. A
    /// change is always said: only who can write the files makes one, while anybody may ask.
    pub fn config_reloaded(&self, trigger: &'static str, changes: Option<&str>) {
        self.stats.event(Event::ConfigReloaded);
        if let Some(changes) = changes {
            info!(trigger, changes, "configuration reloaded");
            return;
        }
        let key = Key { target: None, event: Event::ConfigReloaded, detail: [trigger, ""] };
        match self.repeats.try_log(key, RELOADS) {
            Some(unsaid) => info!(trigger, unsaid, "configuration reloaded; nothing changed"),
            None => debug!(trigger, "configuration reloaded; nothing changed"),
        }
    }

    /// The configuration was read again, because of `trigger`, and cannot be used; the one before stays in force.
    pub fn config_reload_failed(&self, trigger: &'static str, reason: &str) {
        self.stats.event(Event::ConfigReloadFailed);
        let key = Key { target: None, event: Event::ConfigReloadFailed, detail: [trigger, ""] };
        match self.repeats.try_log(key, RELOADS) {
            Some(unsaid) => {
                error!(trigger, reason, unsaid, "configuration not reloaded; the one before stays in force");
            }
            None => debug!(trigger, reason, "configuration not reloaded; the one before stays in force"),
        }
    }

    /// Forgets what was said about `target`, when it leaves the configuration.
    pub fn forget(&self, target: &TargetKey) {
        self.repeats.forget(target);
    }

    fn record_repeat(&self, target: &TargetKey, event: Event, detail: [&'static str; 2]) -> u64 {
        self.stats.event(event);
        self.repeats.record_failure(key(target, event, detail))
    }
}

fn key(target: &TargetKey, event: Event, detail: [&'static str; 2]) -> Key {
    Key { target: Some(target.clone()), event, detail }
}

const NO_DETAIL: [&str; 2] = ["", ""];
const GLOBAL_COMMIT: Key = Key { target: None, event: Event::CommitFailed, detail: NO_DETAIL };

/// Whether polling cannot succeed, or loses something, until somebody acts.
const fn needs_a_person(problem: Problem) -> bool {
    match problem {
        Problem::Unauthorized
        | Problem::Forbidden
        | Problem::NotFound
        | Problem::WrongHost
        | Problem::BadPayload
        | Problem::Storage
        | Problem::InternalError => true,
        Problem::RateLimited
        | Problem::ServerError
        | Problem::Unreachable
        | Problem::Timeout
        | Problem::CutOff
        | Problem::TranscriptOff
        | Problem::LatencyMissing
        | Problem::PartialFields
        | Problem::StuckConversations
        | Problem::ClockSkew => false,
    }
}

/// Seconds to the millisecond, which is enough for people.
fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests;
