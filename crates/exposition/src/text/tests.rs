//! The encoder, checked with a parser and with the encoder of the `prometheus` crate.

use std::collections::BTreeMap;

use prometheus::{
    Encoder, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, Opts, Registry, TextEncoder,
};
use proptest::prelude::*;

use crate::encoder::{Encoder as Writer, Format};
use crate::family::{Family, Histogram, Kind, Labels, Series, Value};
use crate::from_prometheus::from_prometheus;
use crate::test_support::OPTIONS;

fn encoded(families: &[Family]) -> String {
    let mut out = Vec::new();
    Writer::new(Format::Text, OPTIONS).write_families(families, &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn families_follow_the_format_specification() {
    let target = Labels::new([("project", "reservations"), ("region", "us-1")]);
    let mut handoffs =
        Family::new("polyai_handoffs_total", "Counted conversations with `handoff`.", Kind::Counter);
    handoffs.series.push(Series::new(target.clone(), Value::total(7)));
    handoffs.series.push(Series::new(Labels::default(), Value::total(0)));
    let mut latency =
        Family::new("polyai_turn_latency_seconds", "One\nline, one \\ and \"quotes\".", Kind::Histogram);
    latency.series.push(Series::new(target, Value::Histogram(Histogram::new([0.5, 2.0], [3, 0, 2], 12.25))));
    let empty = Family::new("polyai_without_series", "Empty.", Kind::Gauge);

    assert_eq!(
        encoded(&[handoffs, empty, latency]),
        r#"# HELP polyai_handoffs_total Counted conversations with `handoff`.
# TYPE polyai_handoffs_total counter
polyai_handoffs_total{project="reservations",region="us-1"} 7
polyai_handoffs_total 0
# HELP polyai_turn_latency_seconds One\nline, one \\ and "quotes".
# TYPE polyai_turn_latency_seconds histogram
polyai_turn_latency_seconds_bucket{project="reservations",region="us-1",le="0.5"} 3
polyai_turn_latency_seconds_bucket{project="reservations",region="us-1",le="2.0"} 3
polyai_turn_latency_seconds_bucket{project="reservations",region="us-1",le="+Inf"} 5
polyai_turn_latency_seconds_sum{project="reservations",region="us-1"} 12.25
polyai_turn_latency_seconds_count{project="reservations",region="us-1"} 5
"#
    );
}

#[test]
fn histogram_without_labels_has_only_le() {
    let mut waits = Family::new("wait_seconds", "Waits.", Kind::Histogram);
    waits.series.push(Series::new(Labels::default(), Value::Histogram(Histogram::new([1.0], [1, 1], 3.5))));
    let text = encoded(&[waits]);
    assert!(
        text.contains("wait_seconds_bucket{le=\"1.0\"} 1\nwait_seconds_bucket{le=\"+Inf\"} 2\n"),
        "{text}"
    );
    assert!(text.contains("wait_seconds_sum 3.5\nwait_seconds_count 2\n"), "{text}");
}

#[test]
fn counters_and_gauges_equal_the_prometheus_crate() {
    let registry = Registry::new();
    let requests = IntCounterVec::new(Opts::new("requests_total", "All \\ of\nthem."), &["path"]).unwrap();
    let open = IntGauge::new("open_conversations", "Open \"now\".").unwrap();
    let ratio = prometheus::Gauge::new("handoff_ratio", "Share.").unwrap();
    registry.register(Box::new(requests.clone())).unwrap();
    registry.register(Box::new(open.clone())).unwrap();
    registry.register(Box::new(ratio.clone())).unwrap();
    for path in ["/", "a\"b", "a\\b", "a\nb", "näive 🦜", ""] {
        requests.with_label_values(&[path]).inc_by(3);
    }
    open.set(-4);
    ratio.set(0.125);

    assert_eq!(encoded(&from_prometheus(&registry.gather(), None)), official(&registry));
}

/// Except for the spelling of bounds, which are compared as numbers.
#[test]
fn histograms_equal_the_prometheus_crate() {
    let registry = Registry::new();
    let options = HistogramOpts::new("latency_seconds", "Latency.").buckets(vec![0.25, 1.0, 2.5, 3600.0]);
    let latency = HistogramVec::new(options, &["path"]).unwrap();
    registry.register(Box::new(latency.clone())).unwrap();
    for seconds in [0.1, 0.25, 0.9, 7.0, 4000.0] {
        latency.with_label_values(&["a\"b\n"]).observe(seconds);
    }

    let ours = read(&encoded(&from_prometheus(&registry.gather(), None)));
    let theirs = read(&official(&registry));
    assert_eq!(ours.len(), 7);
    assert_eq!(ours, theirs);
}

fn official(registry: &Registry) -> String {
    let mut out = Vec::new();
    TextEncoder::new().encode(&registry.gather(), &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

proptest! {
    #[test]
    fn any_label_value_and_number_is_read_back(
        rows in prop::collection::vec((label_value(), label_value(), any::<f64>()), 1..6),
        help in label_value(),
    ) {
        let mut family = Family::new("anything", help, Kind::Gauge);
        for (first, second, number) in &rows {
            let labels = Labels::new([("first", first.as_str()), ("second", second.as_str())]);
            family.series.push(Series::new(labels, Value::Gauge(*number)));
        }
        let samples = read(&encoded(&[family]));
        prop_assert_eq!(samples.len(), rows.len());
        for (sample, (first, second, number)) in samples.iter().zip(&rows) {
            prop_assert_eq!(&sample.labels["first"], first);
            prop_assert_eq!(&sample.labels["second"], second);
            prop_assert!(sample.value.to_bits() == number.to_bits() || (sample.value.is_nan() && number.is_nan()));
        }
    }

    #[test]
    fn any_histogram_is_read_back(
        label in label_value(),
        counts in prop::collection::vec(0_u64..1 << 40, 4),
        sum in any::<f64>().prop_filter("finite", |sum| sum.is_finite()),
    ) {
        let mut family = Family::new("anything", "Help.", Kind::Histogram);
        let histogram = Histogram::new([1e-5, 0.25, 3e9], counts.clone(), sum);
        family.series.push(Series::new(Labels::new([("label", label.as_str())]), Value::Histogram(histogram)));
        let samples = read(&encoded(&[family]));

        let mut cumulative = 0;
        for (sample, (bound, count)) in samples.iter().zip([1e-5, 0.25, 3e9, f64::INFINITY].into_iter().zip(&counts)) {
            cumulative += count;
            prop_assert_eq!(sample.name.as_str(), "anything_bucket");
            prop_assert_eq!(&sample.labels["label"], &label);
            prop_assert_eq!(sample.bound, Some(bound));
            prop_assert_eq!(sample.value, f64::from(u32::try_from(cumulative >> 20).unwrap()) * 1_048_576.0
                + f64::from(u32::try_from(cumulative & 0xF_FFFF).unwrap()));
        }
        prop_assert_eq!(samples[4].value, sum);
        prop_assert_eq!(samples[5].value, samples[3].value);
    }
}

/// Any text, with special characters more often than by chance.
fn label_value() -> impl Strategy<Value = String> {
    let character = prop_oneof![
        any::<char>(),
        prop::sample::select(vec!['\\', '"', '\n', 'n', '\r', '}', ',', '=', ' '])
    ];
    prop::collection::vec(character, 0..12).prop_map(String::from_iter)
}

#[derive(Debug, PartialEq)]
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    /// The `le` label as a number.
    bound: Option<f64>,
    value: f64,
}

/// Parses the sample lines of an exposition.
fn read(text: &str) -> Vec<Sample> {
    assert!(text.ends_with('\n'), "the last line has no end");
    let lines = text[..text.len() - 1].split('\n');
    lines.filter(|line| !line.starts_with('#')).map(read_line).collect()
}

fn read_line(line: &str) -> Sample {
    let mut characters = line.chars().peekable();
    let mut name = String::new();
    while let Some(c) = characters.next_if(|c| !matches!(c, '{' | ' ')) {
        name.push(c);
    }
    let mut labels = BTreeMap::new();
    if characters.next_if_eq(&'{').is_some() {
        while characters.next_if_eq(&'}').is_none() {
            let mut label = String::new();
            while let Some(c) = characters.next_if(|c| *c != '=') {
                label.push(c);
            }
            assert_eq!((characters.next(), characters.next()), (Some('='), Some('"')), "{line}");
            let mut value = String::new();
            loop {
                match characters.next().expect("the value ends with a quote") {
                    '"' => break,
                    '\\' => value.push(match characters.next() {
                        Some('n') => '\n',
                        Some(c @ ('\\' | '"')) => c,
                        other => panic!("{other:?} is no escape: {line}"),
                    }),
                    c => value.push(c),
                }
            }
            assert!(labels.insert(label, value).is_none(), "a label twice: {line}");
            characters.next_if_eq(&',');
        }
    }
    assert_eq!(characters.next(), Some(' '), "{line}");
    let value = number(&characters.collect::<String>());
    let bound = labels.remove("le").map(|text| number(&text));
    Sample { name, labels, bound, value }
}

fn number(text: &str) -> f64 {
    match text {
        "+Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        "NaN" => f64::NAN,
        _ => text.parse().unwrap(),
    }
}
