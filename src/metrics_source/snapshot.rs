//! A snapshot of the recorder as a source of exposition: one group per target.

use std::borrow::Cow;
use std::sync::Arc;

use super::exposition_timestamp;
use exporter_exposition::{
    BucketBounds, Exemplar, FamilyMeta, HistogramView, Kind, NativeHistogram, Sample, SampleValue, Source,
};
use polyai_engine::aggregate::catalogue::{CATALOGUE, TARGET_LABELS};
use polyai_engine::aggregate::native::ZERO_THRESHOLD;
use polyai_engine::aggregate::{self, EXEMPLAR_LABEL, Value};
use polyai_engine::recorder::Snapshot;

/// A snapshot to expose. Targets and series are compared by allocation.
#[derive(Debug, Clone)]
pub struct SnapshotSource(Arc<Snapshot>);

/// The families of the catalogue under one schema, in order of the catalogue.
#[derive(Debug, Default)]
pub struct SnapshotLayout {
    families: Vec<FamilyMeta>,
    label_names: Vec<Vec<Cow<'static, str>>>,
    /// Absent for what is no histogram.
    bounds: Vec<Option<BucketBounds>>,
}

/// A histogram of a snapshot.
#[derive(Debug, Clone, Copy)]
pub struct SnapshotHistogram<'a> {
    histogram: &'a aggregate::Histogram,
    bounds: &'a BucketBounds,
}

impl SnapshotSource {
    /// A source of `snapshot`.
    pub fn new(snapshot: Arc<Snapshot>) -> Self {
        Self(snapshot)
    }
}

impl Source for SnapshotSource {
    type Layout = SnapshotLayout;
    type Histogram<'a> = SnapshotHistogram<'a>;

    fn version(&self) -> u64 {
        self.0.number
    }

    fn layout(&self) -> SnapshotLayout {
        let Some(schema) = &self.0.schema else { return SnapshotLayout::default() };
        let families = CATALOGUE.iter().map(|metric| {
            let kind = match metric.kind {
                aggregate::Kind::Counter => Kind::Counter,
                aggregate::Kind::Gauge => Kind::Gauge,
                aggregate::Kind::Histogram(_) => Kind::Histogram,
            };
            FamilyMeta::new(metric.name, metric.help, kind)
        });
        let label_names = CATALOGUE
            .iter()
            .map(|metric| schema.label_names(metric.metric).into_iter().map(Cow::Borrowed).collect());
        let bounds = CATALOGUE
            .iter()
            .map(|metric| schema.bounds_of(metric.metric).map(|bounds| BucketBounds::new(bounds.units())));
        SnapshotLayout {
            families: families.collect(),
            label_names: label_names.collect(),
            bounds: bounds.collect(),
        }
    }

    fn families(layout: &SnapshotLayout) -> &[FamilyMeta] {
        &layout.families
    }

    fn same_layout(&self, other: &Self) -> bool {
        let same_schema = match (&self.0.schema, &other.0.schema) {
            (Some(schema), Some(other)) => Arc::ptr_eq(schema, other),
            (schema, other) => schema.is_none() && other.is_none(),
        };
        let (targets, others) = (&self.0.targets, &other.0.targets);
        same_schema
            && targets.len() == others.len()
            && targets.iter().zip(others.iter()).all(|((target, _), (other, _))| Arc::ptr_eq(target, other))
    }

    fn groups(&self) -> usize {
        self.0.targets.len()
    }

    fn group_labels(&self, group: usize) -> impl Iterator<Item = (&str, &str)> {
        let target = &self.0.targets[group].0;
        TARGET_LABELS.into_iter().zip([&target.project, target.region.as_str(), target.client_env.as_str()])
    }

    fn same_series(&self, other: &Self, group: usize) -> bool {
        Arc::ptr_eq(&self.0.targets[group].1, &other.0.targets[group].1)
    }

    fn samples<'a>(
        &'a self,
        layout: &'a SnapshotLayout,
        group: usize,
    ) -> impl Iterator<Item = (usize, Sample<'a, SnapshotHistogram<'a>>)> {
        self.0.targets[group].1.iter().filter_map(|(key, series)| {
            let family = key.metric as usize;
            let value = match (&series.value, layout.bounds.get(family)?) {
                (Value::Counter(counter), _) => {
                    #[expect(clippy::cast_precision_loss, reason = "a sample is a double in every format")]
                    let total = counter.count() as f64;
                    SampleValue::Counter(total, counter.exemplar().map(exemplar))
                }
                (Value::Gauge(value), _) => SampleValue::Gauge(*value),
                (Value::Histogram(histogram), Some(bounds)) => {
                    SampleValue::Histogram(SnapshotHistogram { histogram, bounds })
                }
                // Series follow their schema, so this does not happen.
                (Value::Histogram(_), None) => return None,
            };
            let has_start = !matches!(value, SampleValue::Gauge(_));
            let start = has_start.then(|| exposition_timestamp(series.start));
            Some((
                family,
                Sample { names: layout.label_names.get(family)?, values: &key.values, value, start },
            ))
        })
    }
}

fn exemplar(exemplar: &aggregate::Exemplar) -> Exemplar<'_> {
    Exemplar {
        label: (EXEMPLAR_LABEL, exemplar.id()),
        value: exemplar.value(),
        timestamp: exposition_timestamp(exemplar.at()),
    }
}

impl HistogramView for SnapshotHistogram<'_> {
    fn bounds(&self) -> &BucketBounds {
        self.bounds
    }

    fn counts(&self) -> &[u64] {
        self.histogram.counts()
    }

    fn sum(&self) -> f64 {
        self.histogram.sum()
    }

    fn exemplar(&self, index: usize) -> Option<Exemplar<'_>> {
        self.histogram.exemplars().get(index)?.as_ref().map(exemplar)
    }

    fn native(&self, max_buckets: usize) -> Option<NativeHistogram> {
        let native = self.histogram.native();
        let aggregate::NativeBuckets { schema, buckets } = native.downscale_to(max_buckets);
        Some(NativeHistogram {
            schema,
            zero_threshold: ZERO_THRESHOLD,
            zero_count: native.zero_count(),
            buckets,
        })
    }
}
