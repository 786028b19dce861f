//! OpenMetrics 2.0, as its release candidate 2.0.0-rc0 has it.
//!
//! Owns: its spelling of families and series: one line per series, a histogram as a composite value with classic and native
//! buckets, the start timestamp on the line itself, exemplars with their times. Never: the mark at the end.
//!
//! Source: the OpenMetrics 2.0 specification, March 2026. It may still change, so this format is sent only to those who ask
//! for `version=2.0.0`.

use super::family::{Distribution, Head, Reading, Sample};
use super::line::{self, put};
use super::{native, number, openmetrics};
use crate::aggregate::native::ZERO_THRESHOLD;

/// Writes the `# TYPE`, `# UNIT` and `# HELP` lines, under the very name of the samples.
pub(super) fn head(head: &Head, out: &mut Vec<u8>) {
    openmetrics::describe(head, &head.name, out);
}

/// Writes the line of a sample.
pub(super) fn sample(head: &Head, shared: &[u8], sample: &Sample<'_>, out: &mut Vec<u8>) {
    line::front(&head.name, "", shared, sample, out);
    match &sample.reading {
        Reading::Counter(value, _) | Reading::Gauge(value) => number::value(out, *value),
        Reading::Histogram(histogram) => composite(histogram, out),
    }
    if let Some(start) = sample.start {
        put(out, " st@");
        line::seconds(out, start);
    }
    match &sample.reading {
        Reading::Gauge(_) => {}
        Reading::Counter(_, exemplar) => exemplar.iter().for_each(|one| line::exemplar(out, one)),
        Reading::Histogram(histogram) => {
            native::in_order(histogram.exemplars).for_each(|one| line::exemplar(out, one));
        }
    }
    put(out, "\n");
}

fn composite(histogram: &Distribution<'_>, out: &mut Vec<u8>) {
    put(out, "{count:");
    number::count(out, histogram.counts.iter().sum());
    put(out, ",sum:");
    number::value(out, histogram.sum);
    if let Some(native) = histogram.native {
        let spans = native::Spans::of(native);
        put(out, ",schema:");
        number::value(out, f64::from(spans.schema));
        put(out, ",zero_threshold:");
        number::value(out, ZERO_THRESHOLD);
        put(out, ",zero_count:");
        number::count(out, native.zero_count());
        if !spans.counts.is_empty() {
            put(out, ",positive_spans:[");
            list(&spans.spans, out, |out, (offset, length)| {
                number::value(out, f64::from(*offset));
                put(out, ":");
                number::count(out, u64::from(*length));
            });
            put(out, "],positive_buckets:[");
            list(&spans.counts, out, |out, count| number::count(out, *count));
            put(out, "]");
        }
    }
    put(out, ",bucket:[");
    let buckets: Vec<_> = histogram.ladder.cumulative(histogram.counts).collect();
    list(&buckets, out, |out, (bound, count)| {
        number::value(out, *bound);
        put(out, ":");
        number::count(out, *count);
    });
    put(out, "]}");
}

fn list<T>(items: &[T], out: &mut Vec<u8>, mut each: impl FnMut(&mut Vec<u8>, &T)) {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            put(out, ",");
        }
        each(out, item);
    }
}
