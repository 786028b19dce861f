//! Bulk records.

use serde_json::Value;

use super::client::{get, list};
use super::*;
use crate::{Order, TimestampFormat};

fn bulk(count: u64) -> Project {
    reservations().with_bulk(count, 8000, morning() - TimeDelta::hours(10), morning() - TimeDelta::hours(1))
}

#[tokio::test(start_paused = true)]
async fn bulk_records_have_ids_and_times_of_their_own() {
    for timestamps in
        [TimestampFormat::Offset, TimestampFormat::Zulu, TimestampFormat::Naive, TimestampFormat::Spaced]
    {
        let project = reservations().with_quirks(|quirks| quirks.timestamps = timestamps);
        let from = morning() - TimeDelta::hours(10);
        let running = simulate(project.with_bulk(500, 8000, from, morning() - TimeDelta::hours(1))).await;
        let query = "in_progress=false&limit=50&include_latency=true&start_time=2026-08-20T01:00:00Z";
        let rows = list(running.addr, query).await.json()["conversations"].clone();
        for row in rows.as_array().unwrap() {
            assert_eq!(row["id"], row["state"]["call_sid"], "{timestamps:?}");
            let (start, turn) = (row["started_at"].as_str(), row["turns"][1]["user_input_datetime"].as_str());
            assert!(start < turn && start.unwrap().starts_with("2026-08-20"), "{start:?} {turn:?}");
        }
        assert_eq!(rows.as_array().unwrap().len(), 50);
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
}

#[tokio::test(start_paused = true)]
async fn empty_bulk_has_an_empty_page() {
    let running = simulate(bulk(0)).await;
    let address = "/v3/ws-00000001/PROJECT-RESERVATIONS/conversations";
    assert!(get(running.addr, address, "demo-key").await.unwrap().ids().is_empty());
}
