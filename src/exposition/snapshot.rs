//! From a committed generation to families, in the order of the catalogue.
//!
//! Owns: which labels a series is written with. Never: state; the generation is given.

use std::sync::Arc;

use super::family::{Family, Histogram, Kind, Labels, Series, Value};
use crate::aggregate::catalogue::{CATALOGUE, TARGET_LABELS};
use crate::aggregate::{self, Layout, Metric};
use crate::recorder::Generation;
use crate::target::TargetKey;

/// All families about conversations and targets.
pub fn families(generation: &Generation) -> Vec<Family> {
    let mut families: Vec<Family> = CATALOGUE
        .iter()
        .map(|definition| Family::new(definition.name, definition.help, kind(definition.kind)))
        .collect();
    let Some(layout) = &generation.layout else { return families };
    for (target, all) in &generation.targets {
        let own = target_labels(target);
        for (key, series) in all.iter() {
            if let Some(family) = families.get_mut(key.metric as usize) {
                family.series.push(Series {
                    labels: labels(&own, layout, key.metric, &key.values),
                    value: value(&series.value),
                    start: chrono::DateTime::from_timestamp_millis(series.start.millis()),
                });
            }
        }
    }
    families
}

fn kind(kind: aggregate::Kind) -> Kind {
    match kind {
        aggregate::Kind::Counter => Kind::Counter,
        aggregate::Kind::Gauge => Kind::Gauge,
        aggregate::Kind::Histogram(_) => Kind::Histogram,
    }
}

fn target_labels(target: &TargetKey) -> Labels {
    let values = [target.project.as_str(), target.region.as_str(), target.client_env.as_str()];
    Labels::new(TARGET_LABELS.into_iter().zip(values))
}

fn labels(own: &Labels, layout: &Layout, metric: Metric, values: &[Arc<str>]) -> Labels {
    own.with(layout.label_names(metric).into_iter().zip(values.iter().cloned()))
}

fn value(value: &aggregate::Value) -> Value {
    match value {
        aggregate::Value::Counter(counter) => Value::total(counter.count()),
        aggregate::Value::Gauge(value) => Value::Gauge(*value),
        aggregate::Value::Histogram(histogram) => {
            let bounds: Vec<f64> = histogram.bounds().units().collect();
            Value::Histogram(Histogram::new(bounds, histogram.counts().to_vec(), histogram.sum()))
        }
    }
}
