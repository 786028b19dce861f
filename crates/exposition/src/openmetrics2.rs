//! OpenMetrics 2.0, release candidate 2.0.0-rc0.
//!
//! Each series is one line: a histogram is a composite value with classic and native buckets. Source: the OpenMetrics 2.0
//! specification, March 2026. It may still change, so this format is sent only to scrapers that ask for `version=2.0.0`.

use crate::buckets::NativeHistogram;
use crate::family::{FamilyMeta, HistogramView, Sample, SampleValue, newest_exemplars};
use crate::format_float::{write_count, write_value};
use crate::text_common::{push_str, write_exemplar, write_name_and_labels, write_seconds};

pub(crate) fn write_sample<H: HistogramView>(
    meta: &FamilyMeta,
    native_histograms: bool,
    group_labels: &[u8],
    sample: &Sample<'_, H>,
    out: &mut Vec<u8>,
) {
    write_name_and_labels(&meta.name, "", group_labels, sample, out);
    match &sample.value {
        SampleValue::Counter(value, _) | SampleValue::Gauge(value) => write_value(out, *value),
        SampleValue::Histogram(histogram) => write_histogram(histogram, native_histograms, out),
    }
    if let Some(start) = sample.start {
        push_str(out, " st@");
        write_seconds(out, start);
    }
    match &sample.value {
        SampleValue::Gauge(_) => {}
        SampleValue::Counter(_, exemplar) => write_exemplar(out, *exemplar),
        SampleValue::Histogram(histogram) => {
            newest_exemplars(histogram).for_each(|exemplar| write_exemplar(out, Some(exemplar)));
        }
    }
    push_str(out, "\n");
}

fn write_histogram(histogram: &impl HistogramView, native_histograms: bool, out: &mut Vec<u8>) {
    push_str(out, "{count:");
    write_count(out, histogram.counts().iter().sum());
    push_str(out, ",sum:");
    write_value(out, histogram.sum());
    if let Some(native) = native_histograms.then(|| histogram.native(NativeHistogram::MAX_BUCKETS)).flatten()
    {
        push_str(out, ",schema:");
        write_value(out, f64::from(native.schema));
        push_str(out, ",zero_threshold:");
        write_value(out, native.zero_threshold);
        push_str(out, ",zero_count:");
        write_count(out, native.zero_count);
        if !native.buckets.is_empty() {
            push_str(out, ",positive_spans:[");
            write_list(native.spans(), out, |out, (offset, length)| {
                write_value(out, f64::from(offset));
                push_str(out, ":");
                write_count(out, u64::from(length));
            });
            push_str(out, "],positive_buckets:[");
            write_list(&native.buckets, out, |out, (_, count)| write_count(out, *count));
            push_str(out, "]");
        }
    }
    push_str(out, ",bucket:[");
    write_list(histogram.bounds().cumulative(histogram.counts()), out, |out, (bound, count)| {
        write_value(out, bound);
        push_str(out, ":");
        write_count(out, count);
    });
    push_str(out, "]}");
}

fn write_list<T>(
    items: impl IntoIterator<Item = T>,
    out: &mut Vec<u8>,
    mut write_item: impl FnMut(&mut Vec<u8>, T),
) {
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            push_str(out, ",");
        }
        write_item(out, item);
    }
}
