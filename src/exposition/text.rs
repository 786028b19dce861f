//! The Prometheus text format, versions 0.0.4 and 1.0.0, which differ only in names that we do not use.
//!
//! Owns: its spelling of families and series. Never: exemplars and start timestamps, which this format lacks.
//!
//! Source: "Exposition formats" of the Prometheus documentation. Backslash and line feed are escaped in help texts and
//! label values, the double quote in label values alone.

use super::family::{Distribution, Head, Reading, Sample};
use super::line::{self, put};
use super::number;

/// Writes the `# HELP` and `# TYPE` lines.
pub(super) fn head(head: &Head, out: &mut Vec<u8>) {
    put(out, "# HELP ");
    put(out, &head.name);
    put(out, " ");
    line::help(out, &head.help);
    put(out, "\n# TYPE ");
    put(out, &head.name);
    put(out, " ");
    put(out, head.kind.as_str());
    put(out, "\n");
}

/// Writes the lines of a sample.
pub(super) fn sample(head: &Head, shared: &[u8], sample: &Sample<'_>, out: &mut Vec<u8>) {
    match &sample.reading {
        Reading::Counter(value, _) | Reading::Gauge(value) => {
            line::front(&head.name, "", shared, sample, out);
            number::value(out, *value);
            put(out, "\n");
        }
        Reading::Histogram(histogram) => {
            let buckets = histogram.ladder.spelled().zip(histogram.ladder.cumulative(histogram.counts));
            let buckets = buckets.map(|(bound, (_, count))| (bound, count, ()));
            line::buckets(&head.name, shared, sample, buckets, |_, ()| {}, out);
            sum_and_count(head, shared, sample, histogram, out);
        }
    }
}

/// Writes the lines of a histogram that follow its buckets.
pub(super) fn sum_and_count(
    head: &Head,
    shared: &[u8],
    sample: &Sample<'_>,
    histogram: &Distribution<'_>,
    out: &mut Vec<u8>,
) {
    line::front(&head.name, "_sum", shared, sample, out);
    number::value(out, histogram.sum);
    put(out, "\n");
    line::front(&head.name, "_count", shared, sample, out);
    number::count(out, histogram.counts.iter().sum());
    put(out, "\n");
}

#[cfg(test)]
mod tests;
