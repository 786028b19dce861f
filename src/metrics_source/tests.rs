//! Snapshots as the formats show them, and renders that follow them.

use proptest::prelude::*;

use super::*;
use crate::config::Metrics;
use polyai_domain::conversation::Amount;
use polyai_domain::target::{ClientEnv, Region, TargetKey};
use polyai_engine::aggregate::{
    ExemplarId, ExemplarSource, Metric, SeriesKey, SeriesOp, SeriesSchema, TargetSeries,
};

const START: Timestamp = Timestamp::from_millis(1_790_000_000_000);

fn snapshot(targets: usize) -> Snapshot {
    let target = |index| {
        let project = format!("project-{index:03}");
        let key = TargetKey { project, region: Region::Us1, client_env: ClientEnv::Live };
        (Arc::new(key), Arc::new(TargetSeries::default()))
    };
    Snapshot {
        number: 1,
        targets: (0..targets).map(target).collect(),
        schema: Some(Arc::new(SeriesSchema::from(&Metrics::default()))),
        state_bytes: 0,
    }
}

/// Counts a conversation of `target` that took `seconds` and was handed off.
fn count(snapshot: &mut Snapshot, target: usize, channel: &str, seconds: f64, id: &str) {
    snapshot.number += 1;
    let schema = snapshot.schema.clone().unwrap();
    let series = Arc::make_mut(&mut snapshot.targets[target].1);
    let id = ExemplarId::new(id);
    let at = Timestamp::from_millis(START.millis() + 60_000);
    let exemplar = id.as_ref().map(|id| ExemplarSource { id, at });
    let mut apply = |metric, values: &[&str], op| {
        let values = values.iter().map(|value| Arc::from(*value)).collect();
        series.apply(&SeriesKey { metric, values }, op, exemplar, &schema, START);
    };
    let observe = SeriesOp::Observe(Amount::from_units(seconds).unwrap());
    apply(Metric::Conversations, &[channel], SeriesOp::Add(1));
    apply(Metric::Handoffs, &[channel], SeriesOp::Add(1));
    apply(Metric::ConversationDuration, &[channel], observe);
    apply(Metric::IngestLag, &[], observe);
}

fn set_overlap(snapshot: &mut Snapshot, target: usize, overlap: f64) {
    snapshot.number += 1;
    let series = Arc::make_mut(&mut snapshot.targets[target].1);
    series.set(Metric::TargetOverlap, &[], overlap, START);
}

fn cache() -> ExpositionCache<SnapshotSource> {
    ExpositionCache::new(FormatOptions { native_histograms: true, openmetrics_created: false })
}

fn render(cache: &ExpositionCache<SnapshotSource>, format: Format, snapshot: &Snapshot) -> Vec<u8> {
    let source = SnapshotSource::new(Arc::new(snapshot.clone()));
    let now = exposition_timestamp(START);
    cache.render(format, ContentEncoding::Identity, &source, now, Vec::new).to_bytes().to_vec()
}

/// The lines of a family, with the labels of the target abbreviated.
fn lines_of(snapshot: &Snapshot, format: Format, family: &str) -> String {
    let text = String::from_utf8(render(&cache(), format, snapshot)).unwrap();
    let words = |line: &&str| line.split(' ').take(3).any(|word| word.starts_with(family));
    text.lines()
        .filter(words)
        .map(|line| line.replace("project=\"project-000\",region=\"us-1\",client_env=\"live\"", "..") + "\n")
        .collect()
}

fn three_conversations() -> Snapshot {
    let mut snapshot = snapshot(1);
    count(&mut snapshot, 0, "VOICE-SIP", 30.0, "CA1");
    count(&mut snapshot, 0, "VOICE-SIP", 70.5, "CA2");
    count(&mut snapshot, 0, "VOICE-SIP", 71.0, "+442079460000");
    snapshot
}

#[test]
fn counter_has_target_labels_and_exemplar() {
    assert_eq!(
        lines_of(&three_conversations(), Format::OpenMetrics, "polyai_handoffs"),
        r#"# TYPE polyai_handoffs counter
# HELP polyai_handoffs Counted conversations that were handed off to a human (handoff).
polyai_handoffs_total{..,channel="VOICE-SIP"} 3 # {conversation_id="CA2"} 1 1790000060.000
"#
    );
}

#[test]
fn phone_number_is_never_an_exemplar() {
    let lines = lines_of(&three_conversations(), Format::OpenMetrics, "polyai_conversation_duration");
    let expected = r#"# TYPE polyai_conversation_duration_seconds histogram
# UNIT polyai_conversation_duration_seconds seconds
# HELP polyai_conversation_duration_seconds Duration of counted conversations (total_duration).
polyai_conversation_duration_seconds_bucket{..,channel="VOICE-SIP",le="5.0"} 0
polyai_conversation_duration_seconds_bucket{..,channel="VOICE-SIP",le="15.0"} 0
polyai_conversation_duration_seconds_bucket{..,channel="VOICE-SIP",le="30.0"} 1 # {conversation_id="CA1"} 30 1790000060.000
polyai_conversation_duration_seconds_bucket{..,channel="VOICE-SIP",le="60.0"} 1
polyai_conversation_duration_seconds_bucket{..,channel="VOICE-SIP",le="120.0"} 3 # {conversation_id="CA2"} 70.5 1790000060.000
"#;
    assert!(lines.starts_with(expected), "{lines}");
    assert!(lines.ends_with("_sum{..,channel=\"VOICE-SIP\"} 171.5\npolyai_conversation_duration_seconds_count{..,channel=\"VOICE-SIP\"} 3\n"), "{lines}");
}

#[test]
fn series_have_starts_and_native_buckets() {
    assert_eq!(
        lines_of(&three_conversations(), Format::OpenMetrics2, "polyai_conversation_duration"),
        r#"# TYPE polyai_conversation_duration_seconds histogram
# UNIT polyai_conversation_duration_seconds seconds
# HELP polyai_conversation_duration_seconds Duration of counted conversations (total_duration).
polyai_conversation_duration_seconds{..,channel="VOICE-SIP"} {count:3,sum:171.5,schema:3,zero_threshold:2.938735877055719e-39,zero_count:0,positive_spans:[40:1,9:1],positive_buckets:[1,2],bucket:[5:0,15:0,30:1,60:1,120:3,180:3,300:3,600:3,900:3,1800:3,3600:3,+Inf:3]} st@1790000000.000 # {conversation_id="CA1"} 30 1790000060.000 # {conversation_id="CA2"} 70.5 1790000060.000
"#
    );
    let mut snapshot = three_conversations();
    set_overlap(&mut snapshot, 0, 60.0);
    let gauge = lines_of(&snapshot, Format::OpenMetrics2, "polyai_target_overlap");
    assert!(gauge.ends_with("\npolyai_target_overlap_seconds{..} 60\n"), "gauges have no start: {gauge}");
}

proptest! {
    #[test]
    fn incremental_render_equals_full_render(
        steps in prop::collection::vec((0usize..20, any::<bool>(), "[ab\"]{0,2}", 0.0f64..4000.0, any::<bool>()), 1..40),
        format in prop::sample::select(&Format::ALL[..]),
    ) {
        let mut snapshot = snapshot(20);
        let incremental = cache();
        for (target, is_count, channel, seconds, is_rendered) in &steps {
            if *is_count {
                count(&mut snapshot, *target, channel, *seconds, "CA1");
            } else {
                set_overlap(&mut snapshot, *target, seconds.round());
            }
            if *is_rendered {
                render(&incremental, format, &snapshot);
            }
        }
        prop_assert!(render(&incremental, format, &snapshot) == render(&cache(), format, &snapshot));
    }

    #[test]
    fn other_targets_or_schema_start_over(format in prop::sample::select(&Format::ALL[..])) {
        let incremental = cache();
        render(&incremental, format, &three_conversations());
        for other in [snapshot(0), snapshot(2), Snapshot::default(), three_conversations()] {
            prop_assert!(render(&incremental, format, &other) == render(&cache(), format, &other));
        }
    }
}
