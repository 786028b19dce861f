//! Conversations that left the open list and have not been found finished: when to ask again, and when to give up.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use polyai_domain::conversation::{Conversation, ConversationId};
use polyai_domain::fetch::{Filter, Window};
use polyai_domain::timestamp::Timestamp;

use super::PollPolicy;
use super::fetch_plan::FetchPlan;
use super::read_starts::ReadStarts;
use super::refetch::{self, RefetchRequest};

/// A missing conversation is asked for at this many polls in a row, then less and less often.
const IMMEDIATE_RETRIES: u32 = 4;
const MIN_TRIES_BEFORE_GIVING_UP: u32 = 12;
const MAX_BACKOFF: Duration = Duration::from_secs(10 * 60);
const MIN_SEARCH_TIME: Duration = Duration::from_secs(3600);
/// Read on either side of a start: the API does not say whether it includes the bounds, and may know fractions of milliseconds.
const MARGIN: Duration = Duration::from_millis(1);
/// The same where starts or bounds may be rounded to a second: if that has been seen, or after some tries.
const ROUNDING_MARGIN: Duration = Duration::from_secs(1);
const EXACT_TRIES: u32 = 3;

/// The missing conversations of one target.
#[derive(Debug, Default)]
pub(super) struct MissingConversations {
    by_id: BTreeMap<ConversationId, Missing>,
    /// Whether the API rounds starts or bounds.
    rounds: bool,
}

#[derive(Debug, Clone, Copy)]
struct Missing {
    started_at: Timestamp,
    since: Timestamp,
    tries: u32,
    due: Timestamp,
    /// Whether it is known to be in progress, or was not in a window that should have held it.
    may_be_running: bool,
    /// Whether it gets a request of its own, because one that it shared failed.
    isolated: bool,
}

impl MissingConversations {
    /// Adds the conversations that were open `before` and are not listed any more, and removes those that are listed again.
    pub(super) fn on_open_list(
        &mut self,
        before: &BTreeMap<ConversationId, Timestamp>,
        listed: &BTreeMap<ConversationId, Timestamp>,
        now: Timestamp,
    ) {
        for (id, &started_at) in before {
            let missing = Missing::new(started_at, now);
            self.by_id.entry(id.clone()).or_insert(missing);
        }
        self.by_id.retain(|id, _| !listed.contains_key(id));
    }

    /// Adds a conversation that is in progress but not in the open list.
    pub(super) fn on_running_unlisted(
        &mut self,
        id: &ConversationId,
        started_at: Timestamp,
        now: Timestamp,
        policy: &PollPolicy,
    ) {
        let due = now + unlisted_recheck_delay(started_at, now, policy);
        let running =
            Missing { tries: IMMEDIATE_RETRIES, due, may_be_running: true, ..Missing::new(started_at, now) };
        self.by_id.entry(id.clone()).or_insert(running).since = now;
    }

    pub(super) fn on_found(&mut self, id: &ConversationId) {
        self.by_id.remove(id);
    }

    /// A window returned a conversation with this start, which by its record may be just outside.
    pub(super) fn on_listed(&mut self, window: Window, start: Timestamp) {
        let before = |from: Timestamp| start < from && from - ROUNDING_MARGIN <= start;
        let after = |to: Timestamp| to < start && start <= to + ROUNDING_MARGIN;
        self.rounds |= window.from.is_some_and(before) || window.to.is_some_and(after);
    }

    /// The fetches of this poll, the most urgent last. What the window `recheck` will read anyway is left out.
    pub(super) fn due(
        &self,
        now: Timestamp,
        recheck: Option<Window>,
        read: &ReadStarts,
        policy: &PollPolicy,
    ) -> Vec<FetchPlan> {
        let is_rechecked =
            |missing: &Missing| recheck.is_some_and(|window| window.contains(missing.started_at));
        let due = self.by_id.iter().filter(|(_, missing)| missing.due <= now && !is_rechecked(missing));
        let requests = due.map(|(id, missing)| {
            let is_exact = !self.rounds && missing.tries < EXACT_TRIES;
            let margin = if is_exact { MARGIN } else { ROUNDING_MARGIN };
            RefetchRequest {
                from: missing.started_at - margin,
                to: missing.started_at + margin,
                filter: if missing.may_be_running { Filter::Any } else { Filter::Finished },
                queued_since: missing.due,
                isolated: missing.isolated,
                ids: vec![id.clone()],
            }
        });
        let mut plans = refetch::plans(requests.collect(), read, policy.refetch_budget);
        plans.reverse();
        plans
    }

    /// A request for `ids` returned `seen`. Returns the conversations that it gives up.
    pub(super) fn on_refetched(
        &mut self,
        ids: &[ConversationId],
        seen: &[Conversation],
        now: Timestamp,
        policy: &PollPolicy,
    ) -> Vec<ConversationId> {
        let seen: HashSet<&ConversationId> = seen.iter().map(|conversation| &conversation.id).collect();
        self.retry(ids, now, policy, |id, missing| {
            let running = seen.contains(id);
            missing.may_be_running = true;
            let tries = missing.tries + 1;
            missing.tries = if running { tries.min(IMMEDIATE_RETRIES) } else { tries };
            let wait = match (missing.tries >= IMMEDIATE_RETRIES, running) {
                // Behind those that have waited longer.
                (false, _) => Duration::ZERO,
                (true, true) => unlisted_recheck_delay(missing.started_at, now, policy),
                (true, false) => now.saturating_duration_since(missing.since) / 2,
            };
            wait.min(MAX_BACKOFF)
        })
    }

    /// A request for `ids` failed, which counts as a try: one that always fails must not be repeated at every poll for ever.
    /// Returns the conversations that it gives up.
    pub(super) fn on_failed(
        &mut self,
        ids: &[ConversationId],
        now: Timestamp,
        policy: &PollPolicy,
    ) -> Vec<ConversationId> {
        self.retry(ids, now, policy, |_, missing| {
            missing.isolated |= ids.len() > 1;
            missing.tries += 1;
            let wait = policy.interval.saturating_mul(2u32.saturating_pow(missing.tries.min(16) - 1));
            wait.min(MAX_BACKOFF.max(policy.interval))
        })
    }

    /// Schedules the next request for each of `ids` after the wait that `on_try` returns. Returns and removes those that have
    /// been searched for long enough.
    fn retry(
        &mut self,
        ids: &[ConversationId],
        now: Timestamp,
        policy: &PollPolicy,
        on_try: impl Fn(&ConversationId, &mut Missing) -> Duration,
    ) -> Vec<ConversationId> {
        let given_up = ids.iter().filter(|&id| {
            let Some(missing) = self.by_id.get_mut(id) else { return false };
            missing.due = now + on_try(id, missing);
            let gives_up = missing.should_give_up(now, policy);
            if gives_up {
                self.by_id.remove(id);
            }
            gives_up
        });
        given_up.cloned().collect()
    }

    /// Gives each of `ids` a request of its own, because a shared one brings too much. Returns false if there is only one.
    pub(super) fn split(&mut self, ids: &[ConversationId]) -> bool {
        for id in ids {
            if let Some(missing) = self.by_id.get_mut(id) {
                missing.isolated = true;
            }
        }
        ids.len() > 1
    }

    /// The clock was ahead: nothing may wait for a time that was wrong.
    pub(super) fn on_clock_rollback(&mut self, now: Timestamp, policy: &PollPolicy) {
        let latest = now + MAX_BACKOFF.max(policy.interval);
        for missing in self.by_id.values_mut() {
            missing.since = missing.since.min(now);
            if missing.due > latest {
                missing.due = now;
            }
        }
    }

    pub(super) fn starts(&self) -> impl Iterator<Item = (&ConversationId, Timestamp)> {
        self.by_id.iter().map(|(id, missing)| (id, missing.started_at))
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }
}

impl Missing {
    fn new(started_at: Timestamp, now: Timestamp) -> Self {
        Self { started_at, since: now, tries: 0, due: now, may_be_running: false, isolated: false }
    }

    /// Requires a number of tries too: a clock that was stepped must not end the search after the first one.
    fn should_give_up(&self, now: Timestamp, policy: &PollPolicy) -> bool {
        let max_search_time = policy.max_age().unwrap_or_default().max(MIN_SEARCH_TIME);
        now.saturating_duration_since(self.since) > max_search_time
            && self.tries >= MIN_TRIES_BEFORE_GIVING_UP
    }
}

/// How long to wait before asking again for a conversation that is in progress but not in the open list.
fn unlisted_recheck_delay(started_at: Timestamp, now: Timestamp, policy: &PollPolicy) -> Duration {
    let delay = now.saturating_duration_since(started_at) / 10;
    delay.max(policy.interval).min(MAX_BACKOFF.max(policy.interval))
}
