//! A Prometheus server process, and queries to its API.
//!
//! Owns: the process, its configuration, and patience. Never: expectations.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Child;
use tokio::time::sleep;

use super::super::daemon::{command, follow};
use super::super::web;

const PATIENCE: Duration = Duration::from_secs(120);
pub(super) const STEP: Duration = Duration::from_millis(250);

/// A scrape job.
pub(super) struct Job {
    pub(super) name: String,
    exporter: SocketAddr,
    instance: String,
    /// More lines of its part of the configuration.
    settings: Vec<String>,
}

impl Job {
    /// With the defaults of Prometheus.
    pub(super) fn plain(name: &str, exporter: SocketAddr) -> Self {
        Self { name: name.to_owned(), exporter, instance: exporter.to_string(), settings: Vec::new() }
    }

    /// With `setting` too.
    pub(super) fn with(mut self, setting: &str) -> Self {
        self.settings.push(setting.to_owned());
        self
    }
}

/// The configuration of a Prometheus that scrapes once a second.
fn configuration(jobs: &[Job]) -> String {
    let mut text = "global: {scrape_interval: 1s, scrape_timeout: 1s}\nscrape_configs:\n".to_owned();
    for Job { name, exporter, instance, settings } in jobs {
        let labels = format!("{{instance: \"{instance}\"}}");
        text += &format!(
            "  - job_name: {name}\n    static_configs: [{{targets: [\"{exporter}\"], labels: {labels}}}]\n"
        );
        settings.iter().for_each(|setting| text += &format!("    {setting}\n"));
    }
    text
}

/// Whether the `promtool` in this place accepts the configuration of `jobs`.
pub(super) async fn accepts(promtool: &Path, jobs: &[Job]) -> bool {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("prometheus.yml");
    std::fs::write(&config, configuration(jobs)).unwrap();
    let mut promtool = command(promtool);
    promtool.args(["check", "config"]).arg(config).stdout(Stdio::null()).stderr(Stdio::null());
    promtool.status().await.is_ok_and(|status| status.success())
}

/// A Prometheus that scrapes once a second.
pub(crate) struct Prometheus {
    _process: Child,
    _dir: TempDir,
    pub(super) address: SocketAddr,
    said: Arc<Mutex<String>>,
}

impl Prometheus {
    /// The installed one, with its defaults.
    pub(super) async fn start(exporter: SocketAddr) -> Self {
        Self::with("prometheus", &[], &[Job::plain("polyai", exporter)]).await
    }

    /// Starts `program`, with these flags.
    pub(super) async fn with(program: impl AsRef<Path>, flags: &[&str], jobs: &[Job]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        Self::run(program, dir, &data, flags, jobs).await
    }

    /// The installed one, on the blocks in `data`; it scrapes `exporter`, which it calls `instance`.
    pub(crate) async fn on(data: &Path, exporter: SocketAddr, instance: &str) -> Self {
        let job = Job { instance: instance.to_owned(), ..Job::plain("polyai", exporter) };
        Self::run("prometheus", tempfile::tempdir().unwrap(), data, &[], &[job]).await
    }

    async fn run(program: impl AsRef<Path>, dir: TempDir, data: &Path, flags: &[&str], jobs: &[Job]) -> Self {
        let config = dir.path().join("prometheus.yml");
        std::fs::write(&config, configuration(jobs)).unwrap();
        // Given back at once; nobody else is likely to be given it in between.
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut prometheus = command(program.as_ref());
        prometheus
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", data.display()))
            .arg(format!("--web.listen-address={address}"))
            .args(["--log.level=warn"])
            .args(flags)
            .stdout(Stdio::null());
        let mut process = prometheus.spawn().unwrap();
        let said = Arc::<Mutex<String>>::default();
        tokio::spawn(follow(process.stderr.take().unwrap(), said.clone()));
        let started = Self { _process: process, _dir: dir, address, said };
        wait("prometheus to be ready", async || {
            web::get(address, "/-/ready").await.ok().filter(|(status, _)| *status == 200)
        })
        .await;
        started
    }

    /// Its warnings and errors so far.
    pub(super) fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    /// `data` of the answer to a question to its API.
    pub(super) async fn ask(&self, path: &str, parameters: &[(&str, &str)]) -> Value {
        ask(self.address, path, parameters).await
    }

    /// The samples that answer `text` now.
    pub(super) async fn query(&self, text: &str) -> Vec<(BTreeMap<String, String>, f64)> {
        query(self.address, text).await
    }

    /// The values of the one series that answers `text` from one moment to another, every `step` seconds.
    pub(crate) async fn range(&self, text: &str, from: f64, to: f64, step: u32) -> Vec<f64> {
        let (from, to, step) = (format!("{from:.3}"), format!("{to:.3}"), step.to_string());
        let parameters = [("query", text), ("start", &*from), ("end", &*to), ("step", &*step)];
        let data = self.ask("query_range", &parameters).await;
        let points = data["result"][0]["values"].as_array().unwrap_or_else(|| panic!("{text}: {data}"));
        points.iter().map(|point| point[1].as_str().unwrap().parse().unwrap()).collect()
    }

    /// The one number that answers `query`; none if it has no answer yet, or no number.
    pub(crate) async fn number(&self, query: &str) -> Option<f64> {
        match self.query(query).await.as_slice() {
            [(_, value)] if value.is_finite() => Some(*value),
            _ => None,
        }
    }
}

async fn ask(address: SocketAddr, path: &str, parameters: &[(&str, &str)]) -> Value {
    let encoded = |text| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let pairs: Vec<String> =
        parameters.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
    let path = format!("/api/v1/{path}?{}", pairs.join("&"));
    let (status, body) = web::get(address, &path).await.unwrap();
    assert_eq!(status, 200, "{parameters:?}: {body}");
    let mut answer: Value = serde_json::from_str(&body).unwrap();
    answer["data"].take()
}

/// The samples that answer `text` at the Prometheus at `address` now.
pub(crate) async fn query(address: SocketAddr, text: &str) -> Vec<(BTreeMap<String, String>, f64)> {
    let data = ask(address, "query", &[("query", text)]).await;
    let samples = data["result"].as_array().unwrap_or_else(|| panic!("{data}"));
    let sample = |sample: &Value| {
        let labels = serde_json::from_value(sample["metric"].clone()).unwrap();
        let value = sample["value"][1].as_str().unwrap_or_else(|| panic!("{text}: no number: {sample}"));
        (labels, value.parse().unwrap())
    };
    samples.iter().map(sample).collect()
}

/// Polls `ask` until it returns a value.
pub(crate) async fn wait<T>(what: &str, ask: impl AsyncFn() -> Option<T>) -> T {
    for _ in 0..PATIENCE.as_millis() / STEP.as_millis() {
        if let Some(answer) = ask().await {
            return answer;
        }
        sleep(STEP).await;
    }
    panic!("waited {PATIENCE:?} for {what}");
}
