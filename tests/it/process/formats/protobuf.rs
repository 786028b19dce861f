//! The protobuf format, read with prost into the types that prost-build makes of the official definition.
//!
//! Owns: the way from messages to what is shown. Never: how the exporter writes them.

use prost::Message as _;
use prost_types::Timestamp;

use super::shown::{self, Exemplar, Labels, Native, Shown, is_committed, key};

#[expect(clippy::all, unreachable_pub, reason = "made by prost-build; these stories read a part of it")]
#[path = "../../../../crates/exposition/tests/model/mod.rs"]
mod model;

/// Reads a row of delimited messages.
pub(crate) fn read(mut bytes: &[u8]) -> Shown {
    let mut shown = Shown::default();
    while !bytes.is_empty() {
        let family = model::MetricFamily::decode_length_delimited(&mut bytes).unwrap();
        let kind = format!("{:?}", family.r#type()).to_lowercase();
        assert!(!family.metric.is_empty(), "{}: a family without samples", family.name);
        for metric in &family.metric {
            read_metric(&family.name, &kind, metric, &mut shown);
        }
        let head = (kind, family.help);
        assert_eq!(shown.families.insert(family.name.clone(), head), None, "{}: twice", family.name);
    }
    shown
}

fn read_metric(name: &str, kind: &str, metric: &model::Metric, shown: &mut Shown) {
    let labels: Labels = metric.label.iter().map(|pair| (pair.name.clone(), pair.value.clone())).collect();
    assert_eq!(labels.len(), metric.label.len(), "{name}: a label twice");
    assert_eq!(metric.timestamp_ms, 0, "{name}: a time of its own");
    let series = key(name, &labels);
    let mut add = |series: String, value: f64| {
        let before = shown.samples.insert(series.clone(), value);
        assert_eq!(before, None, "{series}: twice");
    };
    let start = match (kind, &metric.counter, &metric.gauge, &metric.histogram) {
        ("counter", Some(counter), None, None) => {
            add(series.clone(), counter.value);
            if let Some(one) = &counter.exemplar {
                shown.exemplars.insert(series.clone(), exemplar(one));
            }
            counter.start_timestamp
        }
        ("gauge", None, Some(gauge), None) => {
            add(series.clone(), gauge.value);
            None
        }
        ("histogram", None, None, Some(histogram)) => {
            add(key(&format!("{name}_count"), &labels), histogram.sample_count as f64);
            add(key(&format!("{name}_sum"), &labels), histogram.sample_sum);
            for bucket in &histogram.bucket {
                let series = shown::bucket(name, &labels, bucket.upper_bound);
                add(series.clone(), bucket.cumulative_count as f64);
                if let Some(one) = &bucket.exemplar {
                    shown.exemplars.insert(series, exemplar(one));
                }
            }
            if !histogram.exemplars.is_empty() {
                let newest = histogram.exemplars.iter().map(exemplar).collect();
                shown.newest.insert(series.clone(), newest);
            }
            if let Some(native) = native(histogram) {
                shown.natives.insert(series.clone(), native);
            }
            histogram.start_timestamp
        }
        _ => panic!("{name}: a value that is no {kind}: {metric:?}"),
    };
    if let (Some(start), true) = (start, is_committed(name)) {
        shown.starts.insert(series, millis(start));
    }
}

/// As Prometheus tells that there are sparse buckets: by a zero threshold, a zero count or a span.
fn native(histogram: &model::Histogram) -> Option<Native> {
    let is_native = histogram.zero_threshold > 0.0
        || histogram.zero_count > 0
        || !histogram.positive_span.is_empty()
        || !histogram.negative_span.is_empty();
    if !is_native {
        return None;
    }
    assert!(histogram.negative_span.is_empty() && histogram.positive_count.is_empty());
    let mut count = 0;
    let counts: Vec<u64> = histogram
        .positive_delta
        .iter()
        .map(|delta| {
            count += delta;
            u64::try_from(count).unwrap()
        })
        .collect();
    let spans = histogram.positive_span.iter().map(|span| (span.offset, span.length));
    Some(Native {
        schema: histogram.schema,
        zero_threshold: histogram.zero_threshold,
        zero_count: histogram.zero_count,
        buckets: Native::lay_out(spans, &counts),
    })
}

fn exemplar(one: &model::Exemplar) -> Exemplar {
    Exemplar {
        labels: one.label.iter().map(|pair| (pair.name.clone(), pair.value.clone())).collect(),
        value: one.value,
        at: one.timestamp.map(millis),
    }
}

fn millis(at: Timestamp) -> i64 {
    assert_eq!(at.nanos % 1_000_000, 0, "{at:?}");
    at.seconds * 1000 + i64::from(at.nanos / 1_000_000)
}
