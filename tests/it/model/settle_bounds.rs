//! When a conversation may count at the earliest, derived from the fetched records alone.
//!
//! It counts when it has been seen finished for the settle time, or if it ended, by a duration greater than zero, at least the
//! first recheck age ago. A scrape shows only how many have counted, which must not be more than may have.

use std::collections::{BTreeMap, BTreeSet};

use polyai_domain::conversation::{Amount, ConversationId, ConversationState};
use polyai_domain::timestamp::Timestamp;
use polyai_engine::recorder::Batch;

use super::scenario::{Scenario, length};

/// The finished conversations of one target.
#[derive(Debug, Default)]
pub(super) struct SettleBounds {
    /// When each was first seen finished.
    waiting: BTreeMap<ConversationId, Timestamp>,
    ripe: BTreeSet<ConversationId>,
}

impl SettleBounds {
    /// A batch is sent: what it saw finished may settle from now on, even if a kill interrupts the commit.
    pub(super) fn on_submitted(&mut self, scenario: &Scenario, batch: &Batch) {
        self.see(scenario, batch, false);
    }

    /// A batch is committed: what it saw in progress starts over.
    pub(super) fn on_committed(&mut self, scenario: &Scenario, batch: &Batch) {
        self.see(scenario, batch, true);
    }

    fn see(&mut self, scenario: &Scenario, batch: &Batch, is_committed: bool) {
        let long_ago = length(scenario.ages[0].max(scenario.settle));
        for observation in &batch.observations {
            let (id, data) = (&observation.conversation.id, &observation.conversation.data);
            match data.state {
                ConversationState::InProgress if is_committed => drop(self.waiting.remove(id)),
                ConversationState::InProgress => {}
                ConversationState::Finished => {
                    self.waiting.entry(id.clone()).or_insert(batch.now);
                    let lasted = data.duration.map(Amount::duration).filter(|lasted| !lasted.is_zero());
                    if lasted.is_some_and(|lasted| data.started_at + lasted + long_ago <= batch.now) {
                        self.ripe.insert(id.clone());
                    }
                }
            }
        }
        let waited = self.due(scenario, batch.now);
        self.ripe.extend(waited);
    }

    /// The largest number that may have counted.
    pub(super) fn most(&self) -> usize {
        self.ripe.len()
    }

    /// Those that must have counted once a batch was applied at `now`, if nothing failed.
    pub(super) fn due(&self, scenario: &Scenario, now: Timestamp) -> BTreeSet<ConversationId> {
        let settle = length(scenario.settle);
        let waiting = self.waiting.iter();
        waiting.filter(|&(_, &since)| since + settle <= now).map(|(id, _)| id.clone()).collect()
    }
}
