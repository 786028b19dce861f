use proptest::prelude::*;

use super::*;
use crate::exposition::encoder::Format;
use crate::exposition::lines::BLOCK_BYTES;
use crate::exposition::scene::Scene;

fn sheet(format: Format) -> RenderedExposition {
    RenderedExposition::new(Encoder::new(format, true), true)
}

fn bytes(sheet: &RenderedExposition) -> Vec<u8> {
    sheet.parts().flat_map(|part| part.iter().copied()).collect()
}

fn written_at_once(format: Format, scene: &Scene) -> Vec<u8> {
    let mut sheet = sheet(format);
    sheet.update(&scene.0);
    bytes(&sheet)
}

#[test]
fn families_stand_together_and_targets_keep_their_order() {
    let mut scene = Scene::new(3);
    scene.call(2, "CHAT", 30.0, "CA2");
    scene.call(0, "VOICE-SIP", 30.0, "CA0");
    scene.poll(1, 60.0);
    let text = String::from_utf8(written_at_once(Format::Text, &scene)).unwrap();
    let shown = text.lines().filter(|line| line.contains("_total") || line.contains("overlap"));
    let shown: Vec<_> = shown.map(|line| line.replace("region=\"us-1\",client_env=\"live\"", "..")).collect();
    assert_eq!(
        shown[2..],
        [
            "polyai_conversations_total{project=\"project-000\",..,channel=\"VOICE-SIP\"} 1",
            "polyai_conversations_total{project=\"project-002\",..,channel=\"CHAT\"} 1",
            "# HELP polyai_handoffs_total Counted conversations that were handed off to a human (handoff).",
            "# TYPE polyai_handoffs_total counter",
            "polyai_handoffs_total{project=\"project-000\",..,channel=\"VOICE-SIP\"} 1",
            "polyai_handoffs_total{project=\"project-002\",..,channel=\"CHAT\"} 1",
            "# HELP polyai_target_overlap_seconds Lookback of the fresh pass behind its watermark; widens when finished conversations appear that were never seen in progress.",
            "# TYPE polyai_target_overlap_seconds gauge",
            "polyai_target_overlap_seconds{project=\"project-001\",..} 60",
        ]
    );
}

#[test]
fn a_commit_of_one_target_leaves_the_bytes_of_the_others_where_they_are() {
    let mut scene = Scene::new(300);
    for target in 0..300 {
        scene.call(target, "VOICE-SIP", 42.0, "CA1");
    }
    let mut sheet = sheet(Format::Text);
    sheet.update(&scene.0);
    let before: Vec<Bytes> = sheet.parts().cloned().collect();
    let version = sheet.version();

    scene.call(150, "VOICE-SIP", 7.0, "CA2");
    sheet.update(&scene.0);
    assert!(sheet.version() > version);
    let is_kept =
        |part: &&Bytes| before.iter().any(|old| old.as_ptr() == part.as_ptr() && old.len() == part.len());
    let renewed: usize = sheet.parts().filter(|part| !is_kept(part)).map(Bytes::len).sum();
    let all: usize = sheet.parts().map(Bytes::len).sum();
    assert!(renewed > 0 && renewed <= 4 * 2 * BLOCK_BYTES, "{renewed} of {all} bytes");
    assert_eq!(bytes(&sheet), written_at_once(Format::Text, &scene));
}

#[test]
fn a_commit_that_changes_no_byte_is_no_new_version() {
    let mut scene = Scene::new(2);
    scene.call(0, "VOICE-SIP", 42.0, "CA1");
    scene.poll(1, 60.0);
    let mut sheet = sheet(Format::Text);
    sheet.update(&scene.0);
    let version = sheet.version();
    scene.poll(1, 60.0);
    sheet.update(&scene.0);
    assert_eq!(sheet.version(), version);
}

#[test]
fn other_targets_are_a_new_beginning() {
    let mut scene = Scene::new(2);
    scene.call(0, "VOICE-SIP", 42.0, "CA1");
    let mut sheet = sheet(Format::Text);
    sheet.update(&scene.0);
    let mut other = Scene::new(1);
    other.call(0, "CHAT", 1.0, "CA2");
    sheet.update(&other.0);
    assert_eq!(bytes(&sheet), written_at_once(Format::Text, &other));
    sheet.update(&Snapshot::default());
    assert_eq!(bytes(&sheet), b"");
}

#[derive(Debug, Clone)]
enum Step {
    Call(usize, String, f64),
    Poll(usize, u8),
    Look,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0usize..40, "[ab\"\\\\\n]{0,3}", 0.0f64..4000.0).prop_map(|(target, channel, seconds)| Step::Call(target, channel, seconds)),
        2 => (0usize..40, any::<u8>()).prop_map(|(target, overlap)| Step::Poll(target, overlap)),
        2 => Just(Step::Look),
    ]
}

proptest! {
    /// What is kept from scrape to scrape reads as if it had been written at once.
    #[test]
    fn kept_lines_equal_new_ones(steps in prop::collection::vec(step(), 1..60), format in prop::sample::select(&Format::ALL[..])) {
        let mut scene = Scene::new(40);
        // Long enough labels that blocks fill up and are split.
        for target in 0..40 {
            scene.call(target, &"long".repeat(target * 8), 42.0, "CA0");
        }
        let mut sheet = sheet(format);
        for step in &steps {
            match step {
                Step::Call(target, channel, seconds) => scene.call(*target, channel, *seconds, "CA1"),
                Step::Poll(target, overlap) => scene.poll(*target, f64::from(*overlap)),
                Step::Look => sheet.update(&scene.0),
            }
        }
        sheet.update(&scene.0);
        prop_assert!(bytes(&sheet) == written_at_once(format, &scene));
    }
}
