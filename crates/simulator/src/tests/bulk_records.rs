//! Bulk worlds: copies must be the same bytes as renderings, and fast.

use serde_json::Value;

use super::client::{get, list};
use super::*;
use crate::{Order, TimestampFormat};

fn bulk(count: u64) -> Project {
    reservations().with_bulk(count, 8000, morning() - TimeDelta::hours(10), morning() - TimeDelta::hours(1))
}

#[tokio::test(start_paused = true)]
async fn copied_records_equal_encoded_ones() {
    let running = simulate(bulk(500)).await;
    for order in [Order::Ascending, Order::Descending] {
        for timestamps in
            [TimestampFormat::Offset, TimestampFormat::Zulu, TimestampFormat::Naive, TimestampFormat::Spaced]
        {
            running.control.quirks("reservations", |quirks| {
                quirks.order = order;
                quirks.timestamps = timestamps;
            });
            let query = "in_progress=false&limit=50&include_latency=true&start_time=2026-08-20T01:00:00Z";
            let copied = list(running.addr, query).await.json();
            // A filter that everything passes takes the ordinary way.
            let rendered =
                list(running.addr, &format!("{query}&channel=VOICE-SIP&channel=WEBCHAT&channel=CHAT"))
                    .await
                    .json();
            assert_eq!(copied["conversations"].as_array().unwrap().len(), 50);
            assert_eq!(copied["conversations"], rendered["conversations"], "{order:?} {timestamps:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn bulk_walk_finds_each_record_once_at_its_size() {
    let running = simulate(bulk(1234)).await;
    for (order, paging) in
        [(Order::Ascending, "cursor"), (Order::Descending, "cursor"), (Order::Descending, "offset")]
    {
        running.control.quirks("reservations", |quirks| quirks.order = order);
        let (mut ids, mut bytes, mut next) = (Vec::new(), 0, String::new());
        loop {
            let page =
                list(running.addr, &format!("in_progress=false&limit=200&include_latency=true{next}")).await;
            bytes += page.body.len();
            ids.extend(page.ids());
            let body = page.json();
            let name = if paging == "cursor" { "cursor" } else { "next_offset" };
            next = match &body[name] {
                Value::String(cursor) => format!("&cursor={cursor}"),
                Value::Number(offset) => format!("&offset={offset}"),
                Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => break,
            };
        }
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 1234, "{order:?} {paging}");
        assert!((7500..9000).contains(&(bytes / 1234)), "{}", bytes / 1234);
    }
    assert!(list(running.addr, "in_progress=true").await.ids().is_empty());
    let truth = running.control.expected_totals(&target(), morning() - TimeDelta::hours(11));
    assert_eq!(truth.conversations, 1234);
}

#[tokio::test(start_paused = true)]
async fn empty_bulk_has_an_empty_page() {
    let running = simulate(bulk(0)).await;
    let address = "/v3/ws-00000001/PROJECT-RESERVATIONS/conversations";
    assert!(get(running.addr, address, "demo-key").await.unwrap().ids().is_empty());
}
