//! The single writer: a batch of sightings becomes verdicts, contributions, one transaction, and a new generation.
//!
//! Owns: the working state of every target and the order in which it changes. Never: the network, the clock (each batch
//! brings its own `now`), or a format. What a scrape sees is a [`Snapshot`], made only after the commit.

mod absorb;
mod gauges;
mod known;
mod load;
mod persist;
mod prune;
mod roster;
pub mod task;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

pub use load::PollerCheckpoint;
pub use roster::{TargetAssignment, TargetEntry, TargetSet, TargetSetup};

use crate::aggregate::{LabelLimiter, RecentWindow, SeriesKey, SeriesSchema, TargetSeries};
use crate::ledger::Watermarks;
use crate::ledger::store::{Changes, Store, StoreError, TargetId};
use crate::ledger::verdict::SeenBy;
use polyai_domain::conversation::{Conversation, ConversationId};
use polyai_domain::problem::Problem;
use polyai_domain::target::TargetKey;
use polyai_domain::timestamp::Timestamp;

/// Which target: a number that it gets when it enters the configuration, and that no other gets while the program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetIndex(pub usize);

/// What one walk of a target brought in; takes effect as a whole or not at all.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Of which target.
    pub target: TargetIndex,
    /// The API's time when the walk ended.
    pub now: Timestamp,
    /// Every conversation seen, each once.
    pub sightings: Vec<Observation>,
    /// Set by the live pass: the sightings are all that is open.
    pub is_listing: bool,
    /// Conversations that are followed no longer.
    pub abandoned: Vec<ConversationId>,
    /// How far the target has been read with this walk.
    pub marks: Option<Watermarks>,
}

/// One sight of a conversation.
#[derive(Debug, Clone)]
pub struct Observation {
    /// What was seen.
    pub conversation: Conversation,
    /// By which kind of pass.
    pub sight: SeenBy,
}

/// How the latest poll of a target went.
#[derive(Debug, Clone)]
pub struct PollStatus {
    /// Of which target.
    pub target: TargetIndex,
    /// The API's time.
    pub now: Timestamp,
    /// Whether every walk of the poll succeeded.
    pub up: bool,
    /// What is wrong now.
    pub problems: BTreeSet<Problem>,
}

/// What became of a batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BatchOutcome {
    /// Conversations that were seen finished for the first time.
    pub finished: Vec<FirstFinished>,
    /// How many counted with this batch.
    pub counted: u64,
    /// Values folded by the label cap, by label.
    pub folded: BTreeSet<&'static str>,
}

/// A conversation that was seen finished for the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FirstFinished {
    /// When it started.
    pub started_at: Timestamp,
    /// When it ended by its own account.
    pub ended_at: Option<Timestamp>,
    /// Whether it had been seen running before.
    pub was_open: bool,
    /// By which kind of pass it was seen.
    pub sight: SeenBy,
}

/// What a scrape shows: committed state only. Cheap to share; targets that did not change are the same allocation as in the
/// generation before.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Counts up with every change.
    pub number: u64,
    /// In the order of the settings.
    pub targets: Vec<(Arc<TargetKey>, Arc<TargetSeries>)>,
    /// The shape of the series.
    pub layout: Option<Arc<SeriesSchema>>,
    /// The size of the state on disk, bytes.
    pub state_bytes: u64,
}

/// How conversations count, from the settings.
#[derive(Debug, Clone)]
pub struct CountingPolicy {
    /// The shape of series.
    pub layout: SeriesSchema,
    /// `polling.settle`
    pub settle: Duration,
    /// The age beyond which a finished conversation has settled by itself: the first recheck age.
    pub settled_age: Duration,
    /// `metrics.recent_window`
    pub recent_window: Duration,
    /// `metrics.max_label_values`
    pub max_label_values: std::num::NonZeroUsize,
}

/// The working state, ahead of what is committed by at most one group of batches.
#[derive(Debug)]
pub struct Recorder {
    store: Store,
    counting: CountingPolicy,
    layout: Arc<SeriesSchema>,
    targets: BTreeMap<TargetIndex, TargetState>,
    /// In the order of the settings.
    display_order: Vec<TargetIndex>,
    next_index: usize,
    changes: Changes,
    dirty: BTreeSet<(TargetIndex, SeriesKey)>,
    committed: Snapshot,
}

#[derive(Debug)]
struct TargetState {
    key: Arc<TargetKey>,
    setup: TargetSetup,
    id: TargetId,
    marks: Option<Watermarks>,
    series: Arc<TargetSeries>,
    cap: LabelLimiter,
    /// Finished and not yet counted, with the time of the first sight.
    settling: BTreeMap<ConversationId, Timestamp>,
    recent: RecentWindow,
    known: known::IdFilter,
}

impl Recorder {
    /// Writes what the batches since the last commit have changed, in one transaction. Answers whether there was anything to
    /// write. Marks alone wait for `flush_watermarks`, or for something that must be durable.
    ///
    /// # Errors
    /// When the store cannot be written: then nothing is lost, the same changes are written by the next call, and
    /// [`generation`](Self::generation) stays what it was.
    pub fn commit(&mut self, flush_watermarks: bool) -> Result<bool, StoreError> {
        self.encode_dirty_series()?;
        let due = self.changes.is_urgent() || flush_watermarks && !self.changes.marks.is_empty();
        if due {
            self.store.commit(&self.changes)?;
            self.changes = Changes::default();
        }
        self.publish();
        Ok(due)
    }

    fn encode_dirty_series(&mut self) -> Result<(), StoreError> {
        while let Some((target, key)) = self.dirty.pop_first() {
            let Some(state) = self.targets.get(&target) else { continue };
            if let Some(series) = state.series.get(&key) {
                let (name, value) = persist::encode(&key, series, &self.layout)?;
                self.changes.series.insert((state.id, name), Some(value));
            }
        }
        Ok(())
    }

    fn publish(&mut self) {
        let shown = self.display_order.iter().filter_map(|index| self.targets.get(index));
        self.committed = Snapshot {
            number: self.committed.number + 1,
            targets: shown.map(|state| (state.key.clone(), state.series.clone())).collect(),
            layout: Some(self.layout.clone()),
            state_bytes: self.store.bytes(),
        };
    }

    /// The store, for another recorder to be loaded from; what was not committed is gone.
    pub fn into_store(self) -> Store {
        self.store
    }

    /// Takes hold of the store anew, after it failed.
    pub fn reopen(&mut self) {
        self.store.reopen();
    }

    /// What a scrape may show now.
    pub fn generation(&self) -> &Snapshot {
        &self.committed
    }

    /// The last committed generation, with `storage` among the problems of every target.
    pub fn snapshot_with_storage_problem(&mut self) -> &Snapshot {
        self.committed.number += 1;
        for (_, series) in &mut self.committed.targets {
            gauges::set_storage_problem(Arc::make_mut(series));
        }
        &self.committed
    }
}

#[cfg(test)]
mod tests;
