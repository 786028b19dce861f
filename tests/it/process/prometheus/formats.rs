//! Each format as a real Prometheus stores it.
//!
//! Compared are exemplars, quantiles of native and classic buckets, the first event of a label set, and names of bucket series.
//!
//! The installed Prometheus (2.42 in Debian 12) chooses the format by its feature flags. For Prometheus 3, which chooses it per
//! job, `POLYAI_PROMETHEUS_3` names a directory with its `prometheus` and `promtool`; without it that test is skipped.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;

use chrono::{SecondsFormat, TimeDelta};
use polyai_domain::target::Region;
use polyai_simulator::{Call, Project};

use super::super::daemon::Daemon;
use super::super::fixture::Fixture;
use super::super::skip;
use super::super::web;
use super::server::{Job, Prometheus, accepts, wait};

const CALLS: usize = 60;
const RANGE: &str = "10m";

/// A simulated API without calls, and a daemon that reads it.
struct Stage {
    fixture: Fixture,
    _daemon: Daemon,
    exporter: SocketAddr,
}

impl Stage {
    async fn set() -> Self {
        let fixture = Fixture::new([Project::new("reservations", Region::Us1)], TimeDelta::minutes(1)).await;
        let config = fixture.config("polyai.yaml", &fixture.path("state"));
        let text = std::fs::read_to_string(&config).unwrap();
        std::fs::write(&config, format!("{text}metrics: {{openmetrics_created: true}}\n")).unwrap();
        let mut daemon = Daemon::serve(&config);
        let exporter = daemon.address().await;
        Self { fixture, _daemon: daemon, exporter }
    }

    fn put(&self, call: Call) {
        assert!(self.fixture.control().put(&self.fixture.targets()[0], call));
    }

    /// Calls with replies of 0.31, 0.32, ... seconds, that have just ended.
    fn calls_end(&self) {
        let now = self.fixture.control().now();
        for number in 0..CALLS {
            let call = Call::new(format!("call-{number}"))
                .starting(now - TimeDelta::seconds(20) + TimeDelta::milliseconds(100 * number as i64))
                .lasting(5)
                .turns(2)
                .latency([latency(number)]);
            self.put(if number % 3 == 0 { call.handoff("customer_request", "Desk") } else { call });
        }
    }

    /// The first call ever that is handed off for this reason begins; it is short, but long enough to be seen running.
    fn something_new_happens(&self) {
        let call = Call::new("something-new").starting(self.fixture.control().now()).lasting(3).turns(1);
        self.put(call.handoff("something_new", "Desk"));
    }

    /// The values of `le` of the latency, as `/metrics` spells them.
    async fn bounds(&self) -> BTreeSet<String> {
        let (_, metrics) = web::get(self.exporter, "/metrics").await.unwrap();
        let lines = metrics.lines().filter(|line| line.starts_with("polyai_turn_latency_seconds_bucket{"));
        lines.map(|line| line.split("le=\"").nth(1).unwrap().split('"').next().unwrap().to_owned()).collect()
    }
}

fn latency(number: usize) -> f64 {
    0.31 + number as f64 / 100.0
}

/// The latency that nine of ten replies stay below.
fn ninth_decile() -> f64 {
    latency(CALLS * 9 / 10)
}

async fn has_counted(prometheus: &Prometheus, job: &str, count: usize) {
    let query = format!("sum(polyai_conversations_total{{job={job:?}}})");
    wait(&format!("{job} to have {count} conversations"), async || {
        prometheus.number(&query).await.filter(|found| *found == count as f64)
    })
    .await;
}

/// The ids that the API of Prometheus has for exemplars of `series`.
async fn exemplars(prometheus: &Prometheus, stage: &Stage, series: &str) -> BTreeSet<String> {
    let time = |shift| {
        (stage.fixture.control().now() + TimeDelta::minutes(shift)).to_rfc3339_opts(SecondsFormat::Secs, true)
    };
    let parameters = [("query", series), ("start", &time(-10)), ("end", &time(10))];
    let data = prometheus.ask("query_exemplars", &parameters).await;
    let lists = data.as_array().unwrap().iter().map(|series| series["exemplars"].as_array().unwrap());
    lists.flatten().map(|one| one["labels"]["conversation_id"].as_str().unwrap().to_owned()).collect()
}

async fn shows_calls(prometheus: &Prometheus, stage: &Stage, job: &str, histogram: &str) {
    for series in [histogram, "polyai_handoffs_total"] {
        let query = format!("{series}{{job={job:?}}}");
        let ids = wait(&format!("exemplars of {query}"), async || {
            Some(exemplars(prometheus, stage, &query).await).filter(|ids| !ids.is_empty())
        })
        .await;
        let known = |id: &String| (0..CALLS).any(|number| *id == format!("call-{number}"));
        assert!(ids.iter().all(known), "{query}: {ids:?}");
    }
}

/// The ninth decile of the latency out of classic buckets, which is somewhere in the bucket of the true one.
async fn classic_quantile_is_near(prometheus: &Prometheus, job: &str) {
    let buckets = format!("polyai_turn_latency_seconds_bucket{{job={job:?}}}");
    let query = format!("histogram_quantile(0.9, sum by (le) (rate({buckets}[{RANGE}])))");
    let quantile = wait(&query, async || prometheus.number(&query).await).await;
    assert!((0.8..=1.0).contains(&quantile), "{job}: {quantile} for {}", ninth_decile());
}

/// The same out of native buckets, which are less than a tenth wide.
async fn native_quantile_is_nearer(prometheus: &Prometheus, job: &str) {
    let histogram = format!("polyai_turn_latency_seconds{{job={job:?}}}");
    let query = format!("histogram_quantile(0.9, sum(rate({histogram}[{RANGE}])))");
    let quantile = wait(&query, async || prometheus.number(&query).await).await;
    assert!((quantile / ninth_decile() - 1.0).abs() < 0.1, "{job}: {quantile} for {}", ninth_decile());
}

async fn stored_bounds(prometheus: &Prometheus, job: &str) -> BTreeSet<String> {
    let series = prometheus.query(&format!("polyai_turn_latency_seconds_bucket{{job={job:?}}}")).await;
    series.into_iter().map(|(mut labels, _)| labels.remove("le").unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prometheus_reads_exemplars_and_both_histograms() {
    if !super::installed().await {
        return;
    }
    let stage = Stage::set().await;
    let job = |name| [Job::plain(name, stage.exporter)];
    let with_native = ["--enable-feature=native-histograms,exemplar-storage"];
    let protobuf = Prometheus::with("prometheus", &with_native, &job("protobuf")).await;
    let classic = ["--enable-feature=exemplar-storage"];
    let openmetrics = Prometheus::with("prometheus", &classic, &job("openmetrics")).await;
    has_counted(&protobuf, "protobuf", 0).await;
    has_counted(&openmetrics, "openmetrics", 0).await;

    stage.calls_end();
    has_counted(&protobuf, "protobuf", CALLS).await;
    has_counted(&openmetrics, "openmetrics", CALLS).await;
    shows_calls(&protobuf, &stage, "protobuf", "polyai_turn_latency_seconds").await;
    shows_calls(&openmetrics, &stage, "openmetrics", "polyai_turn_latency_seconds_bucket").await;
    native_quantile_is_nearer(&protobuf, "protobuf").await;
    classic_quantile_is_near(&openmetrics, "openmetrics").await;
    assert_eq!(stored_bounds(&openmetrics, "openmetrics").await, stage.bounds().await);
    for prometheus in [protobuf, openmetrics] {
        assert_eq!(prometheus.said(), "", "prometheus has something to complain about");
    }
}

/// Each scrape protocol of Prometheus 3, and whether it carries exemplars and start timestamps.
const PROTOCOLS: [(&str, bool); 5] = [
    ("PrometheusProto", true),
    ("OpenMetricsText1.0.0", true),
    ("OpenMetricsText0.0.1", true),
    ("PrometheusText1.0.0", false),
    ("PrometheusText0.0.4", false),
];

/// The directory of Prometheus 3, if it is configured.
pub(super) fn prometheus_3() -> Option<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "tests/run sets it")]
    let dir = std::env::var("POLYAI_PROMETHEUS_3").ok().filter(|dir| !dir.is_empty())?;
    Some(PathBuf::from(dir))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prometheus_3_reads_protocols_and_start_timestamps() {
    let Some(dir) = prometheus_3() else {
        skip("POLYAI_PROMETHEUS_3 does not name a directory with the prometheus and promtool of version 3");
        return;
    };
    let stage = Stage::set().await;
    let jobs = |more: &[&str]| -> Vec<Job> {
        let job = |(protocol, _): &(&str, bool)| {
            let job = Job::plain(protocol, stage.exporter)
                .with(&format!("scrape_protocols: [{protocol}]"))
                .with("always_scrape_classic_histograms: true");
            more.iter().fold(job, |job, setting| job.with(setting))
        };
        PROTOCOLS.iter().map(job).collect()
    };
    // Newer versions have a setting for what was a feature flag before.
    let promtool = dir.join("promtool");
    let new = jobs(&["scrape_native_histograms: true"]);
    let (jobs, native) =
        if accepts(&promtool, &new).await { (new, "") } else { (jobs(&[]), ",native-histograms") };
    let features = format!("--enable-feature=exemplar-storage,created-timestamp-zero-ingestion{native}");
    let prometheus = Prometheus::with(dir.join("prometheus"), &[&features], &jobs).await;
    for job in &jobs {
        has_counted(&prometheus, &job.name, 0).await;
    }
    stage.calls_end();
    for (job, is_rich) in PROTOCOLS {
        has_counted(&prometheus, job, CALLS).await;
        if is_rich {
            shows_calls(&prometheus, &stage, job, "polyai_turn_latency_seconds_bucket").await;
        }
        classic_quantile_is_near(&prometheus, job).await;
        assert_eq!(stored_bounds(&prometheus, job).await, stage.bounds().await, "{job}");
    }
    native_quantile_is_nearer(&prometheus, "PrometheusProto").await;

    stage.something_new_happens();
    for (job, knows_start) in PROTOCOLS {
        let series = format!("polyai_handoffs_by_reason_total{{job={job:?},reason=\"something_new\"}}");
        let enough = format!("count_over_time({series}[{RANGE}])");
        wait(&enough, async || prometheus.number(&enough).await.filter(|count| *count >= 6.0)).await;
        let more = prometheus.number(&format!("increase({series}[{RANGE}])")).await;
        let expected = if knows_start { 0.95..1.4 } else { 0.0..0.01 };
        assert!(
            more.is_some_and(|more| expected.contains(&more)),
            "{job}: {more:?}, not within {expected:?}"
        );
    }
    assert_eq!(prometheus.said(), "", "prometheus has something to complain about");
}
