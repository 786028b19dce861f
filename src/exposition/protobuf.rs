//! The Prometheus protobuf format: a row of `MetricFamily` messages, each with its length before it.
//!
//! Owns: how samples become messages. Never: the messages' own encoding, which prost derives from the official
//! `metrics.proto` (`proto/`, and `model.rs` as prost-build makes it from there).
//!
//! Samples of a family are finished one by one, before it is known how many there will be: a repeated field is nothing but a
//! row of its elements, so a family is its head, with the length of all samples in it, and then the samples.

use prost::Message;
use prost::encoding::{self, WireType};

use super::family::{FamilyMeta, HistogramRef, Kind, Sample, SampleValue};
use super::native;
use crate::aggregate::native::ZERO_THRESHOLD;
use crate::aggregate::{self, EXEMPLAR_LABEL};
use crate::timestamp::Timestamp;

#[rustfmt::skip]
#[expect(unreachable_pub, reason = "made by prost-build")]
mod model;

/// Field numbers of `MetricFamily` and `Metric`, for the fields that are put together here.
const FAMILY_METRIC: u32 = 4;
const METRIC_LABEL: u32 = 1;
const METRIC_GAUGE: u32 = 2;
const METRIC_COUNTER: u32 = 3;
const METRIC_HISTOGRAM: u32 = 7;

/// Writes labels as fields of a `Metric`.
pub(super) fn labels<'a>(labels: impl Iterator<Item = (&'a str, &'a str)>, out: &mut Vec<u8>) {
    for (name, value) in labels {
        let pair = model::LabelPair { name: name.to_owned(), value: value.to_owned() };
        encoding::message::encode(METRIC_LABEL, &pair, out);
    }
}

/// Writes the length of a family and all its fields but the samples, which take `samples` bytes.
pub(super) fn head(head: &FamilyMeta, samples: usize, out: &mut Vec<u8>) {
    let mut family = model::MetricFamily {
        name: head.name.clone().into_owned(),
        help: head.help.clone().into_owned(),
        unit: head.unit.map_or_else(String::new, |unit| unit.as_str().to_owned()),
        ..model::MetricFamily::default()
    };
    family.set_type(match head.kind {
        Kind::Counter => model::MetricType::Counter,
        Kind::Gauge => model::MetricType::Gauge,
        Kind::Histogram => model::MetricType::Histogram,
    });
    let fields = family.encode_to_vec();
    length(fields.len() + samples, out);
    out.extend_from_slice(&fields);
}

/// Writes a sample as an element of its family. `scratch` is room to work in, kept to be used again.
pub(super) fn sample(shared: &[u8], sample: &Sample<'_>, scratch: &mut Vec<u8>, out: &mut Vec<u8>) {
    scratch.clear();
    scratch.extend_from_slice(shared);
    labels(sample.labels(), scratch);
    match &sample.reading {
        SampleValue::Gauge(value) => {
            encoding::message::encode(METRIC_GAUGE, &model::Gauge { value: *value }, scratch);
        }
        SampleValue::Counter(total, one) => {
            let counter = model::Counter {
                value: *total,
                exemplar: one.map(exemplar),
                start_timestamp: sample.start.map(timestamp),
            };
            encoding::message::encode(METRIC_COUNTER, &counter, scratch);
        }
        SampleValue::Histogram(distribution) => {
            encoding::message::encode(METRIC_HISTOGRAM, &histogram(distribution, sample.start), scratch);
        }
    }
    encoding::encode_key(FAMILY_METRIC, WireType::LengthDelimited, out);
    length(scratch.len(), out);
    out.extend_from_slice(scratch);
}

fn histogram(distribution: &HistogramRef<'_>, start: Option<Timestamp>) -> model::Histogram {
    let exemplars = distribution.exemplars.iter().map(Option::as_ref).chain(std::iter::repeat(None));
    let bucket = distribution.ladder.cumulative(distribution.counts).zip(exemplars).map(
        |((upper_bound, cumulative_count), one)| model::Bucket {
            cumulative_count,
            upper_bound,
            exemplar: one.map(exemplar),
            ..model::Bucket::default()
        },
    );
    let mut histogram = model::Histogram {
        sample_count: distribution.counts.iter().sum(),
        sample_sum: distribution.sum,
        bucket: bucket.collect(),
        start_timestamp: start.map(timestamp),
        ..model::Histogram::default()
    };
    if let Some(native) = distribution.native {
        let spans = native::Spans::of(native);
        histogram.schema = i32::from(spans.schema);
        histogram.zero_threshold = ZERO_THRESHOLD;
        histogram.zero_count = native.zero_count();
        histogram.positive_delta = spans.deltas().collect();
        let span = |&(offset, length): &(i32, u32)| model::BucketSpan { offset, length };
        histogram.positive_span = spans.spans.iter().map(span).collect();
        histogram.exemplars = native::newest_exemplars(distribution.exemplars).map(exemplar).collect();
    }
    histogram
}

fn exemplar(exemplar: &aggregate::Exemplar) -> model::Exemplar {
    let label = model::LabelPair { name: EXEMPLAR_LABEL.to_owned(), value: exemplar.id().to_owned() };
    model::Exemplar { label: vec![label], value: exemplar.value(), timestamp: Some(timestamp(exemplar.at())) }
}

fn timestamp(at: Timestamp) -> prost_types::Timestamp {
    let nanos = i32::try_from(at.millis().rem_euclid(1000) * 1_000_000).unwrap_or(0);
    prost_types::Timestamp { seconds: at.millis().div_euclid(1000), nanos }
}

fn length(bytes: usize, out: &mut Vec<u8>) {
    encoding::encode_varint(bytes as u64, out);
}

#[cfg(test)]
mod tests;
