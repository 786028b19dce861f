//! From the committed series of a target to samples.
//!
//! Owns: which head and which labels a series is written with. Never: state; what is committed is given.

use super::family::{FamilyMeta, HistogramRef, Kind, Sample, SampleValue, Text};
use super::ladder::BucketBounds;
use crate::aggregate::catalogue::{CATALOGUE, TARGET_LABELS};
use crate::aggregate::{self, SeriesKey, SeriesSchema};
use crate::target::TargetKey;

/// What the series of each metric are written with, under one layout.
#[derive(Debug, Default)]
pub(super) struct FamilyLayout {
    /// In the order of the catalogue.
    metrics: Vec<MetricShape>,
    native: bool,
}

#[derive(Debug)]
struct MetricShape {
    head: FamilyMeta,
    names: Vec<Text>,
    ladder: Option<BucketBounds>,
}

impl FamilyLayout {
    /// The shape under `layout`; `native` tells whether histograms show their native buckets too.
    pub(super) fn new(layout: &SeriesSchema, native: bool) -> Self {
        let metrics = CATALOGUE.iter().map(|definition| MetricShape {
            head: FamilyMeta::new(definition.name, definition.help, kind(definition.kind)),
            names: layout.label_names(definition.metric).into_iter().map(Text::Borrowed).collect(),
            ladder: layout.bounds_of(definition.metric).map(|bounds| BucketBounds::new(bounds.units())),
        });
        Self { metrics: metrics.collect(), native }
    }

    /// The head of each metric's family, in the order of the catalogue.
    pub(super) fn heads(&self) -> impl Iterator<Item = &FamilyMeta> {
        self.metrics.iter().map(|metric| &metric.head)
    }

    /// The head of the family that a series belongs to, and its sample.
    pub(super) fn sample<'a>(
        &'a self,
        key: &'a SeriesKey,
        series: &'a aggregate::Series,
    ) -> Option<(&'a FamilyMeta, Sample<'a>)> {
        let metric = self.metrics.get(key.metric as usize)?;
        let reading = match (&series.value, &metric.ladder) {
            (aggregate::Value::Counter(counter), _) => {
                #[expect(clippy::cast_precision_loss, reason = "a sample is a double in every format")]
                let total = counter.count() as f64;
                SampleValue::Counter(total, counter.exemplar())
            }
            (aggregate::Value::Gauge(value), _) => SampleValue::Gauge(*value),
            (aggregate::Value::Histogram(histogram), Some(ladder)) => SampleValue::Histogram(HistogramRef {
                ladder,
                counts: histogram.counts(),
                sum: histogram.sum(),
                exemplars: histogram.exemplars(),
                native: self.native.then(|| histogram.native()),
            }),
            // Series are admitted by their layout, so that this does not happen.
            (aggregate::Value::Histogram(_), None) => return None,
        };
        let start = match reading {
            SampleValue::Gauge(_) => None,
            SampleValue::Counter(..) | SampleValue::Histogram(_) => Some(series.start),
        };
        Some((&metric.head, Sample { names: &metric.names, values: &key.values, reading, start }))
    }
}

/// The labels that all series of a target share.
pub(super) fn target_labels(target: &TargetKey) -> impl Iterator<Item = (&str, &str)> {
    let values = [target.project.as_str(), target.region.as_str(), target.client_env.as_str()];
    TARGET_LABELS.into_iter().zip(values)
}

fn kind(kind: aggregate::Kind) -> Kind {
    match kind {
        aggregate::Kind::Counter => Kind::Counter,
        aggregate::Kind::Gauge => Kind::Gauge,
        aggregate::Kind::Histogram(_) => Kind::Histogram,
    }
}
