//! The Prometheus text format, versions 0.0.4 and 1.0.0, which differ only in names that we do not use.
//!
//! Owns: its spelling of families and series. Never: exemplars and start timestamps, which this format lacks.
//!
//! Source: "Exposition formats" of the Prometheus documentation. Backslash and line feed are escaped in help texts and
//! label values, the double quote in label values alone.

use super::family::{FamilyMeta, HistogramRef, Sample, SampleValue};
use super::line::{self, push_str};
use super::number;

/// Writes the `# HELP` and `# TYPE` lines.
pub(super) fn head(head: &FamilyMeta, out: &mut Vec<u8>) {
    push_str(out, "# HELP ");
    push_str(out, &head.name);
    push_str(out, " ");
    line::help(out, &head.help);
    push_str(out, "\n# TYPE ");
    push_str(out, &head.name);
    push_str(out, " ");
    push_str(out, head.kind.as_str());
    push_str(out, "\n");
}

/// Writes the lines of a sample.
pub(super) fn sample(head: &FamilyMeta, shared: &[u8], sample: &Sample<'_>, out: &mut Vec<u8>) {
    match &sample.reading {
        SampleValue::Counter(value, _) | SampleValue::Gauge(value) => {
            line::write_name_and_labels(&head.name, "", shared, sample, out);
            number::value(out, *value);
            push_str(out, "\n");
        }
        SampleValue::Histogram(histogram) => {
            let buckets = histogram.ladder.le_labels().zip(histogram.ladder.cumulative(histogram.counts));
            let buckets = buckets.map(|(bound, (_, count))| (bound, count, ()));
            line::buckets(&head.name, shared, sample, buckets, |_, ()| {}, out);
            sum_and_count(head, shared, sample, histogram, out);
        }
    }
}

/// Writes the lines of a histogram that follow its buckets.
pub(super) fn sum_and_count(
    head: &FamilyMeta,
    shared: &[u8],
    sample: &Sample<'_>,
    histogram: &HistogramRef<'_>,
    out: &mut Vec<u8>,
) {
    line::write_name_and_labels(&head.name, "_sum", shared, sample, out);
    number::value(out, histogram.sum);
    push_str(out, "\n");
    line::write_name_and_labels(&head.name, "_count", shared, sample, out);
    number::count(out, histogram.counts.iter().sum());
    push_str(out, "\n");
}

#[cfg(test)]
mod tests;
