use std::io::Read;

use flate2::read::GzDecoder;

use super::*;
use crate::family::{Kind, Labels, Series, Value};
use crate::test_support::{LATER, OPTIONS, Shops};

fn live(open: f64) -> Vec<Family> {
    let mut family = Family::new("process_open_fds", "Open files.", Kind::Gauge);
    family.series.push(Series::new(Labels::default(), Value::Gauge(open)));
    vec![family]
}

fn busy(shops: usize) -> Shops {
    let mut source = Shops::new(shops);
    (0..shops).for_each(|shop| source.request(shop, &"/a/long/path".repeat(12), 1.5, "a1"));
    source
}

fn after(time: Duration) -> Timestamp {
    Timestamp::from_millis(LATER.millis() + i64::try_from(time.as_millis()).unwrap())
}

fn decoded(body: &EncodedBody, encoding: ContentEncoding) -> Vec<u8> {
    let bytes = body.to_bytes();
    match encoding {
        ContentEncoding::Identity => bytes.to_vec(),
        ContentEncoding::Gzip => {
            let mut out = Vec::new();
            GzDecoder::new(&bytes[..]).read_to_end(&mut out).unwrap();
            out
        }
    }
}

#[test]
fn every_encoding_has_the_same_content() {
    let source = busy(1000);
    for format in Format::ALL {
        let cache = ExpositionCache::new(OPTIONS);
        let [plain, gzip] = ContentEncoding::ALL
            .map(|encoding| decoded(&cache.render(format, encoding, &source, LATER, || live(7.0)), encoding));
        assert!(plain.len() > COALESCE_BELOW, "{format:?} has {} bytes", plain.len());
        assert!(gzip == plain, "{format:?}");
    }
}

#[test]
fn live_families_follow_and_eof_is_last() {
    let cache = ExpositionCache::new(OPTIONS);
    let body = cache.render(Format::OpenMetrics, ContentEncoding::Identity, &busy(2), LATER, || live(7.0));
    let text = String::from_utf8(body.to_bytes().to_vec()).unwrap();
    assert!(text.starts_with("# TYPE requests counter\n"), "{text}");
    assert!(text.ends_with("\nprocess_open_fds 7\n# EOF\n"), "{text}");
    assert_eq!(text.matches("# EOF").count(), 1);
}

#[test]
fn cached_body_is_returned_while_recent() {
    let mut source = busy(2);
    let cache = ExpositionCache::new(OPTIONS);
    let is_cached =
        |source: &Shops, now| cache.get(Format::Text, ContentEncoding::Gzip, source.version(), now).is_some();
    assert!(!is_cached(&source, LATER), "nothing is rendered yet");
    cache.render(Format::Text, ContentEncoding::Gzip, &source, LATER, || live(7.0));
    assert!(is_cached(&source, LATER));
    assert!(cache.get(Format::Text, ContentEncoding::Identity, 0, LATER).is_none(), "another encoding");

    let before = source.clone();
    source.request(0, "/", 1.0, "a2");
    assert!(!is_cached(&source, LATER), "a change makes it outdated");
    assert!(is_cached(&before, LATER), "but not for a scrape from before the change");

    assert!(!is_cached(&before, after(LIVE_TTL)), "live families have expired");
    assert!(!is_cached(&before, Timestamp::from_millis(LATER.millis() - 1)), "the clock was set back");
}

#[test]
fn unchanged_output_is_shared_between_bodies() {
    let source = busy(1000);
    let cache = ExpositionCache::new(OPTIONS);
    for encoding in ContentEncoding::ALL {
        let first = cache.render(Format::Text, encoding, &source, LATER, || live(7.0));
        let second = cache.render(Format::Text, encoding, &source, LATER, || live(8.0));
        assert!(decoded(&second, encoding).ends_with(b"process_open_fds 8\n"), "{encoding:?}");
        let (first, second) = (first.chunks, second.chunks);
        assert!(Arc::ptr_eq(&first, &second), "{encoding:?}");
    }
}

#[test]
fn outdated_output_of_other_encodings_is_dropped() {
    let mut source = busy(1000);
    let cache = ExpositionCache::new(OPTIONS);
    let body = cache.render(Format::Text, ContentEncoding::Identity, &source, LATER, Vec::new);
    let chunks = body.chunks;
    let chunk = chunks[1].clone();
    drop(chunks);
    assert!(!chunk.is_unique(), "the cache holds it too");
    (0..1000).for_each(|shop| source.request(shop, &"/a/long/path".repeat(12), 1.0, "a2"));
    cache.render(Format::Text, ContentEncoding::Gzip, &source, LATER, Vec::new);
    assert!(chunk.is_unique(), "nothing else holds it any more");
}

#[test]
fn unused_format_is_evicted() {
    let source = busy(2);
    let cache = ExpositionCache::new(OPTIONS);
    cache.render(Format::Protobuf, ContentEncoding::Identity, &source, LATER, Vec::new);
    let is_kept = |format| cache.format(format).renderer().is_some();
    assert!(is_kept(Format::Protobuf));
    let later = after(EVICT_AFTER + Duration::from_secs(1));
    cache.render(Format::Text, ContentEncoding::Identity, &source, later, Vec::new);
    assert!(is_kept(Format::Text) && !is_kept(Format::Protobuf));
    let again = cache.render(Format::Protobuf, ContentEncoding::Identity, &source, later, Vec::new);
    assert!(!again.to_bytes().is_empty());
}
