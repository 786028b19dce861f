//! Peers that speak HTTP/2 frame by frame, and do what no library would.

use std::time::Duration;

use bytes::Bytes;
use polyai_exporter::http::Limits;
use rustls::version::TLS13;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf, split};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::client::TlsStream;

use super::fixture::{PATIENCE, Port, Scene, TLS};

/// The head of a frame (RFC 9113, section 4.1), and what it carries.
#[derive(Debug, PartialEq, Eq)]
struct Frame {
    kind: u8,
    stream: u32,
    payload: Vec<u8>,
}

const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;

const END_STREAM_AND_HEADERS: u8 = 0x5;
const INITIAL_WINDOW_SIZE: u16 = 4;

struct Asker(WriteHalf<TlsStream<TcpStream>>);
struct Listener(ReadHalf<TlsStream<TcpStream>>);

async fn peer(scene: &Scene, port: &Port) -> (Asker, Listener) {
    let connector = scene.tls(&[&TLS13], |config| config.alpn_protocols = vec![b"h2".to_vec()]);
    let (listener, mut asker) = split(port.shake_hands(&connector).await.unwrap());
    asker.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    (Asker(asker), Listener(listener))
}

impl Asker {
    /// `GET https://a/`, on a stream of its own.
    async fn ask(&mut self, stream: u32) -> std::io::Result<()> {
        // The first three from the table of RFC 7541, appendix A.
        let names = [0x82, 0x84, 0x87, 0x01, 0x01, b'a'];
        let mut frame = vec![0, 0, 6, HEADERS, END_STREAM_AND_HEADERS];
        frame.extend(stream.to_be_bytes());
        frame.extend(names);
        self.0.write_all(&frame).await?;
        self.0.flush().await
    }
}

impl Listener {
    /// None once the connection has ended.
    async fn next(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.0.read_exact(&mut head).await.ok()?;
        let [a, b, c, kind, _, stream @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        self.0.read_exact(&mut payload).await.ok()?;
        Some(Frame { kind, stream: u32::from_be_bytes(stream), payload })
    }
}

#[tokio::test]
async fn a_peer_that_is_told_to_end_and_goes_on_is_cut_off() {
    let scene = Scene::new(TLS);
    let limits = Limits {
        max_connection_age: Duration::ZERO,
        request_timeout: Duration::from_secs(1),
        ..Limits::default()
    };
    let port = scene.open_with(limits, Bytes::from_static(b"up 1\n")).await;
    let (mut asker, mut listener) = peer(&scene, &port).await;
    let began = Instant::now();
    // It never answers the ping that goes with GOAWAY, without which the server takes streams for ever.
    let asking = async {
        for stream in (1..).step_by(2) {
            if asker.ask(stream).await.is_err() {
                return;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    let listening = async {
        let (mut is_told, mut late) = (false, 0);
        while let Some(frame) = listener.next().await {
            is_told |= frame.kind == GOAWAY;
            late += u32::from(is_told && frame.kind == HEADERS);
        }
        (is_told, late)
    };
    let both = async { tokio::join!(asking, listening).1 };
    let (is_told, late) = timeout(PATIENCE, both).await.expect("it is cut off");
    assert!(is_told && late > 0, "it was told, and was answered for a while: {late}");
    assert!(began.elapsed() >= Duration::from_secs(1), "what was under way had its time");
}

#[tokio::test]
async fn little_of_a_body_is_taken_before_anybody_reads_it() {
    let scene = Scene::new(TLS);
    let port = scene.open().await;
    let (mut asker, mut listener) = peer(&scene, &port).await;
    asker.ask(1).await.unwrap();
    let mut before = Vec::new();
    loop {
        let frame = timeout(PATIENCE, listener.next()).await.unwrap().expect("an answer");
        if frame.kind == HEADERS {
            break;
        }
        before.push(frame);
    }
    let settings = before.iter().find(|frame| frame.kind == SETTINGS && !frame.payload.is_empty()).unwrap();
    let window = settings.payload.chunks_exact(6).find_map(|setting| {
        let (name, value) = setting.split_first_chunk::<2>()?;
        (u16::from_be_bytes(*name) == INITIAL_WINDOW_SIZE)
            .then(|| u32::from_be_bytes(value.try_into().unwrap()))
    });
    assert!(window.unwrap_or(65_535) <= 65_535, "of a stream: {window:?}");
    assert!(before.iter().all(|frame| frame.kind != WINDOW_UPDATE), "of the connection: {before:?}");
}
