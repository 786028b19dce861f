//! HTTP/2 peers that violate the protocol, frame by frame.

use std::time::Duration;

use bytes::Bytes;
use polyai_exporter::http::Limits;
use rustls::version::TLS13;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf, split};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::client::TlsStream;

use super::fixture::{Fixture, TEST_TIMEOUT, TLS, TestServer};

/// A frame (RFC 9113, section 4.1).
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

struct RequestWriter(WriteHalf<TlsStream<TcpStream>>);
struct FrameReader(ReadHalf<TlsStream<TcpStream>>);

async fn peer(fixture: &Fixture, server: &TestServer) -> (RequestWriter, FrameReader) {
    let connector = fixture.tls(&[&TLS13], |config| config.alpn_protocols = vec![b"h2".to_vec()]);
    let (reader, mut writer) = split(server.tls_connect(&connector).await.unwrap());
    writer.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    (RequestWriter(writer), FrameReader(reader))
}

impl RequestWriter {
    /// `GET https://a/`, on a stream of its own.
    async fn ask(&mut self, stream: u32) -> std::io::Result<()> {
        // The first three are from the static table of RFC 7541, appendix A.
        let names = [0x82, 0x84, 0x87, 0x01, 0x01, b'a'];
        let mut frame = vec![0, 0, 6, HEADERS, END_STREAM_AND_HEADERS];
        frame.extend(stream.to_be_bytes());
        frame.extend(names);
        self.0.write_all(&frame).await?;
        self.0.flush().await
    }
}

impl FrameReader {
    /// The next frame; `None` at the end of the connection.
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
async fn peer_ignoring_goaway_is_disconnected() {
    let fixture = Fixture::new(TLS);
    let limits = Limits {
        max_connection_age: Duration::ZERO,
        request_timeout: Duration::from_secs(1),
        ..Limits::default()
    };
    let server = fixture.open_with(limits, Bytes::from_static(b"up 1\n")).await;
    let (mut writer, mut reader) = peer(&fixture, &server).await;
    let began = Instant::now();
    // The peer never answers the ping that accompanies GOAWAY, without which the server keeps accepting streams.
    let asking = async {
        for stream in (1..).step_by(2) {
            if writer.ask(stream).await.is_err() {
                return;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    let listening = async {
        let (mut got_goaway, mut late) = (false, 0);
        while let Some(frame) = reader.next().await {
            got_goaway |= frame.kind == GOAWAY;
            late += u32::from(got_goaway && frame.kind == HEADERS);
        }
        (got_goaway, late)
    };
    let both = async { tokio::join!(asking, listening).1 };
    let (got_goaway, late) = timeout(TEST_TIMEOUT, both).await.expect("the connection is closed");
    assert!(got_goaway && late > 0, "streams were served for a while after GOAWAY: {late}");
    assert!(began.elapsed() >= Duration::from_secs(1), "streams in flight had their time");
}

#[tokio::test]
async fn request_body_window_is_minimal() {
    let fixture = Fixture::new(TLS);
    let server = fixture.open().await;
    let (mut writer, mut reader) = peer(&fixture, &server).await;
    writer.ask(1).await.unwrap();
    let mut before = Vec::new();
    loop {
        let frame = timeout(TEST_TIMEOUT, reader.next()).await.unwrap().expect("a response");
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
