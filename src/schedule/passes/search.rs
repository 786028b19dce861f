//! Conversations that left the open list and were not found finished yet.
//!
//! Owns: when each is asked for again, and when it is given up. Pure. Never: the windows of the requests.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use super::Policy;
use crate::api::Window;
use crate::conversation::{Conversation, ConversationId};
use crate::moment::Moment;
use crate::schedule::narrow::{self, Sought};

/// A conversation that is neither listed nor found is asked for at every tick this many times, then less and less often.
const EAGER_TRIES: u32 = 4;
/// It is not given up before it was asked for this many times.
const PATIENT_TRIES: u32 = 12;
const RARELY: Duration = Duration::from_secs(10 * 60);
const SHORTEST_SEARCH: Duration = Duration::from_secs(3600);

/// All that one target misses.
#[derive(Debug, Default)]
pub(super) struct Search {
    missing: BTreeMap<ConversationId, Missing>,
}

/// A conversation that was open and is not listed any more.
#[derive(Debug, Clone, Copy)]
struct Missing {
    started_at: Moment,
    since: Moment,
    tries: u32,
    due: Moment,
    alone: bool,
}

impl Search {
    /// One was open and is not listed any more.
    pub(super) fn left(&mut self, id: ConversationId, started_at: Moment, now: Moment) {
        let unseen = Missing { started_at, since: now, tries: 0, due: now, alone: false };
        self.missing.entry(id).or_insert(unseen);
    }

    /// One runs but is not listed: it is followed from here.
    pub(super) fn runs(&mut self, id: &ConversationId, started_at: Moment, now: Moment, policy: &Policy) {
        let due = now + wait_for_running(started_at, now, policy);
        let unlisted = Missing { started_at, since: now, tries: EAGER_TRIES, due, alone: false };
        self.missing.entry(id.clone()).or_insert(unlisted).since = now;
    }

    /// It was found.
    pub(super) fn found(&mut self, id: &ConversationId) {
        self.missing.remove(id);
    }

    /// These are listed again.
    pub(super) fn listed(&mut self, open: &BTreeMap<ConversationId, Moment>) {
        self.missing.retain(|id, _| !open.contains_key(id));
    }

    /// The requests that are due, the first one last.
    pub(super) fn due(&self, now: Moment, policy: &Policy) -> Vec<(Window, Vec<ConversationId>)> {
        let due = self.missing.iter().filter(|(_, missing)| missing.due <= now);
        let sought = due.map(|(id, missing)| Sought {
            start: missing.started_at,
            id: id.clone(),
            waits_since: missing.due,
            alone: missing.alone,
        });
        let mut windows = narrow::windows(sought.collect(), policy.narrow_requests);
        windows.reverse();
        windows
    }

    /// A request for `ids` saw these. Answers whom it gives up.
    pub(super) fn looked(
        &mut self,
        ids: &[ConversationId],
        seen: &[Conversation],
        now: Moment,
        policy: &Policy,
    ) -> Vec<ConversationId> {
        let seen: HashSet<&ConversationId> = seen.iter().map(|conversation| &conversation.id).collect();
        let mut given_up = Vec::new();
        for id in ids {
            let Some(missing) = self.missing.get_mut(id) else { continue };
            let runs = seen.contains(id);
            missing.tries = if runs { (missing.tries + 1).min(EAGER_TRIES) } else { missing.tries + 1 };
            let wait = match (missing.tries >= EAGER_TRIES, runs) {
                // Behind those that have waited longer.
                (false, _) => Duration::ZERO,
                (true, true) => wait_for_running(missing.started_at, now, policy),
                (true, false) => now.since(missing.since) / 2,
            };
            missing.due = now + wait.min(RARELY);
            if missing.is_hopeless(now, policy) {
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
        now: Moment,
        policy: &Policy,
    ) -> Vec<ConversationId> {
        let shared = ids.len() > 1;
        let mut given_up = Vec::new();
        for id in ids {
            let Some(missing) = self.missing.get_mut(id) else { continue };
            missing.alone |= shared;
            missing.tries += 1;
            let wait = policy.interval.saturating_mul(2u32.saturating_pow(missing.tries.min(16) - 1));
            missing.due = now + wait.min(RARELY.max(policy.interval));
            if missing.is_hopeless(now, policy) {
                given_up.push(id.clone());
            }
        }
        self.give_up(given_up)
    }

    /// A request for `ids` would bring too much: each gets one of its own. Answers false if there was only one.
    pub(super) fn split(&mut self, ids: &[ConversationId]) -> bool {
        for id in ids {
            if let Some(missing) = self.missing.get_mut(id) {
                missing.alone = true;
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
    pub(super) fn clock_was_ahead(&mut self, now: Moment, policy: &Policy) {
        let latest = now + RARELY.max(policy.interval);
        for missing in self.missing.values_mut() {
            missing.since = missing.since.min(now);
            if missing.due > latest {
                missing.due = now;
            }
        }
    }

    /// All of them, with their starts.
    pub(super) fn starts(&self) -> impl Iterator<Item = (&ConversationId, Moment)> {
        self.missing.iter().map(|(id, missing)| (id, missing.started_at))
    }

    pub(super) fn len(&self) -> usize {
        self.missing.len()
    }
}

impl Missing {
    /// By the clock alone, one that was stepped would give up what was looked for once.
    fn is_hopeless(&self, now: Moment, policy: &Policy) -> bool {
        let longest = policy.ages.iter().copied().max().unwrap_or_default().max(SHORTEST_SEARCH);
        now.since(self.since) > longest && self.tries >= PATIENT_TRIES
    }
}

/// How long a conversation that runs, but is not listed, is left alone.
fn wait_for_running(started_at: Moment, now: Moment, policy: &Policy) -> Duration {
    (now.since(started_at) / 10).max(policy.interval).min(RARELY.max(policy.interval))
}
