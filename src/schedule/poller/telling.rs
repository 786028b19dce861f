//! How a poll is told of: to the log, to the journal that people read, and to the recorder.
//!
//! Owns: which problems a target has, and the wait after a failure. Never: a request.

use std::collections::BTreeSet;

use super::{Ended, Poller, Run};
use crate::api::{FetchError, FetchErrorKind};
use crate::moment::Moment;
use crate::problem::Problem;
use crate::recorder::Status;
use crate::recorder::task::Stopped;
use crate::schedule::walk::{Purpose, Stretch, Walk};
use crate::status::{Poll, Report};

impl Run {
    /// A target that cannot be had is left alone for a while.
    pub(super) fn wait_after(&mut self, error: &FetchError) {
        let wait = self.backoff.failed(error.kind, self.poller.interval, rand::random());
        // After a 429 the budget itself makes the target wait.
        if error.kind != FetchErrorKind::RateLimited {
            self.timer.pause(wait);
        }
    }

    /// A poll has ended: the log, the journal and the recorder are told.
    pub(super) async fn report(&mut self, failure: Option<FetchError>, poll: Poll) -> Result<(), Stopped> {
        let Poller { list, passes, .. } = &self.poller;
        let look = list.clock.look();
        let now = Moment::from(list.server_clock.at(look));
        let mut problems: BTreeSet<Problem> = self.health.conclude(now);
        match list.server_clock.skew_seconds(look) {
            Some(seconds) => {
                problems.insert(Problem::ClockSkew);
                list.events.clock_skew(&list.target, seconds);
            }
            None => list.events.clocks_agree(&list.target),
        }
        let stuck = passes.stuck(now);
        if stuck.is_some() {
            problems.insert(Problem::StuckConversations);
        }
        match &failure {
            None => list.events.poll_recovered(&list.target),
            Some(error) => {
                problems.insert(error.kind.problem());
                list.events.poll_failed(&list.target, error.kind.as_str(), error);
            }
        }
        for problem in Problem::ALL {
            if problems.contains(&problem) {
                let is_new = list.events.problem_started(&list.target, problem);
                if let Some((id, start)) = stuck.filter(|_| is_new && problem == Problem::StuckConversations)
                {
                    list.events.conversation_stuck(&list.target, id.as_str(), &start);
                }
            } else if problem != Problem::Storage {
                list.events.problem_ended(&list.target, problem);
            }
        }
        let here = Moment::from(list.clock.now());
        self.poller.journal.ended(&Report {
            poll,
            problems: &problems,
            reason: failure.as_ref().map(reason).as_deref(),
            api_ahead_millis: now.millis().saturating_sub(here.millis()),
            counts_since: passes.anchor(),
            read_to: passes.fresh_mark(),
            followed: passes.followed(),
            next: self.next_tick(),
        });
        let status = Status { target: self.poller.index, now, up: failure.is_none(), problems };
        self.poller.recorder.note(status).await
    }

    /// A stretch of `walk` has been read on the way from `from` to `to`.
    pub(super) async fn tell_progress(&mut self, walk: &Walk, from: Moment, to: Moment) -> Result<(), Ended> {
        let Purpose::Stretch(Stretch { fresh: Some((_, reached)), .. }) = walk.purpose else { return Ok(()) };
        if reached >= to {
            // The last line should tell of everything.
            self.finish_underway().await?;
        }
        let list = &self.poller.list;
        let times = (
            chrono::DateTime::from_timestamp_millis(from.millis()),
            chrono::DateTime::from_timestamp_millis(to.millis()),
        );
        if let (Some(from_time), Some(to_time)) = times {
            let done = reached.since(from).as_secs_f64() / to.since(from).as_secs_f64().max(1.0);
            let done = (done * 100.0).round() / 100.0;
            list.events.catching_up(&list.target, from_time, to_time, done, self.caught_up);
        }
        if reached >= to {
            self.caught_up = 0;
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
