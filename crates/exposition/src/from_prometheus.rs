//! Families gathered by the `prometheus` crate.

use prometheus::proto::{self, MetricType};

use crate::family::{Family, Histogram, Kind, Labels, Series, Timestamp, Value};

/// Converts families in their order. Summaries and untyped families are left out. The `prometheus` crate does not record when
/// a counter started to count, so `start` applies to all of them.
pub fn from_prometheus(families: &[proto::MetricFamily], start: Option<Timestamp>) -> Vec<Family> {
    families.iter().filter_map(|family| convert_family(family, start)).collect()
}

fn convert_family(family: &proto::MetricFamily, start: Option<Timestamp>) -> Option<Family> {
    let kind = match family.get_field_type() {
        MetricType::COUNTER => Kind::Counter,
        MetricType::GAUGE => Kind::Gauge,
        MetricType::HISTOGRAM => Kind::Histogram,
        MetricType::SUMMARY | MetricType::UNTYPED => return None,
    };
    let mut converted = Family::new(family.name().to_owned(), family.help().to_owned(), kind);
    converted.series = family.get_metric().iter().map(|metric| convert_series(kind, metric, start)).collect();
    Some(converted)
}

fn convert_series(kind: Kind, metric: &proto::Metric, start: Option<Timestamp>) -> Series {
    let labels = metric.get_label().iter().map(|pair| (pair.name().to_owned(), pair.value()));
    let value = match kind {
        Kind::Counter => Value::Counter(metric.get_counter().get_value(), None),
        Kind::Gauge => Value::Gauge(metric.get_gauge().get_value()),
        Kind::Histogram => Value::Histogram(convert_histogram(metric.get_histogram())),
    };
    Series { labels: Labels::new(labels), value, start: start.filter(|_| kind != Kind::Gauge) }
}

/// The `prometheus` crate has cumulative buckets, with or without `+Inf` as the last.
fn convert_histogram(histogram: &proto::Histogram) -> Histogram {
    let finite = || histogram.get_bucket().iter().filter(|bucket| bucket.upper_bound().is_finite());
    let mut below = 0;
    let cumulative = finite().map(proto::Bucket::cumulative_count).chain([histogram.get_sample_count()]);
    let counts: Vec<u64> = cumulative
        .map(|cumulative| {
            // The crate does not read its cells atomically, so a bucket may be ahead of the total.
            let count = cumulative.saturating_sub(below);
            below = below.max(cumulative);
            count
        })
        .collect();
    Histogram::new(finite().map(proto::Bucket::upper_bound), counts, histogram.get_sample_sum())
}

#[cfg(test)]
mod tests {
    use prometheus::core::Collector;
    use prometheus::{HistogramOpts, IntCounterVec, Opts};

    use super::*;

    #[test]
    fn counters_keep_their_labels() {
        let requests =
            IntCounterVec::new(Opts::new("requests_total", "Requests."), &["code", "endpoint"]).unwrap();
        requests.with_label_values(&["200", "conversations"]).inc_by(5);
        let start = Some(Timestamp::from_millis(1_790_000_000_000));
        let converted = from_prometheus(&requests.collect(), start);

        assert_eq!(
            (converted[0].meta.name.as_ref(), converted[0].meta.kind),
            ("requests_total", Kind::Counter)
        );
        assert_eq!(
            converted[0].series[0].labels,
            Labels::new([("code", "200"), ("endpoint", "conversations")])
        );
        assert_eq!(converted[0].series[0].value, Value::total(5));
        assert_eq!(converted[0].series[0].start, start);
    }

    #[test]
    fn cumulative_buckets_are_separated() {
        let options = HistogramOpts::new("wait_seconds", "Waits.").buckets(vec![1.0, 2.0, f64::INFINITY]);
        let waits = prometheus::Histogram::with_opts(options).unwrap();
        for seconds in [0.5, 1.0, 1.5, 9.0] {
            waits.observe(seconds);
        }
        let converted = from_prometheus(&waits.collect(), None);
        let expected = Histogram::new([1.0, 2.0], [2, 1, 1], 12.0);
        assert_eq!(converted[0].series[0].value, Value::Histogram(expected));
    }

    #[test]
    fn summaries_are_left_out() {
        let mut summary = proto::MetricFamily::default();
        summary.set_field_type(MetricType::SUMMARY);
        assert_eq!(from_prometheus(&[summary], None), []);
    }
}
