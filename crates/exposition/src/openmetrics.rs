//! OpenMetrics 1.0.
//!
//! Source: the OpenMetrics 1.0 specification.

use crate::family::{FamilyMeta, HistogramView, Kind, Sample, SampleValue, Unit};
use crate::format_float::write_value;
use crate::text::write_sum_and_count;
use crate::text_common::{
    push_str, write_buckets, write_escaped, write_exemplar, write_name_and_labels, write_seconds,
};

/// The last line of an exposition.
pub(crate) const END: &str = "# EOF\n";

/// Writes the `# TYPE`, `# UNIT` and `# HELP` lines.
pub(crate) fn write_metadata(meta: &FamilyMeta, out: &mut Vec<u8>) {
    write_metadata_as(meta, family_name(meta), out);
}

/// Writes the same lines with another name.
pub(crate) fn write_metadata_as(meta: &FamilyMeta, name: &str, out: &mut Vec<u8>) {
    for (keyword, value) in [
        ("# TYPE ", Some(meta.kind.as_str())),
        ("# UNIT ", meta.unit.map(Unit::as_str)),
        ("# HELP ", Some(meta.help.as_ref())),
    ] {
        if let Some(value) = value {
            push_str(out, keyword);
            push_str(out, name);
            push_str(out, " ");
            write_escaped(out, value);
            push_str(out, "\n");
        }
    }
}

/// Writes the lines of a sample; `created` adds a `_created` line where the start is known.
pub(crate) fn write_sample<H: HistogramView>(
    meta: &FamilyMeta,
    created: bool,
    group_labels: &[u8],
    sample: &Sample<'_, H>,
    out: &mut Vec<u8>,
) {
    match &sample.value {
        SampleValue::Gauge(value) => {
            write_name_and_labels(&meta.name, "", group_labels, sample, out);
            write_value(out, *value);
            push_str(out, "\n");
        }
        SampleValue::Counter(total, exemplar) => {
            write_name_and_labels(family_name(meta), "_total", group_labels, sample, out);
            write_value(out, *total);
            write_exemplar(out, *exemplar);
            push_str(out, "\n");
        }
        SampleValue::Histogram(histogram) => {
            let bounds = histogram.bounds();
            let buckets = bounds.le_labels().zip(bounds.cumulative(histogram.counts())).enumerate();
            let buckets = buckets.map(|(index, (le, (_, count)))| (le, count, histogram.exemplar(index)));
            write_buckets(&meta.name, group_labels, sample, buckets, out);
            write_sum_and_count(meta, group_labels, sample, histogram, out);
        }
    }
    if let (true, Some(start)) = (created, sample.start) {
        write_name_and_labels(family_name(meta), "_created", group_labels, sample, out);
        write_seconds(out, start);
        push_str(out, "\n");
    }
}

/// The name of the family, which for a counter lacks `_total`.
fn family_name(meta: &FamilyMeta) -> &str {
    match meta.kind {
        Kind::Counter => meta.name.strip_suffix("_total").unwrap_or(&meta.name),
        Kind::Gauge | Kind::Histogram => &meta.name,
    }
}

#[cfg(test)]
mod tests;
