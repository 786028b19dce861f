//! The working state of one target, and how it is restored from the store.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use polyai_domain::conversation::ConversationId;
use polyai_domain::target::TargetKey;
use polyai_domain::timestamp::Timestamp;

use super::batch::PollStatus;
use super::{codec, gauges};
use crate::aggregate::catalogue::{CATALOGUE, Labels};
use crate::aggregate::{
    Kind, LabelLimiter, LabelValues, Metric, RecentConversation, RecentWindow, Series, SeriesKey,
    SeriesSchema, TargetSeries, Value, counted_labels, limited_label,
};
use crate::dimension::Dimension;
use crate::ledger::store::{Changes, Store, StoreError, TargetId};
use crate::ledger::transition::CountingRules;
use crate::ledger::{CatchUp, LedgerEntry, Watermarks};

/// A target, as configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetSetup {
    /// Its identity.
    pub key: TargetKey,
    /// Channels that exist at 0 from the first scrape.
    pub channels: Vec<String>,
    /// `polyai_target_info`: account id, project id, host, API version.
    pub info: [String; 4],
}

/// How conversations count, as configured.
#[derive(Debug, Clone)]
pub struct CountingPolicy {
    /// The labels and buckets of the series.
    pub schema: SeriesSchema,
    /// `polling.settle`
    pub settle: Duration,
    /// The age beyond which a finished conversation has settled by itself: the first recheck age.
    pub settled_age: Duration,
    /// `metrics.recent_window`
    pub recent_window: Duration,
    /// `metrics.max_label_values`
    pub max_label_values: NonZeroUsize,
}

impl CountingPolicy {
    /// The rules for a target with these watermarks.
    pub(super) fn rules(&self, watermarks: &Watermarks) -> CountingRules {
        CountingRules {
            anchor: watermarks.anchor,
            settle: self.settle,
            settled_age: self.settled_age,
            pruned_before: watermarks.pruned_before,
        }
    }
}

/// The committed position of a poller, from which it continues after a restart.
#[derive(Debug, Clone, Default)]
pub struct PollerCheckpoint {
    /// How far it had read; absent at the very first start.
    pub watermarks: Option<Watermarks>,
    /// Conversations that were open, with their starts.
    pub open: BTreeMap<ConversationId, Timestamp>,
    /// The starts of all conversations in the ledger.
    pub starts: Vec<Timestamp>,
}

impl PollerCheckpoint {
    fn add(&mut self, id: &str, entry: &LedgerEntry) {
        self.starts.push(entry.started_at());
        if let LedgerEntry::Open { started_at, .. } = entry {
            self.open.extend(ConversationId::new(id).map(|id| (id, *started_at)));
        }
    }
}

/// The ids that may be in the ledger, by their hashes, so that new ones, which are nearly all when catching up, need no
/// look-up. It answers "absent" or "perhaps": two ids with one hash cost a look-up. Nothing is removed singly, because that
/// could remove another id's hash.
#[derive(Debug, Default)]
pub(super) struct IdFilter {
    hasher: RandomState,
    hashes: HashSet<u64>,
}

impl IdFilter {
    pub(super) fn add(&mut self, id: &str) {
        self.hashes.insert(self.hasher.hash_one(id));
    }

    pub(super) fn definitely_absent(&self, id: &str) -> bool {
        !self.hashes.contains(&self.hasher.hash_one(id))
    }
}

/// The working state of one target.
#[derive(Debug)]
pub(super) struct TargetState {
    pub(super) key: Arc<TargetKey>,
    pub(super) setup: TargetSetup,
    pub(super) id: TargetId,
    /// In the order of the configuration.
    pub(super) position: usize,
    /// Entries that have counted and can be pruned start no earlier; absent if none has counted.
    pub(super) prunable_from: Option<Timestamp>,
    pub(super) watermarks: Option<Watermarks>,
    pub(super) series: Arc<TargetSeries>,
    /// Persisted series that have changed since the last commit.
    pub(super) dirty: BTreeSet<SeriesKey>,
    /// The stored keys of series that do not fit the schema, until the next commit deletes them: what counts from now on is not
    /// added to them, so they must be gone when a later schema would fit them again.
    incompatible: Vec<Vec<u8>>,
    /// Whether [`Watermarks::series_since`] has changed since the last commit.
    series_restarted: bool,
    pub(super) limiter: LabelLimiter,
    /// Finished and not yet counted, with the time when each was first seen finished.
    pub(super) settling: BTreeMap<ConversationId, Timestamp>,
    pub(super) recent: RecentWindow,
    pub(super) known: IdFilter,
}

impl TargetState {
    /// Restores a target from the store. No conversation ended after `now`, whatever the state says.
    pub(super) fn restore(
        store: &Store,
        setup: &TargetSetup,
        id: TargetId,
        policy: &CountingPolicy,
        now: Timestamp,
    ) -> Result<(Self, PollerCheckpoint), StoreError> {
        let schema = &policy.schema;
        let mut limiter = LabelLimiter::new(policy.max_label_values);
        let mut series = TargetSeries::default();
        let mut incompatible = Vec::new();
        for (stored, value) in store.series(id)? {
            let Some((key, value)) = codec::decode(&stored, &value, schema)? else {
                incompatible.push(stored);
                continue;
            };
            for (name, value) in schema.label_names(key.metric).into_iter().zip(&*key.values) {
                if limited_label(name).is_some() {
                    limiter.retain(name, value);
                }
            }
            series.restore(key, clamp_gauge(value));
        }
        let mut watermarks = store.watermarks(id)?;
        let restarts = !incompatible.is_empty();
        if let Some(watermarks) = watermarks.as_mut().filter(|_| restarts) {
            // Conversations that count from now on are not added to the values that have been exposed.
            watermarks.series_since = watermarks.series_since.max(now);
        }
        let last_end = series.of(Metric::LastConversation).find_map(|(_, last)| last.value.gauge());
        if let (Some(watermarks), Some(last_end)) = (&mut watermarks, last_end) {
            // Nothing can have been pruned that started after the last end that was counted. A state that says otherwise was
            // written under a clock that was ahead, and would take new conversations for pruned ones.
            let after = Timestamp::from_seconds(last_end) + Duration::from_millis(1);
            watermarks.pruned_before = watermarks.pruned_before.map(|pruned| pruned.min(after));
        }
        let mut state = Self {
            key: Arc::new(setup.key.clone()),
            setup: setup.clone(),
            id,
            position: 0,
            prunable_from: None,
            watermarks,
            series: Arc::new(series),
            dirty: BTreeSet::new(),
            incompatible,
            series_restarted: restarts,
            limiter,
            settling: BTreeMap::new(),
            recent: RecentWindow::new(policy.recent_window),
            known: IdFilter::default(),
        };
        let checkpoint = state.restore_entries(store, schema, now)?;
        Ok((state, checkpoint))
    }

    fn restore_entries(
        &mut self,
        store: &Store,
        schema: &SeriesSchema,
        now: Timestamp,
    ) -> Result<PollerCheckpoint, StoreError> {
        let mut checkpoint = PollerCheckpoint { watermarks: self.watermarks.clone(), ..Default::default() };
        let fresh = self.watermarks.as_ref().map(|watermarks| watermarks.fresh);
        // This machine's clock may be behind the API's, by which the ends were judged.
        let latest = fresh.unwrap_or(now).max(now);
        store.for_each_entry(self.id, |id, entry| {
            checkpoint.add(id, &entry);
            self.known.add(id);
            let started_at = entry.started_at();
            match entry {
                LedgerEntry::Open { .. } => {}
                LedgerEntry::Settling { since, .. } => {
                    self.settling.extend(ConversationId::new(id).map(|id| (id, since)));
                }
                LedgerEntry::Counted(counted) => {
                    self.on_counted(started_at);
                    let recent = RecentConversation {
                        ended_at: counted.ended_at.min(latest),
                        labels: counted_labels(&schema.dimensions, &counted.dimensions),
                        amounts: counted.last_seen,
                    };
                    self.recent.push(recent, fresh.unwrap_or(now));
                }
            }
        })?;
        Ok(checkpoint)
    }

    /// An entry that starts at `start` has counted, and can be pruned one day.
    pub(super) fn on_counted(&mut self, start: Timestamp) {
        self.prunable_from = Some(self.prunable_from.map_or(start, |oldest| oldest.min(start)));
    }

    /// The committed position from which a new poller continues.
    pub(super) fn checkpoint(&self, store: &Store) -> Result<PollerCheckpoint, StoreError> {
        let mut checkpoint = PollerCheckpoint { watermarks: self.watermarks.clone(), ..Default::default() };
        store.for_each_entry(self.id, |id, entry| checkpoint.add(id, &entry))?;
        Ok(checkpoint)
    }

    /// Moves the watermarks to where a poller has read.
    pub(super) fn set_watermarks(
        &mut self,
        to: &Watermarks,
        now: Timestamp,
        schema: &SeriesSchema,
        changes: &mut Changes,
    ) {
        let mut watermarks = to.clone();
        let mut has_new_anchor = true;
        if let Some(before) = &self.watermarks {
            // The recorder decides which entries may be pruned and what is exposed, not the poller.
            watermarks.pruned_before = before.pruned_before;
            has_new_anchor = before.anchor != watermarks.anchor;
            if !has_new_anchor || before.catch_up == CatchUp::Done {
                watermarks.catch_up = before.catch_up;
            }
            if !has_new_anchor {
                watermarks.series_since = before.series_since;
            }
        }
        gauges::set_watermarks(Arc::make_mut(&mut self.series), &watermarks, now);
        changes.watermarks.insert(self.id, watermarks.clone());
        // Without a new anchor, another start would count from later on.
        changes.watermarks_must_flush |= has_new_anchor;
        self.watermarks = Some(watermarks);
        if has_new_anchor {
            // The anchor may have been in the future, and then nothing has counted.
            self.dirty.extend(Arc::make_mut(&mut self.series).backdate_all(to.anchor));
            self.init_series(schema, now);
        }
    }

    /// A poll has ended: what it has read may be exposed from now on. Returns how many conversations have counted if it is.
    pub(super) fn on_poll_end(&mut self, status: &PollStatus, changes: &mut Changes) -> Option<u64> {
        let watermarks = self.watermarks.as_mut()?;
        let oldest_settling = self.settling.values().min().copied();
        let catch_up = watermarks.catch_up.after_poll(status.caught_up, status.now, oldest_settling);
        if catch_up == watermarks.catch_up {
            return None;
        }
        watermarks.catch_up = catch_up;
        gauges::set_watermarks(Arc::make_mut(&mut self.series), watermarks, status.now);
        changes.watermarks.insert(self.id, watermarks.clone());
        // A restart must not hide again what scrapes have seen.
        changes.watermarks_must_flush = true;
        let counted = self.series.of(Metric::Conversations).map(|(_, series)| match &series.value {
            Value::Counter(counter) => counter.count(),
            Value::Gauge(_) | Value::Histogram(_) => 0,
        });
        (catch_up == CatchUp::Done).then(|| counted.sum())
    }

    /// The series that scrapes may see.
    pub(super) fn exposed_series(&self) -> Arc<TargetSeries> {
        let is_done = |watermarks: &Watermarks| watermarks.catch_up == CatchUp::Done;
        if self.watermarks.as_ref().is_some_and(is_done) {
            self.series.clone()
        } else {
            Arc::new(self.series.about_target())
        }
    }

    /// Moves the series that are deleted or have changed to `changes`.
    pub(super) fn encode_dirty(
        &mut self,
        schema: &SeriesSchema,
        changes: &mut Changes,
    ) -> Result<(), StoreError> {
        if std::mem::take(&mut self.series_restarted)
            && let Some(watermarks) = &self.watermarks
        {
            changes.watermarks.insert(self.id, watermarks.clone());
            changes.watermarks_must_flush = true;
        }
        // First the deleted ones: a series that has changed may replace one of them.
        changes.series.extend(self.incompatible.drain(..).map(|stored| ((self.id, stored), None)));
        while let Some(key) = self.dirty.pop_first() {
            if let Some(series) = self.series.get(&key) {
                let (name, value) = codec::encode(&key, series, schema)?;
                changes.series.insert((self.id, name), Some(value));
            }
        }
        Ok(())
    }

    /// Creates the series of known label sets, so that the first call of each shows as an increase. They start at the anchor,
    /// without which there are none; those of a metric that is new to a state which has counted start at `now`.
    pub(super) fn init_series(&mut self, schema: &SeriesSchema, now: Timestamp) {
        let Some(since) = self.watermarks.as_ref().map(|watermarks| watermarks.series_since) else { return };
        let has_counted = self.series.of(Metric::LastConversation).next().is_some();
        let mut label_sets: Vec<LabelValues> = match *schema.dimensions {
            [] => vec![Arc::from([])],
            [Dimension::Channel] => {
                let mut limit = |channel: &String| Arc::from([self.limiter.limit("channel", channel).value]);
                self.setup.channels.iter().map(&mut limit).collect()
            }
            // The variants of a project are not known beforehand.
            [Dimension::Variant, ..] | [Dimension::Channel, ..] => Vec::new(),
        };
        label_sets.dedup();
        let single = |label: &str| -> LabelValues { Arc::from([Arc::from(label)]) };
        let series = Arc::make_mut(&mut self.series);
        for definition in &CATALOGUE {
            if definition.kind == Kind::Gauge {
                continue;
            }
            let label_sets = match definition.labels {
                Labels::Target => vec![Arc::from([])],
                Labels::Dimensions => label_sets.clone(),
                Labels::DimensionsAnd(_) => Vec::new(),
                Labels::TargetAnd(["direction"]) => ["up", "down"].map(single).to_vec(),
                Labels::TargetAnd(["label"]) => {
                    let dimensions = schema.dimensions.iter().map(|dimension| dimension.as_str());
                    dimensions.chain(["reason", "destination"]).map(single).collect()
                }
                Labels::TargetAnd(_) => Vec::new(),
            };
            let is_new_metric = has_counted && series.of(definition.metric).next().is_none();
            let start = if is_new_metric { now.max(since) } else { since };
            for values in label_sets {
                let key = SeriesKey { metric: definition.metric, values };
                if series.ensure(key.clone(), schema, start) {
                    self.dirty.insert(key);
                }
            }
        }
    }

    /// Sets the gauges that a target has before its first poll.
    pub(super) fn init_gauges(&mut self, now: Timestamp) {
        let series = Arc::make_mut(&mut self.series);
        gauges::set_unpolled(series, now);
        gauges::set_info(series, &self.setup.info, now);
        if let Some(watermarks) = &self.watermarks {
            gauges::set_watermarks(series, watermarks, now);
        }
        gauges::set_recent(series, &self.recent, now);
    }
}

/// The only persisted gauge says when a conversation ended, which is not later than it was set.
fn clamp_gauge(series: Series) -> Series {
    match series.value {
        Value::Gauge(end) => Series { value: Value::Gauge(end.min(series.start.seconds())), ..series },
        Value::Counter(_) | Value::Histogram(_) => series,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn added_ids_are_never_absent() {
        let mut filter = IdFilter::default();
        ["CA1", "CA2", "CA3"].into_iter().for_each(|id| filter.add(id));
        assert!(["CA1", "CA2", "CA3"].iter().all(|id| !filter.definitely_absent(id)));
        assert!(filter.definitely_absent("CA4"));
    }
}
