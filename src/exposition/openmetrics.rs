//! OpenMetrics 1.0.
//!
//! Owns: its spelling of families and series: `# UNIT`, names of counters without `_total` in the heads, exemplars, and, if
//! asked for, `_created` lines. Never: the mark at the end, which belongs to the whole exposition.
//!
//! Source: the OpenMetrics 1.0 specification.

use super::family::{Head, Kind, Reading, Sample};
use super::line::{self, put};
use super::{number, text};
use crate::moment::Moment;

/// The last line of an exposition.
pub(super) const END: &str = "# EOF\n";

/// Writes the `# TYPE`, `# UNIT` and `# HELP` lines.
pub(super) fn head(head: &Head, out: &mut Vec<u8>) {
    describe(head, stem(head), out);
}

/// The same under any name.
pub(super) fn describe(head: &Head, name: &str, out: &mut Vec<u8>) {
    for (keyword, value) in [
        ("# TYPE ", Some(head.kind.as_str())),
        ("# UNIT ", head.unit.map(super::family::Unit::as_str)),
        ("# HELP ", Some(head.help.as_ref())),
    ] {
        if let Some(value) = value {
            put(out, keyword);
            put(out, name);
            put(out, " ");
            line::quoted(out, value);
            put(out, "\n");
        }
    }
}

/// Writes the lines of a sample.
pub(super) fn sample(head: &Head, created: bool, shared: &[u8], sample: &Sample<'_>, out: &mut Vec<u8>) {
    match &sample.reading {
        Reading::Gauge(value) => {
            line::front(&head.name, "", shared, sample, out);
            number::value(out, *value);
            put(out, "\n");
        }
        Reading::Counter(total, exemplar) => {
            line::front(stem(head), "_total", shared, sample, out);
            number::value(out, *total);
            if let Some(exemplar) = exemplar {
                line::exemplar(out, exemplar);
            }
            put(out, "\n");
        }
        Reading::Histogram(histogram) => {
            let buckets = histogram.ladder.spelled().zip(histogram.ladder.cumulative(histogram.counts));
            let exemplars = histogram.exemplars.iter().map(Option::as_ref).chain(std::iter::repeat(None));
            let buckets = buckets.zip(exemplars).map(|((bound, (_, count)), one)| (bound, count, one));
            let after = |out: &mut Vec<u8>, one: Option<_>| {
                if let Some(one) = one {
                    line::exemplar(out, one);
                }
            };
            line::buckets(&head.name, shared, sample, buckets, after, out);
            text::sum_and_count(head, shared, sample, histogram, out);
        }
    }
    if let (true, Some(start)) = (created, sample.start) {
        since(head, shared, sample, start, out);
    }
}

fn since(head: &Head, shared: &[u8], sample: &Sample<'_>, start: Moment, out: &mut Vec<u8>) {
    line::front(stem(head), "_created", shared, sample, out);
    line::seconds(out, start);
    put(out, "\n");
}

/// The name of the family: that of a counter goes without `_total`.
fn stem(head: &Head) -> &str {
    match head.kind {
        Kind::Counter => head.name.strip_suffix("_total").unwrap_or(&head.name),
        Kind::Gauge | Kind::Histogram => &head.name,
    }
}

#[cfg(test)]
mod tests;
