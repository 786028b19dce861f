//! How a poll is told of: to the log, to the journal that people read, and to the recorder.
//!
//! Owns: which problems a target has, and the wait after a failure. Never: a request.

use std::collections::BTreeSet;

use super::{PollError, PollLoop, Poller};
use crate::api::{FetchError, FetchErrorKind};
use crate::problem::Problem;
use crate::recorder::PollStatus;
use crate::recorder::task::RecorderStopped;
use crate::schedule::walk::{FetchPlan, FetchRange, PassKind};
use crate::status::{Poll, Report};
use crate::timestamp::Timestamp;

impl PollLoop {
    /// A target that cannot be had is left alone for a while.
    pub(super) fn back_off(&mut self, error: &FetchError) {
        let wait = self.backoff.failed(error.kind, self.poller.interval, rand::random());
        // After a 429 the budget itself makes the target wait.
        if error.kind != FetchErrorKind::RateLimited {
            self.timer.pause(wait);
        }
    }

    /// A poll has ended: the log, the journal and the recorder are told.
    pub(super) async fn report(
        &mut self,
        failure: Option<FetchError>,
        poll: Poll,
    ) -> Result<(), RecorderStopped> {
        let Poller { target, events, list, clock, passes, .. } = &self.poller;
        let look = clock.read();
        let now = Timestamp::from(list.server_clock.at(look));
        let mut problems: BTreeSet<Problem> = self.health.finish_poll(now);
        match list.server_clock.skew_seconds(look) {
            Some(seconds) => {
                problems.insert(Problem::ClockSkew);
                events.clock_skew(target, seconds);
            }
            None => events.clock_skew_resolved(target),
        }
        let stuck = passes.oldest_open(now);
        if stuck.is_some() {
            problems.insert(Problem::StuckConversations);
        }
        match &failure {
            None => events.poll_recovered(target),
            Some(error) => {
                problems.insert(error.kind.problem());
                events.poll_failed(target, error.kind.as_str(), error);
            }
        }
        for problem in Problem::ALL {
            if problems.contains(&problem) {
                let is_new = events.problem_started(target, problem);
                if let Some((id, start)) = stuck.filter(|_| is_new && problem == Problem::StuckConversations)
                {
                    events.conversation_stuck(target, id.as_str(), &start);
                }
            } else if problem != Problem::Storage {
                events.problem_ended(target, problem);
            }
        }
        let here = Timestamp::from(clock.now());
        self.poller.journal.poll_finished(&Report {
            poll,
            problems: &problems,
            reason: failure.as_ref().map(reason).as_deref(),
            api_ahead_millis: now.millis().saturating_sub(here.millis()),
            counts_since: passes.anchor(),
            read_to: passes.fresh_watermark(),
            tracked: passes.tracked_count(),
            next: self.next_tick(),
        });
        let status = PollStatus { target: self.poller.index, now, up: failure.is_none(), problems };
        self.poller.recorder.note(status).await
    }

    /// A stretch of `walk` has been read on the way from `from` to `to`.
    pub(super) async fn report_progress(
        &mut self,
        walk: &FetchPlan,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<(), PollError> {
        let PassKind::Stretch(FetchRange { fresh: Some((_, reached)), .. }) = walk.purpose else {
            return Ok(());
        };
        if reached >= to {
            // The last line should tell of everything.
            self.finish_underway().await?;
        }
        let Poller { target, events, .. } = &self.poller;
        let times = (
            chrono::DateTime::from_timestamp_millis(from.millis()),
            chrono::DateTime::from_timestamp_millis(to.millis()),
        );
        if let (Some(from_time), Some(to_time)) = times {
            let done = reached.saturating_duration_since(from).as_secs_f64()
                / to.saturating_duration_since(from).as_secs_f64().max(1.0);
            let done = (done * 100.0).round() / 100.0;
            events.catching_up(target, from_time, to_time, done, self.backfilled_count);
        }
        if reached >= to {
            self.backfilled_count = 0;
        }
        Ok(())
    }
}

/// What a failure looked like, with what the vendor's support asks for.
fn reason(error: &FetchError) -> String {
    match &error.correlation_id {
        Some(id) => format!("{error}; correlation id {id}"),
        None => error.to_string(),
    }
}
