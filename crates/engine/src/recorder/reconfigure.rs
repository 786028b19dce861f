//! Which targets are recorded and how they count: at the start, and whenever the configuration changes.
//!
//! A change is whole or nothing. A target that stays as it was is not touched: its series stay the same allocations. A target
//! that leaves keeps its state in the store, and continues from there should it return.

use std::collections::{BTreeMap, HashMap};
use std::mem;
use std::sync::Arc;

use polyai_domain::target::TargetKey;
use polyai_domain::timestamp::Timestamp;

use super::batch::TargetIndex;
use super::gauges;
use super::target::{CountingPolicy, PollerCheckpoint, TargetSetup, TargetState};
use super::writer::Recorder;
use crate::aggregate::SeriesSchema;
use crate::ledger::store::{Store, StoreError};

/// The targets to record, and how they count.
#[derive(Debug, Clone)]
pub struct TargetSet {
    /// How conversations count.
    pub counting: CountingPolicy,
    /// In the order in which they are shown; no key twice.
    pub targets: Vec<TargetEntry>,
}

/// One target of a [`TargetSet`].
#[derive(Debug, Clone)]
pub struct TargetEntry {
    /// The target.
    pub setup: TargetSetup,
    /// Whether its poller starts now and needs a checkpoint. The one before must have stopped.
    pub needs_checkpoint: bool,
}

/// The result for a [`TargetEntry`].
#[derive(Debug, Clone)]
pub struct TargetAssignment {
    /// The number of the target in batches.
    pub index: TargetIndex,
    /// The position from which its poller continues, if it starts now.
    pub checkpoint: Option<PollerCheckpoint>,
}

/// A target on its way into the recorder.
struct StagedTarget {
    index: TargetIndex,
    checkpoint: Option<PollerCheckpoint>,
    /// Absent for a target that stays.
    restored: Option<TargetState>,
}

impl Recorder {
    /// Restores the state of `targets` as it was last committed; `now` is the start of series that do not exist yet. Their
    /// indices count from 0.
    pub fn load(
        mut store: Store,
        targets: &[TargetSetup],
        counting: CountingPolicy,
        now: Timestamp,
    ) -> Result<(Self, Vec<PollerCheckpoint>), StoreError> {
        store.compact()?;
        let mut recorder = Self::new(store, counting.clone());
        let targets =
            targets.iter().map(|setup| TargetEntry { setup: setup.clone(), needs_checkpoint: true });
        let targets = TargetSet { counting, targets: targets.collect() };
        let assignments = recorder.reconfigure(&targets, now)?;
        Ok((recorder, assignments.into_iter().filter_map(|assignment| assignment.checkpoint).collect()))
    }

    /// Changes the targets, after committing what has been applied before; `now` is the start of series that do not exist
    /// yet. Returns one assignment per target. After an error the call may be repeated.
    pub fn reconfigure(
        &mut self,
        targets: &TargetSet,
        now: Timestamp,
    ) -> Result<Vec<TargetAssignment>, StoreError> {
        self.commit(true)?;
        // The steps that may fail come first.
        let staged = self.stage(targets, now)?;
        let old_schema = self.schema.clone();
        if targets.counting.schema != *old_schema {
            self.schema = Arc::new(targets.counting.schema.clone());
        }
        self.apply_targets(staged, targets, &old_schema, now)
    }

    fn stage(&self, targets: &TargetSet, now: Timestamp) -> Result<Vec<StagedTarget>, StoreError> {
        let known: HashMap<&TargetKey, TargetIndex> =
            self.targets.iter().map(|(index, state)| (&*state.key, *index)).collect();
        let (old, new) = (&self.policy, &targets.counting);
        // These decide what is held in memory, so all of it is restored from the state, as at a restart.
        let restores = new.schema != *self.schema
            || new.recent_window != old.recent_window
            || new.max_label_values != old.max_label_values;
        let names: Vec<String> = targets.targets.iter().map(|target| target.setup.key.to_string()).collect();
        let mut next = self.next_index;
        let mut staged = Vec::with_capacity(targets.targets.len());
        for (target, id) in targets.targets.iter().zip(self.store.target_ids(&names)?) {
            let index = known.get(&target.setup.key).copied();
            let staying = index.and_then(|index| self.targets.get(&index)).filter(|_| !restores);
            let (checkpoint, restored) = match staying {
                Some(state) => {
                    (target.needs_checkpoint.then(|| state.checkpoint(&self.store)).transpose()?, None)
                }
                None => {
                    let (state, checkpoint) = TargetState::restore(&self.store, &target.setup, id, new, now)?;
                    (target.needs_checkpoint.then_some(checkpoint), Some(state))
                }
            };
            let index = index.unwrap_or_else(|| {
                next += 1;
                TargetIndex(next - 1)
            });
            staged.push(StagedTarget { index, checkpoint, restored });
        }
        Ok(staged)
    }

    fn apply_targets(
        &mut self,
        staged: Vec<StagedTarget>,
        targets: &TargetSet,
        old_schema: &SeriesSchema,
        now: Timestamp,
    ) -> Result<Vec<TargetAssignment>, StoreError> {
        self.policy = targets.counting.clone();
        self.display_order = staged.iter().map(|target| target.index).collect();
        let last = self.display_order.iter().max();
        self.next_index = self.next_index.max(last.map_or(0, |last| last.0 + 1));
        let mut before: BTreeMap<TargetIndex, TargetState> = mem::take(&mut self.targets);
        let mut assignments = Vec::with_capacity(staged.len());
        for (position, (staged, target)) in staged.into_iter().zip(&targets.targets).enumerate() {
            let StagedTarget { index, checkpoint, restored } = staged;
            assignments.push(TargetAssignment { index, checkpoint });
            let mut state = match (restored, before.remove(&index)) {
                (Some(mut state), old) => {
                    state.init_series(&self.schema, now);
                    state.init_gauges(now);
                    if let Some(old) = old {
                        state.key = old.key;
                        let series = Arc::make_mut(&mut state.series);
                        gauges::carry_over(&old.series, old_schema, series, &self.schema);
                        // These are new.
                        gauges::set_info(series, &state.setup.info, now);
                        gauges::set_recent(series, &state.recent, now);
                    }
                    state
                }
                (None, Some(mut state)) => {
                    if state.setup != target.setup {
                        state.setup = target.setup.clone();
                        state.init_series(&self.schema, now);
                        gauges::set_info(Arc::make_mut(&mut state.series), &state.setup.info, now);
                    }
                    state
                }
                (None, None) => continue,
            };
            state.position = position;
            self.targets.insert(index, state);
        }
        self.touched = self.targets.keys().copied().collect();
        self.relisted = true;
        self.commit(true)?;
        Ok(assignments)
    }
}
