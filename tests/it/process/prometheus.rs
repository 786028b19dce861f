//! A real Prometheus scrapes `demo`, stores its totals, and answers the queries of the dashboards.
//!
//! Prometheus and promtool are packages of the distribution (`tests/run` installs them). Without them these tests are skipped, except in
//! CI, where they fail.

mod dashboards;
mod formats;
mod secured;
mod server;
mod truth;
mod web_config;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, Command};

use self::server::STEP;
pub(super) use self::server::{Prometheus, query, wait};
use super::daemon::{BINARY, command, follow};
use super::has;
use super::scrape::Scrape;
use super::web;

/// Whether the tools are there.
pub(super) async fn installed() -> bool {
    let mut found = true;
    for tool in ["prometheus", "promtool", "prometheus-alertmanager", "amtool"] {
        found &= command(tool).arg("--version").output().await.is_ok_and(|output| output.status.success());
    }
    has(found, "prometheus and prometheus-alertmanager are not installed; tests/run installs them")
}

/// `demo` in a separate process.
pub(super) struct Demo {
    _process: Child,
    pub(super) exporter: SocketAddr,
    simulator: SocketAddr,
}

impl Demo {
    async fn start() -> Self {
        // Busy enough that calls end within seconds at any hour of any day.
        Self::start_with(|demo| demo.args(["--interval", "1s", "--lookback", "1m", "--volume", "30"])).await
    }

    /// With more arguments.
    pub(super) async fn start_with(more: impl FnOnce(&mut Command) -> &mut Command) -> Self {
        let mut demo = command(BINARY);
        demo.args(["--log.format", "json", "demo"])
            .args(["--web.listen-address", "127.0.0.1:0", "--simulator.listen-address", "127.0.0.1:0"])
            .stderr(Stdio::null());
        let mut process = more(&mut demo).spawn().unwrap();
        let said = Arc::<Mutex<String>>::default();
        tokio::spawn(follow(process.stdout.take().unwrap(), said.clone()));
        let address = |name: &str| {
            let said = said.lock().unwrap();
            let line = said.lines().find(|line| line.starts_with(name))?;
            line.split("http://").nth(1)?.split(['/', ' ']).next()?.parse().ok()
        };
        let exporter = wait("the demo to say where it is", async || address("metrics")).await;
        let simulator = address("simulated API").unwrap();
        Self { _process: process, exporter, simulator }
    }

    async fn metrics(&self) -> String {
        let (status, body) = web::get(self.exporter, "/metrics").await.unwrap();
        assert_eq!(status, 200);
        body
    }
}

/// The stored samples of the daemon's conversation metrics, as a scrape would show them.
async fn stored(prometheus: &Prometheus) -> Scrape {
    let samples = prometheus.query(r#"{__name__=~"polyai_.*",__name__!~"polyai_exporter_.*"}"#).await;
    Scrape(samples.into_iter().map(|(labels, value)| (canonical(labels), value)).collect())
}

/// Name and labels in one order, without the labels that Prometheus adds.
fn canonical(mut labels: BTreeMap<String, String>) -> String {
    let name = labels.remove("__name__").unwrap_or_default();
    labels.remove("job");
    labels.remove("instance");
    format!("{name}{labels:?}")
}

/// The conversation metrics of a scrape, in the form of [`stored`].
fn shown(metrics: &str) -> Scrape {
    let samples = Scrape::of(metrics);
    let names: Vec<&str> = samples.0.keys().filter_map(|series| series.split('{').next()).collect();
    let names =
        names.into_iter().filter(|name| name.starts_with("polyai_") && !name.starts_with("polyai_exporter_"));
    let mut all = Scrape::default();
    for name in names.collect::<std::collections::BTreeSet<_>>() {
        for (mut labels, value) in samples.named(name) {
            labels.insert("__name__".to_owned(), name.to_owned());
            all.0.insert(canonical(labels), value);
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prometheus_stores_demo_totals() {
    if !installed().await {
        return;
    }
    let demo = Demo::start().await;
    let prometheus = Prometheus::start(demo.exporter).await;

    wait("up", async || prometheus.number(r#"up{job="polyai"}"#).await.filter(|up| *up == 1.0)).await;
    let increase = "sum(increase(polyai_conversations_total[1m]))";
    let increase =
        wait("calls to end", async || prometheus.number(increase).await.filter(|more| *more > 0.0)).await;
    let quantile = "histogram_quantile(0.95, sum by (le) (rate(polyai_turn_latency_seconds_bucket[1m])))";
    let quantile = wait("a latency", async || prometheus.number(quantile).await).await;
    assert!((0.25..=15.0).contains(&quantile), "{quantile} s; {increase} conversations");

    // While the API fails, counts do not change and can be compared exactly.
    let fault = "/_sim/faults?kind=status&status=503";
    assert_eq!(web::ask(demo.simulator, "POST", fault).await.unwrap().0, 200);
    let down = "sum(polyai_target_up)";
    wait("every target to be down", async || prometheus.number(down).await.filter(|up| *up == 0.0)).await;
    wait("prometheus to store what is shown", async || {
        let shown = shown(&demo.metrics().await);
        (shown.0.len() > 300 && shown == stored(&prometheus).await).then_some(())
    })
    .await;
    assert_eq!(prometheus.said(), "", "prometheus has something to complain about");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn promtool_accepts_scrape() {
    if !installed().await {
        return;
    }
    let demo = Demo::start().await;
    let counted = async || {
        let metrics = demo.metrics().await;
        let some = Scrape::of(&metrics).named("polyai_conversations_total").any(|(_, value)| value > 0.0);
        some.then_some(metrics)
    };
    let metrics = wait("conversations to be counted", counted).await;
    let mut promtool = command("promtool");
    promtool.args(["check", "metrics"]).stdin(Stdio::piped());
    let mut promtool = promtool.spawn().unwrap();
    promtool.stdin.take().unwrap().write_all(metrics.as_bytes()).await.unwrap();
    let verdict = promtool.wait_with_output().await.unwrap();
    let said = [verdict.stdout, verdict.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    assert_eq!(said.concat(), "");
    assert!(verdict.status.success(), "{}", verdict.status);
}
