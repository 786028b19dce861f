//! What a real Prometheus computes equals the truth: over restarts, kills, a deleted state, a returning target and an outage.
//!
//! Raw samples are compared, whose sum of changes is exact, and `increase()`, which adds the extrapolation that Prometheus documents:
//! it is computed here from the same samples.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::TimeDelta;
use polyai_domain::target::Region;
use polyai_simulator::{Call, Fault, FaultKind, Project};
use tokio::time::sleep;

use super::super::daemon::{BINARY, Daemon, command};
use super::super::fixture::Fixture;
use super::super::scrape::Scrape;
use super::super::skip;
use super::formats::prometheus_3;
use super::server::{Job, Prometheus, wait};

/// Calls that were over before the first start, within the anchor.
const BEFORE: usize = 12;
/// Calls that begin with each event.
const CALLS_PER_EVENT: usize = 3;
const PATIENCE: Duration = Duration::from_secs(60);
/// From before the anchor.
const RANGE_SECONDS: f64 = 900.0;

/// A daemon on one address, which is restarted, and the API that it reads.
struct Scenario {
    fixture: Fixture,
    daemon: Option<Daemon>,
    address: SocketAddr,
    config: PathBuf,
    calls: usize,
}

impl Scenario {
    async fn new() -> Self {
        let projects = [Project::new("reservations", Region::Us1), Project::new("billing", Region::Us1)];
        let fixture = Fixture::new(projects, TimeDelta::minutes(10)).await;
        let config = fixture.config("polyai.yaml", &fixture.path("state"));
        let text = std::fs::read_to_string(&config).unwrap();
        std::fs::write(&config, format!("{text}metrics: {{openmetrics_created: true}}\n")).unwrap();
        // Given back at once; nobody else is likely to be given it in between.
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut scenario = Self { fixture, daemon: None, address, config, calls: 0 };
        scenario.calls_begin(BEFORE, 300);
        scenario
    }

    fn start(&mut self) {
        let mut serve = command(BINARY);
        serve.args(["--log.format", "json", "serve", "--web.listen-address", &self.address.to_string()]);
        serve.arg("--config").arg(&self.config);
        self.daemon = Some(Daemon::start(serve));
    }

    fn daemon(&mut self) -> &mut Daemon {
        self.daemon.as_mut().unwrap()
    }

    /// So many calls, of which each third is handed off, began `seconds_ago` and last two seconds.
    fn calls_begin(&mut self, number: usize, seconds_ago: i64) {
        let start = self.fixture.control().now() - TimeDelta::seconds(seconds_ago);
        for _ in 0..number {
            let call = Call::new(format!("call-{}", self.calls))
                .starting(start)
                .lasting(2)
                .channel("VOICE-SIP")
                .turns(3)
                .latency([0.6, 2.2]);
            let call = if self.calls.is_multiple_of(3) { call.handoff("billing", "Desk") } else { call };
            assert!(self.fixture.control().put(&self.fixture.targets()[0], call));
            self.calls += 1;
        }
    }

    /// Waits until all calls are exposed, and for some scrapes more.
    async fn all_are_exposed(&mut self) {
        self.are_exposed(self.calls).await;
    }

    async fn are_exposed(&mut self, calls: usize) {
        let expected = calls as f64;
        let all = move |scrape: &Scrape| {
            if let Some((labels, _)) =
                scrape.named("polyai_target_catching_up").find(|(_, value)| *value != 0.0)
            {
                return Err(format!("{labels:?} is catching up"));
            }
            let counted: f64 = scrape.named("polyai_conversations_total").map(|(_, value)| value).sum();
            if counted == expected { Ok(()) } else { Err(format!("{counted} of {expected} calls")) }
        };
        self.daemon().scrape_until(PATIENCE, all).await;
        sleep(Duration::from_secs(3)).await;
    }

    fn delete_state(&self) {
        std::fs::remove_dir_all(self.fixture.path("state")).unwrap();
    }

    /// Removes the first target from the configuration, or puts it back.
    async fn reload(&mut self, config: &str, targets: usize) {
        std::fs::write(&self.config, config).unwrap();
        let hangup = format!("kill -HUP {}", self.daemon().pid());
        assert!(command("sh").args(["-c", &hangup]).status().await.unwrap().success());
        let has_targets = move |scrape: &Scrape| match scrape.named("polyai_target_up").count() {
            number if number == targets => Ok(()),
            number => Err(format!("{number} targets")),
        };
        self.daemon().scrape_until(PATIENCE, has_targets).await;
        sleep(Duration::from_secs(2)).await;
    }

    /// Runs all events, none of which may change what has counted.
    async fn run_events(&mut self) {
        self.start();
        self.all_are_exposed().await;
        self.calls_begin(CALLS_PER_EVENT, 0);
        self.all_are_exposed().await;

        let (status, log) = self.daemon.take().unwrap().terminate().await;
        assert!(status.success(), "{log}");
        self.calls_begin(CALLS_PER_EVENT, 0);
        self.start();
        self.all_are_exposed().await;

        self.daemon.take().unwrap().kill().await;
        self.calls_begin(CALLS_PER_EVENT, 0);
        self.start();
        self.all_are_exposed().await;

        self.daemon.take().unwrap().kill().await;
        self.delete_state();
        self.calls_begin(CALLS_PER_EVENT, 0);
        self.start();
        self.all_are_exposed().await;

        let whole = std::fs::read_to_string(&self.config).unwrap();
        let without = without_first_target(&whole);
        self.reload(&without, 1).await;
        self.calls_begin(CALLS_PER_EVENT, 0);
        self.reload(&whole, 2).await;
        self.all_are_exposed().await;

        self.fixture.control().fault(Fault::new(FaultKind::Status(503)));
        self.calls_begin(CALLS_PER_EVENT, 0);
        sleep(Duration::from_secs(4)).await;
        self.fixture.control().clear_faults();
        self.all_are_exposed().await;
    }
}

fn without_first_target(config: &str) -> String {
    let targets: Vec<usize> = config.match_indices("\n  - ").map(|(at, _)| at).collect();
    assert_eq!(targets.len(), 2, "{config}");
    format!("{}{}", &config[..targets[0]], &config[targets[1]..])
}

/// The samples of one series, with their times in seconds.
type Samples = Vec<(f64, f64)>;

/// The samples of each series of `selector` in the range before `at`.
async fn samples(prometheus: &Prometheus, selector: &str, at: f64) -> Vec<Samples> {
    let (query, time) = (format!("{selector}[{RANGE_SECONDS}s]"), format!("{at:.3}"));
    let data = prometheus.ask("query", &[("query", &query), ("time", &time)]).await;
    let series = data["result"].as_array().unwrap().iter();
    let number = |value: &serde_json::Value| value.as_str().unwrap().parse::<f64>().unwrap();
    series
        .map(|series| {
            let values = series["values"].as_array().unwrap().iter();
            values.map(|pair| (pair[0].as_f64().unwrap(), number(&pair[1]))).collect()
        })
        .collect()
}

/// By how much a counter has grown from its first sample to its last.
fn growth(samples: &[(f64, f64)]) -> f64 {
    let changes = samples.windows(2).map(|pair| {
        let (before, now) = (pair[0].1, pair[1].1);
        if now < before { now } else { now - before }
    });
    changes.sum()
}

fn resets(samples: &[(f64, f64)]) -> usize {
    samples.windows(2).filter(|pair| pair[1].1 < pair[0].1).count()
}

/// What `increase()` makes of `samples` in the range before `at`, as Prometheus documents it: the growth between first and last
/// sample, extended to the ends of the range, or by half an interval where those are further away than an interval.
fn increase(samples: &[(f64, f64)], at: f64) -> f64 {
    let (first, last) = (samples[0], samples[samples.len() - 1]);
    let growth = growth(samples);
    let sampled = last.0 - first.0;
    let average = sampled / (samples.len() - 1) as f64;
    let threshold = average * 1.1;
    let half_unless_near = |gap: f64| if gap >= threshold { average / 2.0 } else { gap };
    let mut to_start = half_unless_near(first.0 - (at - RANGE_SECONDS));
    if growth > 0.0 && first.1 >= 0.0 {
        // A counter is not extended below zero.
        to_start = to_start.min(sampled * (first.1 / growth));
    }
    growth * (sampled + to_start + half_unless_near(at - last.0)) / sampled
}

/// What the series of `metric` have grown by, and what they must have.
struct Expected {
    metric: &'static str,
    /// All that has happened.
    total: usize,
    /// Of that, what the first sample shows: Prometheus cannot know when it happened, unless it knows the start of the series.
    first: usize,
}

fn expectations(scenario: &Scenario) -> [Expected; 5] {
    let handoffs = |calls: usize| calls.div_ceil(3);
    let calls = scenario.calls;
    [
        Expected { metric: "polyai_conversations_total", total: calls, first: BEFORE },
        Expected { metric: "polyai_handoffs_total", total: handoffs(calls), first: handoffs(BEFORE) },
        Expected { metric: "polyai_turns_total", total: 3 * calls, first: 3 * BEFORE },
        Expected { metric: "polyai_turn_latency_seconds_count", total: 2 * calls, first: 2 * BEFORE },
        Expected { metric: "polyai_conversation_duration_seconds_count", total: calls, first: BEFORE },
    ]
}

/// Compares what `prometheus` has stored and computes with the truth.
#[expect(clippy::print_stdout, reason = "figures for the log of the test")]
async fn equals_truth(prometheus: &Prometheus, scenario: &Scenario, what: &str, knows_start: bool) {
    let last = "sum(polyai_conversations_total)";
    let calls = scenario.calls as f64;
    wait("the last sample", async || prometheus.number(last).await.filter(|last| *last == calls)).await;
    let at = prometheus.number("max(timestamp(up))").await.unwrap();
    let is_native = prometheus.number("count(polyai_turn_latency_seconds_count)").await.is_none();
    for Expected { metric, total, first } in expectations(scenario) {
        if is_native && metric.ends_with("_count") {
            continue;
        }
        let selector = format!("{metric}{{project=\"reservations\"}}");
        let series = samples(prometheus, &selector, at).await;
        let time = format!("{at:.3}");
        let query = format!("sum(increase({selector}[{RANGE_SECONDS}s]))");
        let data = prometheus.ask("query", &[("query", &query), ("time", &time)]).await;
        let computed: f64 = data["result"][0]["value"][1].as_str().unwrap().parse().unwrap();
        let exact: f64 = series.iter().map(|samples| growth(samples)).sum();
        let own: f64 = series.iter().map(|samples| increase(samples, at)).sum();
        let truth = (if knows_start { total } else { total - first }) as f64;
        println!("{what} {metric}: truth {truth}, sum of changes {exact}, increase() {computed:.2}");
        let found = format!("{what} {metric}: sum of changes {exact} for {truth}, of {series:?}");
        assert_eq!(series.iter().map(|samples| resets(samples)).sum::<usize>(), 0, "{found}");
        assert!((exact - truth).abs() < 1e-6, "{found}");
        if !knows_start {
            // Where zeros are added the order of limits differs between versions.
            assert!((computed - own).abs() < 0.01, "{what} {metric}: {computed}, by its rules {own}");
        }
    }
    // A quantile does not depend on the first sample: half of the latencies are 0.6 s, the others 2.2 s.
    let latency = if is_native {
        "sum(increase(polyai_turn_latency_seconds[900s]))"
    } else {
        "sum by (le) (increase(polyai_turn_latency_seconds_bucket[900s]))"
    };
    for (q, bucket) in [(0.25, 0.5..=0.8), (0.75, 2.0..=2.5)] {
        let found = prometheus.number(&format!("histogram_quantile({q}, {latency})")).await.unwrap();
        assert!(bucket.contains(&found), "{what}: quantile {q} is {found}");
    }
    if is_native {
        // Two latencies for each three turns, from the same scrapes.
        let counts = format!("histogram_count({latency})");
        let turns = "sum(increase(polyai_turns_total[900s]))";
        let ratio = prometheus.number(&format!("{counts} / {turns}")).await.unwrap();
        assert!((ratio - 2.0 / 3.0).abs() < 0.01, "{what}: {ratio} latencies for each turn");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn increase_equals_truth_over_restarts_and_lost_state() {
    if !super::installed().await {
        return;
    }
    let mut scenario = Scenario::new().await;
    let jobs = [Job::plain("polyai", scenario.address)];
    let text = Prometheus::with("prometheus", &[], &jobs).await;
    let with_native = ["--enable-feature=native-histograms,exemplar-storage"];
    let protobuf = Prometheus::with("prometheus", &with_native, &jobs).await;
    let newer = match prometheus_3() {
        Some(dir) => Some(start_newer(&dir, scenario.address).await),
        None => {
            skip(
                "POLYAI_PROMETHEUS_3 does not name a directory with Prometheus 3, which knows start timestamps",
            );
            None
        }
    };
    scenario.run_events().await;
    equals_truth(&text, &scenario, "text", false).await;
    equals_truth(&protobuf, &scenario, "protobuf", false).await;
    if let Some([plain, with_starts]) = &newer {
        equals_truth(plain, &scenario, "version 3", false).await;
        equals_truth(with_starts, &scenario, "version 3 with start timestamps", true).await;
    }
}

/// Without an anchor a lost state counts from its next start: what ended in between is missing, and nothing is counted twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_state_without_anchor_counts_nothing_twice() {
    if !super::installed().await {
        return;
    }
    let mut scenario = Scenario::new().await;
    let config = std::fs::read_to_string(&scenario.config).unwrap();
    let without: Vec<&str> =
        config.lines().filter(|line| !line.trim_start().starts_with("anchor:")).collect();
    std::fs::write(&scenario.config, without.join("\n")).unwrap();
    let prometheus = Prometheus::with("prometheus", &[], &[Job::plain("polyai", scenario.address)]).await;

    scenario.start();
    scenario.are_exposed(0).await;
    scenario.calls_begin(CALLS_PER_EVENT, 0);
    scenario.are_exposed(CALLS_PER_EVENT).await;
    scenario.daemon.take().unwrap().kill().await;
    scenario.delete_state();
    scenario.calls_begin(CALLS_PER_EVENT, 0);
    sleep(Duration::from_secs(3)).await;
    scenario.start();
    scenario.are_exposed(0).await;
    scenario.calls_begin(CALLS_PER_EVENT, 0);
    scenario.are_exposed(CALLS_PER_EVENT).await;

    let at = prometheus.number("max(timestamp(up))").await.unwrap();
    let series = samples(&prometheus, "polyai_conversations_total{project=\"reservations\"}", at).await;
    let found = format!("{series:?}");
    assert_eq!(
        series.iter().map(|samples| growth(samples)).sum::<f64>(),
        2.0 * CALLS_PER_EVENT as f64,
        "{found}"
    );
    assert_eq!(series.iter().map(|samples| resets(samples)).sum::<usize>(), 1, "{found}");
}

/// Prometheus 3, without and with start timestamps.
async fn start_newer(dir: &Path, exporter: SocketAddr) -> [Prometheus; 2] {
    let program = dir.join("prometheus");
    let jobs = &[Job::plain("polyai", exporter).with("always_scrape_classic_histograms: true")];
    let features = "--enable-feature=created-timestamp-zero-ingestion";
    [Prometheus::with(&program, &[], jobs).await, Prometheus::with(&program, &[features], jobs).await]
}

#[test]
fn increase_of_steady_counter_is_extended_to_the_range() {
    let samples: Samples =
        (0..=10).map(|second| (100.0 + f64::from(second), 50.0 + f64::from(second))).collect();
    // The range begins long before the first sample: half an interval is added.
    assert!((increase(&samples, 110.4) - 10.0 * 10.9 / 10.0).abs() < 1e-9);
    let fell: Samples = vec![(0.0, 5.0), (1.0, 7.0), (2.0, 3.0)];
    assert_eq!((growth(&fell), resets(&fell)), (5.0, 1));
}
