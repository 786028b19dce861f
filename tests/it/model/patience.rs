//! When a conversation may count at the earliest, from what the walks brought alone.
//!
//! It counts when it has been seen finished for the settle time, or when it ended, by a duration greater than nothing, at least
//! the first recheck age ago. Which of them have counted a scrape does not tell, only how many: never more than may.

use std::collections::{BTreeMap, BTreeSet};

use polyai_exporter::conversation::{Amount, ConversationId, ConversationState};
use polyai_exporter::recorder::Batch;
use polyai_exporter::timestamp::Timestamp;

use super::plan::{Plan, length};

/// What has been seen of the conversations of one target.
#[derive(Debug, Default)]
pub(super) struct Patience {
    /// Finished, since when.
    waiting: BTreeMap<ConversationId, Timestamp>,
    ripe: BTreeSet<ConversationId>,
}

impl Patience {
    /// A batch is on its way: from here on what it saw finished may wait, even if a kill cuts the commit short.
    pub(super) fn may_begin(&mut self, plan: &Plan, batch: &Batch) {
        self.see(plan, batch, false);
    }

    /// A batch was committed: what it saw running waits anew.
    pub(super) fn has_begun(&mut self, plan: &Plan, batch: &Batch) {
        self.see(plan, batch, true);
    }

    fn see(&mut self, plan: &Plan, batch: &Batch, is_committed: bool) {
        let long_ago = length(plan.ages[0].max(plan.settle));
        for sighting in &batch.observations {
            let (id, data) = (&sighting.conversation.id, &sighting.conversation.data);
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
        let waited = self.due(plan, batch.now);
        self.ripe.extend(waited);
    }

    /// How many may have counted.
    pub(super) fn most(&self) -> usize {
        self.ripe.len()
    }

    /// Those that must have counted once a batch was taken at `now`, if nothing went wrong.
    pub(super) fn due(&self, plan: &Plan, now: Timestamp) -> BTreeSet<ConversationId> {
        let settle = length(plan.settle);
        let waiting = self.waiting.iter();
        waiting.filter(|&(_, &since)| since + settle <= now).map(|(id, _)| id.clone()).collect()
    }
}
