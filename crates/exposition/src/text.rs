//! The Prometheus text format, versions 0.0.4 and 1.0.0.
//!
//! The versions differ only in names that need quotes, which this crate does not write. The format has no exemplars and no start
//! timestamps. Source: "Exposition formats" of the Prometheus documentation.

use crate::family::{FamilyMeta, HistogramView, Sample, SampleValue};
use crate::format_float::{write_count, write_value};
use crate::text_common::{push_str, write_buckets, write_exemplar, write_help, write_name_and_labels};

pub(crate) fn write_metadata(meta: &FamilyMeta, out: &mut Vec<u8>) {
    push_str(out, "# HELP ");
    push_str(out, &meta.name);
    push_str(out, " ");
    write_help(out, &meta.help);
    push_str(out, "\n# TYPE ");
    push_str(out, &meta.name);
    push_str(out, " ");
    push_str(out, meta.kind.as_str());
    push_str(out, "\n");
}

/// Writes the lines of a sample; those of OpenMetrics have exemplars, and counters end in `_total` whatever their name is.
pub(crate) fn write_sample<H: HistogramView>(
    meta: &FamilyMeta,
    is_openmetrics: bool,
    group_labels: &[u8],
    sample: &Sample<'_, H>,
    out: &mut Vec<u8>,
) {
    let (counter, suffix) =
        if is_openmetrics { (meta.base_name(), "_total") } else { (meta.name.as_ref(), "") };
    match &sample.value {
        SampleValue::Counter(value, exemplar) => {
            write_name_and_labels(counter, suffix, group_labels, sample, out);
            write_value(out, *value);
            write_exemplar(out, exemplar.filter(|_| is_openmetrics));
        }
        SampleValue::Gauge(value) => {
            write_name_and_labels(&meta.name, "", group_labels, sample, out);
            write_value(out, *value);
        }
        SampleValue::Histogram(histogram) => {
            let bounds = histogram.bounds();
            let buckets = bounds.le_labels().zip(bounds.cumulative(histogram.counts())).enumerate();
            let exemplar = |index| if is_openmetrics { histogram.exemplar(index) } else { None };
            let buckets = buckets.map(|(index, (le, (_, count)))| (le, count, exemplar(index)));
            write_buckets(&meta.name, group_labels, sample, buckets, out);
            write_name_and_labels(&meta.name, "_sum", group_labels, sample, out);
            write_value(out, histogram.sum());
            push_str(out, "\n");
            write_name_and_labels(&meta.name, "_count", group_labels, sample, out);
            write_count(out, histogram.counts().iter().sum());
        }
    }
    push_str(out, "\n");
}

#[cfg(test)]
mod tests;
