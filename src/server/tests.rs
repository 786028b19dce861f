//! The port as peers meet it: real sockets, the real clock.

use std::io;
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use hyper::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::events::Events;
use crate::exposition::{ContentEncoding, EncodedBody, Format};
use crate::selfstats::{BuildInfo, ExporterMetrics};
use crate::shutdown::DrainOutcome;
use crate::timestamp::Timestamp;
use crate::web::{LoadedWebConfig, WebConfig};

const EXPOSITION: &str = "# HELP polyai_conversations_total Conversations.\n";

/// Longer than anything here takes, so that a test that hangs fails.
const PATIENCE: Duration = Duration::from_secs(20);

struct Fixed(Bytes);

impl MetricsSource for Fixed {
    fn generation(&self) -> u64 {
        0
    }

    fn ready(&self, _: Format, _: ContentEncoding, _: u64) -> Option<EncodedBody> {
        Some(EncodedBody::new(Arc::from([]), self.0.clone()))
    }

    fn render(&self, _: Format, _: ContentEncoding) -> io::Result<EncodedBody> {
        Err(io::Error::other("nobody should ask"))
    }
}

/// Takes until the other end of the channel speaks or is dropped.
struct Slow(Mutex<Receiver<()>>);

impl MetricsSource for Slow {
    fn generation(&self) -> u64 {
        0
    }

    fn ready(&self, _: Format, _: ContentEncoding, _: u64) -> Option<EncodedBody> {
        None
    }

    fn render(&self, _: Format, _: ContentEncoding) -> io::Result<EncodedBody> {
        let _ = self.0.lock().unwrap().recv();
        Ok(EncodedBody::new(Arc::from([]), Bytes::from_static(EXPOSITION.as_bytes())))
    }
}

struct Missing(Option<&'static str>);

impl Readiness for Missing {
    fn ready(&self) -> Result<(), String> {
        self.0.map_or(Ok(()), |sentence| Err(sentence.to_owned()))
    }
}

struct Running {
    address: SocketAddr,
    stop: CancellationToken,
    server: JoinHandle<DrainOutcome>,
}

impl Running {
    async fn start() -> Self {
        Self::with(Limits::default(), Fixed(Bytes::from_static(EXPOSITION.as_bytes())), Missing(None)).await
    }

    async fn with(limits: Limits, exposition: impl MetricsSource + 'static, readiness: Missing) -> Self {
        Self::answering(limits, Routes::new(Arc::new(exposition), Arc::new(readiness))).await
    }

    async fn answering(limits: Limits, routes: Routes) -> Self {
        let events = Events::new(ExporterMetrics::new(BuildInfo::CURRENT, Timestamp::from_millis(0)));
        let server = Server::bind(&["127.0.0.1:0".parse().unwrap()], limits, events).await.unwrap();
        let address = server.address().unwrap();
        let stop = CancellationToken::new();
        let server = tokio::spawn(server.run(routes, plain_http(), stop.clone()));
        Self { address, stop, server }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends `head` as it is, with "Connection: close" added, and reads all of the answer.
    async fn ask(&self, head: &str) -> Answer {
        let mut stream = self.connect().await;
        let request = format!("{head}\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        Answer::whole(stream).await
    }

    async fn stopped(self) -> DrainOutcome {
        self.stop.cancel();
        timeout(PATIENCE, self.server).await.unwrap().unwrap()
    }
}

/// Without a web configuration.
fn plain_http() -> WebConfig {
    WebConfig::new(LoadedWebConfig::read(None, chrono::DateTime::UNIX_EPOCH).unwrap())
}

#[derive(Debug)]
struct Answer {
    head: String,
    body: Vec<u8>,
}

impl Answer {
    /// Reads until the server closes.
    async fn whole(mut stream: TcpStream) -> Self {
        let mut bytes = Vec::new();
        timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.unwrap().unwrap();
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        Self { head, body: bytes[end + 4..].to_vec() }
    }

    fn status(&self) -> &str {
        self.head.split(' ').nth(1).unwrap()
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    fn text(&self) -> &str {
        str::from_utf8(&self.body).unwrap()
    }
}

/// Reads one answer with a short body from a connection that stays open.
async fn read_some(stream: &mut TcpStream) -> String {
    let mut bytes = vec![0; 4096];
    let length = timeout(PATIENCE, stream.read(&mut bytes)).await.unwrap().unwrap();
    String::from_utf8(bytes[..length].to_vec()).unwrap()
}

#[tokio::test]
async fn a_scrape_gets_the_exposition_with_its_exact_content_type() {
    let running = Running::start().await;
    let answer = running.ask("GET /metrics?debug=1 HTTP/1.1").await;
    assert_eq!((answer.status(), answer.text()), ("200", EXPOSITION));
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert_eq!(answer.header("content-encoding"), None);
    assert_eq!(answer.header("vary"), Some("Accept, Accept-Encoding"));
}

#[tokio::test]
async fn head_gives_the_head_alone() {
    let running = Running::start().await;
    for path in ["/metrics", "/-/healthy", "/-/ready"] {
        let get = running.ask(&format!("GET {path} HTTP/1.1")).await;
        let head = running.ask(&format!("HEAD {path} HTTP/1.1")).await;
        assert_eq!((head.status(), head.text()), ("200", ""), "{path}");
        assert_eq!(head.header("content-length"), Some(get.body.len().to_string().as_str()), "{path}");
    }
}

#[tokio::test]
async fn other_methods_and_paths_are_told_what_would_be_right() {
    let running = Running::start().await;
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "BREW"] {
        let answer = running.ask(&format!("{method} /metrics HTTP/1.1")).await;
        assert_eq!((answer.status(), answer.header("allow")), ("405", Some("GET, HEAD")), "{method}");
    }
    for path in ["/metric", "/metrics/", "/-/reloads", "//", "/%2e%2e/etc/passwd"] {
        let answer = running.ask(&format!("GET {path} HTTP/1.1")).await;
        assert_eq!((answer.status(), answer.text()), ("404", "not found; / lists what there is\n"), "{path}");
    }
}

/// Says what it was asked for.
struct Echo;

impl StatusSource for Echo {
    fn write(&self, document: StatusRoute, query: &str) -> RenderedDocument {
        let status = if query == "missing" { StatusCode::NOT_FOUND } else { StatusCode::OK };
        RenderedDocument {
            status,
            content_type: "text/html; charset=utf-8",
            body: format!("{document:?} {query}").into(),
        }
    }
}

#[tokio::test]
async fn pages_for_people_load_and_run_nothing_and_are_never_kept() {
    let routes =
        Routes::new(Arc::new(Fixed(Bytes::new())), Arc::new(Missing(None))).with_status(Arc::new(Echo));
    let running = Running::answering(Limits::default(), routes).await;
    for (path, body) in [
        ("/", "Overview "),
        ("/?q=a%26b", "Overview q=a%26b"),
        ("/target?project=a", "Target project=a"),
        ("/api/v1/status", "StatusJson "),
        ("/api/v1/targets", "TargetsJson "),
        ("/api/v1/target", "TargetJson "),
    ] {
        let page = running.ask(&format!("GET {path} HTTP/1.1")).await;
        assert_eq!((page.status(), page.text()), ("200", body), "{path}");
        assert!(
            page.header("content-security-policy").unwrap().starts_with("default-src 'none'; "),
            "{path}"
        );
        assert!(page.header("content-security-policy").unwrap().contains("frame-ancestors 'none'"), "{path}");
        assert_eq!(page.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(page.header("referrer-policy"), Some("no-referrer"), "{path}");
        assert_eq!(page.header("cache-control"), Some("no-store"), "{path}");
        let head = running.ask(&format!("HEAD {path} HTTP/1.1")).await;
        assert_eq!((head.status(), head.text()), ("200", ""), "{path}");
    }
    assert_eq!(running.ask("GET /target?missing HTTP/1.1").await.status(), "404");
    assert_eq!(running.ask("POST / HTTP/1.1").await.status(), "405");
}

#[tokio::test]
async fn readiness_says_what_is_missing_and_health_does_not_depend_on_it() {
    let missing = Missing(Some("reservations/us-1/live has not been polled yet"));
    let running = Running::with(Limits::default(), Fixed(Bytes::new()), missing).await;
    let ready = running.ask("GET /-/ready HTTP/1.1").await;
    assert_eq!(ready.status(), "503");
    assert_eq!(ready.text(), "not ready: reservations/us-1/live has not been polled yet\n");
    assert_eq!(running.ask("GET /-/healthy HTTP/1.1").await.status(), "200");
}

struct Configuration(Result<&'static str, &'static str>);

impl ConfigReloader for Configuration {
    fn reload(&self) -> ReloadFuture<'_> {
        let outcome = self.0.map(str::to_owned).map_err(str::to_owned);
        Box::pin(std::future::ready(outcome))
    }
}

#[tokio::test]
async fn a_reload_answers_with_what_changed_or_with_the_reason() {
    let routes = || Routes::new(Arc::new(Fixed(Bytes::new())), Arc::new(Missing(None)));
    for (outcome, status, text) in [
        (Ok("polling changed"), "200", "reloaded: polling changed\n"),
        (
            Err("polyai.yaml: line 3: unknown key"),
            "500",
            "not reloaded, the configuration before stays in force:\npolyai.yaml: line 3: unknown key\n",
        ),
    ] {
        let routes = routes().with_reload(Arc::new(Configuration(outcome)));
        let running = Running::answering(Limits::default(), routes).await;
        for method in ["POST", "PUT"] {
            let answer = running.ask(&format!("{method} /-/reload HTTP/1.1")).await;
            assert_eq!((answer.status(), answer.text()), (status, text));
        }
        let read = running.ask("GET /-/reload HTTP/1.1").await;
        assert_eq!((read.status(), read.header("allow")), ("405", Some("POST, PUT")), "a link cannot do it");
    }
    let running = Running::answering(Limits::default(), routes()).await;
    assert_eq!(running.ask("POST /-/reload HTTP/1.1").await.status(), "404", "a demo has nothing to reload");
}

/// One that waits for a disk.
struct Waiting;

impl ConfigReloader for Waiting {
    fn reload(&self) -> ReloadFuture<'_> {
        Box::pin(std::future::pending())
    }
}

#[tokio::test(start_paused = true)]
async fn a_reload_that_waits_for_the_disk_is_answered_before_its_connection_is_cut() {
    let began = tokio::time::Instant::now();
    let answer = super::reload::answer(&Waiting).await;
    assert_eq!(answer.status(), 503);
    let longest = Limits::default().request_timeout;
    assert!(began.elapsed() < longest - Duration::from_secs(30), "{:?} of {longest:?}", began.elapsed());
}

#[tokio::test]
async fn a_body_is_never_read() {
    let running = Running::start().await;
    let mut stream = running.connect().await;
    stream
        .write_all(b"POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\n")
        .await
        .unwrap();
    let answer = Answer::whole(stream).await;
    assert_eq!((answer.status(), answer.header("connection")), ("405", Some("close")));
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let running = Running::start().await;
    let mut stream = running.connect().await;
    let request = format!("GET /metrics HTTP/1.1\r\nHost: localhost\r\nX-Padding: {}", "a".repeat(64 * 1024));
    // The server may answer and close before it has taken all of it.
    let _ = stream.write_all(request.as_bytes()).await;
    assert!(read_some(&mut stream).await.starts_with("HTTP/1.1 431 "));

    let many: String = (0..200).map(|number| format!("\r\nX-{number}: a")).collect();
    assert_eq!(running.ask(&format!("GET /metrics HTTP/1.1{many}")).await.status(), "431");
}

#[tokio::test]
async fn half_a_request_is_cut_off_however_slowly_it_drips() {
    let limits = Limits { header_read_timeout: Duration::from_millis(300), ..Limits::default() };
    let running = Running::with(limits, Fixed(Bytes::new()), Missing(None)).await;
    let started = Instant::now();
    let mut stream = running.connect().await;
    let dripping = async {
        for byte in b"GET /metrics HTTP/1.1\r\nX-Slow: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
            .iter()
            .cycle()
        {
            if stream.write_all(&[*byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, dripping).await.expect("the server closes");
    assert!(started.elapsed() >= Duration::from_millis(300));
}

#[tokio::test]
async fn a_silent_connection_is_closed() {
    let limits = Limits { header_read_timeout: Duration::from_millis(100), ..Limits::default() };
    let running = Running::with(limits, Fixed(Bytes::new()), Missing(None)).await;
    let mut stream = running.connect().await;
    assert_eq!(timeout(PATIENCE, stream.read(&mut [0; 16])).await.unwrap().unwrap(), 0);
}

#[tokio::test]
async fn a_peer_that_asks_and_does_not_read_loses_its_connection() {
    const LENGTH: usize = 64 << 20;
    let limits = Limits { write_timeout: Duration::from_millis(200), ..Limits::default() };
    // More than the buffers of both sockets hold.
    let running = Running::with(limits, Fixed(Bytes::from(vec![b'a'; LENGTH])), Missing(None)).await;
    let mut stream = running.connect().await;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut got = Vec::new();
    // What was on its way, and the end.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut got)).await.expect("it has been cut");
    assert!(got.len() < LENGTH, "{} bytes", got.len());
}

/// The same, and says when it begins.
struct Announced(UnboundedSender<()>, Slow);

impl MetricsSource for Announced {
    fn generation(&self) -> u64 {
        0
    }

    fn ready(&self, _: Format, _: ContentEncoding, _: u64) -> Option<EncodedBody> {
        None
    }

    fn render(&self, format: Format, coding: ContentEncoding) -> io::Result<EncodedBody> {
        let _ = self.0.send(());
        self.1.render(format, coding)
    }
}

#[tokio::test]
async fn a_connection_beyond_the_cap_is_turned_away_with_a_word_where_all_others_are_being_answered() {
    let (go_on, wait) = channel();
    let (begins, mut begun) = unbounded_channel();
    let limits = Limits { connections: 1, ..Limits::default() };
    let running = Running::with(limits, Announced(begins, Slow(Mutex::new(wait))), Missing(None)).await;
    let mut kept = running.connect().await;
    kept.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    timeout(PATIENCE, begun.recv()).await.unwrap().unwrap();

    let refused = running.ask("GET /metrics HTTP/1.1").await;
    assert_eq!((refused.status(), refused.text()), ("503", "too many connections\n"));

    go_on.send(()).unwrap();
    assert!(read_some(&mut kept).await.starts_with("HTTP/1.1 200 "), "the connection within it lives on");
    kept.write_all(b"GET /-/healthy HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    assert!(read_some(&mut kept).await.starts_with("HTTP/1.1 200 "));
    assert_eq!(running.ask("GET /-/healthy HTTP/1.1").await.status(), "200", "idle, it makes way");
    assert_eq!(timeout(PATIENCE, kept.read(&mut [0; 16])).await.unwrap().unwrap(), 0, "and is closed");
}

#[tokio::test]
async fn a_stop_lets_a_running_answer_end_and_closes_idle_connections() {
    let (go_on, wait) = channel();
    let running = Running::with(Limits::default(), Slow(Mutex::new(wait)), Missing(None)).await;
    let mut idle = running.connect().await;
    idle.write_all(b"GET /-/healthy HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    assert!(read_some(&mut idle).await.starts_with("HTTP/1.1 200 "));
    let mut busy = running.connect().await;
    busy.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    settle(&running).await;

    let address = running.address;
    let stopping = tokio::spawn(running.stopped());
    assert_eq!(timeout(PATIENCE, idle.read(&mut [0; 16])).await.unwrap().unwrap(), 0, "idle: closed at once");
    let deaf = async {
        while TcpStream::connect(address).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, deaf).await.expect("nobody listens any more");
    go_on.send(()).unwrap();
    let answer = Answer::whole(busy).await;
    assert_eq!((answer.status(), answer.text()), ("200", EXPOSITION));
    assert_eq!(stopping.await.unwrap().remaining, 0);
}

#[tokio::test]
async fn a_stop_waits_no_longer_than_its_deadline_and_says_what_was_left() {
    let (go_on, wait) = channel();
    let limits = Limits { drain: Duration::from_millis(200), ..Limits::default() };
    let running = Running::with(limits, Slow(Mutex::new(wait)), Missing(None)).await;
    let mut busy = running.connect().await;
    busy.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    settle(&running).await;

    let drained = running.stopped().await;
    assert_eq!(drained.remaining, 1);
    assert!(drained.took >= Duration::from_millis(200) && drained.took < PATIENCE);
    assert_eq!(busy.read(&mut [0; 16]).await.unwrap_or(0), 0, "the rest is cut off");
    drop(go_on);
}

/// Connections are accepted in order: once a later one is answered, the earlier ones are being served.
async fn settle(running: &Running) {
    assert_eq!(running.ask("GET /-/healthy HTTP/1.1").await.status(), "200");
}

#[tokio::test]
async fn an_address_in_use_is_refused_with_advice() {
    let running = Running::start().await;
    let events = Events::new(ExporterMetrics::new(BuildInfo::CURRENT, Timestamp::from_millis(0)));
    let error =
        Server::bind(&[running.address.into()], Limits::default(), events).await.unwrap_err().to_string();
    assert!(error.starts_with(&format!("cannot listen on {}: ", running.address)), "{error}");
    assert!(error.ends_with("set server.listen to another address"), "{error}");
}
