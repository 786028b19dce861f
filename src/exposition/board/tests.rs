use std::io::Read;

use flate2::read::GzDecoder;

use super::*;
use crate::exposition::family::{Kind, Labels, Series, Value};
use crate::exposition::scene::{START, Scene};

const SHOWN: FormatOptions = FormatOptions { native_histograms: true, openmetrics_created: false };

fn live(open: f64) -> Vec<Family> {
    let mut family = Family::new("process_open_fds", "Open files.", Kind::Gauge);
    family.series.push(Series::new(Labels::none(), Value::Gauge(open)));
    vec![family]
}

fn busy(targets: usize) -> Scene {
    let mut scene = Scene::new(targets);
    for target in 0..targets {
        scene.call(target, "VOICE-SIP", 42.0, "CA1");
    }
    scene
}

fn decoded(page: &EncodedBody, coding: ContentEncoding) -> Vec<u8> {
    let bytes = page.to_bytes();
    let mut out = Vec::new();
    match coding {
        ContentEncoding::Identity => out.extend_from_slice(&bytes),
        ContentEncoding::Gzip => {
            GzDecoder::new(&bytes[..]).read_to_end(&mut out).unwrap();
        }
        ContentEncoding::Zstd => {
            ::zstd::stream::read::Decoder::new(&bytes[..]).unwrap().read_to_end(&mut out).unwrap();
        }
    }
    out
}

#[test]
fn every_coding_of_a_format_carries_the_same_bytes() {
    let scene = busy(300);
    for format in Format::ALL {
        let board = ExpositionCache::new(SHOWN);
        let [plain, gzip, zstd] = ContentEncoding::ALL.map(|coding| {
            let page = board.render(format, coding, &scene.0, START, || live(7.0)).unwrap();
            decoded(&page, coding)
        });
        assert!(plain.len() > COALESCE_BELOW, "{format:?} has {} bytes", plain.len());
        assert!(gzip == plain, "{format:?}");
        assert!(zstd == plain, "{format:?}");
    }
}

#[test]
fn the_exporters_own_metrics_follow_those_of_the_targets_and_the_mark_is_last() {
    let scene = busy(2);
    let board = ExpositionCache::new(SHOWN);
    let page =
        board.render(Format::OpenMetrics, ContentEncoding::Identity, &scene.0, START, || live(7.0)).unwrap();
    let text = String::from_utf8(page.to_bytes().to_vec()).unwrap();
    assert!(text.starts_with("# TYPE polyai_conversations counter\n"), "{text}");
    assert!(text.ends_with("\nprocess_open_fds 7\n# EOF\n"), "{text}");
    assert_eq!(text.matches("# EOF").count(), 1);
}

#[test]
fn a_page_is_handed_out_while_it_is_new_enough() {
    let mut scene = busy(2);
    let board = ExpositionCache::new(SHOWN);
    let ready =
        |scene: &Scene, now| board.ready(Format::Text, ContentEncoding::Gzip, scene.0.number, now).is_some();
    assert!(!ready(&scene, START), "nothing has been made yet");
    board.render(Format::Text, ContentEncoding::Gzip, &scene.0, START, || live(7.0)).unwrap();
    assert!(ready(&scene, START));
    assert!(
        board.ready(Format::Text, ContentEncoding::Identity, 0, START).is_none(),
        "each coding for itself"
    );

    let before = scene.clone();
    scene.call(0, "VOICE-SIP", 1.0, "CA2");
    assert!(!ready(&scene, START), "a commit makes it old");
    assert!(ready(&before, START), "but not for who came before the commit");

    assert!(!ready(&before, START + SELF_METRICS_TTL), "the exporter's own metrics have moved on");
    assert!(!ready(&before, START - Duration::from_secs(3600)), "the clock was stepped back");
}

#[test]
fn the_lines_of_targets_are_shared_from_page_to_page() {
    let scene = busy(200);
    let board = ExpositionCache::new(SHOWN);
    for coding in ContentEncoding::ALL {
        let first = board.render(Format::Text, coding, &scene.0, START, || live(7.0)).unwrap();
        let second = board.render(Format::Text, coding, &scene.0, START, || live(8.0)).unwrap();
        assert_eq!(first.piece(0).unwrap().as_ptr(), second.piece(0).unwrap().as_ptr(), "{coding:?}");
        assert!(decoded(&second, coding).ends_with(b"process_open_fds 8\n"), "{coding:?}");
    }
}

#[test]
fn what_an_outdated_page_holds_is_given_up_even_if_only_another_coding_is_asked_for() {
    let mut scene = busy(200);
    let board = ExpositionCache::new(SHOWN);
    let page = board.render(Format::Text, ContentEncoding::Identity, &scene.0, START, Vec::new).unwrap();
    let lines = page.piece(1).unwrap().clone();
    drop(page);
    assert!(!lines.is_unique(), "the board holds it too");
    (0..200).for_each(|target| scene.call(target, "VOICE-SIP", 1.0, "CA2"));
    board.render(Format::Text, ContentEncoding::Gzip, &scene.0, START, Vec::new).unwrap();
    assert!(lines.is_unique(), "nobody else does any more");
}

#[test]
fn a_format_that_nobody_asks_for_any_more_is_given_up() {
    let scene = busy(2);
    let board = ExpositionCache::new(SHOWN);
    board.render(Format::Protobuf, ContentEncoding::Identity, &scene.0, START, Vec::new).unwrap();
    let kept = |format| board.slot(format).workshop().is_some();
    assert!(kept(Format::Protobuf));
    let later = START + EVICT_AFTER + Duration::from_secs(1);
    board.render(Format::Text, ContentEncoding::Identity, &scene.0, later, Vec::new).unwrap();
    assert!(kept(Format::Text) && !kept(Format::Protobuf));
    // It can be had again.
    let again = board.render(Format::Protobuf, ContentEncoding::Identity, &scene.0, later, Vec::new).unwrap();
    assert!(!again.is_empty());
}
