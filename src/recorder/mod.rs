//! The single writer: a batch of sightings becomes verdicts, contributions, one transaction, and a new generation.
//!
//! Owns: the working state of every target and the order in which it changes. Never: the network, the clock (each batch
//! brings its own `now`), or a format. What a scrape sees is a [`Generation`], made only after the commit.

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

pub use load::Resume;
pub use roster::{Enlisted, Place, Roster, TargetSetup};

use crate::aggregate::{LabelCap, Layout, Recent, SeriesKey, TargetSeries};
use crate::conversation::{Conversation, ConversationId};
use crate::ledger::Marks;
use crate::ledger::store::{Changes, Store, StoreError, TargetId};
use crate::ledger::verdict::Sight;
use crate::moment::Moment;
use crate::problem::Problem;
use crate::target::TargetKey;

/// Which target: a number that it gets when it enters the configuration, and that no other gets while the program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetIndex(pub usize);

/// What one walk of a target brought in; takes effect as a whole or not at all.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Of which target.
    pub target: TargetIndex,
    /// The API's time when the walk ended.
    pub now: Moment,
    /// Every conversation seen, each once.
    pub sightings: Vec<Sighting>,
    /// Set by the live pass: the sightings are all that is open.
    pub is_listing: bool,
    /// Conversations that are followed no longer.
    pub abandoned: Vec<ConversationId>,
    /// How far the target has been read with this walk.
    pub marks: Option<Marks>,
}

/// One sight of a conversation.
#[derive(Debug, Clone)]
pub struct Sighting {
    /// What was seen.
    pub conversation: Conversation,
    /// By which kind of pass.
    pub sight: Sight,
}

/// How the latest poll of a target went.
#[derive(Debug, Clone)]
pub struct Status {
    /// Of which target.
    pub target: TargetIndex,
    /// The API's time.
    pub now: Moment,
    /// Whether every walk of the poll succeeded.
    pub up: bool,
    /// What is wrong now.
    pub problems: BTreeSet<Problem>,
}

/// What became of a batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recorded {
    /// Conversations that were seen finished for the first time.
    pub finished: Vec<FirstFinish>,
    /// How many counted with this batch.
    pub counted: u64,
    /// Values folded by the label cap, by label.
    pub folded: BTreeSet<&'static str>,
}

/// A conversation that was seen finished for the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FirstFinish {
    /// When it started.
    pub started_at: Moment,
    /// When it ended by its own account.
    pub ended_at: Option<Moment>,
    /// Whether it had been seen running before.
    pub was_open: bool,
    /// By which kind of pass it was seen.
    pub sight: Sight,
}

/// What a scrape shows: committed state only. Cheap to share; targets that did not change are the same allocation as in the
/// generation before.
#[derive(Debug, Clone, Default)]
pub struct Generation {
    /// Counts up with every change.
    pub number: u64,
    /// In the order of the settings.
    pub targets: Vec<(Arc<TargetKey>, Arc<TargetSeries>)>,
    /// The shape of the series.
    pub layout: Option<Arc<Layout>>,
    /// The size of the state on disk, bytes.
    pub state_bytes: u64,
}

/// How conversations count, from the settings.
#[derive(Debug, Clone)]
pub struct Counting {
    /// The shape of series.
    pub layout: Layout,
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
    counting: Counting,
    layout: Arc<Layout>,
    targets: BTreeMap<TargetIndex, TargetState>,
    /// In the order of the settings.
    shown: Vec<TargetIndex>,
    next_index: usize,
    changes: Changes,
    dirty: BTreeSet<(TargetIndex, SeriesKey)>,
    committed: Generation,
}

#[derive(Debug)]
struct TargetState {
    key: Arc<TargetKey>,
    setup: TargetSetup,
    id: TargetId,
    marks: Option<Marks>,
    series: Arc<TargetSeries>,
    cap: LabelCap,
    /// Finished and not yet counted, with the time of the first sight.
    settling: BTreeMap<ConversationId, Moment>,
    recent: Recent,
    known: known::Known,
}

impl Recorder {
    /// Writes what the batches since the last commit have changed, in one transaction. Answers whether there was anything to
    /// write. Marks alone wait for `even_marks`, or for something that must be durable.
    ///
    /// # Errors
    /// When the store cannot be written: then nothing is lost, the same changes are written by the next call, and
    /// [`generation`](Self::generation) stays what it was.
    pub fn commit(&mut self, even_marks: bool) -> Result<bool, StoreError> {
        self.encode_dirty_series()?;
        let due = self.changes.is_urgent() || even_marks && !self.changes.marks.is_empty();
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
        let shown = self.shown.iter().filter_map(|index| self.targets.get(index));
        self.committed = Generation {
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
    pub fn generation(&self) -> &Generation {
        &self.committed
    }

    /// The last committed generation, with `storage` among the problems of every target.
    pub fn generation_without_storage(&mut self) -> &Generation {
        self.committed.number += 1;
        for (_, series) in &mut self.committed.targets {
            gauges::flag_storage(Arc::make_mut(series));
        }
        &self.committed
    }
}

#[cfg(test)]
mod tests;
