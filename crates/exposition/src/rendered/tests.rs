use proptest::prelude::*;

use super::*;
use crate::blocks::BLOCK_BYTES;
use crate::encoder::{Format, FormatOptions};
use crate::test_support::Shops;

fn new(format: Format) -> RenderedExposition<Shops> {
    let options = FormatOptions { native_histograms: true, openmetrics_created: true };
    RenderedExposition::new(Encoder::new(format, options))
}

fn bytes(rendered: &RenderedExposition<Shops>) -> Vec<u8> {
    rendered.chunks().flat_map(|chunk| chunk.iter().copied()).collect()
}

fn rendered_at_once(format: Format, shops: &Shops) -> Vec<u8> {
    let mut rendered = new(format);
    rendered.update(shops);
    bytes(&rendered)
}

#[test]
fn families_are_contiguous_and_groups_in_order() {
    let mut shops = Shops::new(3);
    shops.request(2, "/cart", 1.0, "a1");
    shops.request(0, "/", 1.0, "a2");
    shops.queue(1, 4.0);
    let text = String::from_utf8(rendered_at_once(Format::Text, &shops)).unwrap();
    let lines: Vec<_> = text.lines().filter(|line| !line.contains("duration")).collect();
    assert_eq!(
        lines,
        [
            "# HELP requests_total Requests that were \"served\".",
            "# TYPE requests_total counter",
            "requests_total{shop=\"shop-000\",path=\"/\"} 1",
            "requests_total{shop=\"shop-002\",path=\"/cart\"} 1",
            "# HELP queue_length Requests in the queue.",
            "# TYPE queue_length gauge",
            "queue_length{shop=\"shop-001\"} 4",
        ]
    );
}

#[test]
fn change_of_one_group_keeps_other_blocks() {
    let mut shops = Shops::new(1000);
    (0..1000).for_each(|shop| shops.request(shop, "/", 1.5, "a1"));
    let mut rendered = new(Format::Text);
    rendered.update(&shops);
    let before: Vec<Bytes> = rendered.chunks().cloned().collect();
    let version = rendered.version();

    shops.request(500, "/", 7.0, "a2");
    rendered.update(&shops);
    assert!(rendered.version() > version);
    let is_kept =
        |chunk: &&Bytes| before.iter().any(|old| old.as_ptr() == chunk.as_ptr() && old.len() == chunk.len());
    let replaced: usize = rendered.chunks().filter(|chunk| !is_kept(chunk)).map(Bytes::len).sum();
    let all: usize = rendered.chunks().map(Bytes::len).sum();
    assert!(all > 20 * BLOCK_BYTES, "{all} bytes are too few for this test");
    assert!(replaced > 0 && replaced <= 2 * 2 * BLOCK_BYTES, "{replaced} of {all} bytes");
    assert_eq!(bytes(&rendered), rendered_at_once(Format::Text, &shops));
}

#[test]
fn first_render_holds_one_part_at_a_time() {
    let mut shops = Shops::new(500);
    (0..500).for_each(|shop| shops.request(shop, "/", 1.5, "a1"));
    let mut rendered = new(Format::Text);
    let layout = rendered.reset(&shops);
    let (mut next, mut parts, mut all) = (0, 0, 0);
    while next < 500 {
        let part = rendered.rerender(&shops, &layout, None, &mut next);
        let largest = PART_BYTES + part.bytes.len() / part.groups.len() * 2;
        assert!(part.bytes.len() <= largest, "a part of {} bytes", part.bytes.len());
        (parts, all) = (parts + 1, all + part.bytes.len());
    }
    assert!(parts > 10 && all / parts <= 2 * PART_BYTES, "{parts} parts of {all} bytes");
    rendered.update(&shops);
    let metadata = 1000;
    assert!(bytes(&rendered).len() - all < metadata, "{} of {all} bytes", bytes(&rendered).len());
}

#[test]
fn change_without_effect_keeps_the_version() {
    let mut shops = Shops::new(2);
    shops.request(0, "/", 1.5, "a1");
    shops.queue(1, 4.0);
    let mut rendered = new(Format::Text);
    rendered.update(&shops);
    let version = rendered.version();
    shops.queue(1, 4.0);
    rendered.update(&shops);
    assert_eq!(rendered.version(), version);
}

#[test]
fn other_layout_starts_over() {
    let mut shops = Shops::new(2);
    shops.request(0, "/", 1.5, "a1");
    let mut rendered = new(Format::Text);
    rendered.update(&shops);
    let mut other = Shops::new(1);
    other.request(0, "/cart", 1.0, "a2");
    rendered.update(&other);
    assert_eq!(bytes(&rendered), rendered_at_once(Format::Text, &other));
    rendered.update(&Shops::new(0));
    assert_eq!(bytes(&rendered), b"");
}

#[derive(Debug, Clone)]
enum Step {
    Request(usize, String, f64),
    Queue(usize, u8),
    Render,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0usize..40, "[ab\"\\\\\n]{0,3}", 0.0f64..4000.0).prop_map(|(shop, path, seconds)| Step::Request(shop, path, seconds)),
        2 => (0usize..40, any::<u8>()).prop_map(|(shop, length)| Step::Queue(shop, length)),
        2 => Just(Step::Render),
    ]
}

proptest! {
    #[test]
    fn incremental_output_equals_full_render(steps in prop::collection::vec(step(), 1..60), format in prop::sample::select(&Format::ALL[..])) {
        let mut shops = Shops::new(40);
        // Labels are so long that blocks fill up and are split.
        (0..40).for_each(|shop| shops.request(shop, &"long".repeat(shop * 8), 1.5, "a0"));
        let mut rendered = new(format);
        for step in &steps {
            match step {
                Step::Request(shop, path, seconds) => shops.request(*shop, path, *seconds, "a1"),
                Step::Queue(shop, length) => shops.queue(*shop, f64::from(*length)),
                Step::Render => rendered.update(&shops),
            }
        }
        rendered.update(&shops);
        prop_assert!(bytes(&rendered) == rendered_at_once(format, &shops));
    }
}
