//! Generations to write from, for tests.

use std::sync::Arc;

use crate::aggregate::{ExemplarId, ExemplarSource, Metric, SeriesKey, SeriesOp, SeriesSchema, TargetSeries};
use crate::config::Metrics;
use crate::conversation::Amount;
use crate::recorder::Snapshot;
use crate::target::{ClientEnv, Region, TargetKey};
use crate::timestamp::Timestamp;

/// When all series of a scene start.
pub(super) const START: Timestamp = Timestamp::from_millis(1_790_000_000_000);

/// A generation that tests change as commits would.
#[derive(Debug, Clone)]
pub(super) struct Scene(pub(super) Snapshot);

impl Scene {
    /// So many targets without series.
    pub(super) fn new(targets: usize) -> Self {
        let target = |index| {
            let project = format!("project-{index:03}");
            let key = TargetKey { project, region: Region::Us1, client_env: ClientEnv::Live };
            (Arc::new(key), Arc::new(TargetSeries::default()))
        };
        Self(Snapshot {
            number: 1,
            targets: (0..targets).map(target).collect(),
            schema: Some(Arc::new(SeriesSchema::from(&Metrics::default()))),
            state_bytes: 0,
        })
    }

    /// A conversation of `target` over `channel` counts: it took `seconds`, was handed off, and its id is `id`.
    pub(super) fn call(&mut self, target: usize, channel: &str, seconds: f64, id: &str) {
        self.0.number += 1;
        let layout = self.0.schema.clone().unwrap();
        let series = Arc::make_mut(&mut self.0.targets[target].1);
        let id = ExemplarId::new(id);
        let at = Timestamp::from_millis(START.millis() + 60_000);
        let witness = id.as_ref().map(|id| ExemplarSource { id, at });
        let mut apply = |metric, values: &[&str], change| {
            let values = values.iter().map(|value| Arc::from(*value)).collect();
            series.apply(&SeriesKey { metric, values }, change, witness, &layout, START);
        };
        let observe = SeriesOp::Observe(Amount::from_units(seconds).unwrap());
        apply(Metric::Conversations, &[channel], SeriesOp::Add(1));
        apply(Metric::Handoffs, &[channel], SeriesOp::Add(1));
        apply(Metric::ConversationDuration, &[channel], observe);
        apply(Metric::IngestLag, &[], observe);
    }

    /// A gauge of `target` moves.
    pub(super) fn poll(&mut self, target: usize, overlap: f64) {
        self.0.number += 1;
        let series = Arc::make_mut(&mut self.0.targets[target].1);
        series.set(Metric::TargetOverlap, &[], overlap, START);
    }
}
