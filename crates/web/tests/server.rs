//! The server over real sockets.

#![expect(clippy::unwrap_used, reason = "a test whose setup fails has failed")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use exporter_web::{
    DrainOutcome, Handler, Limits, LoadedWebConfig, ResponseFuture, Server, WebConfig, text_response,
};
use hyper::{Request, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, yield_now};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

const TEXT: &str = "# HELP up Whether it is up.\n";

/// `GET /fast` returns the text at once, `GET /slow` when permitted, all else 405 at once.
struct Fixed {
    text: Bytes,
    started: Semaphore,
    permission: Semaphore,
}

impl Handler for Fixed {
    fn handle(&self, request: Request<()>) -> ResponseFuture<'_> {
        Box::pin(async move {
            if request.uri().path() == "/slow" {
                self.started.add_permits(1);
                self.permission.acquire().await.unwrap().forget();
            }
            let is_read = request.method() == "GET" || request.method() == "HEAD";
            let status = if is_read { StatusCode::OK } else { StatusCode::METHOD_NOT_ALLOWED };
            text_response(status, self.text.clone())
        })
    }
}

struct Running {
    address: SocketAddr,
    handler: Arc<Fixed>,
    stop: CancellationToken,
    server: JoinHandle<DrainOutcome>,
}

impl Running {
    async fn start(limits: Limits) -> Self {
        Self::serving(limits, Bytes::from_static(TEXT.as_bytes())).await
    }

    async fn serving(limits: Limits, text: Bytes) -> Self {
        let server = Server::bind(&["127.0.0.1:0".parse().unwrap()], limits).await.unwrap();
        let address = server.address().unwrap();
        let (started, permission) = (Semaphore::new(0), Semaphore::new(0));
        let handler = Arc::new(Fixed { text, started, permission });
        let config = WebConfig::new(LoadedWebConfig::read(None, chrono::DateTime::UNIX_EPOCH).unwrap());
        let stop = CancellationToken::new();
        let server = tokio::spawn(server.run(handler.clone(), config, Arc::new(()), stop.clone()));
        Self { address, handler, stop, server }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// A connection whose request is being handled.
    async fn start_slow(&self) -> TcpStream {
        let mut stream = self.connect().await;
        stream.write_all(b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        self.handler.started.acquire().await.unwrap().forget();
        stream
    }

    /// Sends `head` with `Connection: close` and reads the whole response.
    async fn request(&self, head: &str) -> (String, String) {
        let mut stream = self.connect().await;
        let request = format!("{head}\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        read_to_end(stream).await
    }
}

/// The head and the body of a response that ends its connection.
async fn read_to_end(mut stream: TcpStream) -> (String, String) {
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.to_ascii_lowercase(), body.to_owned())
}

/// What has arrived on a connection that stays open.
async fn read_some(stream: &mut TcpStream) -> String {
    let mut bytes = vec![0; 4096];
    let length = stream.read(&mut bytes).await.unwrap();
    String::from_utf8(bytes[..length].to_vec()).unwrap()
}

#[tokio::test]
async fn head_response_has_no_body() {
    let running = Running::start(Limits::default()).await;
    assert_eq!(running.request("GET /fast HTTP/1.1").await.1, TEXT);
    let (head, body) = running.request("HEAD /fast HTTP/1.1").await;
    assert!(head.starts_with("http/1.1 200 ") && body.is_empty(), "{head} {body}");
    assert!(head.contains(&format!("content-length: {}", TEXT.len())), "{head}");
}

#[tokio::test]
async fn request_body_is_never_read() {
    let running = Running::start(Limits::default()).await;
    let mut stream = running.connect().await;
    let request = b"POST /fast HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let (head, _) = read_to_end(stream).await;
    assert!(head.starts_with("http/1.1 405 ") && head.contains("connection: close"), "{head}");
}

#[tokio::test]
async fn oversized_head_gets_431() {
    let running = Running::start(Limits::default()).await;
    let mut stream = running.connect().await;
    let request = format!("GET /fast HTTP/1.1\r\nHost: localhost\r\nX-Padding: {}", "a".repeat(64 * 1024));
    // The server may respond and close before it has read everything.
    let _ = stream.write_all(request.as_bytes()).await;
    assert!(read_some(&mut stream).await.starts_with("HTTP/1.1 431 "));

    let many: String = (0..200).map(|number| format!("\r\nX-{number}: a")).collect();
    let (head, _) = running.request(&format!("GET /fast HTTP/1.1{many}")).await;
    assert!(head.starts_with("http/1.1 431 "), "{head}");
}

#[tokio::test(start_paused = true)]
async fn dripping_request_head_is_closed() {
    let limits = Limits::default();
    let timeout = limits.header_read_timeout;
    let running = Running::start(limits).await;
    let mut stream = running.connect().await;
    let started = Instant::now();
    for byte in b"GET /fast HTTP/1.1\r\nX-Slow: ".iter().chain(std::iter::repeat(&b'a')) {
        if stream.write_all(&[*byte]).await.is_err() {
            break;
        }
        sleep(Duration::from_millis(100)).await;
    }
    let elapsed = started.elapsed();
    assert!(elapsed >= timeout && elapsed < 2 * timeout, "{elapsed:?}");
}

#[tokio::test(start_paused = true)]
async fn silent_connection_is_closed() {
    let limits = Limits::default();
    let timeout = limits.header_read_timeout;
    let running = Running::start(limits).await;
    let mut stream = running.connect().await;
    let started = Instant::now();
    assert_eq!(stream.read(&mut [0; 16]).await.unwrap(), 0);
    assert!(started.elapsed() >= timeout);
}

#[tokio::test(start_paused = true)]
async fn connection_of_a_stalled_reader_is_closed() {
    // More than the buffers of both sockets hold.
    const LENGTH: usize = 64 << 20;
    let running = Running::serving(Limits::default(), Bytes::from(vec![b'a'; LENGTH])).await;
    let mut stream = running.connect().await;
    stream.write_all(b"GET /fast HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    sleep(2 * Limits::default().write_timeout).await;
    let mut received = Vec::new();
    // What was in the buffers, and then the end.
    let _ = stream.read_to_end(&mut received).await;
    assert!(received.len() < LENGTH, "{} bytes", received.len());
}

#[tokio::test]
async fn connection_over_limit_gets_503_when_all_busy() {
    let running = Running::start(Limits { connections: 1, ..Limits::default() }).await;
    let mut kept = running.start_slow().await;
    let (head, body) = running.request("GET /fast HTTP/1.1").await;
    assert!(head.starts_with("http/1.1 503 "), "{head}");
    assert_eq!(body, "too many connections\n");

    running.handler.permission.add_permits(1);
    assert!(
        read_some(&mut kept).await.starts_with("HTTP/1.1 200 "),
        "the connection within the limit lives on"
    );
    kept.write_all(b"GET /fast HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    assert!(read_some(&mut kept).await.starts_with("HTTP/1.1 200 "));
    let (head, _) = running.request("GET /fast HTTP/1.1").await;
    assert!(head.starts_with("http/1.1 200 "), "an idle connection is evicted");
    assert_eq!(kept.read(&mut [0; 16]).await.unwrap(), 0, "and closed");
}

#[tokio::test]
async fn stop_finishes_requests_in_flight() {
    let running = Running::start(Limits::default()).await;
    let mut idle = running.connect().await;
    idle.write_all(b"GET /fast HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    assert!(read_some(&mut idle).await.starts_with("HTTP/1.1 200 "));
    let busy = running.start_slow().await;

    running.stop.cancel();
    assert_eq!(idle.read(&mut [0; 16]).await.unwrap(), 0, "an idle connection is closed at once");
    while TcpStream::connect(running.address).await.is_ok() {
        yield_now().await;
    }
    running.handler.permission.add_permits(1);
    let (head, body) = read_to_end(busy).await;
    assert!(head.starts_with("http/1.1 200 "), "{head}");
    assert_eq!(body, TEXT);
    assert_eq!(running.server.await.unwrap().remaining, 0);
}

#[tokio::test(start_paused = true)]
async fn stop_closes_connections_at_its_deadline() {
    let running = Running::start(Limits::default()).await;
    let mut busy = running.start_slow().await;
    running.stop.cancel();
    let outcome = running.server.await.unwrap();
    assert_eq!(outcome, DrainOutcome { remaining: 1, took: Limits::default().drain });
    let read = timeout(Duration::from_secs(1), busy.read(&mut [0; 16])).await.unwrap();
    assert_eq!(read.unwrap_or(0), 0, "the connection is closed");
}

#[tokio::test]
async fn address_in_use_is_an_error_with_advice() {
    let running = Running::start(Limits::default()).await;
    let error = Server::bind(&[running.address.into()], Limits::default()).await.unwrap_err().to_string();
    assert!(error.starts_with(&format!("cannot listen on {}: ", running.address)), "{error}");
    assert!(error.ends_with("choose another address"), "{error}");
}
