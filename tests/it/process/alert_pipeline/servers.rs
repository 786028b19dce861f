//! The processes of the chain: the exporter, Prometheus with rules and a former week, and Alertmanager.
//!

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use chrono::{DateTime, Utc};
use tokio::process::Child;

use super::super::daemon::{BINARY, Daemon, command, follow, polyai_exporter, run};
use super::super::fixture::Fixture;
use super::super::prometheus::wait;
use super::super::web;
use super::compressed;

/// A week on the clock of the rules.
const WEEK: i64 = 604_800 / compressed::SPEED.cast_signed();

/// The exporter, which can be stopped and started again on its port and its state.
#[derive(Debug)]
pub(super) struct Exporter {
    pub(super) address: SocketAddr,
    config: std::path::PathBuf,
    daemon: Option<Daemon>,
}

impl Exporter {
    pub(super) async fn start(fixture: &Fixture) -> Self {
        let config = fixture.config("exporter.yaml", &fixture.path("state"));
        let mut exporter = Self { address: free(), config, daemon: None };
        exporter.start_again().await;
        exporter
    }

    pub(super) async fn start_again(&mut self) {
        let mut serve = command(BINARY);
        serve.args(["--log.format", "json", "serve", "--web.listen-address", &self.address.to_string()]);
        serve.arg("--config").arg(&self.config).stdout(Stdio::null());
        let daemon = self.daemon.insert(Daemon::start(serve));
        daemon.address().await;
    }

    pub(super) async fn stop(&mut self) {
        let (status, log) = self.daemon.take().expect("it runs").terminate().await;
        assert!(status.success(), "{status}: {log}");
    }
}

/// A server that ends with the test.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) address: SocketAddr,
    _process: Child,
    said: Arc<Mutex<String>>,
}

impl Server {
    /// Starts `program`, which is ready when `/-/ready` says so.
    async fn start(program: &str, arguments: &[String]) -> Self {
        let address = free();
        let mut server = command(program);
        server.args(arguments).arg(format!("--web.listen-address={address}"));
        let mut process = server.arg("--log.level=warn").stdout(Stdio::null()).spawn().unwrap();
        let said = Arc::<Mutex<String>>::default();
        tokio::spawn(follow(process.stderr.take().unwrap(), said.clone()));
        let ready = async || web::get(address, "/-/ready").await.ok().filter(|(status, _)| *status == 200);
        wait(&format!("{program} to be ready"), ready).await;
        Self { address, _process: process, said }
    }

    /// Its warnings and errors so far.
    pub(super) fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }
}

/// Alertmanager with the routes of the example, which lead to `receiver`.
pub(super) async fn alertmanager(fixture: &Fixture, receiver: SocketAddr) -> Server {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/alerts/alertmanager.example.yml");
    let routes = compressed::routes(&std::fs::read_to_string(example).unwrap(), receiver);
    let config = fixture.write("alertmanager.yml", &routes);
    let storage = fixture.path("alertmanager");
    let arguments = [
        format!("--config.file={}", config.display()),
        format!("--storage.path={}", storage.display()),
        // It is alone.
        "--cluster.listen-address=".to_owned(),
    ];
    Server::start("prometheus-alertmanager", &arguments).await
}

/// Prometheus with our rules, an hour to the minute, that remembers the calls of a week ago.
pub(super) async fn prometheus(
    fixture: &Fixture,
    exporter: SocketAddr,
    alertmanager: SocketAddr,
    calls_per_second: f64,
) -> Server {
    let values = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/rules/fast.yml");
    let rendered = polyai_exporter(&["rules", "--values", values], &[]).await;
    assert_eq!(rendered.code, 0, "{rendered:?}");
    let rules = fixture.write("rules.yml", &compressed::rules(&rendered.stdout));
    let data = fixture.path("prometheus");
    remember(fixture, &data, exporter, calls_per_second).await;
    let config = format!(
        "global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}\n\
         rule_files: [\"{}\"]\n\
         alerting: {{alertmanagers: [{{static_configs: [{{targets: [\"{alertmanager}\"]}}]}}]}}\n\
         scrape_configs: [{{job_name: polyai, static_configs: [{{targets: [\"{exporter}\"]}}]}}]\n",
        rules.display()
    );
    let config = fixture.write("prometheus.yml", &config);
    let arguments = [
        format!("--config.file={}", config.display()),
        format!("--storage.tsdb.path={}", data.display()),
        "--rules.alert.resend-delay=1s".to_owned(),
    ];
    Server::start("prometheus", &arguments).await
}

/// Puts into `data` what a scrape has shown a week ago: as many calls as now, of which three in twenty were handed off.
async fn remember(fixture: &Fixture, data: &Path, exporter: SocketAddr, calls_per_second: f64) {
    let then = fixture.control().now().timestamp() - WEEK;
    let mut text = String::new();
    for (family, series, kind, value) in [
        ("polyai_conversations", "polyai_conversations_total", "counter", (calls_per_second, 0.0)),
        ("polyai_handoffs", "polyai_handoffs_total", "counter", (0.15 * calls_per_second, 0.0)),
        (
            "polyai_conversations_in_progress",
            "polyai_conversations_in_progress",
            "gauge",
            (0.0, super::CALL_SECONDS * calls_per_second),
        ),
    ] {
        writeln!(text, "# TYPE {family} {kind}").unwrap();
        for target in fixture.targets() {
            for second in (0..1200).step_by(3) {
                let (growth, base) = value;
                let value = base + growth * f64::from(second);
                let moment = then - 180 + i64::from(second);
                let (project, region, env) = (&target.project, target.region, target.client_env);
                writeln!(
                    text,
                    "{series}{{job=\"polyai\",instance=\"{exporter}\",project=\"{project}\",region=\"{region}\",\
                     client_env=\"{env}\",channel=\"VOICE-SIP\"}} {value} {moment}"
                )
                .unwrap();
            }
        }
    }
    text.push_str("# EOF\n");
    let file = fixture.write("week.om", &text);
    let mut promtool = command("promtool");
    promtool.args(["tsdb", "create-blocks-from", "openmetrics"]).arg(file).arg(data);
    let ended = run(promtool).await;
    assert_eq!(ended.code, 0, "{ended:?}");
}

/// How many hours later than UTC it must be somewhere, for `now` to be a busy afternoon there, in the middle of the week.
pub(super) fn hours_to_a_busy_afternoon(now: DateTime<Utc>) -> i64 {
    // Monday 1970-01-05 was the first one.
    let hours = now.timestamp().div_euclid(3600) - 4 * 24;
    (2 * 24 + 15 - hours).rem_euclid(7 * 24)
}

/// An address where nobody listens. Given back at once; nobody else is likely to be given it in between.
fn free() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}
