//! All formats of `/metrics` carry the same numbers, as independent parsers read them.
//!
//! The reference client library for Python reads the text formats and OpenMetrics 1.0, prost reads protobuf. Python, curl and, in the
//! tests with Prometheus, Go decompress the bodies. `tests/run` installs the Python packages. Without them these tests are skipped,
//! except in CI, where they fail.

mod curl;
pub(super) mod openmetrics2;
pub(super) mod parsed;
pub(super) mod protobuf;
mod python;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::net::SocketAddr;
use std::time::Duration;

use chrono::TimeDelta;
use flate2::read::GzDecoder;
use polyai_domain::target::Region;
use polyai_simulator::{Call, Fault, FaultKind, Project};
use tokio::time::sleep;

use self::parsed::{Exemplar, Labels, ParsedExposition, assert_same, is_committed};
use self::python::Reading;
use super::daemon::Daemon;
use super::fixture::Fixture;
use super::scrape::Scrape;
use super::web;

const PATIENCE: Duration = Duration::from_secs(60);
const CALLS: usize = 60;
const ENCODINGS: [&str; 2] = ["identity", "gzip"];
pub(super) const PROTOBUF: &str =
    "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";
pub(super) const OPENMETRICS_2: &str = "application/openmetrics-text; version=2.0.0; charset=utf-8";

/// A project without calls yet.
fn project(name: &str, region: Region) -> Project {
    Project::new(name, region)
}

fn put_calls(fixture: &Fixture) {
    let now = fixture.control().now();
    for target in fixture.targets() {
        for number in 0..CALLS {
            let length = 1 + i64::try_from(number * number % 400).unwrap();
            let latency = [0.3 + number as f64 / 7.0, 0.000_001 * number as f64, 2.0];
            let call = Call::new(id(&target.project, number))
                .starting(now - TimeDelta::seconds(450) + TimeDelta::milliseconds(71 * number as i64))
                .lasting(length)
                .turns(5)
                .channel(["VOICE-SIP", "CH\"AT\\", "WEB\nCHAT", "ТЕЛЕФОН"][number % 4])
                .greeting_latency(if number.is_multiple_of(9) { 0.0 } else { 0.7 })
                .latency(latency);
            let call = match number % 5 {
                0 => call.handoff("a \"reason\" \\ with\nlines, {braces} # and ends }", "Desk"),
                1 => call.handoff("customer_request", "").ood(1),
                _ => call.silences(1),
            };
            assert!(fixture.control().put(&target, call));
        }
    }
}

/// Conversation ids, some of which must not be exposed.
fn id(project: &str, number: usize) -> String {
    match number % 10 {
        3 => format!("+44 20 7946 0{number:03}"),
        7 => format!("{project} {number}"),
        _ => format!("{project}-{number}"),
    }
}

/// A daemon that has counted everything and whose API fails from now on, so that its numbers no longer change.
async fn start_frozen(fixture: &Fixture, name: &str, metrics: &str) -> (Daemon, SocketAddr) {
    let config = fixture.config(name, &fixture.path(&format!("{name}.state")));
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("{text}metrics: {metrics}\n")).unwrap();
    let mut daemon = Daemon::serve(&config);
    let all = (CALLS * fixture.targets().len()) as f64;
    let counted = |scrape: &Scrape| {
        let total: f64 = scrape.named("polyai_conversations_total").map(|(_, value)| value).sum();
        if total == all { Ok(()) } else { Err(format!("{total} of {all} are counted")) }
    };
    daemon.scrape_until(PATIENCE, counted).await;
    fixture.control().fault(Fault::new(FaultKind::Status(503)));
    let address = daemon.address().await;
    (daemon, address)
}

/// One snapshot in every format.
struct Scrapes {
    texts: Vec<Reading>,
    protobuf: ParsedExposition,
    openmetrics2: ParsedExposition,
}

impl Scrapes {
    /// Scrapes a daemon whose API fails, until the first and the last scrape agree: then all show the same snapshot.
    async fn collect(exporter: SocketAddr) -> Self {
        for _ in 0..20 {
            let before = committed(&protobuf::read(&body(exporter, PROTOBUF, "identity").await));
            let texts = python::scrape(exporter).await;
            let mut protobuf = Vec::new();
            let mut openmetrics2 = Vec::new();
            for encoding in ENCODINGS {
                protobuf.push(committed(&protobuf::read(&body(exporter, PROTOBUF, encoding).await)));
                let text = String::from_utf8(body(exporter, OPENMETRICS_2, encoding).await).unwrap();
                openmetrics2.push(committed(&openmetrics2::read(&text)));
            }
            let after = committed(&protobuf::read(&body(exporter, PROTOBUF, "identity").await));
            if before == after {
                for parsed in [&protobuf, &openmetrics2] {
                    assert!(parsed.iter().all(|one| *one == parsed[0]), "encodings differ");
                }
                return Self { texts, protobuf: protobuf.remove(0), openmetrics2: openmetrics2.remove(0) };
            }
            sleep(Duration::from_millis(500)).await;
        }
        panic!("the numbers keep changing");
    }
}

/// The decompressed body of a response in the requested format and encoding.
pub(super) async fn body(exporter: SocketAddr, media: &str, encoding: &str) -> Vec<u8> {
    let headers = [("accept", media), ("accept-encoding", encoding)];
    let answer = web::fetch(exporter, "GET", "/metrics", &headers).await.unwrap();
    assert_eq!((answer.status(), answer.header("content-type")), (200, Some(media)));
    assert_eq!(answer.header("content-encoding").unwrap_or("identity"), encoding);
    let mut out = Vec::new();
    match encoding {
        "gzip" => {
            GzDecoder::new(&answer.body[..]).read_to_end(&mut out).unwrap();
        }
        _ => out = answer.body,
    }
    out
}

/// Removes the exporter's own metrics, which change from scrape to scrape.
fn committed(parsed: &ParsedExposition) -> ParsedExposition {
    let mut parsed = parsed.clone();
    parsed.families.retain(|name, _| is_committed(name));
    parsed.samples.retain(|series, _| is_committed(series));
    parsed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn formats_and_encodings_have_same_values() {
    if !python::installed().await {
        return;
    }
    let fixture = Fixture::new(
        [project("reservations", Region::Us1), project("billing", Region::Euw1)],
        TimeDelta::minutes(10),
    )
    .await;
    put_calls(&fixture);
    let (_daemon, exporter) =
        start_frozen(&fixture, "created", "{openmetrics_created: true, labels: [channel]}").await;
    let scrapes = Scrapes::collect(exporter).await;

    let protobuf = &scrapes.protobuf;
    let mut kinds = BTreeSet::new();
    for reading in &scrapes.texts {
        let what = format!("{} in {}", reading.accept, reading.encoding);
        assert!(
            reading.content_type.starts_with(&reading.accept.replace(";", "; ")),
            "{what}: {}",
            reading.content_type
        );
        let text = committed(&reading.parse());
        assert_same(&format!("families of protobuf and {what}"), &protobuf.families, &text.families);
        assert_same(&format!("samples of protobuf and {what}"), &protobuf.samples, &text.samples);
        if reading.is_openmetrics() {
            assert_same(&format!("exemplars of protobuf and {what}"), &protobuf.exemplars, &text.exemplars);
            assert_same(&format!("starts of protobuf and {what}"), &protobuf.starts, &text.starts);
            assert!(reading.units().any(|unit| unit == ("polyai_turn_latency_seconds", "seconds")));
        } else {
            assert!(text.exemplars.is_empty() && text.starts.is_empty(), "{what}");
        }
        kinds.insert((reading.accept.clone(), reading.encoding.clone()));
    }
    assert_eq!(kinds.len(), 4 * ENCODINGS.len());

    let openmetrics2 = &scrapes.openmetrics2;
    assert_same("samples of protobuf and OpenMetrics 2.0", &protobuf.samples, &openmetrics2.samples);
    assert_same("families of protobuf and OpenMetrics 2.0", &protobuf.families, &openmetrics2.families);
    assert_same("starts of protobuf and OpenMetrics 2.0", &protobuf.starts, &openmetrics2.starts);
    assert_same("native buckets of protobuf and OpenMetrics 2.0", &protobuf.natives, &openmetrics2.natives);
    assert_same("exemplars of protobuf and OpenMetrics 2.0", &protobuf.newest, &openmetrics2.newest);
    let on_counters = |parsed: &ParsedExposition| -> BTreeMap<String, Exemplar> {
        let all = parsed.exemplars.clone().into_iter();
        all.filter(|(series, _)| series.contains("_total{")).collect()
    };
    assert_same("exemplars of counters", &on_counters(protobuf), &on_counters(openmetrics2));

    assert_histograms_consistent(protobuf);
    assert_exemplars_exposable(protobuf);
}

/// Each histogram has as many observations in native as in classic buckets, and the newest exemplars of its buckets.
fn assert_histograms_consistent(parsed: &ParsedExposition) {
    let histograms = parsed.families.iter().filter(|(_, (kind, _))| kind == "histogram");
    let names: Vec<&String> = histograms.map(|(name, _)| name).collect();
    assert!(names.len() >= 6, "{names:?}");
    for name in names {
        for (series, &count) in
            parsed.samples.iter().filter(|(series, _)| series.starts_with(&format!("{name}_count{{")))
        {
            let labels = series.strip_prefix(&format!("{name}_count")).unwrap();
            let native = &parsed.natives[&format!("{name}{labels}")];
            assert_eq!(native.total() as f64, count, "{name}{labels}");
            assert!(native.buckets.iter().all(|&(_, count)| count > 0), "{name}{labels}: an empty bucket");
            let buckets = buckets_of(parsed, name, labels);
            assert_eq!(parsed.samples[buckets.last().unwrap()], count, "{name}{labels}: +Inf");
            let mut exemplars: Vec<&Exemplar> =
                buckets.iter().filter_map(|bucket| parsed.exemplars.get(bucket)).collect();
            exemplars.sort_by_key(|exemplar| exemplar.at);
            let newest = parsed.newest.get(&format!("{name}{labels}")).map_or(&[][..], Vec::as_slice);
            assert_eq!(newest.len(), exemplars.len().min(10), "{name}{labels}");
            assert!(newest.is_sorted_by_key(|exemplar| exemplar.at), "{newest:?}");
            assert!(newest.iter().all(|one| exemplars.contains(&one)), "{newest:?} of {exemplars:?}");
            let older = exemplars.iter().filter(|one| !newest.contains(one));
            assert!(older.clone().all(|one| one.at <= newest[0].at), "{newest:?} of {exemplars:?}");
        }
    }
    let natives: Vec<_> = parsed.natives.values().filter(|native| native.total() > 0).collect();
    assert!(natives.iter().any(|native| native.zero_count > 0), "the zero bucket");
    assert!(natives.iter().all(|native| native.schema == 3), "{natives:?}");
}

/// The buckets of a histogram series, ascending; `labels` as in its key.
fn buckets_of(parsed: &ParsedExposition, name: &str, labels: &str) -> Vec<String> {
    let own: Labels = parsed::labels_of(labels);
    let mut bounds: Vec<(f64, String)> = parsed
        .samples
        .keys()
        .filter_map(|series| {
            let mut labels = parsed::labels_of(series.strip_prefix(&format!("{name}_bucket"))?);
            let bound = labels.remove("le")?.parse().unwrap();
            (labels == own).then(|| (bound, series.clone()))
        })
        .collect();
    bounds.sort_by(|(left, _), (right, _)| left.total_cmp(right));
    bounds.into_iter().map(|(_, series)| series).collect()
}

/// Exemplars have ids that may be exposed, and timestamps.
fn assert_exemplars_exposable(parsed: &ParsedExposition) {
    let ids: BTreeSet<String> = ["reservations", "billing"]
        .iter()
        .flat_map(|project| {
            (0..CALLS).filter(|number| ![3, 7].contains(&(number % 10))).map(|number| id(project, number))
        })
        .collect();
    for (series, exemplar) in &parsed.exemplars {
        let [(name, id)] = exemplar.labels.iter().collect::<Vec<_>>()[..] else { panic!("{exemplar:?}") };
        assert_eq!(name, "conversation_id");
        assert!(ids.contains(id), "{series}: {id:?} must not be exposed");
        assert!(exemplar.at.is_some(), "{series}: {exemplar:?}");
    }
    for family in [
        "polyai_handoffs_total",
        "polyai_conversation_duration_seconds_bucket",
        "polyai_turn_latency_seconds_bucket",
        "polyai_greeting_latency_seconds_bucket",
        "polyai_ingest_lag_seconds_bucket",
    ] {
        let found = parsed.exemplars.keys().any(|series| series.starts_with(&format!("{family}{{")));
        assert!(found, "{family} has no exemplar");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn created_lines_and_native_buckets_follow_config() {
    if !python::installed().await {
        return;
    }
    let fixture = Fixture::new([project("reservations", Region::Us1)], TimeDelta::minutes(10)).await;
    put_calls(&fixture);
    let (_daemon, exporter) =
        start_frozen(&fixture, "plain", "{openmetrics_created: false, native_histograms: false}").await;
    let scrapes = Scrapes::collect(exporter).await;
    for reading in scrapes.texts.iter().filter(|reading| reading.is_openmetrics()) {
        let text = committed(&reading.parse());
        assert!(text.starts.is_empty(), "{}", reading.accept);
        assert_same("samples", &scrapes.protobuf.samples, &text.samples);
        assert_same("exemplars", &scrapes.protobuf.exemplars, &text.exemplars);
    }
    for parsed in [&scrapes.protobuf, &scrapes.openmetrics2] {
        assert!(parsed.natives.is_empty(), "{:?}", parsed.natives);
        assert!(!parsed.starts.is_empty(), "these formats always have starts");
    }
    assert_same("starts", &scrapes.protobuf.starts, &scrapes.openmetrics2.starts);
}
