//! The working state of all targets, its commits, and the snapshot of what is committed.

use std::collections::BTreeMap;
use std::sync::Arc;

use polyai_domain::target::TargetKey;

use super::batch::{PollStatus, TargetIndex};
use super::gauges;
use super::target::{CountingPolicy, TargetState};
use crate::aggregate::{SeriesSchema, TargetSeries};
use crate::ledger::store::{Changes, Store, StoreError};

/// The committed series: what a scrape shows. Cheap to share; a target that did not change is the same allocation as in the
/// snapshot before.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Counts up with every change.
    pub number: u64,
    /// In the order of the configuration.
    pub targets: Vec<(Arc<TargetKey>, Arc<TargetSeries>)>,
    /// The labels and buckets of the series.
    pub schema: Option<Arc<SeriesSchema>>,
    /// The size of the state on disk, bytes.
    pub state_bytes: u64,
}

/// The working state, ahead of what is committed by at most one group of batches.
pub struct Recorder {
    pub(super) store: Store,
    pub(super) policy: CountingPolicy,
    pub(super) schema: Arc<SeriesSchema>,
    pub(super) targets: BTreeMap<TargetIndex, TargetState>,
    /// In the order of the configuration.
    pub(super) display_order: Vec<TargetIndex>,
    pub(super) next_index: usize,
    /// The content of the next commit, apart from series.
    pub(super) changes: Changes,
    committed: Snapshot,
}

impl Recorder {
    pub(super) fn new(store: Store, policy: CountingPolicy) -> Self {
        Self {
            store,
            schema: Arc::new(policy.schema.clone()),
            policy,
            targets: BTreeMap::new(),
            display_order: Vec::new(),
            next_index: 0,
            changes: Changes::default(),
            committed: Snapshot::default(),
        }
    }

    /// Applies the result of a poll.
    pub fn set_poll_status(&mut self, status: &PollStatus) {
        let Some(state) = self.targets.get_mut(&status.target) else { return };
        let series = Arc::make_mut(&mut state.series);
        gauges::set_poll_status(series, status);
        if status.up {
            state.recent.evict(status.now);
            gauges::set_recent(series, &state.recent, status.now);
        }
    }

    /// Writes the changes since the last commit in one transaction. Returns whether there were any. Watermarks alone wait
    /// for `flush_watermarks`, or for something that must be durable. An error loses nothing: the next call writes the same
    /// changes, and [`snapshot`](Self::snapshot) stays what it was.
    pub fn commit(&mut self, flush_watermarks: bool) -> Result<bool, StoreError> {
        self.store.check_file()?;
        for state in self.targets.values_mut() {
            state.encode_dirty(&self.schema, &mut self.changes)?;
        }
        let due = self.changes.is_urgent() || flush_watermarks && !self.changes.watermarks.is_empty();
        if due {
            self.store.commit(&self.changes)?;
            self.changes = Changes::default();
        }
        let shown = self.display_order.iter().filter_map(|index| self.targets.get(index));
        self.committed = Snapshot {
            number: self.committed.number + 1,
            targets: shown.map(|state| (state.key.clone(), state.series.clone())).collect(),
            schema: Some(self.schema.clone()),
            state_bytes: self.store.bytes(),
        };
        Ok(due)
    }

    /// The store, to load another recorder from; what was not committed is lost.
    pub fn into_store(self) -> Store {
        self.store
    }

    /// Reopens the store after a failure.
    pub fn reopen(&mut self) {
        self.store.reopen();
    }

    /// The committed snapshot, for scrapes.
    pub fn snapshot(&self) -> &Snapshot {
        &self.committed
    }

    /// The last committed snapshot, with `storage` among the problems of every target.
    pub fn snapshot_with_storage_problem(&mut self) -> &Snapshot {
        self.committed.number += 1;
        for (_, series) in &mut self.committed.targets {
            gauges::set_storage_problem(Arc::make_mut(series));
        }
        &self.committed
    }
}
