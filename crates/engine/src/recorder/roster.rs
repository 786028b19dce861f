//! Whose conversations are recorded and how they count: at the start, and whenever the configuration changes while the daemon
//! runs.
//!
//! Owns: the turn from one roster to the next. It is whole or nothing, and a target that stays as it was is not touched: its
//! series stay the same allocations. A target that leaves keeps its state in the store, so that it goes on from there should it
//! come back.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::mem;
use std::sync::Arc;

use super::load::{PollerCheckpoint, RestoredTarget};
use super::{CountingPolicy, Recorder, Snapshot, TargetIndex, TargetState, gauges};
use crate::aggregate::{Kind, SeriesKey, SeriesSchema, TargetSeries};
use crate::ledger::store::{Changes, Store, StoreError};
use polyai_domain::target::TargetKey;
use polyai_domain::timestamp::Timestamp;

/// What the recorder needs to know of a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetSetup {
    /// Its identity.
    pub key: TargetKey,
    /// Channels that exist at 0 from the first scrape.
    pub channels: Vec<String>,
    /// `polyai_target_info`: account id, project id, host, API version.
    pub info: [String; 4],
}

/// Who is recorded from now on, and how.
#[derive(Debug, Clone)]
pub struct TargetSet {
    /// How conversations count.
    pub counting: CountingPolicy,
    /// In the order in which they are shown; no key twice.
    pub places: Vec<TargetEntry>,
}

/// A target's place in the roster.
#[derive(Debug, Clone)]
pub struct TargetEntry {
    /// The target.
    pub setup: TargetSetup,
    /// Whether its poller begins anew and has to know where it stands. The one before must have stopped.
    pub resumes: bool,
}

/// What became of a [`TargetEntry`].
#[derive(Debug, Clone)]
pub struct TargetAssignment {
    /// What batches call the target.
    pub index: TargetIndex,
    /// Where its poller goes on, if that was asked.
    pub resume: Option<PollerCheckpoint>,
}

/// A target on its way into the roster.
struct StagedTarget {
    index: TargetIndex,
    /// Read from the store; none for a target that stays.
    loaded: Option<RestoredTarget>,
    resume: Option<PollerCheckpoint>,
}

impl Recorder {
    /// Takes up the state of `targets` as it was last committed; `now` is the start of series that do not exist yet. Their
    /// indices count from 0.
    ///
    /// # Errors
    /// When the state cannot be read, or not be written.
    pub fn load(
        mut store: Store,
        targets: &[TargetSetup],
        counting: CountingPolicy,
        now: Timestamp,
    ) -> Result<(Self, Vec<PollerCheckpoint>), StoreError> {
        store.compact()?;
        let mut recorder = Self {
            layout: Arc::new(counting.layout.clone()),
            store,
            counting: counting.clone(),
            targets: BTreeMap::new(),
            display_order: Vec::new(),
            next_index: 0,
            changes: Changes::default(),
            dirty: BTreeSet::new(),
            committed: Snapshot::default(),
        };
        let places = targets.iter().map(|setup| TargetEntry { setup: setup.clone(), resumes: true });
        let roster = TargetSet { counting, places: places.collect() };
        let enlisted = recorder.reconfigure(&roster, now)?;
        Ok((recorder, enlisted.into_iter().filter_map(|one| one.resume).collect()))
    }

    /// Turns to another roster; `now` is the start of series that do not exist yet. What has been absorbed before is committed
    /// first. Answers one entry per place.
    ///
    /// # Errors
    /// When the state cannot be read, or not be written; the call may be repeated.
    pub fn reconfigure(
        &mut self,
        roster: &TargetSet,
        now: Timestamp,
    ) -> Result<Vec<TargetAssignment>, StoreError> {
        self.commit(true)?;
        let layout = match roster.counting.layout == *self.layout {
            true => self.layout.clone(),
            false => Arc::new(roster.counting.layout.clone()),
        };
        // Whatever may fail comes first.
        let candidates = self.candidates(roster, &layout, now)?;
        let before = mem::take(&mut self.targets);
        let old_layout = mem::replace(&mut self.layout, layout);
        self.counting = roster.counting.clone();
        self.next_index =
            candidates.iter().map(|one| one.index.0 + 1).max().unwrap_or(0).max(self.next_index);
        self.display_order = candidates.iter().map(|one| one.index).collect();
        let enlisted = self.apply_targets(candidates, roster, before, &old_layout, now);
        self.commit(true)?;
        Ok(enlisted)
    }

    fn candidates(
        &self,
        roster: &TargetSet,
        layout: &Arc<SeriesSchema>,
        now: Timestamp,
    ) -> Result<Vec<StagedTarget>, StoreError> {
        let known: HashMap<&TargetKey, TargetIndex> =
            self.targets.iter().map(|(index, state)| (&*state.key, *index)).collect();
        // These decide what is kept in memory, so that all of it is made again from the state, as a restart would.
        let rebuilds = !Arc::ptr_eq(layout, &self.layout)
            || roster.counting.recent_window != self.counting.recent_window
            || roster.counting.max_label_values != self.counting.max_label_values;
        let mut next = self.next_index;
        let mut candidates = Vec::with_capacity(roster.places.len());
        let names: Vec<String> = roster.places.iter().map(|place| place.setup.key.to_string()).collect();
        for (place, id) in roster.places.iter().zip(self.store.target_ids(&names)?) {
            let index = known.get(&place.setup.key).copied();
            let staying = index.and_then(|index| self.targets.get(&index)).filter(|_| !rebuilds);
            let (loaded, resume) = match staying {
                Some(state) if place.resumes => (None, Some(self.resume(state)?)),
                Some(_) => (None, None),
                None => {
                    let (loaded, resume) =
                        self.load_target(&place.setup, id, &roster.counting, layout, now)?;
                    (Some(loaded), place.resumes.then_some(resume))
                }
            };
            let index = index.unwrap_or_else(|| {
                next += 1;
                TargetIndex(next - 1)
            });
            candidates.push(StagedTarget { index, loaded, resume });
        }
        Ok(candidates)
    }

    fn apply_targets(
        &mut self,
        candidates: Vec<StagedTarget>,
        roster: &TargetSet,
        mut before: BTreeMap<TargetIndex, TargetState>,
        old_layout: &SeriesSchema,
        now: Timestamp,
    ) -> Vec<TargetAssignment> {
        let mut enlisted = Vec::with_capacity(candidates.len());
        for (StagedTarget { index, loaded, resume }, place) in candidates.into_iter().zip(&roster.places) {
            enlisted.push(TargetAssignment { index, resume });
            let state = match (loaded, before.remove(&index)) {
                (Some(RestoredTarget { mut state, incompatible: misfits }), old) => {
                    // In one commit with the series that begin in their stead.
                    let gone = misfits.into_iter().map(|stored| ((state.id, stored), None));
                    self.changes.series.extend(gone);
                    let new = state.init_series(&self.layout, now);
                    self.dirty.extend(new.into_iter().map(|key| (index, key)));
                    state.init_gauges(now);
                    if let Some(old) = old {
                        state.key = old.key;
                        let series = Arc::make_mut(&mut state.series);
                        carry_over_gauges(&old.series, old_layout, series, &self.layout);
                        // These are of the new roster.
                        gauges::show_info(series, &state.setup, now);
                        gauges::show_recent(series, &state.recent, now);
                    }
                    state
                }
                (None, Some(mut state)) => {
                    if state.setup != place.setup {
                        state.setup = place.setup.clone();
                        let new = state.init_series(&self.layout, now);
                        self.dirty.extend(new.into_iter().map(|key| (index, key)));
                        gauges::show_info(Arc::make_mut(&mut state.series), &state.setup, now);
                    }
                    state
                }
                (None, None) => continue,
            };
            self.targets.insert(index, state);
        }
        enlisted
    }
}

/// What the last poll has found out stays true until the next one, where its labels are still the same.
fn carry_over_gauges(from: &TargetSeries, old: &SeriesSchema, to: &mut TargetSeries, new: &SeriesSchema) {
    for (key, series) in from.iter() {
        let SeriesKey { metric, .. } = key;
        let is_gauge = matches!(metric.definition().kind, Kind::Gauge);
        if is_gauge && old.label_names(*metric) == new.label_names(*metric) {
            to.restore(key.clone(), (**series).clone());
        }
    }
}
