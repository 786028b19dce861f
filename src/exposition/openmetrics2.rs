//! OpenMetrics 2.0, as its release candidate 2.0.0-rc0 has it.
//!
//! Owns: its spelling of families and series: one line per series, a histogram as a composite value with classic and native
//! buckets, the start timestamp on the line itself, exemplars with their times. Never: the mark at the end.
//!
//! Source: the OpenMetrics 2.0 specification, March 2026. It may still change, so this format is sent only to those who ask
//! for `version=2.0.0`.

use super::family::{FamilyMeta, HistogramRef, Sample, SampleValue};
use super::line::{self, push_str};
use super::{native, number, openmetrics};
use crate::aggregate::native::ZERO_THRESHOLD;

/// Writes the `# TYPE`, `# UNIT` and `# HELP` lines, under the very name of the samples.
pub(super) fn head(head: &FamilyMeta, out: &mut Vec<u8>) {
    openmetrics::write_metadata(head, &head.name, out);
}

/// Writes the line of a sample.
pub(super) fn sample(head: &FamilyMeta, shared: &[u8], sample: &Sample<'_>, out: &mut Vec<u8>) {
    line::write_name_and_labels(&head.name, "", shared, sample, out);
    match &sample.reading {
        SampleValue::Counter(value, _) | SampleValue::Gauge(value) => number::value(out, *value),
        SampleValue::Histogram(histogram) => write_histogram(histogram, out),
    }
    if let Some(start) = sample.start {
        push_str(out, " st@");
        line::seconds(out, start);
    }
    match &sample.reading {
        SampleValue::Gauge(_) => {}
        SampleValue::Counter(_, exemplar) => exemplar.iter().for_each(|one| line::exemplar(out, one)),
        SampleValue::Histogram(histogram) => {
            native::newest_exemplars(histogram.exemplars).for_each(|one| line::exemplar(out, one));
        }
    }
    push_str(out, "\n");
}

fn write_histogram(histogram: &HistogramRef<'_>, out: &mut Vec<u8>) {
    push_str(out, "{count:");
    number::count(out, histogram.counts.iter().sum());
    push_str(out, ",sum:");
    number::value(out, histogram.sum);
    if let Some(native) = histogram.native {
        let spans = native::Spans::of(native);
        push_str(out, ",schema:");
        number::value(out, f64::from(spans.schema));
        push_str(out, ",zero_threshold:");
        number::value(out, ZERO_THRESHOLD);
        push_str(out, ",zero_count:");
        number::count(out, native.zero_count());
        if !spans.counts.is_empty() {
            push_str(out, ",positive_spans:[");
            list(&spans.spans, out, |out, (offset, length)| {
                number::value(out, f64::from(*offset));
                push_str(out, ":");
                number::count(out, u64::from(*length));
            });
            push_str(out, "],positive_buckets:[");
            list(&spans.counts, out, |out, count| number::count(out, *count));
            push_str(out, "]");
        }
    }
    push_str(out, ",bucket:[");
    let buckets: Vec<_> = histogram.ladder.cumulative(histogram.counts).collect();
    list(&buckets, out, |out, (bound, count)| {
        number::value(out, *bound);
        push_str(out, ":");
        number::count(out, *count);
    });
    push_str(out, "]}");
}

fn list<T>(items: &[T], out: &mut Vec<u8>, mut each: impl FnMut(&mut Vec<u8>, &T)) {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            push_str(out, ",");
        }
        each(out, item);
    }
}
