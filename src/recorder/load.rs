//! From the stored state to the working state, at the start.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::known::Known;
use super::{Counting, Generation, Recorder, TargetIndex, TargetState, persist};
use crate::aggregate::catalogue::{CATALOGUE, Labels};
use crate::aggregate::{
    Dimensions, Kind, LabelCap, Metric, Recent, RecentConversation, SeriesKey, TargetSeries, carried_over,
};
use crate::config::Dimension;
use crate::conversation::ConversationId;
use crate::ledger::store::{Changes, Store, StoreError};
use crate::ledger::{Marks, Row};
use crate::moment::Moment;
use crate::target::TargetKey;

/// What the recorder needs to know of a target.
#[derive(Debug, Clone)]
pub struct TargetSetup {
    /// Its identity.
    pub key: TargetKey,
    /// Channels that exist at 0 from the first scrape.
    pub channels: Vec<String>,
    /// `polyai_target_info`: account id, project id, host, API version.
    pub info: [String; 4],
}

/// What a poller takes up again after a restart.
#[derive(Debug, Clone, Default)]
pub struct Resume {
    /// How far it had read; none at the very first start.
    pub marks: Option<Marks>,
    /// Conversations that were open.
    pub open: BTreeMap<ConversationId, Moment>,
    /// When the remembered conversations started.
    pub starts: Vec<Moment>,
}

impl Recorder {
    /// Takes up the state of `targets` as it was last committed; `now` is the start of series that do not exist yet.
    ///
    /// # Errors
    /// When the state cannot be read, or not be written.
    pub fn load(
        mut store: Store,
        targets: &[TargetSetup],
        counting: Counting,
        now: Moment,
    ) -> Result<(Self, Vec<Resume>), StoreError> {
        store.compact()?;
        let mut recorder = Self {
            layout: Arc::new(counting.layout.clone()),
            store,
            counting,
            targets: Vec::with_capacity(targets.len()),
            changes: Changes::default(),
            dirty: BTreeSet::new(),
            committed: Generation::default(),
        };
        let mut resumes = Vec::with_capacity(targets.len());
        for setup in targets {
            resumes.push(recorder.load_target(setup, now)?);
        }
        recorder.commit(true)?;
        Ok((recorder, resumes))
    }

    fn load_target(&mut self, setup: &TargetSetup, now: Moment) -> Result<Resume, StoreError> {
        let id = self.store.target_id(&setup.key.to_string())?;
        let mut state = TargetState {
            key: Arc::new(setup.key.clone()),
            id,
            marks: self.store.marks(id)?,
            series: Arc::default(),
            cap: LabelCap::new(self.counting.max_label_values),
            settling: BTreeMap::new(),
            recent: Recent::default(),
            known: Known::default(),
        };
        let mut series = TargetSeries::default();
        for (key, value) in self.store.series(id)? {
            if let Some((key, value)) = persist::decode(&key, &value, &self.layout)? {
                for (name, value) in self.layout.label_names(key.metric).into_iter().zip(&*key.values) {
                    if capped_label(name).is_some() {
                        state.cap.admit(name, value);
                    }
                }
                series.restore(key, value);
            }
        }
        let resume = self.load_rows(&mut state)?;
        state.series = Arc::new(series);
        let index = TargetIndex(self.targets.len());
        self.targets.push(state);
        self.make_known_series(index, setup, now);
        Ok(resume)
    }

    fn load_rows(&self, state: &mut TargetState) -> Result<Resume, StoreError> {
        let mut resume = Resume { marks: state.marks.clone(), ..Resume::default() };
        self.store.for_each_row(state.id, |id, row| {
            resume.starts.push(row.started_at());
            state.known.add(id);
            match row {
                Row::Open { started_at, .. } => {
                    resume.open.extend(ConversationId::new(id).map(|id| (id, started_at)));
                }
                Row::Settling { since, .. } => {
                    state.settling.extend(ConversationId::new(id).map(|id| (id, since)));
                }
                Row::Counted(counted) => state.recent.push(RecentConversation {
                    ended_at: counted.ended_at,
                    dimensions: carried_over(&self.layout.dimensions, &counted.dimensions),
                    tally: counted.shown,
                }),
            }
        })?;
        if let Some(marks) = &state.marks {
            state.recent.trim(marks.fresh, self.counting.recent_window);
        }
        Ok(resume)
    }

    /// Known label sets exist from the first scrape, so that the first call of each shows as an increase.
    fn make_known_series(&mut self, index: TargetIndex, setup: &TargetSetup, now: Moment) {
        let Some(state) = self.targets.get_mut(index.0) else { return };
        let series = Arc::make_mut(&mut state.series);
        let mut known: Vec<Dimensions> = match *self.layout.dimensions {
            [] => vec![Arc::from([])],
            [Dimension::Channel] => setup
                .channels
                .iter()
                .map(|channel| Arc::from([state.cap.admit(Dimension::Channel.as_str(), channel).value]))
                .collect(),
            // Which variants a project has is not known beforehand.
            [Dimension::Variant, ..] | [Dimension::Channel, ..] => Vec::new(),
        };
        known.dedup();
        for definition in &CATALOGUE {
            let sets: Vec<Arc<[Arc<str>]>> = match (definition.labels, definition.kind) {
                (Labels::Dimensions, Kind::Counter | Kind::Histogram(_)) => known.clone(),
                (Labels::Target, Kind::Counter | Kind::Histogram(_)) => vec![Arc::from([])],
                (Labels::TargetAnd(["direction"]), _) => {
                    ["up", "down"].map(|way| Arc::from([Arc::from(way)])).to_vec()
                }
                (Labels::TargetAnd(["label"]), _) => self
                    .layout
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
                if series.ensure(key.clone(), &self.layout, now) {
                    self.dirty.insert((index, key));
                }
            }
        }
        let info: Vec<Arc<str>> = setup.info.iter().map(|value| Arc::from(value.as_str())).collect();
        series.set(Metric::TargetInfo, &info, 1.0, now);
        for unknown in
            [Metric::TargetUp, Metric::TargetLastSuccess, Metric::TargetWatermark, Metric::TargetOverlap]
        {
            series.set(unknown, &[], 0.0, now);
        }
        if let Some(marks) = &state.marks {
            super::gauges::show_marks(series, marks, now);
        }
        super::gauges::show_recent(series, &state.recent, now);
    }
}

/// The label of this name, if its values come from the API.
pub(super) fn capped_label(name: &str) -> Option<&'static str> {
    ["channel", "variant", "reason", "destination"].into_iter().find(|&label| label == name)
}
