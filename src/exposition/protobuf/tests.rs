use bytes::Bytes;

use super::*;
use crate::exposition::encoder::{Encoder, Format};
use crate::exposition::family::{Family, Labels, Series, Value};
use crate::exposition::scene::{START, Scene};
use crate::exposition::sheet::RenderedExposition;

/// Reads delimited families, as a scraper does.
fn read(mut bytes: Bytes) -> Vec<model::MetricFamily> {
    let mut families = Vec::new();
    while !bytes.is_empty() {
        families.push(model::MetricFamily::decode_length_delimited(&mut bytes).unwrap());
    }
    families
}

fn written(scene: &Scene, native: bool) -> Vec<model::MetricFamily> {
    let mut sheet = RenderedExposition::new(Encoder::new(Format::Protobuf, false), native);
    sheet.update(&scene.0);
    read(sheet.parts().flat_map(|part| part.iter().copied()).collect())
}

fn family<'a>(families: &'a [model::MetricFamily], name: &str) -> &'a model::MetricFamily {
    families.iter().find(|family| family.name == name).unwrap()
}

#[test]
fn a_counter_has_its_labels_its_start_and_the_call_behind_it() {
    let mut scene = Scene::new(1);
    scene.call(0, "VOICE-SIP", 30.0, "CA1");
    let families = written(&scene, true);
    let handoffs = family(&families, "polyai_handoffs_total");
    assert_eq!(handoffs.r#type(), model::MetricType::Counter);
    let metric = &handoffs.metric[0];
    let labels: Vec<_> = metric.label.iter().map(|pair| format!("{}={}", pair.name, pair.value)).collect();
    assert_eq!(labels, ["project=project-000", "region=us-1", "client_env=live", "channel=VOICE-SIP"]);
    let counter = metric.counter.as_ref().unwrap();
    assert_eq!(counter.start_timestamp, Some(timestamp(START)));
    let exemplar = counter.exemplar.as_ref().unwrap();
    assert_eq!(
        (exemplar.label[0].name.as_str(), exemplar.label[0].value.as_str()),
        ("conversation_id", "CA1")
    );
    assert_eq!(
        exemplar.timestamp,
        Some(prost_types::Timestamp { seconds: START.millis() / 1000 + 60, nanos: 0 })
    );
}

#[test]
fn a_histogram_has_both_kinds_of_buckets_and_each_adds_up() {
    let mut scene = Scene::new(1);
    for seconds in [0.0, 0.4, 0.41, 4.0, 70.0, 70.0, 5000.0] {
        scene.call(0, "VOICE-SIP", seconds, &format!("CA{seconds}"));
    }
    let families = written(&scene, true);
    let durations = family(&families, "polyai_conversation_duration_seconds");
    assert_eq!(durations.unit, "seconds");
    let histogram = durations.metric[0].histogram.as_ref().unwrap();
    assert_eq!((histogram.sample_count, histogram.sample_sum), (7, 5144.81));
    let last = histogram.bucket.last().unwrap();
    assert_eq!((last.upper_bound, last.cumulative_count), (f64::INFINITY, 7));

    assert_eq!((histogram.schema, histogram.zero_count), (3, 1));
    // 0.4 and 0.41 share a bucket: (2^(-11/8), 2^(-10/8)] is (0.386, 0.420].
    assert_eq!(histogram.positive_span[0], model::BucketSpan { offset: -10, length: 1 });
    assert_eq!(histogram.positive_delta, [2, -1, 1, -1]);
    let mut bucket = 0;
    let in_buckets: i64 = histogram
        .positive_delta
        .iter()
        .map(|delta| {
            bucket += delta;
            bucket
        })
        .sum();
    assert_eq!(u64::try_from(in_buckets).unwrap() + histogram.zero_count, histogram.sample_count);

    // One per classic bucket that was hit: the newest of equals is the one with the larger value.
    let named: Vec<_> = histogram.exemplars.iter().map(|one| one.label[0].value.as_str()).collect();
    assert_eq!(named, ["CA4", "CA70", "CA5000"]);
    assert!(histogram.exemplars.is_sorted_by_key(|one| one.timestamp.as_ref().unwrap().seconds));
}

#[test]
fn without_native_histograms_there_is_no_trace_of_them() {
    let mut scene = Scene::new(1);
    scene.call(0, "VOICE-SIP", 30.0, "CA1");
    let families = written(&scene, false);
    let durations = family(&families, "polyai_conversation_duration_seconds");
    let histogram = durations.metric[0].histogram.as_ref().unwrap();
    assert_eq!((histogram.schema, histogram.zero_threshold), (0, 0.0));
    assert!(histogram.positive_span.is_empty() && histogram.exemplars.is_empty());
    assert!(histogram.bucket.iter().any(|bucket| bucket.exemplar.is_some()), "classic buckets keep theirs");
}

#[test]
fn families_of_another_registry_are_written_too() {
    let mut family = Family::new("process_cpu_seconds_total", "CPU \"time\".", Kind::Counter);
    let series = Series::new(Labels::new([("mode", "a\"b\n")]), Value::Counter(1.5));
    family.series.push(Series { start: Some(START), ..series });
    let empty = Family::new("nobody", "Without series.", Kind::Gauge);
    let mut out = Vec::new();
    Encoder::new(Format::Protobuf, false).families(&[family, empty], &mut out);
    let families = read(out.into());
    assert_eq!(families.len(), 1);
    assert_eq!((families[0].help.as_str(), families[0].unit.as_str()), ("CPU \"time\".", "seconds"));
    assert_eq!(families[0].metric[0].label[0].value, "a\"b\n");
}
