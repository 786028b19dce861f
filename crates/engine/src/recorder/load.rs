//! From the stored state of a target to its working state.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::known::IdFilter;
use super::roster::TargetSetup;
use super::{CountingPolicy, Recorder, TargetState, gauges, persist};
use crate::aggregate::catalogue::{CATALOGUE, Labels};
use crate::aggregate::{
    Kind, LabelLimiter, LabelValues, Metric, RecentConversation, RecentWindow, Series, SeriesKey,
    SeriesSchema, TargetSeries, Value, labels_from_row,
};
use crate::dimension::Dimension;
use crate::ledger::store::{StoreError, TargetId};
use crate::ledger::{LedgerEntry, Watermarks};
use polyai_domain::conversation::ConversationId;
use polyai_domain::timestamp::Timestamp;

/// What a poller takes up again after a restart.
#[derive(Debug, Clone, Default)]
pub struct PollerCheckpoint {
    /// How far it had read; none at the very first start.
    pub marks: Option<Watermarks>,
    /// Conversations that were open.
    pub open: BTreeMap<ConversationId, Timestamp>,
    /// When the remembered conversations started.
    pub starts: Vec<Timestamp>,
}

impl PollerCheckpoint {
    fn from(marks: Option<&Watermarks>) -> Self {
        Self { marks: marks.cloned(), ..Self::default() }
    }

    fn take(&mut self, id: &str, row: &LedgerEntry) {
        self.starts.push(row.started_at());
        if let LedgerEntry::Open { started_at, .. } = row {
            self.open.extend(ConversationId::new(id).map(|id| (id, *started_at)));
        }
    }
}

/// A target as the store has it.
pub(super) struct RestoredTarget {
    pub(super) state: TargetState,
    /// The stored keys of series that the layout does not admit. What counts from now on is not added to them, so they must not
    /// be there when a later layout would admit them again.
    pub(super) incompatible: Vec<Vec<u8>>,
}

impl Recorder {
    /// The state of a target as it was last committed, under another layout and way of counting than the recorder's, perhaps.
    /// No conversation ended after `now`, whatever the state says.
    pub(super) fn load_target(
        &self,
        setup: &TargetSetup,
        id: TargetId,
        counting: &CountingPolicy,
        layout: &SeriesSchema,
        now: Timestamp,
    ) -> Result<(RestoredTarget, PollerCheckpoint), StoreError> {
        let mut state = TargetState {
            key: Arc::new(setup.key.clone()),
            setup: setup.clone(),
            id,
            marks: self.store.marks(id)?,
            series: Arc::default(),
            cap: LabelLimiter::new(counting.max_label_values),
            settling: BTreeMap::new(),
            recent: RecentWindow::default(),
            known: IdFilter::default(),
        };
        let mut series = TargetSeries::default();
        let mut misfits = Vec::new();
        for (stored, value) in self.store.series(id)? {
            let Some((key, value)) = persist::decode(&stored, &value, layout)? else {
                misfits.push(stored);
                continue;
            };
            for (name, value) in layout.label_names(key.metric).into_iter().zip(&*key.values) {
                if limited_label(name).is_some() {
                    state.cap.retain(name, value);
                }
            }
            series.restore(key, clamp_gauge(value));
        }
        let last_end = series.of(Metric::LastConversation).find_map(|(_, last)| match last.value {
            Value::Gauge(seconds) => Some(seconds),
            Value::Counter(_) | Value::Histogram(_) => None,
        });
        if let (Some(marks), Some(last_end)) = (&mut state.marks, last_end) {
            // Nothing can be forgotten that started after the last end that was counted. A state that says otherwise was written
            // under a clock that was ahead, and would take new conversations for forgotten ones.
            let after = Timestamp::from_seconds(last_end) + Duration::from_millis(1);
            marks.pruned_before = marks.pruned_before.map(|forgotten| forgotten.min(after));
        }
        state.series = Arc::new(series);
        let resume = self.load_rows(&mut state, counting, layout, now)?;
        Ok((RestoredTarget { state, incompatible: misfits }, resume))
    }

    fn load_rows(
        &self,
        state: &mut TargetState,
        counting: &CountingPolicy,
        layout: &SeriesSchema,
        now: Timestamp,
    ) -> Result<PollerCheckpoint, StoreError> {
        let mut resume = PollerCheckpoint::from(state.marks.as_ref());
        // This machine's clock may be behind the API's, by which the ends were judged.
        let latest = state.marks.as_ref().map_or(now, |marks| marks.fresh.max(now));
        self.store.for_each_row(state.id, |id, row| {
            resume.take(id, &row);
            state.known.add(id);
            match row {
                LedgerEntry::Open { .. } => {}
                LedgerEntry::Settling { since, .. } => {
                    state.settling.extend(ConversationId::new(id).map(|id| (id, since)));
                }
                LedgerEntry::Counted(counted) => state.recent.push(RecentConversation {
                    ended_at: counted.ended_at.min(latest),
                    dimensions: labels_from_row(&layout.dimensions, &counted.dimensions),
                    tally: counted.last_seen,
                }),
            }
        })?;
        if let Some(marks) = &state.marks {
            state.recent.evict_before(marks.fresh, counting.recent_window);
        }
        Ok(resume)
    }

    /// Where a new poller of a target would go on, as far as it is committed.
    pub(super) fn resume(&self, state: &TargetState) -> Result<PollerCheckpoint, StoreError> {
        let mut resume = PollerCheckpoint::from(state.marks.as_ref());
        self.store.for_each_row(state.id, |id, row| resume.take(id, &row))?;
        Ok(resume)
    }
}

impl TargetState {
    /// Known label sets exist from the first scrape, so that the first call of each shows as an increase. Answers which of
    /// them are new.
    pub(super) fn init_series(&mut self, layout: &SeriesSchema, now: Timestamp) -> Vec<SeriesKey> {
        let series = Arc::make_mut(&mut self.series);
        let mut known: Vec<LabelValues> = match *layout.dimensions {
            [] => vec![Arc::from([])],
            [Dimension::Channel] => self
                .setup
                .channels
                .iter()
                .map(|channel| Arc::from([self.cap.limit(Dimension::Channel.as_str(), channel).value]))
                .collect(),
            // Which variants a project has is not known beforehand.
            [Dimension::Variant, ..] | [Dimension::Channel, ..] => Vec::new(),
        };
        known.dedup();
        let mut new = Vec::new();
        for definition in &CATALOGUE {
            let sets: Vec<Arc<[Arc<str>]>> = match (definition.labels, definition.kind) {
                (Labels::Dimensions, Kind::Counter | Kind::Histogram(_)) => known.clone(),
                (Labels::Target, Kind::Counter | Kind::Histogram(_)) => vec![Arc::from([])],
                (Labels::TargetAnd(["direction"]), _) => {
                    ["up", "down"].map(|way| Arc::from([Arc::from(way)])).to_vec()
                }
                (Labels::TargetAnd(["label"]), _) => layout
                    .dimensions
                    .iter()
                    .map(|dimension| dimension.as_str())
                    .chain(["reason", "destination"])
                    .map(|label| Arc::from([Arc::from(label)]))
                    .collect(),
                (
                    Labels::Dimensions | Labels::Target | Labels::DimensionsAnd(_) | Labels::TargetAnd(_),
                    _,
                ) => Vec::new(),
            };
            for values in sets {
                let key = SeriesKey { metric: definition.metric, values };
                if series.ensure(key.clone(), layout, now) {
                    new.push(key);
                }
            }
        }
        new
    }

    /// What the gauges say of a target before its first poll: what is not known yet, what it stands for, and what the state
    /// remembers.
    pub(super) fn init_gauges(&mut self, now: Timestamp) {
        let series = Arc::make_mut(&mut self.series);
        for unknown in
            [Metric::TargetUp, Metric::TargetLastSuccess, Metric::TargetWatermark, Metric::TargetOverlap]
        {
            series.set(unknown, &[], 0.0, now);
        }
        gauges::show_info(series, &self.setup, now);
        if let Some(marks) = &self.marks {
            gauges::set_watermark_gauges(series, marks, now);
        }
        gauges::show_recent(series, &self.recent, now);
    }
}

/// The only gauge that is kept tells when a conversation ended, which is not later than it was told.
fn clamp_gauge(series: Series) -> Series {
    match series.value {
        Value::Gauge(end) => Series { value: Value::Gauge(end.min(series.start.seconds())), ..series },
        Value::Counter(_) | Value::Histogram(_) => series,
    }
}

/// The label of this name, if its values come from the API.
pub(super) fn limited_label(name: &str) -> Option<&'static str> {
    ["channel", "variant", "reason", "destination"].into_iter().find(|&label| label == name)
}
