//! Peers that are slow, many, or mean. What each is let do has an end, and others are served meanwhile or soon after.

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

use super::fixture::{PATIENCE, Port, Scene, TLS, answers};

fn up() -> Bytes {
    Bytes::from_static(b"up 1\n")
}

/// More than the buffers of both sockets and the windows of HTTP/2 hold.
fn much() -> Bytes {
    Bytes::from(vec![b'a'; 64 << 20])
}

/// Waits until a scrape gets through.
async fn until_served(scene: &Scene, port: &Port) -> Duration {
    let began = Instant::now();
    let served = async {
        while !scene
            .client(None)
            .get(port.url("/-/healthy"))
            .send()
            .await
            .is_ok_and(|answer| answer.status() == 200)
        {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, served).await.expect("others are served again");
    began.elapsed()
}

/// A client of HTTP/2 that does no more than it is told.
async fn http_2(scene: &Scene, port: &Port) -> (SendRequest<Empty<Bytes>>, JoinHandle<hyper::Result<()>>) {
    let connector = scene.tls(&[&TLS13], |config| config.alpn_protocols = vec![b"h2".to_vec()]);
    let stream = TokioIo::new(port.shake_hands(&connector).await.unwrap());
    let (sender, connection) = http2::Builder::new(TokioExecutor::new()).handshake(stream).await.unwrap();
    (sender, tokio::spawn(connection))
}

fn get(path: &str) -> Request<Empty<Bytes>> {
    Request::get(format!("https://localhost{path}")).version(Version::HTTP_2).body(Empty::new()).unwrap()
}

#[tokio::test]
async fn a_handshake_that_drips_is_cut_off() {
    let scene = Scene::new(TLS);
    let limits =
        Limits { connections: 1, handshake_timeout: Duration::from_millis(400), ..Limits::default() };
    let port = scene.open_with(limits, up()).await;
    let mut stream = port.connect().await;
    let began = Instant::now();
    let dripping = async {
        // The head of a record that says it has 512 bytes.
        for byte in [22, 3, 1, 2, 0, 1, 0, 1, 252].into_iter().chain(std::iter::repeat(3)) {
            if stream.write_all(&[byte]).await.is_err() {
                return;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, dripping).await.expect("the server closes");
    assert!(began.elapsed() >= Duration::from_millis(400));
    assert_eq!(port.counted("tls_handshake_failed"), 1);
    until_served(&scene, &port).await;
}

/// Opens connections on which it says nothing, without end, and keeps all of them.
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
async fn a_flood_of_silent_connections_keeps_neither_scrapes_nor_health_checks_out() {
    for web in ["", TLS] {
        let scene = Scene::new(web);
        let port = scene.open_with(Limits { connections: 128, ..Limits::default() }, up()).await;
        let url = |path: &str| match web {
            "" => format!("http://{}{path}", port.address),
            _ => port.url(path),
        };
        let flood = tokio::spawn(flood(port.address));
        let full = async {
            while port.counted("connection_evicted") < 20 {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, full).await.expect("those who say nothing make way");
        let before = port.counted("connection_evicted");
        for _ in 0..10 {
            for path in ["/-/healthy", "/metrics"] {
                // Of whoever comes for the first time.
                let answer = scene.client(None).get(url(path)).send().await;
                assert_eq!(answer.unwrap_or_else(|error| panic!("{web:?} {path}: {error:?}")).status(), 200);
            }
        }
        assert!(port.counted("connection_evicted") > before, "the flood went on meanwhile");
        assert!(!flood.is_finished());
        flood.abort();
        assert_eq!(port.counted("connection_refused"), 0, "{web:?}");
    }
}

/// However many guess, there are slots for others: the line of those who wait for a check has an end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guesses_at_a_password_take_not_all_connections() {
    // A good part of a second for each.
    let hash = bcrypt::hash("secret", 13).unwrap();
    let scene = Scene::new(&format!("basic_auth_users: {{alice: {hash:?}}}\n"));
    let port = scene.open_with(Limits { connections: 90, ..Limits::default() }, up()).await;
    let mut guessing = Vec::new();
    for guess in 0..120 {
        let credentials = STANDARD.encode(format!("alice:guess {guess}"));
        let request =
            format!("GET /metrics HTTP/1.1\r\nhost: localhost\r\nauthorization: Basic {credentials}\r\n\r\n");
        let mut stream = port.connect().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        guessing.push(stream);
    }
    let mut last = [0; 12];
    let answered = timeout(Duration::from_secs(8), guessing[119].read_exact(&mut last)).await;
    answered.expect("it is sent away at once").unwrap();
    assert_eq!(&last, b"HTTP/1.1 503");
    let asked = scene.client(None).get(format!("http://{}/-/healthy", port.address)).send().await.unwrap();
    assert_eq!(asked.status(), 401, "who comes without a password is told so at once");
}

#[tokio::test]
async fn silent_connections_end_with_their_time() {
    let scene = Scene::new(TLS);
    let limits = Limits { connections: 8, handshake_timeout: Duration::from_secs(2), ..Limits::default() };
    let port = scene.open_with(limits, up()).await;
    let mut silent = Vec::new();
    for _ in 0..8 {
        silent.push(port.connect().await);
    }
    for mut stream in silent {
        assert_eq!(timeout(PATIENCE, stream.read(&mut [0; 16])).await.unwrap().unwrap_or(0), 0, "closed");
    }
    until_served(&scene, &port).await;
}

#[tokio::test]
async fn a_connection_that_asks_nothing_after_its_handshake_is_closed() {
    let scene = Scene::new(TLS);
    let limits = Limits { header_read_timeout: Duration::from_secs(1), ..Limits::default() };
    let port = scene.open_with(limits, up()).await;
    let mut silent = port.shake_hands(&scene.tls(&[&TLS13], |_| {})).await.unwrap();
    let ended = timeout(PATIENCE, silent.read(&mut [0; 16])).await.expect("HTTP/1");
    assert_eq!(ended.unwrap_or(0), 0);
    let (mut sender, connection) = http_2(&scene, &port).await;
    let answer = sender.send_request(get("/metrics")).await.unwrap();
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), up());
    timeout(PATIENCE, connection).await.expect("HTTP/2").unwrap().expect("it is told to end, not cut off");
}

#[tokio::test]
async fn streams_that_are_opened_and_not_read_lose_their_connection() {
    let scene = Scene::new(TLS);
    let limits = Limits { connections: 1, write_timeout: Duration::from_millis(500), ..Limits::default() };
    let port = scene.open_with(limits, much()).await;
    let (sender, connection) = http_2(&scene, &port).await;
    let mut answers = Vec::new();
    for _ in 0..4 {
        answers.push(sender.clone().send_request(get("/metrics")).await.unwrap());
    }
    // Small requests, which are answered, do not keep it alive.
    let mut busy = sender.clone();
    let small = tokio::spawn(async move {
        while busy.send_request(get("/-/healthy")).await.is_ok() {
            sleep(Duration::from_millis(20)).await;
        }
    });
    let _ = timeout(PATIENCE, connection).await.expect("the connection is cut").unwrap();
    small.await.unwrap();
    until_served(&scene, &port).await;
}

#[tokio::test]
async fn an_answer_that_is_read_drop_by_drop_has_an_end() {
    let scene = Scene::new(TLS);
    let limits = Limits {
        write_timeout: Duration::from_millis(500),
        request_timeout: Duration::from_millis(1500),
        ..Limits::default()
    };
    let port = scene.open_with(limits, much()).await;
    let mut stream = port.shake_hands(&scene.tls(&[&TLS13], |_| {})).await.unwrap();
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
    let got = timeout(PATIENCE, dripping).await.expect("the connection is cut");
    assert!(got < much().len(), "it was cut, and not read to its end");
    assert!(began.elapsed() > Duration::from_secs(1), "but not before its time");
}

#[tokio::test]
async fn more_streams_than_are_served_at_once_wait_for_each_other() {
    let scene = Scene::new(TLS);
    let port = scene.open_with(Limits { max_concurrent_streams: 2, ..Limits::default() }, up()).await;
    let (mut sender, _connection) = http_2(&scene, &port).await;
    // Until the first answer the client does not know how many there may be.
    assert_eq!(sender.send_request(get("/metrics")).await.unwrap().status(), 200);
    let asked: Vec<_> = (0..50)
        .map(|_| {
            let mut sender = sender.clone();
            tokio::spawn(async move { sender.send_request(get("/metrics")).await.unwrap().status().as_u16() })
        })
        .collect();
    for answer in asked {
        assert_eq!(timeout(PATIENCE, answer).await.unwrap().unwrap(), 200);
    }
}

#[tokio::test]
async fn streams_that_are_opened_and_taken_back_disturb_nobody() {
    let scene = Scene::new(TLS);
    let port = scene.open().await;
    let (sender, connection) = http_2(&scene, &port).await;
    for _ in 0..2000 {
        let mut sender = sender.clone();
        let asking =
            tokio::spawn(
                async move { sender.send_request(get("/metrics")).await.map(|answer| answer.status()) },
            );
        tokio::task::yield_now().await;
        asking.abort();
    }
    until_served(&scene, &port).await;
    drop(sender);
    // It ends by itself, or was ended.
    let _ = timeout(PATIENCE, connection).await.unwrap();
    assert_eq!(port.stopped().await.remaining, 0);
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused_over_http_2_too() {
    let scene = Scene::new(TLS);
    let port = scene.open().await;
    let answer =
        scene.client(None).get(port.url("/metrics")).header("x-padding", "a".repeat(64 << 10)).send().await;
    assert!(answer.as_ref().map_or(true, |answer| answer.status() == 431), "{answer:?}");
    until_served(&scene, &port).await;
}

#[tokio::test]
async fn a_stop_lets_answers_end_over_tls() -> io::Result<()> {
    let scene = Scene::new(TLS);
    let port = scene.open_with(Limits::default(), much()).await;
    let mut stream = port.shake_hands(&scene.tls(&[&TLS13], |_| {})).await?;
    assert!(answers(&mut stream).await);
    let silent = port.connect().await;
    let stopping = tokio::spawn(port.stopped());
    let mut rest = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("it ends")?;
    assert!(rest.len() > 64 << 20, "all of it came: {}", rest.len());
    assert_eq!(stopping.await.unwrap().remaining, 0);
    drop(silent);
    Ok(())
}
