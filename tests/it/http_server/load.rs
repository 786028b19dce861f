//! Slow, numerous and malicious peers: each is limited, and others are served.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http2::{self, SendRequest};
use hyper::{Request, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use polyai_exporter::http::Limits;
use rustls::version::TLS13;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::fixture::{Fixture, TEST_TIMEOUT, TLS, TestServer, answers};

fn small_body() -> Bytes {
    Bytes::from_static(b"up 1\n")
}

/// More than the buffers of both sockets and the windows of HTTP/2 hold.
fn large_body() -> Bytes {
    Bytes::from(vec![b'a'; 64 << 20])
}

/// Waits until a request succeeds.
async fn wait_until_served(fixture: &Fixture, server: &TestServer) -> Duration {
    let began = Instant::now();
    let served = async {
        while !fixture
            .client(None)
            .get(server.url("/-/healthy"))
            .send()
            .await
            .is_ok_and(|answer| answer.status() == 200)
        {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(TEST_TIMEOUT, served).await.expect("others are served again");
    began.elapsed()
}

/// A bare HTTP/2 client.
async fn http_2(
    fixture: &Fixture,
    server: &TestServer,
) -> (SendRequest<Empty<Bytes>>, JoinHandle<hyper::Result<()>>) {
    let connector = fixture.tls(&[&TLS13], |config| config.alpn_protocols = vec![b"h2".to_vec()]);
    let stream = TokioIo::new(server.tls_connect(&connector).await.unwrap());
    let (sender, connection) = http2::Builder::new(TokioExecutor::new()).handshake(stream).await.unwrap();
    (sender, tokio::spawn(connection))
}

fn get(path: &str) -> Request<Empty<Bytes>> {
    Request::get(format!("https://localhost{path}")).version(Version::HTTP_2).body(Empty::new()).unwrap()
}

#[tokio::test]
async fn dripping_handshake_times_out() {
    let fixture = Fixture::new(TLS);
    let limits =
        Limits { connections: 1, handshake_timeout: Duration::from_millis(400), ..Limits::default() };
    let server = fixture.open_with(limits, small_body()).await;
    let mut stream = server.connect().await;
    let began = Instant::now();
    let dripping = async {
        // The header of a record of 512 bytes.
        for byte in [22, 3, 1, 2, 0, 1, 0, 1, 252].into_iter().chain(std::iter::repeat(3)) {
            if stream.write_all(&[byte]).await.is_err() {
                return;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(TEST_TIMEOUT, dripping).await.expect("the server closes");
    assert!(began.elapsed() >= Duration::from_millis(400));
    assert_eq!(server.counted("tls_handshake_failed"), 1);
    wait_until_served(&fixture, &server).await;
}

/// Opens silent connections without end, and keeps all of them open.
async fn flood(address: SocketAddr) {
    let mut silent = Vec::new();
    loop {
        if let Ok(stream) = TcpStream::connect(address).await {
            silent.push(stream);
        }
        sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn flood_of_silent_connections_blocks_nobody() {
    for web in ["", TLS] {
        let fixture = Fixture::new(web);
        let server = fixture.open_with(Limits { connections: 128, ..Limits::default() }, small_body()).await;
        let url = |path: &str| match web {
            "" => format!("http://{}{path}", server.address),
            _ => server.url(path),
        };
        let flood = tokio::spawn(flood(server.address));
        let full = async {
            while server.counted("connection_evicted") < 20 {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(TEST_TIMEOUT, full).await.expect("silent connections are evicted");
        let before = server.counted("connection_evicted");
        for _ in 0..10 {
            for path in ["/-/healthy", "/metrics"] {
                // On a new connection.
                let answer = fixture.client(None).get(url(path)).send().await;
                assert_eq!(answer.unwrap_or_else(|error| panic!("{web:?} {path}: {error:?}")).status(), 200);
            }
        }
        assert!(server.counted("connection_evicted") > before, "the flood went on meanwhile");
        assert!(!flood.is_finished());
        flood.abort();
        assert_eq!(server.counted("connection_refused"), 0, "{web:?}");
    }
}

/// The queue of password checks is bounded, so guesses do not occupy all connections.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn password_guesses_leave_connections_free() {
    // A good part of a second per guess.
    let hash = bcrypt::hash("secret", 13).unwrap();
    let fixture = Fixture::new(&format!("basic_auth_users: {{alice: {hash:?}}}\n"));
    let server = fixture.open_with(Limits { connections: 90, ..Limits::default() }, small_body()).await;
    let mut guessing = Vec::new();
    for guess in 0..120 {
        let credentials = STANDARD.encode(format!("alice:guess {guess}"));
        let request =
            format!("GET /metrics HTTP/1.1\r\nhost: localhost\r\nauthorization: Basic {credentials}\r\n\r\n");
        let mut stream = server.connect().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        guessing.push(stream);
    }
    let mut last = [0; 12];
    let answered = timeout(Duration::from_secs(8), guessing[119].read_exact(&mut last)).await;
    answered.expect("a guess beyond the queue is rejected at once").unwrap();
    assert_eq!(&last, b"HTTP/1.1 503");
    let asked =
        fixture.client(None).get(format!("http://{}/-/healthy", server.address)).send().await.unwrap();
    assert_eq!(asked.status(), 401, "a request without credentials is not queued");
}

#[tokio::test]
async fn connections_without_handshake_time_out() {
    let fixture = Fixture::new(TLS);
    let limits = Limits { connections: 8, handshake_timeout: Duration::from_secs(2), ..Limits::default() };
    let server = fixture.open_with(limits, small_body()).await;
    let mut silent = Vec::new();
    for _ in 0..8 {
        silent.push(server.connect().await);
    }
    for mut stream in silent {
        assert_eq!(timeout(TEST_TIMEOUT, stream.read(&mut [0; 16])).await.unwrap().unwrap_or(0), 0, "closed");
    }
    wait_until_served(&fixture, &server).await;
}

#[tokio::test]
async fn idle_connection_is_closed_after_handshake() {
    let fixture = Fixture::new(TLS);
    let limits = Limits { header_read_timeout: Duration::from_secs(1), ..Limits::default() };
    let server = fixture.open_with(limits, small_body()).await;
    let mut silent = server.tls_connect(&fixture.tls(&[&TLS13], |_| {})).await.unwrap();
    let ended = timeout(TEST_TIMEOUT, silent.read(&mut [0; 16])).await.expect("HTTP/1");
    assert_eq!(ended.unwrap_or(0), 0);
    let (mut sender, connection) = http_2(&fixture, &server).await;
    let answer = sender.send_request(get("/metrics")).await.unwrap();
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), small_body());
    timeout(TEST_TIMEOUT, connection)
        .await
        .expect("HTTP/2")
        .unwrap()
        .expect("the connection is shut down gracefully");
}

#[tokio::test]
async fn unread_streams_close_their_connection() {
    let fixture = Fixture::new(TLS);
    let limits = Limits { connections: 1, write_timeout: Duration::from_millis(500), ..Limits::default() };
    let server = fixture.open_with(limits, large_body()).await;
    let (sender, connection) = http_2(&fixture, &server).await;
    let mut answers = Vec::new();
    for _ in 0..4 {
        answers.push(sender.clone().send_request(get("/metrics")).await.unwrap());
    }
    // Small responses that are read do not keep the connection alive.
    let mut busy = sender.clone();
    let small = tokio::spawn(async move {
        while busy.send_request(get("/-/healthy")).await.is_ok() {
            sleep(Duration::from_millis(20)).await;
        }
    });
    let _ = timeout(TEST_TIMEOUT, connection).await.expect("the connection is closed").unwrap();
    small.await.unwrap();
    wait_until_served(&fixture, &server).await;
}

#[tokio::test]
async fn slow_reader_exceeds_the_request_timeout() {
    let fixture = Fixture::new(TLS);
    let limits = Limits {
        write_timeout: Duration::from_millis(500),
        request_timeout: Duration::from_millis(1500),
        ..Limits::default()
    };
    let server = fixture.open_with(limits, large_body()).await;
    let mut stream = server.tls_connect(&fixture.tls(&[&TLS13], |_| {})).await.unwrap();
    assert!(answers(&mut stream).await);
    let began = Instant::now();
    let mut buffer = vec![0; 256 << 10];
    let dripping = async {
        let mut got = 0;
        while let Ok(read @ 1..) = stream.read(&mut buffer).await {
            got += read;
            sleep(Duration::from_millis(30)).await;
        }
        got
    };
    let got = timeout(TEST_TIMEOUT, dripping).await.expect("the connection is closed");
    assert!(got < large_body().len(), "the connection was closed before the end");
    assert!(began.elapsed() > Duration::from_secs(1), "but not before the request timeout");
}

#[tokio::test]
async fn streams_over_the_limit_wait() {
    let fixture = Fixture::new(TLS);
    let server =
        fixture.open_with(Limits { max_concurrent_streams: 2, ..Limits::default() }, small_body()).await;
    let (mut sender, _connection) = http_2(&fixture, &server).await;
    // Before the first response the client does not know the limit.
    assert_eq!(sender.send_request(get("/metrics")).await.unwrap().status(), 200);
    let asked: Vec<_> = (0..50)
        .map(|_| {
            let mut sender = sender.clone();
            tokio::spawn(async move { sender.send_request(get("/metrics")).await.unwrap().status().as_u16() })
        })
        .collect();
    for answer in asked {
        assert_eq!(timeout(TEST_TIMEOUT, answer).await.unwrap().unwrap(), 200);
    }
}

#[tokio::test]
async fn rapid_stream_resets_disturb_nobody() {
    let fixture = Fixture::new(TLS);
    let server = fixture.open().await;
    let (sender, connection) = http_2(&fixture, &server).await;
    for _ in 0..2000 {
        let mut sender = sender.clone();
        let asking =
            tokio::spawn(
                async move { sender.send_request(get("/metrics")).await.map(|answer| answer.status()) },
            );
        tokio::task::yield_now().await;
        asking.abort();
    }
    wait_until_served(&fixture, &server).await;
    drop(sender);
    // It ended by itself, or was closed by the server.
    let _ = timeout(TEST_TIMEOUT, connection).await.unwrap();
    assert_eq!(server.stopped().await.remaining, 0);
}

#[tokio::test]
async fn oversized_http2_head_gets_431() {
    let fixture = Fixture::new(TLS);
    let server = fixture.open().await;
    let answer = fixture
        .client(None)
        .get(server.url("/metrics"))
        .header("x-padding", "a".repeat(64 << 10))
        .send()
        .await;
    assert!(answer.as_ref().map_or(true, |answer| answer.status() == 431), "{answer:?}");
    wait_until_served(&fixture, &server).await;
}

#[tokio::test]
async fn stop_finishes_responses_over_tls() -> io::Result<()> {
    let fixture = Fixture::new(TLS);
    let server = fixture.open_with(Limits::default(), large_body()).await;
    let mut stream = server.tls_connect(&fixture.tls(&[&TLS13], |_| {})).await?;
    assert!(answers(&mut stream).await);
    let silent = server.connect().await;
    let stopping = tokio::spawn(server.stopped());
    let mut rest = Vec::new();
    timeout(TEST_TIMEOUT, stream.read_to_end(&mut rest)).await.expect("the response ends")?;
    assert!(rest.len() > 64 << 20, "the whole body arrived: {}", rest.len());
    assert_eq!(stopping.await.unwrap().remaining, 0);
    drop(silent);
    Ok(())
}
