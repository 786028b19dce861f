//! From the families of the `prometheus` crate to ours.
//!
//! Owns: the translation. Never: which metrics there are.

use prometheus::proto::{self, MetricType};

use super::family::{Family, Histogram, Kind, Labels, Series, Value};
use crate::timestamp::Timestamp;

/// All of `families` that our model can say, in their order; summaries and untyped families are left out, because
/// nothing here registers any. That crate does not know since when a counter counts: `start` is said of all of them.
pub fn families(families: &[proto::MetricFamily], start: Option<Timestamp>) -> Vec<Family> {
    families.iter().filter_map(|one| family(one, start)).collect()
}

fn family(family: &proto::MetricFamily, start: Option<Timestamp>) -> Option<Family> {
    let kind = match family.get_field_type() {
        MetricType::COUNTER => Kind::Counter,
        MetricType::GAUGE => Kind::Gauge,
        MetricType::HISTOGRAM => Kind::Histogram,
        MetricType::SUMMARY | MetricType::UNTYPED => return None,
    };
    let mut lifted = Family::new(family.name().to_owned(), family.help().to_owned(), kind);
    lifted.series = family.get_metric().iter().map(|metric| series(kind, metric, start)).collect();
    Some(lifted)
}

fn series(kind: Kind, metric: &proto::Metric, start: Option<Timestamp>) -> Series {
    let labels = metric.get_label().iter().map(|pair| (pair.name().to_owned(), pair.value()));
    let value = match kind {
        Kind::Counter => Value::Counter(metric.get_counter().get_value()),
        Kind::Gauge => Value::Gauge(metric.get_gauge().get_value()),
        Kind::Histogram => Value::Histogram(histogram(metric.get_histogram())),
    };
    let start = start.filter(|_| kind != Kind::Gauge);
    Series { start, ..Series::new(Labels::new(labels), value) }
}

/// Buckets are cumulative there, and the last may or may not be `+Inf`.
fn histogram(histogram: &proto::Histogram) -> Histogram {
    let finite = || histogram.get_bucket().iter().filter(|bucket| bucket.upper_bound().is_finite());
    let bounds = finite().map(proto::Bucket::upper_bound);
    let mut below = 0;
    let counts: Vec<u64> = finite()
        .map(proto::Bucket::cumulative_count)
        .chain([histogram.get_sample_count()])
        .map(|cumulative| {
            // The crate reads its cells one by one, so a bucket may be a moment ahead of the total.
            let alone = u64::saturating_sub(cumulative, below);
            below = below.max(cumulative);
            alone
        })
        .collect();
    Histogram::new(bounds, counts, histogram.get_sample_sum())
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
        let lifted = families(&requests.collect(), start);

        assert_eq!((lifted[0].head.name.as_ref(), lifted[0].head.kind), ("requests_total", Kind::Counter));
        assert_eq!(lifted[0].series[0].labels, Labels::new([("code", "200"), ("endpoint", "conversations")]));
        assert_eq!(lifted[0].series[0].value, Value::total(5));
        assert_eq!(lifted[0].series[0].start, start);
    }

    #[test]
    fn cumulative_buckets_come_apart() {
        let options = HistogramOpts::new("wait_seconds", "Waits.").buckets(vec![1.0, 2.0, f64::INFINITY]);
        let waits = prometheus::Histogram::with_opts(options).unwrap();
        for seconds in [0.5, 1.0, 1.5, 9.0] {
            waits.observe(seconds);
        }
        let lifted = families(&waits.collect(), None);
        let expected = Histogram::new([1.0, 2.0], [2, 1, 1], 12.0);
        assert_eq!(lifted[0].series[0].value, Value::Histogram(expected));
    }

    #[test]
    fn what_the_model_cannot_say_is_left_out() {
        let mut summary = proto::MetricFamily::default();
        summary.set_field_type(MetricType::SUMMARY);
        assert_eq!(family(&summary, None), None);
    }
}
