//! The API's documentation leaves some behaviour open: every variant leads to the same totals.

use polyai_domain::target::ApiVersion;
use polyai_exporter::config::Polling;
use polyai_simulator::{LastCursor, LatencyShape, MetricShape, Order, Paging, Quirks, TimestampFormat};

use crate::support::calls::{call, mixed_calls, project};
use crate::support::scenario::{scenario, wait};
use crate::support::{minutes, seconds, start_time};

type Dialect = (&'static str, fn(&mut Quirks));

const PAGING: [Dialect; 18] = [
    ("oldest-first", |quirks| quirks.order = Order::Ascending),
    ("newest-first", |quirks| quirks.order = Order::Descending),
    ("in-no-order", |quirks| quirks.order = Order::Shuffled),
    ("last-cursor-absent", |quirks| quirks.last_cursor = LastCursor::Absent),
    ("last-cursor-empty", |quirks| quirks.last_cursor = LastCursor::Empty),
    ("cursor-only", |quirks| quirks.paging = Paging::CursorOnly),
    ("offset-only", |quirks| quirks.paging = Paging::OffsetOnly),
    ("offset-only-oldest-first", |quirks| {
        (quirks.paging, quirks.order) = (Paging::OffsetOnly, Order::Ascending);
    }),
    ("offset-unannounced", |quirks| quirks.paging = Paging::OffsetUnannounced),
    ("offset-unannounced-oldest-first", |quirks| {
        (quirks.paging, quirks.order) = (Paging::OffsetUnannounced, Order::Ascending);
    }),
    ("empty-last-page", |quirks| quirks.empty_last_page = true),
    ("end-inclusive", |quirks| quirks.end_time_inclusive = true),
    ("end-exclusive", |quirks| quirks.end_time_inclusive = false),
    ("filter-ignored", |quirks| quirks.ignores_in_progress = true),
    ("filter-ignored-offset-only", |quirks| {
        (quirks.ignores_in_progress, quirks.paging) = (true, Paging::OffsetOnly);
    }),
    ("running-hidden", |quirks| quirks.hides_running = true),
    ("running-hidden-filter-ignored", |quirks| {
        (quirks.hides_running, quirks.ignores_in_progress) = (true, true);
    }),
    ("chunked", |quirks| quirks.chunked = true),
];

const RECORDS: [Dialect; 17] = [
    ("transcripts-off", |quirks| quirks.no_transcripts = true),
    ("latency-number", |quirks| quirks.latency = LatencyShape::Number),
    ("latency-null-inside", |quirks| quirks.latency = LatencyShape::NullInside),
    ("latency-absent", |quirks| quirks.latency = LatencyShape::Absent),
    ("num-turns-zero", |quirks| quirks.num_turns_zero = true),
    ("sparse", |quirks| quirks.sparse = true),
    ("empty-text-null", |quirks| quirks.null_text = true),
    ("timestamps-zulu", |quirks| quirks.timestamps = TimestampFormat::Zulu),
    ("timestamps-naive", |quirks| quirks.timestamps = TimestampFormat::Naive),
    ("timestamps-spaced", |quirks| quirks.timestamps = TimestampFormat::Spaced),
    ("metrics-lists", |quirks| quirks.metrics = MetricShape::List),
    ("metrics-objects", |quirks| quirks.metrics = MetricShape::Objects),
    ("metrics-scalars", |quirks| quirks.metrics = MetricShape::Scalars),
    ("flags-null", |quirks| quirks.null_flags = true),
    ("handoff-object", |quirks| quirks.handoff_object = true),
    ("numbers-as-text", |quirks| quirks.numbers_as_text = true),
    ("plain", |_| {}),
];

/// Pages so small that every walk has several, and rechecks that end within the hour.
fn hurried(polling: &mut Polling) {
    polling.interval = seconds(60);
    polling.recheck = vec![minutes(5), minutes(20)];
    polling.page_size = 4.try_into().unwrap();
}

async fn all_agree(dialects: &[Dialect]) {
    let calls = mixed_calls(seconds(40), minutes(14), seconds(28));
    let projects = dialects
        .iter()
        .map(|(name, change)| project(name).with_quirks(change).with_calls(calls.iter().cloned()));
    let scenario = scenario(projects).with_polling(hurried).start().await;
    wait(minutes(48)).await;
    let scrape = scenario.scrape().await;
    for project in scenario.projects() {
        scenario.assert_totals(&project, &scrape);
    }
}

#[tokio::test(start_paused = true)]
async fn totals_match_for_each_paging_and_filter() {
    all_agree(&PAGING).await;
}

#[tokio::test(start_paused = true)]
async fn totals_match_for_each_record_format() {
    all_agree(&RECORDS).await;
}

#[tokio::test(start_paused = true)]
async fn totals_match_for_older_api_versions() {
    let calls = || mixed_calls(seconds(40), minutes(14), seconds(28));
    let v1 = project("v1").with_calls(calls());
    let v2 = project("v2").with_calls(calls());
    let v2_chunked = project("v2-chunked").with_quirks(|quirks| quirks.chunked = true).with_calls(calls());
    let bare = project("bare-array").with_quirks(|quirks| quirks.bare_array = true).with_calls(calls());
    let scenario = scenario([v1, v2, v2_chunked, bare])
        .with_polling(hurried)
        // A full bare array is asked on by offset.
        .with_polling(|polling| polling.page_size = 3.try_into().unwrap())
        .with_api_version("v1", ApiVersion::V1)
        .with_api_version("v2", ApiVersion::V2)
        .with_api_version("v2-chunked", ApiVersion::V2)
        .start()
        .await;
    wait(minutes(48)).await;
    let scrape = scenario.scrape().await;
    for project in scenario.projects() {
        // The recount is that of a reader of v3, who sees latencies; the older versions do not show them.
        let latencies: &[&str] = if project.starts_with('v') { &["latencies"] } else { &[] };
        scenario.assert_totals_since(start_time(), &project, &scrape, latencies);
    }
}

#[tokio::test(start_paused = true)]
async fn burst_of_calls_is_read_without_cursor() {
    let rush = || (0..61).map(|n| call(&format!("CA{n}"), minutes(3) + seconds(n)).lasting(150));
    let both = [Order::Ascending, Order::Descending].map(|order| {
        let name = format!("{order:?}").to_lowercase();
        let silent = |quirks: &mut Quirks| (quirks.paging, quirks.order) = (Paging::OffsetUnannounced, order);
        project(&name).with_quirks(silent).with_calls(rush())
    });
    let scenario = scenario(both).with_polling(hurried).start().await;
    wait(minutes(5) + seconds(20)).await;
    let during = scenario.scrape().await;
    for project in scenario.projects() {
        during.assert_metric("polyai_conversations_in_progress", &[("project", &project)], 61.0);
    }
    wait(minutes(6)).await;
    let scrape = scenario.scrape().await;
    for project in scenario.projects() {
        scrape.assert_metric("polyai_conversations_total", &[("project", &project)], 61.0);
    }
}

#[tokio::test(start_paused = true)]
async fn totals_match_with_one_record_per_page() {
    let calls = mixed_calls(seconds(40), minutes(14), seconds(28));
    let scenario = scenario([project("hotel").with_calls(calls)])
        .with_polling(hurried)
        .with_polling(|polling| polling.page_size = 1.try_into().unwrap())
        .start()
        .await;
    wait(minutes(48)).await;
    scenario.assert_totals("hotel", &scenario.scrape().await);
}
