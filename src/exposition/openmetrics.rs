//! OpenMetrics 1.0.
//!
//! Owns: its spelling of families and series: `# UNIT`, names of counters without `_total` in the heads, exemplars, and, if
//! asked for, `_created` lines. Never: the mark at the end, which belongs to the whole exposition.
//!
//! Source: the OpenMetrics 1.0 specification.

use super::family::{FamilyMeta, Kind, Sample, SampleValue};
use super::line::{self, push_str};
use super::{number, text};
use crate::timestamp::Timestamp;

/// The last line of an exposition.
pub(super) const END: &str = "# EOF\n";

/// Writes the `# TYPE`, `# UNIT` and `# HELP` lines.
pub(super) fn head(head: &FamilyMeta, out: &mut Vec<u8>) {
    write_metadata(head, stem(head), out);
}

/// The same under any name.
pub(super) fn write_metadata(head: &FamilyMeta, name: &str, out: &mut Vec<u8>) {
    for (keyword, value) in [
        ("# TYPE ", Some(head.kind.as_str())),
        ("# UNIT ", head.unit.map(super::family::Unit::as_str)),
        ("# HELP ", Some(head.help.as_ref())),
    ] {
        if let Some(value) = value {
            push_str(out, keyword);
            push_str(out, name);
            push_str(out, " ");
            line::write_escaped(out, value);
            push_str(out, "\n");
        }
    }
}

/// Writes the lines of a sample.
pub(super) fn sample(
    head: &FamilyMeta,
    created: bool,
    shared: &[u8],
    sample: &Sample<'_>,
    out: &mut Vec<u8>,
) {
    match &sample.reading {
        SampleValue::Gauge(value) => {
            line::write_name_and_labels(&head.name, "", shared, sample, out);
            number::value(out, *value);
            push_str(out, "\n");
        }
        SampleValue::Counter(total, exemplar) => {
            line::write_name_and_labels(stem(head), "_total", shared, sample, out);
            number::value(out, *total);
            if let Some(exemplar) = exemplar {
                line::exemplar(out, exemplar);
            }
            push_str(out, "\n");
        }
        SampleValue::Histogram(histogram) => {
            let buckets = histogram.ladder.le_labels().zip(histogram.ladder.cumulative(histogram.counts));
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
        write_created(head, shared, sample, start, out);
    }
}

fn write_created(head: &FamilyMeta, shared: &[u8], sample: &Sample<'_>, start: Timestamp, out: &mut Vec<u8>) {
    line::write_name_and_labels(stem(head), "_created", shared, sample, out);
    line::seconds(out, start);
    push_str(out, "\n");
}

/// The name of the family: that of a counter goes without `_total`.
fn stem(head: &FamilyMeta) -> &str {
    match head.kind {
        Kind::Counter => head.name.strip_suffix("_total").unwrap_or(&head.name),
        Kind::Gauge | Kind::Histogram => &head.name,
    }
}

#[cfg(test)]
mod tests;
