//! The Prometheus protobuf format: `MetricFamily` messages, each preceded by its length.
//!
//! Messages are written by hand, because a family is written before the number of its samples is known: a repeated field is
//! the concatenation of its elements, so a family is its metadata, whose length includes the samples, and then the samples.
//! Source: `proto/io/prometheus/client/metrics.proto`.

use crate::buckets::NativeHistogram;
use crate::family::{Exemplar, FamilyMeta, HistogramView, Sample, SampleValue, Timestamp, newest_exemplars};

pub(crate) fn write_labels<'a>(labels: impl Iterator<Item = (&'a str, &'a str)>, out: &mut Vec<u8>) {
    labels.for_each(|label| label_pair(1, label, out));
}

/// Writes the length of a family and all its fields but the samples, which have `samples_len` bytes.
pub(crate) fn write_metadata(meta: &FamilyMeta, samples_len: usize, out: &mut Vec<u8>) {
    let mut fields = Vec::new();
    bytes(1, meta.name.as_bytes(), &mut fields);
    bytes(2, meta.help.as_bytes(), &mut fields);
    uint64(3, meta.kind as u64, &mut fields);
    bytes(5, meta.unit.map_or("", |unit| unit.as_str()).as_bytes(), &mut fields);
    varint((fields.len() + samples_len) as u64, out);
    out.extend_from_slice(&fields);
}

pub(crate) fn write_sample<H: HistogramView>(
    native_histograms: bool,
    group_labels: &[u8],
    sample: &Sample<'_, H>,
    out: &mut Vec<u8>,
) {
    message(4, out, |out| {
        out.extend_from_slice(group_labels);
        write_labels(sample.labels(), out);
        match &sample.value {
            SampleValue::Gauge(value) => message(2, out, |out| double(1, *value, out)),
            SampleValue::Counter(total, exemplar) => message(3, out, |out| {
                double(1, *total, out);
                exemplar.iter().for_each(|exemplar| write_exemplar(2, exemplar, out));
                sample.start.iter().for_each(|start| timestamp(3, *start, out));
            }),
            SampleValue::Histogram(histogram) => message(7, out, |out| {
                write_histogram(histogram, native_histograms, out);
                sample.start.iter().for_each(|start| timestamp(15, *start, out));
            }),
        }
    });
}

fn write_histogram(histogram: &impl HistogramView, native_histograms: bool, out: &mut Vec<u8>) {
    uint64(1, histogram.counts().iter().sum(), out);
    double(2, histogram.sum(), out);
    for (index, (bound, count)) in histogram.bounds().cumulative(histogram.counts()).enumerate() {
        message(3, out, |out| {
            uint64(1, count, out);
            double(2, bound, out);
            histogram.exemplar(index).iter().for_each(|exemplar| write_exemplar(3, exemplar, out));
        });
    }
    let Some(native) = native_histograms.then(|| histogram.native(NativeHistogram::MAX_BUCKETS)).flatten()
    else {
        return;
    };
    uint64(5, zigzag(native.schema.into()), out);
    double(6, native.zero_threshold, out);
    uint64(7, native.zero_count, out);
    for (offset, length) in native.spans() {
        message(12, out, |out| {
            uint64(1, zigzag(offset.into()), out);
            uint64(2, length.into(), out);
        });
    }
    if !native.buckets.is_empty() {
        message(13, out, |out| native.deltas().for_each(|delta| varint(zigzag(delta), out)));
    }
    newest_exemplars(histogram).for_each(|exemplar| write_exemplar(16, &exemplar, out));
}

fn write_exemplar(field: u64, exemplar: &Exemplar<'_>, out: &mut Vec<u8>) {
    message(field, out, |out| {
        label_pair(1, exemplar.label, out);
        double(2, exemplar.value, out);
        timestamp(3, exemplar.timestamp, out);
    });
}

fn label_pair(field: u64, (name, value): (&str, &str), out: &mut Vec<u8>) {
    message(field, out, |out| {
        bytes(1, name.as_bytes(), out);
        bytes(2, value.as_bytes(), out);
    });
}

fn timestamp(field: u64, at: Timestamp, out: &mut Vec<u8>) {
    message(field, out, |out| {
        // Negative numbers are written as their two's complement.
        uint64(1, at.millis().div_euclid(1000).cast_unsigned(), out);
        uint64(2, at.millis().rem_euclid(1000).unsigned_abs() * 1_000_000, out);
    });
}

// The encoding of protocol buffers: a field is its key, which is its number and wire type, and its value. Fields with the default
// value are left out.

const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const LENGTH_DELIMITED: u64 = 2;

/// Writes a message as a field. Its length is written before it once it is known.
fn message(field: u64, out: &mut Vec<u8>, write_fields: impl FnOnce(&mut Vec<u8>)) {
    varint(field << 3 | LENGTH_DELIMITED, out);
    let start = out.len();
    write_fields(out);
    let end = out.len();
    varint((end - start) as u64, out);
    let length_len = out.len() - end;
    out[start..].rotate_right(length_len);
}

fn bytes(field: u64, value: &[u8], out: &mut Vec<u8>) {
    if !value.is_empty() {
        varint(field << 3 | LENGTH_DELIMITED, out);
        varint(value.len() as u64, out);
        out.extend_from_slice(value);
    }
}

fn double(field: u64, value: f64, out: &mut Vec<u8>) {
    if value != 0.0 {
        varint(field << 3 | FIXED64, out);
        out.extend_from_slice(&value.to_le_bytes());
    }
}

fn uint64(field: u64, value: u64, out: &mut Vec<u8>) {
    if value != 0 {
        varint(field << 3 | VARINT, out);
        varint(value, out);
    }
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

/// Maps small negative numbers to small positive ones.
fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63).cast_unsigned()
}

#[cfg(test)]
mod tests;
