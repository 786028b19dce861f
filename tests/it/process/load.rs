//! `/metrics` of a real daemon under load: stalled scrapers, and many scrapes during commits.

use std::net::SocketAddr;
use std::time::Duration;

use chrono::TimeDelta;
use polyai_domain::target::Region;
use polyai_simulator::{Call, Fault, FaultKind, Project};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::daemon::Daemon;
use super::fixture::Fixture;
use super::formats::{OPENMETRICS_2, PROTOBUF, body, openmetrics2, parsed::ParsedExposition, protobuf};
use super::scrape::Scrape;
use super::web;

const PATIENCE: Duration = Duration::from_secs(90);
const ENCODINGS: [&str; 2] = ["identity", "gzip"];
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Fewer than the scrapes that the daemon answers at once.
const STALLED: usize = 30;

async fn daemon(fixture: &Fixture, metrics: &str) -> (Daemon, SocketAddr) {
    let config = fixture.config("polyai.yaml", &fixture.path("state"));
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("{text}metrics: {metrics}\n")).unwrap();
    let mut daemon = Daemon::serve(&config);
    let address = daemon.address().await;
    (daemon, address)
}

fn is_counted(count: usize) -> impl Fn(&Scrape) -> Result<(), String> {
    move |scrape| {
        let total: f64 = scrape.named("polyai_conversations_total").map(|(_, value)| value).sum();
        if total == count as f64 { Ok(()) } else { Err(format!("{total} of {count} are counted")) }
    }
}

fn put(fixture: &Fixture, call: Call) {
    assert!(fixture.control().put(&fixture.targets()[0], call));
}

fn megabytes_resident(daemon: &Daemon) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}

/// Asks, waits for the first bytes, and reads no more.
async fn stall(exporter: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(exporter).await.unwrap();
    let request = format!("GET /metrics HTTP/1.1\r\nhost: {exporter}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut first = [0; 12];
    stream.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    stream
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stalled_scrapers_share_bytes_and_block_nobody() {
    let fixture = Fixture::new([Project::new("reservations", Region::Us1)], TimeDelta::minutes(10)).await;
    let start = fixture.control().now() - TimeDelta::seconds(400);
    let sets = 1500;
    for number in 0..sets {
        let call = Call::new(format!("call-{number}")).starting(start).lasting(10).turns(2).latency([1.0]);
        let (channel, variant) = (format!("channel-{}", number % 50), format!("variant-{}", number / 50));
        put(&fixture, call.channel(channel).variant(variant.clone(), variant));
    }
    let (mut daemon, exporter) = daemon(&fixture, "{labels: [channel, variant]}").await;
    daemon.scrape_until(PATIENCE, is_counted(sets)).await;
    let page = daemon.metrics().await.len() as f64 / (1 << 20) as f64;
    assert!(page > 10.0, "{page} MB are no large exposition");
    let _one = stall(exporter).await;
    // Each poll moves a few gauges: let the room to make a page with them be taken before it is measured.
    for _ in 0..3 {
        sleep(Duration::from_millis(1200)).await;
        daemon.scrape().await;
    }
    let before = megabytes_resident(&daemon);

    let mut stalled = Vec::new();
    while stalled.len() < STALLED - 1 {
        stalled.push(stall(exporter).await);
    }
    let shared = megabytes_resident(&daemon) - before;
    // Copies would be 29 pages. On a busy machine polls come in between, and the room in which their pages are made.
    assert!(shared < 5.0 * page, "{shared:.1} MB for {} stalled scrapers of {page:.1} MB", stalled.len());

    let began = Instant::now();
    let new = Call::new("new").starting(fixture.control().now()).lasting(1).turns(2);
    put(&fixture, new.channel("channel-0").variant("variant-0", "variant-0"));
    daemon.scrape_until(Duration::from_secs(30), is_counted(sets + 1)).await;
    let commit = began.elapsed();
    assert!(commit < Duration::from_secs(20), "a call showed after {commit:?}");
    let began = Instant::now();
    daemon.scrape().await;
    let scrape = began.elapsed();
    assert!(scrape < Duration::from_secs(5), "another scrape took {scrape:?}");
    // The page that they hold and the new one, each of which is whole where one target has everything, and room to make it.
    let both = megabytes_resident(&daemon) - before;
    assert!(both < 5.0 * page, "{both:.1} MB after a commit, with pages of {page:.1} MB");
    println!(
        "page {page:.1} MB; {before:.1} MB with one, {shared:.1} more with {STALLED}, {both:.1} more after a commit"
    );
    println!("a call showed after {commit:?}, another scrape took {scrape:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn head_has_length_for_each_format_and_encoding() {
    let fixture = Fixture::new([Project::new("reservations", Region::Us1)], TimeDelta::minutes(10)).await;
    put(
        &fixture,
        Call::new("call").starting(fixture.control().now() - TimeDelta::seconds(400)).lasting(10).turns(2),
    );
    let (mut daemon, exporter) = daemon(&fixture, "{}").await;
    daemon.scrape_until(PATIENCE, is_counted(1)).await;
    fixture.control().fault(Fault::new(FaultKind::Status(503)));
    for media in [TEXT, OPENMETRICS, OPENMETRICS_2, PROTOBUF] {
        for encoding in ENCODINGS {
            let headers = [("accept", media), ("accept-encoding", encoding)];
            let mut lengths = Vec::new();
            let mut agreed = false;
            // The exporter's own metrics move once per second, so one pair may lie on both sides of that.
            for _ in 0..10 {
                let head = web::fetch(exporter, "HEAD", "/metrics", &headers).await.unwrap();
                let get = web::fetch(exporter, "GET", "/metrics", &headers).await.unwrap();
                assert_eq!((head.status(), head.header("content-type")), (200, Some(media)));
                assert_eq!(head.header("content-encoding"), get.header("content-encoding"));
                assert!(head.body.is_empty(), "{media} in {encoding}");
                let length: usize = head.header("content-length").unwrap().parse().unwrap();
                lengths.push((length, get.body.len()));
                agreed |= length == get.body.len();
                if agreed {
                    break;
                }
            }
            assert!(agreed, "{media} in {encoding}: {lengths:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_scrapes_show_consistent_snapshots() {
    let fixture = Fixture::new([Project::new("reservations", Region::Us1)], TimeDelta::minutes(10)).await;
    let (mut daemon, exporter) = daemon(&fixture, "{}").await;
    let mut scrapes = JoinSet::new();
    for media in [TEXT, OPENMETRICS, OPENMETRICS_2, PROTOBUF] {
        for encoding in ENCODINGS {
            scrapes.spawn(async move {
                let mut seen = Vec::new();
                while seen.last().is_none_or(|total| *total < 200.0) {
                    let bytes = body(exporter, media, encoding).await;
                    let [conversations, lags, turns] = counts(media, bytes);
                    assert_eq!((conversations, conversations), (lags, turns), "{media} in {encoding}");
                    seen.push(conversations);
                    sleep(Duration::from_millis(20)).await;
                }
                assert!(seen.is_sorted(), "{media} in {encoding}: {seen:?}");
                seen.dedup();
                seen.len()
            });
        }
    }
    for number in 0..200 {
        let start = fixture.control().now();
        put(
            &fixture,
            Call::new(format!("call-{number}"))
                .starting(start)
                .lasting_exactly(TimeDelta::milliseconds(1500))
                .turns(2)
                .latency([1.0]),
        );
        sleep(Duration::from_millis(30)).await;
    }
    daemon.scrape_until(PATIENCE, is_counted(200)).await;
    let generations = scrapes.join_all().await;
    assert!(generations.iter().all(|seen| *seen >= 4), "commits went on meanwhile: {generations:?}");
}

/// How many conversations were counted, by a counter and by two histograms, each of which agrees with itself.
fn counts(media: &str, bytes: Vec<u8>) -> [f64; 3] {
    if media == PROTOBUF || media == OPENMETRICS_2 {
        let parsed = match media {
            PROTOBUF => protobuf::read(&bytes),
            _ => openmetrics2::read(&String::from_utf8(bytes).unwrap()),
        };
        let sum = |name: &str, parsed: &ParsedExposition| -> f64 {
            let all = parsed.samples.iter().filter(|(series, _)| series.starts_with(&format!("{name}{{")));
            all.map(|(_, value)| value).sum()
        };
        for (series, native) in &parsed.natives {
            let (name, labels) = series.split_once('{').unwrap();
            assert_eq!(native.total() as f64, parsed.samples[&format!("{name}_count{{{labels}")], "{series}");
        }
        let lags = sum("polyai_ingest_lag_seconds_count", &parsed);
        return [
            sum("polyai_conversations_total", &parsed),
            lags,
            sum("polyai_conversation_turns_count", &parsed),
        ];
    }
    let text = String::from_utf8(bytes).unwrap();
    let lines: Vec<&str> = text.lines().map(|line| line.split(" # {").next().unwrap_or(line)).collect();
    let scrape = Scrape::of(&lines.join("\n"));
    let sum = |name: &str| scrape.named(name).map(|(_, value)| value).sum::<f64>();
    for histogram in ["polyai_ingest_lag_seconds", "polyai_conversation_turns"] {
        let all = scrape.named(&format!("{histogram}_bucket")).collect::<Vec<_>>();
        let infinite: f64 =
            all.iter().filter(|(labels, _)| labels["le"] == "+Inf").map(|(_, value)| value).sum();
        assert_eq!(infinite, sum(&format!("{histogram}_count")), "{histogram}");
    }
    let [lags, turns] = ["polyai_ingest_lag_seconds_count", "polyai_conversation_turns_count"].map(sum);
    [sum("polyai_conversations_total"), lags, turns]
}
