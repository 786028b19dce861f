//! One function per event: it logs and counts together, so that the two never diverge.
//!
//! No field has a secret, a phone number or a word of a transcript; ids of conversations are allowed.
//!
//! Levels: `error` lost data or needs a person, `warn` lost nothing, `info` is recovery or progress. A lasting failure is
//! logged once; its repeats go to `debug` with their number, and its end to `info` with number and duration.

mod log_throttle;
mod observers;

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use polyai_api::FetchError;
use polyai_domain::conversation::{MissingField, RejectedRecord};
use polyai_domain::problem::Problem;
use polyai_domain::target::TargetKey;
use tracing::{debug, error, info, warn};

pub use crate::exporter_metrics::Event;
use crate::exporter_metrics::ExporterMetrics;
use log_throttle::{Key, LogRate, LogThrottle};
pub use observers::TargetEvents;

/// The log and the counters of events. Clones share both.
#[derive(Debug, Clone)]
pub struct Events {
    stats: ExporterMetrics,
    throttle: Arc<LogThrottle>,
}

/// An intermittent failure has ended when it has not happened for this long.
const CLEAR_AFTER: Duration = Duration::from_secs(5 * 60);

const TEN_MINUTES: Duration = Duration::from_secs(10 * 60);
/// Lines about single conversations, per target and kind.
const RECORD_LOG_RATE: LogRate = LogRate { lines: 10, per: TEN_MINUTES };
/// Failed reloads and those without a change, per trigger.
const RELOADS: LogRate = LogRate { lines: 10, per: TEN_MINUTES };
const PROGRESS: LogRate = LogRate { lines: 1, per: Duration::from_secs(30) };
const HOURLY: LogRate = LogRate { lines: 1, per: Duration::from_secs(3600) };
const LISTENER: LogRate = LogRate { lines: 1, per: Duration::from_secs(60) };

/// Logs a line about a target, with the labels of its series.
macro_rules! target_log {
    ($level:ident, $target:expr, $($rest:tt)+) => {
        $level!(
            project = %$target.project,
            region = %$target.region,
            client_env = %$target.client_env,
            $($rest)+
        )
    };
}

/// Logs at `$level` the first time, and at `debug` after that.
macro_rules! log_first_at {
    ($level:ident, $failures:expr, $target:expr, $($rest:tt)+) => {
        match $failures {
            1 => target_log!($level, $target, $($rest)+),
            failures => target_log!(debug, $target, failures, $($rest)+),
        }
    };
}

/// Logs at `$level` if a line is due, and at `debug` otherwise.
macro_rules! log_limited {
    ($level:ident, $suppressed:expr, $target:expr, $($rest:tt)+) => {
        match $suppressed {
            Some(suppressed) => target_log!($level, $target, suppressed, $($rest)+),
            None => target_log!(debug, $target, $($rest)+),
        }
    };
}

impl Events {
    /// Events that count in `stats`.
    pub fn new(stats: ExporterMetrics) -> Self {
        Self { stats, throttle: Arc::default() }
    }

    /// A request to the API failed; it may be retried.
    pub fn request_failed(&self, target: &TargetKey, error: &FetchError) {
        let FetchError { status, correlation_id, message: reason, .. } = error;
        let (endpoint, kind) = (ExporterMetrics::LIST_ENDPOINT, error.kind.as_str());
        let failures = self.count_failure(target, Event::RequestFailed, kind);
        log_first_at!(
            warn,
            failures,
            target,
            endpoint,
            kind,
            status,
            correlation_id,
            reason,
            "request failed"
        );
    }

    /// A poll failed and changed nothing. `kind` is from a closed set.
    pub fn poll_failed(&self, target: &TargetKey, kind: &'static str, reason: &dyn Display) {
        let failures = self.count_failure(target, Event::PollFailed, kind);
        log_first_at!(warn, failures, target, kind, %reason, "poll failed; the next poll reads the same window again");
    }

    /// The poller of a target panicked. The panic itself is already logged.
    pub fn poller_panicked(&self, target: &TargetKey) {
        self.stats.event(Event::PollerPanicked);
        target_log!(error, target, "poller panicked; restarting in 60s from last committed state");
    }

    /// A poll succeeded, which ends the failures before it.
    pub fn poll_recovered(&self, target: &TargetKey) {
        if let Some(ended) = self.throttle.ended(target, Event::PollFailed, Duration::ZERO) {
            let lasted_seconds = seconds(ended.duration);
            target_log!(info, target, failures = ended.failures, lasted_seconds, "target recovered");
        }
        for event in [Event::RequestFailed, Event::PollSkipped, Event::FetchAbandoned] {
            if let Some(ended) = self.throttle.ended(target, event, CLEAR_AFTER) {
                let (event, lasted_seconds) = (event.as_str(), seconds(ended.duration));
                target_log!(info, target, event, failures = ended.failures, lasted_seconds, "event cleared");
            }
        }
    }

    /// A target has a problem; it is logged and counted the first time. Returns whether this is the first time.
    pub fn problem_started(&self, target: &TargetKey, problem: Problem) -> bool {
        let key = key(target, Event::ProblemStarted, problem.code());
        if self.throttle.record_failure(key) > 1 {
            return false;
        }
        self.stats.event(Event::ProblemStarted);
        let (code, advice) = (problem.code(), problem.advice());
        if needs_a_person(problem) {
            target_log!(error, target, problem = code, advice, "problem started");
        } else {
            target_log!(warn, target, problem = code, advice, "problem started");
        }
        true
    }

    /// A target does not have this problem; the end is logged if it had.
    pub fn problem_ended(&self, target: &TargetKey, problem: Problem) {
        let code = problem.code();
        if let Some(ended) = self.throttle.end_streak(&key(target, Event::ProblemStarted, code)) {
            let lasted_seconds = seconds(ended.duration);
            target_log!(info, target, problem = code, lasted_seconds, "problem ended");
        }
    }

    /// The conversations of a target lack a field, which is logged the first time.
    pub fn field_missing(&self, target: &TargetKey, field: MissingField) {
        let field = field.as_str();
        if self.throttle.record_failure(key(target, Event::ProblemStarted, field)) == 1 {
            target_log!(
                warn,
                target,
                field,
                "conversations lack a field; what it measures is unknown, not 0"
            );
        }
    }

    /// The conversations of a target have this field, which is logged if they had not.
    pub fn field_found(&self, target: &TargetKey, field: MissingField) {
        let field = field.as_str();
        if self.throttle.end_streak(&key(target, Event::ProblemStarted, field)).is_some() {
            target_log!(info, target, field, "conversations have the field again");
        }
    }

    /// The conversation that has been open for longest, more than a day: PolyAI asks for its id.
    pub fn conversation_stuck(&self, target: &TargetKey, id: &str, started_at: &dyn Display) {
        self.stats.event(Event::ConversationStuck);
        target_log!(warn, target, conversation_id = id, %started_at, "a conversation has been open for more than a day");
    }

    /// A record could not be parsed or belongs elsewhere, so it is not counted. `detail` has nothing of its content.
    pub fn record_rejected(&self, target: &TargetKey, record: &RejectedRecord, detail: &str) {
        self.stats.record_rejected(record.kind);
        let (id, kind) = (record.id.as_deref(), record.kind.as_str());
        let suppressed = self.count_limited(Some(target), Event::RecordRejected, kind, RECORD_LOG_RATE);
        log_limited!(
            error,
            suppressed,
            target,
            conversation_id = id,
            kind,
            detail,
            "record rejected; it is not counted"
        );
    }

    /// A record counts without the fields named in `unread`, or without an id a response does. This is no problem of the
    /// target, because no conversation is lost.
    pub fn record_partially_read(&self, target: &TargetKey, id: Option<&str>, unread: &dyn Display) {
        let suppressed = self.count_limited(Some(target), Event::RecordPartiallyRead, "", RECORD_LOG_RATE);
        log_limited!(
            warn, suppressed, target, conversation_id = id, %unread,
            "record partially parsed; unreadable fields treated as absent"
        );
    }

    /// An open conversation is no longer listed, neither open nor finished; there is nothing to count.
    pub fn conversation_missing(&self, target: &TargetKey, id: &str) {
        let suppressed = self.count_limited(Some(target), Event::ConversationMissing, "", RECORD_LOG_RATE);
        log_limited!(
            warn,
            suppressed,
            target,
            conversation_id = id,
            "an open conversation is no longer listed"
        );
    }

    /// A poll was due while the previous one of the same target was running.
    pub fn poll_skipped(&self, target: &TargetKey) {
        self.stats.poll_skipped();
        let failures = self.count_failure(target, Event::PollSkipped, "");
        log_first_at!(warn, failures, target, "poll skipped: the previous one is still running");
    }

    /// The fetch of a window was given up; nothing of it was kept.
    pub fn fetch_abandoned(&self, target: &TargetKey, reason: &dyn Display) {
        let failures = self.count_failure(target, Event::FetchAbandoned, "");
        log_first_at!(warn, failures, target, %reason, "fetch of a time window abandoned; will retry");
    }

    /// The list of open conversations is longer than the part of it that is read.
    pub fn open_conversations_truncated(&self, target: &TargetKey) {
        if let Some(suppressed) =
            self.count_limited(Some(target), Event::OpenConversationsTruncated, "", HOURLY)
        {
            target_log!(
                warn,
                target,
                suppressed,
                "open-conversation list truncated; polyai_conversations_in_progress is an undercount"
            );
        }
    }

    /// A value of `label` was replaced by `other`; logged once per label and target.
    pub fn label_limit_reached(&self, target: &TargetKey, label: &'static str) {
        if self.count_failure(target, Event::LabelLimitReached, label) == 1 {
            target_log!(
                warn,
                target,
                label,
                "more label values than metrics.max_label_values; further ones count as \"other\""
            );
        }
    }

    /// A long window is being read; `done_ratio` is from 0 to 1.
    pub fn catching_up(
        &self,
        target: &TargetKey,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
        done_ratio: f64,
        conversations: u64,
    ) {
        let suppressed = self.count_limited(Some(target), Event::CatchingUp, "", PROGRESS);
        if done_ratio >= 1.0 || suppressed.is_some() {
            target_log!(info, target, %from, %to, done_ratio, conversations, "catching up");
        }
    }

    /// A target with a new state has been read up to the present, with so many `conversations`.
    pub fn caught_up(&self, target: &TargetKey, conversations: u64) {
        self.stats.event(Event::CaughtUp);
        target_log!(
            info,
            target,
            conversations,
            "caught up; its conversation series are exposed from now on"
        );
    }

    /// This machine's clock is `seconds` ahead of the API's (negative: behind); windows follow the API's.
    pub fn clock_skew(&self, target: &TargetKey, seconds: f64) {
        let failures = self.count_failure(target, Event::ClockSkew, "");
        log_first_at!(
            warn,
            failures,
            target,
            seconds,
            "this machine's clock and the API's differ; nothing is lost"
        );
    }

    /// The clocks agree; logged if they did not.
    pub fn clock_skew_resolved(&self, target: &TargetKey) {
        if let Some(ended) = self.throttle.ended(target, Event::ClockSkew, Duration::ZERO) {
            let lasted_seconds = seconds(ended.duration);
            target_log!(info, target, lasted_seconds, "this machine's clock and the API's agree again");
        }
    }

    fn commit_failed(&self, reason: &dyn Display, retry_in: Duration) {
        self.stats.event(Event::CommitFailed);
        let retry_in_seconds = seconds(retry_in);
        match self.throttle.record_failure(GLOBAL_COMMIT) {
            1 => error!(%reason, retry_in_seconds, "commit failed; serving last committed snapshot"),
            failures => debug!(failures, %reason, retry_in_seconds, "commit failed"),
        }
    }

    fn commit_recovered(&self) {
        if let Some(ended) = self.throttle.end_streak(&GLOBAL_COMMIT) {
            let lasted_seconds = seconds(ended.duration);
            info!(failures = ended.failures, lasted_seconds, "commits succeeding again");
        }
    }

    /// The configuration was reloaded because of `trigger`. A change is always logged, since it takes access to the files;
    /// a reload without one is throttled, since anybody may request it.
    pub fn config_reloaded(&self, trigger: &'static str, changes: Option<&str>) {
        if let Some(changes) = changes {
            self.stats.event(Event::ConfigReloaded);
            info!(trigger, changes, "configuration reloaded");
            return;
        }
        match self.count_limited(None, Event::ConfigReloaded, trigger, RELOADS) {
            Some(suppressed) => info!(trigger, suppressed, "configuration reloaded; nothing changed"),
            None => debug!(trigger, "configuration reloaded; nothing changed"),
        }
    }

    /// A reload because of `trigger` failed.
    pub fn config_reload_failed(&self, trigger: &'static str, reason: &str) {
        match self.count_limited(None, Event::ConfigReloadFailed, trigger, RELOADS) {
            Some(suppressed) => {
                error!(
                    trigger,
                    reason, suppressed, "configuration reload failed; the previous one stays active"
                );
            }
            None => debug!(trigger, reason, "configuration reload failed; the previous one stays active"),
        }
    }

    /// Drops the history of a removed target.
    pub fn forget(&self, target: &TargetKey) {
        self.throttle.forget(target);
    }

    /// Counts `event` and returns the length of its streak.
    fn count_failure(&self, target: &TargetKey, event: Event, detail: &'static str) -> u64 {
        self.stats.event(event);
        self.throttle.record_failure(key(target, event, detail))
    }

    /// Counts `event`. If a line is due, returns the number of lines suppressed since the last one.
    fn count_limited(
        &self,
        target: Option<&TargetKey>,
        event: Event,
        detail: &'static str,
        rate: LogRate,
    ) -> Option<u64> {
        self.stats.event(event);
        self.throttle.try_log(Key { target: target.cloned(), event, detail }, rate)
    }
}

fn key(target: &TargetKey, event: Event, detail: &'static str) -> Key {
    Key { target: Some(target.clone()), event, detail }
}

const GLOBAL_COMMIT: Key = Key { target: None, event: Event::CommitFailed, detail: "" };

/// Whether polling fails or loses data until somebody acts.
const fn needs_a_person(problem: Problem) -> bool {
    match problem {
        Problem::Unauthorized
        | Problem::Forbidden
        | Problem::NotFound
        | Problem::WrongHost
        | Problem::Redirected
        | Problem::BadRequest
        | Problem::BadPayload
        | Problem::WrongEnvironment
        | Problem::LatencyUnit
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
        | Problem::WindowIgnored
        | Problem::StuckConversations
        | Problem::ClockSkew => false,
    }
}

/// Seconds, rounded to milliseconds.
fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests;
