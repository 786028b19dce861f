//! Walks over pages, under every quirk that concerns them.

use serde_json::Value;

use super::client::{Answer, get, list, rows};
use super::*;
use crate::{LastCursor, LatencyShape, MetricShape, MetricValue};
use crate::{Order, Paging, Quirks, TimestampFormat, Turn};

/// Follows cursors, else offsets, to the end.
async fn walk(running: &SimulatorHandle, version: &str, query: &str) -> Vec<Value> {
    let path = format!("/us-1/{version}/ws-00000001/PROJECT-RESERVATIONS/conversations?{query}");
    let (mut found, mut next) = (Vec::new(), String::new());
    for _ in 0..1000 {
        let answer: Answer = get(running.addr, &format!("{path}{next}"), "demo-key").await.unwrap();
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        assert!(answer.complete);
        let body = answer.json();
        found.extend(rows(&body));
        match (&body["cursor"], &body["next_offset"]) {
            (Value::String(cursor), _) if !cursor.is_empty() => next = format!("&cursor={cursor}"),
            (_, Value::Number(offset)) => next = format!("&offset={offset}"),
            _ => return found,
        }
    }
    panic!("the walk has no end");
}

fn sorted_ids(rows: &[Value]) -> Vec<String> {
    let mut ids: Vec<String> = rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect();
    ids.sort();
    ids
}

#[tokio::test(start_paused = true)]
async fn walk_finds_each_conversation_once_in_every_dialect() {
    let running = simulate(reservations().with_calls(calls(57))).await;
    let expected: Vec<String> = (0..57).map(|n| format!("CA{n:04}")).collect();
    for order in [Order::Ascending, Order::Descending, Order::Shuffled] {
        for last_cursor in [LastCursor::Null, LastCursor::Absent, LastCursor::Empty] {
            for paging in [Paging::CursorAndOffset, Paging::CursorOnly, Paging::OffsetOnly] {
                for (chunked, empty_last_page) in [(false, false), (true, true)] {
                    running.control.quirks("reservations", |quirks| {
                        *quirks = Quirks {
                            order,
                            last_cursor,
                            paging,
                            chunked,
                            empty_last_page,
                            ..Quirks::default()
                        };
                    });
                    for limit in [1, 19, 57, 1000] {
                        let found = walk(&running, "v3", &format!("limit={limit}&in_progress=false")).await;
                        let case = format!("{order:?} {last_cursor:?} {paging:?} {chunked} {limit}");
                        assert_eq!(sorted_ids(&found), expected, "{case}");
                    }
                }
            }
        }
    }
    assert_eq!(sorted_ids(&walk(&running, "v2", "limit=10").await), expected);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn v1_pages_by_offset_in_its_own_envelope() {
    let running = simulate(reservations().with_calls(calls(12))).await;
    let found = walk(&running, "v1", "").await;
    let ids: Vec<&str> = found.iter().map(|row| row["id"].as_str().unwrap()).collect();
    assert!(ids.is_sorted() && ids.len() == 12);
    let page =
        get(running.addr, "/v1/ws-00000001/PROJECT-RESERVATIONS/conversations", "demo-key").await.unwrap();
    let body = page.json();
    assert_eq!(page.ids().len(), 5, "the default limit of v1");
    assert!(body.get("descriptions").is_some() && body.get("cursor").is_none());
    assert_eq!(body["next_offset"], 5);
    assert_eq!(body["conversations"][1]["handoff_reason"], Value::Null);
}

#[tokio::test(start_paused = true)]
async fn window_end_is_included_if_the_quirk_says_so() {
    let running = simulate(reservations().with_calls(calls(6))).await;
    let window = "start_time=2026-08-20T07:00:10Z&end_time=2026-08-20T07:00:30Z";
    let ids = |answer: Answer| {
        let mut ids = answer.ids();
        ids.sort();
        ids
    };
    assert_eq!(ids(list(running.addr, window).await), ["CA0001", "CA0002"]);
    running.control.quirks("reservations", |quirks| quirks.end_time_inclusive = true);
    assert_eq!(ids(list(running.addr, window).await), ["CA0001", "CA0002", "CA0003"]);
}

#[tokio::test(start_paused = true)]
async fn extreme_times_are_accepted() {
    let running = simulate(reservations().with_calls([Call::new("A").starting(morning())])).await;
    for (query, rows) in [
        ("end_time=-262143-01-01T00:00:00", 0),
        ("end_time=%2B262142-12-31T23:59:59", 1),
        ("start_time=-262143-01-01T00:00:00", 1),
        ("start_time=%2B262142-12-31T23:59:59", 0),
    ] {
        let answer = list(running.addr, query).await;
        assert_eq!(answer.status, 200, "{query}");
        assert_eq!(answer.json()["conversations"].as_array().unwrap().len(), rows, "{query}");
    }
}

#[tokio::test(start_paused = true)]
async fn filters_select_rows() {
    let at = |seconds| morning() - TimeDelta::seconds(seconds);
    let said = Turn { user: "Where is my refund?".into(), ..Turn::reply() };
    let calls = [
        Call::new("RUNNING").starting(at(30)).lasting(600),
        Call::new("CHAT").starting(at(300)).channel("WEBCHAT").variant("VARIANT-1", "Downtown desk"),
        Call::new("REFUND").starting(at(300)).turn(said),
        Call::new("SANDBOX").starting(at(300)).in_env(ClientEnv::Sandbox),
    ];
    let running = simulate(reservations().with_calls(calls)).await;
    let cases = [
        ("in_progress=true", vec!["RUNNING"]),
        ("in_progress=false", vec!["CHAT", "REFUND"]),
        ("client_env=sandbox", vec!["SANDBOX"]),
        ("channel=WEBCHAT", vec!["CHAT"]),
        ("channel=voice&in_progress=false", vec!["REFUND"]),
    ];
    for (query, expected) in cases {
        let mut ids = list(running.addr, query).await.ids();
        ids.sort();
        assert_eq!(ids, expected, "{query}");
    }
    running.control.quirks("reservations", |quirks| quirks.ignores_in_progress = true);
    assert_eq!(list(running.addr, "in_progress=true").await.ids().len(), 3);
    running.control.quirks("reservations", |quirks| quirks.hides_running = true);
    assert_eq!(list(running.addr, "in_progress=true").await.ids().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn record_has_the_documented_shape() {
    let call = Call::new("CA01")
        .starting(morning() - TimeDelta::seconds(300))
        .lasting_exactly(TimeDelta::milliseconds(73_900))
        .turns(3)
        .latency([1.25])
        .ood(1)
        .handoff("billing_question", "Billing queue")
        .metric("CALL_DURATION", MetricValue::Number(73.0))
        .metric("QA", MetricValue::Text("opening_hours".into()))
        .metric("QA", MetricValue::Text("billing".into()));
    let running = simulate(reservations().with_calls([call])).await;
    let row = list(running.addr, "include_latency=true").await.json()["conversations"][0].clone();
    assert_eq!(row["started_at"], "2026-08-20T08:55:00.000000+00:00");
    assert_eq!(
        (&row["total_duration"], &row["num_turns"], &row["num_ood"]),
        (&73.into(), &3.into(), &1.into())
    );
    assert_eq!((&row["handoff"], &row["handoff_reason"]), (&true.into(), &"billing_question".into()));
    assert_eq!(row["metrics"]["CALL_DURATION"], "73");
    assert_eq!(row["metrics"]["QA"][1], "billing");
    assert_eq!(row["turns"][0]["user_input"], "");
    assert_eq!(row["turns"][0]["latency"]["perceived_latency"], 3.0);
    assert_eq!(row["turns"][1]["latency"]["perceived_latency"], 1.25);
    assert_eq!(row["turns"][2]["latency"]["perceived_latency"], Value::Null);
    let without = list(running.addr, "").await.json();
    assert!(without["conversations"][0]["turns"][0].get("latency").is_none());
}

#[tokio::test(start_paused = true)]
async fn each_record_quirk_changes_the_record() {
    let call = Call::new("CA01")
        .starting(morning() - TimeDelta::seconds(300))
        .handoff("billing_question", "Billing queue")
        .metric("PAID", MetricValue::Flag(true));
    let running = simulate(reservations().with_calls([call])).await;
    type Change = fn(&mut Quirks);
    let cases: [(&str, Change, &str, Value); 15] = [
        ("no transcripts", |q| q.no_transcripts = true, "/turns", serde_json::json!([])),
        ("but a count", |q| q.no_transcripts = true, "/num_turns", 4.into()),
        ("zero turns", |q| q.num_turns_zero = true, "/num_turns", 0.into()),
        ("number", |q| q.latency = LatencyShape::Number, "/turns/0/latency", 3.0.into()),
        (
            "inside",
            |q| q.latency = LatencyShape::NullInside,
            "/turns/0/latency/perceived_latency",
            Value::Null,
        ),
        (
            "zulu",
            |q| q.timestamps = TimestampFormat::Zulu,
            "/started_at",
            "2026-08-20T08:55:00.000000Z".into(),
        ),
        (
            "naive",
            |q| q.timestamps = TimestampFormat::Naive,
            "/started_at",
            "2026-08-20T08:55:00.000000".into(),
        ),
        (
            "spaced",
            |q| q.timestamps = TimestampFormat::Spaced,
            "/started_at",
            "2026-08-20 08:55:00.00000".into(),
        ),
        ("null text", |q| q.null_text = true, "/variant_id", Value::Null),
        ("null flags", |q| q.null_flags = true, "/turns/0/is_ood", Value::Null),
        ("object", |q| q.handoff_object = true, "/handoff/reason", "billing_question".into()),
        ("texts", |q| q.numbers_as_text = true, "/total_duration", "60".into()),
        ("scalars", |q| q.metrics = MetricShape::Scalars, "/metrics/PAID", true.into()),
        ("lists", |q| q.metrics = MetricShape::List, "/metrics/PAID/0", "true".into()),
        ("objects", |q| q.metrics = MetricShape::Objects, "/metrics/PAID/0/value", "true".into()),
    ];
    for (name, change, pointer, expected) in cases {
        running.control.quirks("reservations", |quirks| {
            *quirks = Quirks::default();
            change(quirks);
        });
        let body = list(running.addr, "include_latency=true").await.json();
        assert_eq!(body["conversations"][0].pointer(pointer), Some(&expected), "{name}");
    }
    running.control.quirks("reservations", |quirks| *quirks = Quirks { sparse: true, ..Quirks::default() });
    let sparse = list(running.addr, "").await.json()["conversations"][0].clone();
    let keys: Vec<&String> = sparse.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["account_id", "id", "project_id", "started_at"]);
    running
        .control
        .quirks("reservations", |quirks| *quirks = Quirks { bare_array: true, ..Quirks::default() });
    assert!(list(running.addr, "").await.json().is_array());
}

#[tokio::test(start_paused = true)]
async fn script_can_be_changed_while_running() {
    let running = simulate(reservations()).await;
    let control = &running.control;
    let raw = Call::new("RAW").starting(morning() - TimeDelta::seconds(90)).raw(r#"{"id": 12}"#);
    assert!(control.put(&target(), Call::new("CA01").starting(morning() - TimeDelta::seconds(100))));
    assert!(control.put(&target(), raw));
    let body = list(running.addr, "").await.json();
    assert_eq!(
        (&body["conversations"][0]["id"], &body["conversations"][1]["id"]),
        (&12.into(), &"CA01".into())
    );
    assert!(control.change(&target(), "CA01", |call| call.turns(9)));
    assert_eq!(list(running.addr, "").await.json()["conversations"][1]["num_turns"], 9);
    assert!(control.remove(&target(), "RAW"));
    assert!(!control.remove(&target(), "RAW"));
    assert_eq!(list(running.addr, "").await.ids(), ["CA01"]);
}

#[tokio::test(start_paused = true)]
async fn expected_totals_of_scripted_calls_match_pages() {
    let running = simulate(reservations().with_calls(calls(40))).await;
    let rows = walk(&running, "v3", "limit=7&include_latency=true").await;
    let sum = |key: &str| rows.iter().map(|row| row[key].as_u64().unwrap()).sum::<u64>();
    let turns: Vec<&Value> = rows.iter().flat_map(|row| row["turns"].as_array().unwrap()).collect();
    let replies = turns
        .iter()
        .filter(|turn| turn["user_input"] != "")
        .filter(|turn| turn["latency"]["perceived_latency"].is_number())
        .count() as u64;
    let truth = running.control.expected_totals(&target(), DateTime::<Utc>::UNIX_EPOCH);
    assert_eq!(truth.conversations, 40);
    assert_eq!(truth.handoffs, rows.iter().filter(|row| row["handoff"] == true).count() as u64);
    assert_eq!(truth.handoffs_by_reason["billing_question/Billing queue"], truth.handoffs);
    assert_eq!((truth.turns, truth.ood_turns), (sum("num_turns"), sum("num_ood")));
    assert_eq!(truth.duration_seconds, sum("total_duration"));
    assert_eq!((truth.reply_latencies, truth.greeting_latencies), (replies, 40));
}

#[tokio::test(start_paused = true)]
async fn expected_totals_tolerate_a_second_at_the_anchor() {
    let ended = |id: &str, ms: i64| {
        let end = morning() + TimeDelta::milliseconds(ms);
        Call::new(id)
            .starting(end - TimeDelta::milliseconds(60_500))
            .lasting_exactly(TimeDelta::milliseconds(60_500))
    };
    let running =
        simulate(reservations().with_calls([ended("A", -700), ended("B", -300), ended("C", 2000)])).await;
    let truth = running.control.expected_totals(&target(), morning());
    assert_eq!(
        (truth.conversations, truth.in_progress),
        (1, 1),
        "whole seconds say A ended 1.2 s before, B 0.8 s"
    );
    tokio::time::advance(std::time::Duration::from_secs(2)).await;
    assert_eq!(running.control.expected_totals(&target(), morning()).conversations, 2);
}
