//! Other servers to compare with, a load generator, and the CPU that requests cost them.

#![expect(clippy::panic, reason = "a bench may stop at any surprise")]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::process::{free_port, pause};

/// Whether a program is on the path.
pub(crate) fn is_installed(program: &str) -> bool {
    let found =
        Command::new("sh").args(["-c", &format!("command -v {program}")]).stdout(Stdio::null()).status();
    found.is_ok_and(|status| status.success())
}

/// Keeps all threads of a process on one core.
pub(crate) fn pin(pid: u32, core: u32) {
    let arguments = ["-acp".to_owned(), core.to_string(), pid.to_string()];
    Command::new("taskset").args(arguments).stdout(Stdio::null()).status().unwrap();
}

/// A server that answers at `/metrics`.
pub(crate) struct Served<'a> {
    pub(crate) name: &'static str,
    pub(crate) address: &'a str,
    pub(crate) pid: u32,
}

/// How it is asked.
pub(crate) struct Load {
    pub(crate) connections: u32,
    pub(crate) seconds: u64,
    pub(crate) coding: Option<&'static str>,
}

/// The cost of a load.
pub(crate) struct Cost {
    name: &'static str,
    connections: u32,
    answers: u64,
    /// CPU of the server per answer, microseconds.
    cpu: f64,
    /// 99 of 100 answers came within it, microseconds.
    p99: f64,
}

impl Load {
    /// Sends requests continuously with wrk, which has a separate core.
    pub(crate) fn on(&self, served: &Served<'_>) -> Cost {
        let header = format!("Accept-Encoding: {}", self.coding.unwrap_or("identity"));
        let wrk = |seconds: u64| {
            let output = Command::new("wrk")
                .args(["-t1", "--latency", "--timeout", "20s", "-H", &header])
                .args([format!("-c{}", self.connections), format!("-d{seconds}s")])
                .arg(format!("http://{}/metrics", served.address))
                .output()
                .unwrap();
            String::from_utf8(output.stdout).unwrap()
        };
        wrk(1);
        let before = cpu_seconds(served.pid);
        let said = wrk(self.seconds);
        let spent = cpu_seconds(served.pid) - before;
        assert!(!said.contains("Non-2xx") && !said.contains("Socket errors"), "{}: {said}", served.name);
        let answers: u64 = said
            .lines()
            .find_map(|line| line.trim().split_once(" requests in "))
            .and_then(|(count, _)| count.parse().ok())
            .unwrap_or_else(|| panic!("wrk said: {said}"));
        let p99 = said.lines().find_map(|line| line.trim().strip_prefix("99%")).map_or(0.0, micros);
        Cost {
            name: served.name,
            connections: self.connections,
            answers,
            cpu: spent * 1e6 / answers as f64,
            p99,
        }
    }
}

impl Cost {
    pub(crate) fn print(&self) {
        println!(
            "    {:<16} {} connections: {:>9.1} us CPU each, p99 {:>9.0} us, {:>7} answers",
            self.name, self.connections, self.cpu, self.p99, self.answers
        );
    }

    /// How it compares with `other` under the same load.
    pub(crate) fn compare(&self, other: &Self) {
        let (cpu, p99) = (self.cpu / other.cpu, self.p99 / other.p99);
        println!(
            "      {} needs {cpu:.2} times the CPU of {}, and {p99:.2} times its p99",
            self.name, other.name
        );
    }
}

/// As wrk spells a time.
fn micros(text: &str) -> f64 {
    let text = text.trim();
    let digits = text.trim_end_matches(|c: char| c.is_alphabetic());
    let number: f64 = digits.parse().unwrap();
    match &text[digits.len()..] {
        "us" => number,
        "ms" => number * 1e3,
        _ => number * 1e6,
    }
}

/// User and system time of a process, from the scheduler, which counts nanoseconds.
fn cpu_seconds(pid: u32) -> f64 {
    let mut nanoseconds = 0;
    for task in std::fs::read_dir(format!("/proc/{pid}/task")).unwrap() {
        let stat = std::fs::read_to_string(task.unwrap().path().join("schedstat")).unwrap_or_default();
        nanoseconds += stat.split(' ').next().and_then(|number| number.parse::<u64>().ok()).unwrap_or(0);
    }
    nanoseconds as f64 / 1e9
}

/// Resident bytes of a process now.
pub(crate) fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let now = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    now.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

/// The body of one answer, as it was sent.
pub(crate) fn fetch(address: &str, coding: Option<&str>) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).unwrap();
    let header = coding.map_or_else(String::new, |coding| format!("Accept-Encoding: {coding}\r\n"));
    stream.write_all(format!("GET /metrics HTTP/1.0\r\nHost: x\r\n{header}\r\n").as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    answer.split_off(end + 4)
}

/// A peer that ends with its value.
struct Peer {
    process: Child,
    address: String,
}

impl Peer {
    fn start(command: &mut Command, port: u16) -> Self {
        let process =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let address = format!("127.0.0.1:{port}");
        for _ in 0..200 {
            if TcpStream::connect(&address).is_ok() {
                break;
            }
            pause(Duration::from_millis(20));
        }
        pin(process.id(), 1);
        Self { process, address }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Sends files, the compressed one as it is.
pub(crate) struct Nginx {
    peer: Peer,
    files: Files,
}

/// How nginx sends them.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Files {
    /// Read into a buffer and written from there, as nginx does by default.
    Copied,
    /// By the kernel alone, from its page cache, which no server can do whose bytes are its own: `sendfile on`.
    Lent,
}

impl Nginx {
    pub(crate) fn start(directory: &Path, files: Files, plain: &[u8], gzip: &[u8]) -> Option<Self> {
        if !is_installed("nginx") {
            println!("  nginx is not installed and left out");
            return None;
        }
        let root = directory.join(format!("nginx-{files:?}"));
        let sendfile = match files {
            Files::Copied => "off",
            Files::Lent => "on",
        };
        std::fs::create_dir_all(&root).unwrap();
        std::fs::write(root.join("metrics"), plain).unwrap();
        std::fs::write(root.join("metrics.gz"), gzip).unwrap();
        let port = free_port();
        let config = format!(
            "daemon off; master_process off; worker_processes 1; pid {root}/pid; error_log {root}/error.log;\n\
             events {{}}\n\
             http {{ access_log off; sendfile {sendfile}; tcp_nopush on; keepalive_requests 100000000; default_type text/plain;\n\
             client_body_temp_path {root}; proxy_temp_path {root}; fastcgi_temp_path {root}; uwsgi_temp_path {root}; scgi_temp_path {root};\n\
             open_file_cache max=10; gzip_static on;\n\
             server {{ listen 127.0.0.1:{port}; root {root}; }} }}\n",
            root = root.display()
        );
        std::fs::write(root.join("nginx.conf"), config).unwrap();
        // Its files belong to the user who runs the benchmark, so it runs as that user.
        let mut command = Command::new("nginx");
        command.arg("-c").arg(root.join("nginx.conf")).args(["-g", "user root;"]);
        Some(Self { peer: Peer::start(&mut command, port), files })
    }

    pub(crate) fn served(&self) -> Served<'_> {
        let name = match self.files {
            Files::Copied => "nginx",
            Files::Lent => "nginx, sendfile",
        };
        Served { name, address: &self.peer.address, pid: self.peer.process.id() }
    }
}

/// Go's client library: it is given the same series, and encodes them for each scrape.
pub(crate) struct Pushgateway(Peer);

impl Pushgateway {
    pub(crate) fn start(directory: &Path, text: &str) -> Option<Self> {
        if !is_installed("prometheus-pushgateway") {
            println!("  Pushgateway is not installed and left out");
            return None;
        }
        let port = free_port();
        let mut command = Command::new("prometheus-pushgateway");
        command.arg(format!("--web.listen-address=127.0.0.1:{port}")).env("GOMAXPROCS", "1");
        let peer = Peer::start(&mut command, port);
        let file = directory.join("push.txt");
        // Its own process metrics are in the way of ours.
        let ours: String = text.split_inclusive('\n').filter(|line| line.contains("polyai_")).collect();
        std::fs::write(&file, ours).unwrap();
        let pushed = Command::new("curl")
            .args(["-s", "-S", "-f", "-T"])
            .arg(&file)
            .arg(format!("http://127.0.0.1:{port}/metrics/job/bench"))
            .status()
            .unwrap();
        assert!(pushed.success(), "Pushgateway took the series");
        Some(Self(peer))
    }

    pub(crate) fn served(&self) -> Served<'_> {
        Served { name: "Pushgateway", address: &self.0.address, pid: self.0.process.id() }
    }
}
