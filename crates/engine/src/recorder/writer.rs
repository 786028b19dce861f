//! The working state of all targets, its commits, and the snapshot of what is committed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use polyai_domain::target::TargetKey;

use super::batch::{PollStatus, TargetIndex};
use super::gauges;
use super::snapshot::Snapshot;
use super::target::{CountingPolicy, TargetState};
use crate::aggregate::{SeriesSchema, TargetSeries};
use crate::ledger::store::{Changes, Store, StoreError};

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
    /// The targets whose series may differ from the snapshot.
    pub(super) touched: BTreeSet<TargetIndex>,
    /// The targets that have caught up since the task last reported them, with the number of their conversations.
    pub(super) exposed: Vec<(Arc<TargetKey>, u64)>,
    /// Whether the targets themselves, or all their series, may differ from the snapshot.
    pub(super) relisted: bool,
    committed: Arc<Snapshot>,
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
            touched: BTreeSet::new(),
            exposed: Vec::new(),
            relisted: true,
            committed: Arc::default(),
        }
    }

    /// Applies the result of a poll.
    pub fn set_poll_status(&mut self, status: &PollStatus) {
        let Some(state) = self.targets.get_mut(&status.target) else { return };
        self.touched.insert(status.target);
        if let Some(conversations) = state.on_poll_end(status, &mut self.changes) {
            self.exposed.push((state.key.clone(), conversations));
        }
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
        for index in &self.touched {
            if let Some(state) = self.targets.get_mut(index) {
                state.encode_dirty(&self.schema, &mut self.changes)?;
            }
        }
        let due = self.changes.is_urgent() || flush_watermarks && !self.changes.watermarks.is_empty();
        if due {
            self.store.commit(&self.changes)?;
            self.changes = Changes::default();
        }
        let mut next = Snapshot { number: self.committed.number + 1, ..(*self.committed).clone() };
        next.schema = Some(self.schema.clone());
        next.state_bytes = self.store.bytes();
        let touched = std::mem::take(&mut self.touched);
        if std::mem::take(&mut self.relisted) {
            let shown = self.display_order.iter().filter_map(|index| self.targets.get(index));
            next.targets = shown.map(|state| (state.key.clone(), state.exposed_series())).collect();
        } else {
            for state in touched.iter().filter_map(|index| self.targets.get(index)) {
                next.targets[state.position].1 = state.exposed_series();
            }
        }
        self.committed = Arc::new(next);
        Ok(due)
    }

    /// The series of a target in the committed snapshot.
    pub(super) fn committed_series(&self, target: TargetIndex) -> Arc<TargetSeries> {
        let state = self.targets.get(&target).filter(|state| state.position < self.committed.targets.len());
        let committed = state.map(|state| &self.committed.targets[state.position]);
        // After a change of the targets another one may be at this position.
        let same = committed.filter(|(key, _)| state.is_some_and(|state| Arc::ptr_eq(key, &state.key)));
        same.map(|(_, series)| series.clone()).unwrap_or_default()
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
    pub fn snapshot(&self) -> &Arc<Snapshot> {
        &self.committed
    }

    /// The last committed snapshot, with `storage` among the problems of every target.
    pub fn snapshot_with_storage_problem(&mut self) -> &Arc<Snapshot> {
        let snapshot = Arc::make_mut(&mut self.committed);
        snapshot.number += 1;
        for index in 0..snapshot.targets.len() {
            gauges::set_storage_problem(Arc::make_mut(&mut snapshot.targets[index].1));
        }
        // The next commit shows every target without it.
        self.relisted = true;
        &self.committed
    }
}
