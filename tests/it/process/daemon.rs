//! The binary as a child process. No output may contain an API key.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::fixture::SECRET;
use super::scrape::Scrape;
use super::web;

/// The binary under test.
pub(super) const BINARY: &str = env!("CARGO_BIN_EXE_polyai-exporter");
/// Generous, for machines that do much else at the same time.
const PATIENCE: Duration = Duration::from_secs(60);

/// A command that knows nothing of the environment it is run in and does not outlive the test.
pub(super) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// How a command ended and what it said.
#[derive(Debug)]
pub(super) struct Output {
    pub(super) code: i32,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

/// Runs `command` to its end.
pub(super) async fn run(mut command: Command) -> Output {
    let output = timeout(PATIENCE, command.output()).await.expect("the command ends").unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let ended = Output {
        code: output.status.code().expect("it ends without a signal"),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    };
    assert!(!format!("{}{}", ended.stdout, ended.stderr).contains(SECRET), "a key in the output: {ended:?}");
    ended
}

/// Runs the binary with `arguments` to its end.
pub(super) async fn polyai_exporter(arguments: &[&str], env: &[(&str, &str)]) -> Output {
    let mut command = command(BINARY);
    command.args(arguments).envs(env.iter().copied());
    run(command).await
}

/// A running daemon. Dropping it kills it.
#[derive(Debug)]
pub(super) struct Daemon {
    child: Child,
    log: Arc<Mutex<String>>,
    reading: JoinHandle<()>,
}

impl Daemon {
    /// Starts `serve` with this configuration, on a port of its own; answers as soon as the process exists.
    pub(super) fn serve(config: &Path) -> Self {
        let mut command = command(BINARY);
        command.args(serve_arguments(config));
        Self::start(command)
    }

    /// Starts `command`, which ends up as the binary with JSON logs.
    pub(super) fn start(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let log = Arc::<Mutex<String>>::default();
        let reading = tokio::spawn(follow(child.stderr.take().unwrap(), log.clone()));
        Self { child, log, reading }
    }

    /// The process id.
    pub(super) fn pid(&self) -> String {
        self.child.id().expect("it runs").to_string()
    }

    /// The log so far.
    pub(super) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Waits until it serves, and returns the address.
    pub(super) async fn address(&mut self) -> SocketAddr {
        for _ in 0..PATIENCE.as_millis() / 5 {
            if let Some(address) = listening(&self.log()) {
                return address;
            }
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("it ended with {status} instead of serving: {}", self.log());
            }
            sleep(Duration::from_millis(5)).await;
        }
        panic!("it does not serve: {}", self.log());
    }

    /// The text of `/metrics`.
    pub(super) async fn metrics(&mut self) -> String {
        let address = self.address().await;
        let (status, body) = web::get(address, "/metrics").await.unwrap();
        assert_eq!(status, 200, "{body}");
        assert!(!body.contains(SECRET), "a key in the metrics");
        body
    }

    /// The samples of `/metrics`.
    pub(super) async fn scrape(&mut self) -> Scrape {
        Scrape::of(&self.metrics().await)
    }

    /// Scrapes until `good` finds nothing missing, for at most `patience`; else fails with what is missing.
    pub(super) async fn scrape_until(
        &mut self,
        patience: Duration,
        good: impl Fn(&Scrape) -> Result<(), String>,
    ) -> Scrape {
        let mut missing = String::new();
        for _ in 0..patience.as_millis() / 250 {
            let scrape = self.scrape().await;
            match good(&scrape) {
                Ok(()) => return scrape,
                Err(still) => missing = still,
            }
            sleep(Duration::from_millis(250)).await;
        }
        panic!("not within {patience:?}: {missing}\n{}", self.log());
    }

    /// `kill -9`
    pub(super) async fn kill(mut self) {
        self.child.kill().await.unwrap();
        self.hear_out().await;
    }

    /// SIGTERM, and how it ended. The log is complete then.
    pub(super) async fn terminate(mut self) -> (ExitStatus, String) {
        let kill = format!("kill -TERM {}", self.pid());
        assert!(command("sh").args(["-c", &kill]).status().await.unwrap().success());
        let status = timeout(PATIENCE, self.child.wait()).await.expect("it ends after the signal").unwrap();
        (status, self.hear_out().await)
    }

    async fn hear_out(&mut self) -> String {
        timeout(PATIENCE, &mut self.reading).await.expect("its output ends with it").unwrap();
        let log = self.log();
        assert!(!log.contains(SECRET), "a key in the log: {log}");
        log
    }
}

/// The arguments of a daemon on a port of its own, with logs that can be read back.
pub(super) fn serve_arguments(config: &Path) -> [&str; 7] {
    let config = config.to_str().unwrap();
    ["--log.format", "json", "serve", "--web.listen-address", "127.0.0.1:0", "--config", config]
}

/// Collects the lines of `stream`.
pub(super) async fn follow(stream: impl AsyncRead + Unpin, heard: Arc<Mutex<String>>) {
    let mut lines = BufReader::new(stream).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let mut heard = heard.lock().unwrap();
        heard.push_str(&line);
        heard.push('\n');
    }
}

fn listening(log: &str) -> Option<SocketAddr> {
    let line = log.lines().find(|line| line.contains(r#""message":"listening""#))?;
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    line["address"].as_str()?.parse().ok()
}
