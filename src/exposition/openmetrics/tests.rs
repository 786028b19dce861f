//! Both versions, side by side.

use crate::exposition::encoder::{Encoder, Format};
use crate::exposition::scene::Scene;
use crate::exposition::sheet::RenderedExposition;

fn lines_of(scene: &Scene, format: Format, created: bool, family: &str) -> String {
    let mut sheet = RenderedExposition::new(Encoder::new(format, created), true);
    sheet.update(&scene.0);
    let text: Vec<u8> = sheet.parts().flat_map(|part| part.iter().copied()).collect();
    let text = String::from_utf8(text).unwrap();
    let lines = text.lines().filter(|line| {
        line.trim_start_matches(|c: char| !c.is_lowercase() || "TYPEUNITHELP".contains(c)).starts_with(family)
    });
    lines
        .map(|line| line.replace("project=\"project-000\",region=\"us-1\",client_env=\"live\"", "..") + "\n")
        .collect()
}

fn scene() -> Scene {
    let mut scene = Scene::new(1);
    scene.call(0, "VOICE-SIP", 30.0, "CA1");
    scene.call(0, "VOICE-SIP", 70.5, "CA2");
    scene.call(0, "VOICE-SIP", 71.0, "+442079460000");
    scene
}

#[test]
fn a_counter_is_named_without_total_in_its_head_and_leads_to_a_call() {
    assert_eq!(
        lines_of(&scene(), Format::OpenMetrics, false, "polyai_handoffs"),
        r#"# TYPE polyai_handoffs counter
# HELP polyai_handoffs Counted conversations that were handed off to a human (handoff).
polyai_handoffs_total{..,channel="VOICE-SIP"} 3 # {conversation_id="CA2"} 1 1790000060.000
"#
    );
}

#[test]
fn starts_are_told_where_they_are_asked_for() {
    let lines = lines_of(&scene(), Format::OpenMetrics, true, "polyai_handoffs");
    assert!(
        lines.ends_with("\npolyai_handoffs_created{..,channel=\"VOICE-SIP\"} 1790000000.000\n"),
        "{lines}"
    );
    let lines = lines_of(&scene(), Format::OpenMetrics, true, "polyai_ingest_lag");
    assert!(lines.ends_with("\npolyai_ingest_lag_seconds_created{..} 1790000000.000\n"), "{lines}");
}

#[test]
fn a_bucket_leads_to_a_call_within_its_bounds_and_never_to_a_telephone_number() {
    let lines = lines_of(&scene(), Format::OpenMetrics, false, "polyai_conversation_duration");
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
fn the_second_version_has_one_line_per_series() {
    assert_eq!(
        lines_of(&scene(), Format::OpenMetrics2, false, "polyai_handoffs"),
        r#"# TYPE polyai_handoffs_total counter
# HELP polyai_handoffs_total Counted conversations that were handed off to a human (handoff).
polyai_handoffs_total{..,channel="VOICE-SIP"} 3 st@1790000000.000 # {conversation_id="CA2"} 1 1790000060.000
"#
    );
    assert_eq!(
        lines_of(&scene(), Format::OpenMetrics2, false, "polyai_conversation_duration"),
        r#"# TYPE polyai_conversation_duration_seconds histogram
# UNIT polyai_conversation_duration_seconds seconds
# HELP polyai_conversation_duration_seconds Duration of counted conversations (total_duration).
polyai_conversation_duration_seconds{..,channel="VOICE-SIP"} {count:3,sum:171.5,schema:3,zero_threshold:2.938735877055719e-39,zero_count:0,positive_spans:[40:1,9:1],positive_buckets:[1,2],bucket:[5:0,15:0,30:1,60:1,120:3,180:3,300:3,600:3,900:3,1800:3,3600:3,+Inf:3]} st@1790000000.000 # {conversation_id="CA1"} 30 1790000060.000 # {conversation_id="CA2"} 70.5 1790000060.000
"#
    );
}
