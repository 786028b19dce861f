//! The release binary as a separate process, measured from outside.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::time::Instant;

/// In millions.
#[expect(clippy::cast_precision_loss, reason = "for people")]
pub(crate) fn mega(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A running exporter.
pub(crate) struct Exporter {
    process: Child,
    pub(crate) address: String,
}

impl Exporter {
    /// Starts it; the address is the first quoted text of its configuration.
    pub(crate) fn start(config: &Path) -> Self {
        let text = std::fs::read_to_string(config).unwrap();
        let address = text.split('"').nth(1).unwrap().to_owned();
        let process = Command::new(env!("CARGO_BIN_EXE_polyai-exporter"))
            .args(["serve", "--log.level", "warn", "--config"])
            .arg(config)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        Self { process, address }
    }

    /// Asks until `satisfied`; answers how long that took.
    pub(crate) fn wait_for(&mut self, satisfied: impl Fn(&str) -> bool) -> Duration {
        let started = Instant::now();
        let address = self.address.clone();
        self.wait_until(|| get(&address, "/metrics").is_some_and(|metrics| satisfied(&metrics)));
        started.elapsed()
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Waits until `satisfied`, without asking for anything itself.
    pub(crate) fn wait_until(&mut self, satisfied: impl Fn() -> bool) {
        let started = Instant::now();
        while !satisfied() {
            assert!(started.elapsed() < Duration::from_secs(120), "not within two minutes");
            assert!(self.process.try_wait().unwrap().is_none(), "the exporter has ended");
            pause(Duration::from_millis(20));
        }
    }

    /// CPU seconds, user and system, and peak resident bytes, as the system counts them.
    pub(crate) fn usage(&self) -> (f64, f64, u64) {
        let proc = format!("/proc/{}", self.id());
        let stat = std::fs::read_to_string(format!("{proc}/stat")).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        let seconds = |place: usize| fields.get(place).unwrap().parse::<f64>().unwrap() / 100.0;
        let status = std::fs::read_to_string(format!("{proc}/status")).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        let kilobytes: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
        (seconds(11), seconds(12), kilobytes * 1024)
    }

    /// Ends it in order.
    pub(crate) fn stop(mut self) {
        let pid = self.id().to_string();
        Command::new("kill").args(["-TERM", &pid]).status().unwrap();
        self.process.wait().unwrap();
    }
}

#[expect(clippy::disallowed_methods, reason = "the bench waits for another process")]
/// Waits, while the exporter works.
pub(crate) fn pause(length: Duration) {
    std::thread::sleep(length);
}

/// One scrape.
pub(crate) fn get(address: &str, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: x\r\n\r\n").as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned())
}

/// The sum of a counter over its label sets.
pub(crate) fn sum(metrics: &str, name: &str) -> u64 {
    let lines = metrics.lines().filter(|line| line.starts_with(name));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}
