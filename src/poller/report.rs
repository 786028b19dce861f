//! Reports polls to the log, the status page and the recorder.

use std::time::Duration;

use chrono::{DateTime, Utc};
use polyai_api::{FetchError, FetchErrorKind};
use polyai_domain::conversation::{MissingField, RejectedKind};
use polyai_domain::problem::Problem;
use polyai_domain::target::TargetKey;
use polyai_domain::timestamp::Timestamp;
use polyai_engine::poll_session::{Notice, PollFailure, PollReport};
use polyai_engine::recorder::task::RecorderStopped;

use super::PollLoop;
use crate::events::Events;
use crate::status::{Poll, Progress, Report};

impl PollLoop {
    /// Reports a poll, and backs off if the target could not be reached.
    pub(super) async fn report(&mut self, report: PollReport, took: Duration) -> Result<(), RecorderStopped> {
        self.poller.stats.poll(took);
        match &report.failure {
            Some(PollFailure { error, partial: false }) => self.back_off(error),
            // A partial failure has reached the target.
            Some(_) | None => self.backoff.succeeded(),
        }
        let (events, target) = (&self.poller.events, &self.poller.target);
        match self.poller.list.server_clock.skew_seconds(self.poller.clock.read()) {
            Some(seconds) => events.clock_skew(target, seconds),
            None => events.clock_skew_resolved(target),
        }
        match &report.failure {
            None => events.poll_recovered(target),
            Some(PollFailure { error, .. }) => events.poll_failed(target, error.kind.as_str(), error),
        }
        log_problems(events, target, &report);
        let PollReport { status, failure, stats, anchor, read_to, tracked, .. } = report;
        let now = self.wall_time();
        self.poller.history.poll_finished(&Report {
            poll: Poll {
                // The clock may have been stepped during the poll.
                began: now - took,
                took,
                failure: failure.as_ref().map(|failure| failure.error.kind.problem()),
                walks: stats.fetches,
                traffic: std::mem::take(&mut self.poller.list.request_stats),
                records: stats.records,
                rejected: stats.rejected,
                counted: stats.counted,
            },
            problems: &status.problems,
            missing_fields: &status.missing_fields,
            reason: failure.as_ref().map(|failure| reason(&failure.error)).as_deref(),
            progress: Progress {
                api_ahead_millis: status.now.millis().saturating_sub(now.millis()),
                counts_since: anchor,
                read_to,
                tracked,
            },
            next: self.next_poll(),
        });
        self.poller.recorder.set_poll_status(status).await
    }

    fn back_off(&mut self, error: &FetchError) {
        let wait = self.backoff.failed(error, self.poller.interval, rand::random());
        // After a 429 the rate limiter itself makes the target wait.
        if error.kind != FetchErrorKind::RateLimited {
            self.ticker.pause(wait);
        }
    }
}

/// Logs the problems that started and ended with a poll.
pub(crate) fn log_problems(events: &Events, target: &TargetKey, report: &PollReport) {
    for problem in Problem::ALL {
        if report.status.problems.contains(&problem) {
            let is_new = events.problem_started(target, problem);
            if let Some((id, start)) = &report.stuck
                && is_new
                && problem == Problem::StuckConversations
            {
                events.conversation_stuck(target, id.as_str(), start);
            }
        } else if problem != Problem::Storage {
            events.problem_ended(target, problem);
        }
    }
    for field in MissingField::ALL {
        if report.status.missing_fields.contains(&field) {
            events.field_missing(target, field);
        } else {
            events.field_found(target, field);
        }
    }
}

/// Logs a notice of the session.
pub(crate) fn log_notice(events: &Events, target: &TargetKey, notice: &Notice) {
    match notice {
        Notice::OpenListTruncated => events.open_conversations_truncated(target),
        Notice::WindowTooLarge(plan, max) => {
            let (pass, window) = (plan.pass.name(), plan.window);
            let reason =
                format!("{pass} pass, {window}: more than {max} conversations, or too many pages or bytes");
            events.fetch_abandoned(target, &reason);
        }
        Notice::RecordsRejected(rejected) => {
            for record in rejected {
                let detail = match record.kind {
                    RejectedKind::WrongEnvironment => "its environment is not the client_env of the target",
                    RejectedKind::BadId | RejectedKind::BadStart | RejectedKind::BadShape => {
                        "the record could not be parsed; the rest of its page is counted"
                    }
                };
                events.record_rejected(target, record, detail);
            }
        }
        Notice::ConversationAbandoned(id) => events.conversation_missing(target, id.as_str()),
        Notice::Progress { from, reached, to, conversations } => {
            let done = reached.saturating_duration_since(*from).as_secs_f64()
                / to.saturating_duration_since(*from).as_secs_f64().max(1.0);
            let done = (done * 100.0).round() / 100.0;
            if let (Some(from), Some(to)) = (date_time(*from), date_time(*to)) {
                events.catching_up(target, from, to, done, *conversations);
            }
        }
    }
}

fn date_time(time: Timestamp) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_millis(time.millis())
}

/// The error with its correlation id.
fn reason(error: &FetchError) -> String {
    match &error.correlation_id {
        Some(id) => format!("{error}; correlation id {id}"),
        None => error.to_string(),
    }
}
