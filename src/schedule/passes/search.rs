//! Conversations that left the open list and were not found finished yet.
//!
//! Owns: when each is asked for again, and when it is given up. Pure. Never: the windows of the requests.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use super::PollPolicy;
use crate::api::Window;
use crate::conversation::{Conversation, ConversationId};
use crate::schedule::narrow::{self, RefetchRequest};
use crate::timestamp::Timestamp;

/// A conversation that is neither listed nor found is asked for at every tick this many times, then less and less often.
const IMMEDIATE_RETRIES: u32 = 4;
/// It is not given up before it was asked for this many times.
const MIN_TRIES_BEFORE_GIVING_UP: u32 = 12;
const MAX_BACKOFF: Duration = Duration::from_secs(10 * 60);
const MIN_SEARCH_TIME: Duration = Duration::from_secs(3600);

/// All that one target misses.
#[derive(Debug, Default)]
pub(super) struct MissingConversations {
    missing: BTreeMap<ConversationId, Missing>,
}

/// A conversation that was open and is not listed any more.
#[derive(Debug, Clone, Copy)]
struct Missing {
    started_at: Timestamp,
    since: Timestamp,
    tries: u32,
    due: Timestamp,
    isolated: bool,
}

impl MissingConversations {
    /// One was open and is not listed any more.
    pub(super) fn on_left_open_list(&mut self, id: ConversationId, started_at: Timestamp, now: Timestamp) {
        let unseen = Missing { started_at, since: now, tries: 0, due: now, isolated: false };
        self.missing.entry(id).or_insert(unseen);
    }

    /// One runs but is not listed: it is followed from here.
    pub(super) fn on_running_unlisted(
        &mut self,
        id: &ConversationId,
        started_at: Timestamp,
        now: Timestamp,
        policy: &PollPolicy,
    ) {
        let due = now + unlisted_recheck_delay(started_at, now, policy);
        let unlisted = Missing { started_at, since: now, tries: IMMEDIATE_RETRIES, due, isolated: false };
        self.missing.entry(id.clone()).or_insert(unlisted).since = now;
    }

    /// It was found.
    pub(super) fn found(&mut self, id: &ConversationId) {
        self.missing.remove(id);
    }

    /// These are listed again.
    pub(super) fn listed(&mut self, open: &BTreeMap<ConversationId, Timestamp>) {
        self.missing.retain(|id, _| !open.contains_key(id));
    }

    /// The requests that are due, the first one last.
    pub(super) fn due(&self, now: Timestamp, policy: &PollPolicy) -> Vec<(Window, Vec<ConversationId>)> {
        let due = self.missing.iter().filter(|(_, missing)| missing.due <= now);
        let sought = due.map(|(id, missing)| RefetchRequest {
            start: missing.started_at,
            id: id.clone(),
            queued_since: missing.due,
            alone: missing.isolated,
        });
        let mut windows = narrow::windows(sought.collect(), policy.narrow_requests);
        windows.reverse();
        windows
    }

    /// A request for `ids` saw these. Answers whom it gives up.
    pub(super) fn on_refetched(
        &mut self,
        ids: &[ConversationId],
        seen: &[Conversation],
        now: Timestamp,
        policy: &PollPolicy,
    ) -> Vec<ConversationId> {
        let seen: HashSet<&ConversationId> = seen.iter().map(|conversation| &conversation.id).collect();
        let mut given_up = Vec::new();
        for id in ids {
            let Some(missing) = self.missing.get_mut(id) else { continue };
            let runs = seen.contains(id);
            missing.tries = if runs { (missing.tries + 1).min(IMMEDIATE_RETRIES) } else { missing.tries + 1 };
            let wait = match (missing.tries >= IMMEDIATE_RETRIES, runs) {
                // Behind those that have waited longer.
                (false, _) => Duration::ZERO,
                (true, true) => unlisted_recheck_delay(missing.started_at, now, policy),
                (true, false) => now.saturating_duration_since(missing.since) / 2,
            };
            missing.due = now + wait.min(MAX_BACKOFF);
            if missing.should_give_up(now, policy) {
                given_up.push(id.clone());
            }
        }
        self.give_up(given_up)
    }

    /// A request for `ids` failed, which counts as a try, or else one that always fails would be asked for at every tick and
    /// for ever. Answers whom it gives up.
    pub(super) fn failed(
        &mut self,
        ids: &[ConversationId],
        now: Timestamp,
        policy: &PollPolicy,
    ) -> Vec<ConversationId> {
        let shared = ids.len() > 1;
        let mut given_up = Vec::new();
        for id in ids {
            let Some(missing) = self.missing.get_mut(id) else { continue };
            missing.isolated |= shared;
            missing.tries += 1;
            let wait = policy.interval.saturating_mul(2u32.saturating_pow(missing.tries.min(16) - 1));
            missing.due = now + wait.min(MAX_BACKOFF.max(policy.interval));
            if missing.should_give_up(now, policy) {
                given_up.push(id.clone());
            }
        }
        self.give_up(given_up)
    }

    /// A request for `ids` would bring too much: each gets one of its own. Answers false if there was only one.
    pub(super) fn split(&mut self, ids: &[ConversationId]) -> bool {
        for id in ids {
            if let Some(missing) = self.missing.get_mut(id) {
                missing.isolated = true;
            }
        }
        ids.len() > 1
    }

    fn give_up(&mut self, ids: Vec<ConversationId>) -> Vec<ConversationId> {
        for id in &ids {
            self.missing.remove(id);
        }
        ids
    }

    /// The clock was ahead: nothing may wait for a time that was never meant.
    pub(super) fn on_clock_rollback(&mut self, now: Timestamp, policy: &PollPolicy) {
        let latest = now + MAX_BACKOFF.max(policy.interval);
        for missing in self.missing.values_mut() {
            missing.since = missing.since.min(now);
            if missing.due > latest {
                missing.due = now;
            }
        }
    }

    /// All of them, with their starts.
    pub(super) fn starts(&self) -> impl Iterator<Item = (&ConversationId, Timestamp)> {
        self.missing.iter().map(|(id, missing)| (id, missing.started_at))
    }

    pub(super) fn len(&self) -> usize {
        self.missing.len()
    }
}

impl Missing {
    /// By the clock alone, one that was stepped would give up what was looked for once.
    fn should_give_up(&self, now: Timestamp, policy: &PollPolicy) -> bool {
        let longest = policy.ages.iter().copied().max().unwrap_or_default().max(MIN_SEARCH_TIME);
        now.saturating_duration_since(self.since) > longest && self.tries >= MIN_TRIES_BEFORE_GIVING_UP
    }
}

/// How long a conversation that runs, but is not listed, is left alone.
fn unlisted_recheck_delay(started_at: Timestamp, now: Timestamp, policy: &PollPolicy) -> Duration {
    (now.saturating_duration_since(started_at) / 10)
        .max(policy.interval)
        .min(MAX_BACKOFF.max(policy.interval))
}
