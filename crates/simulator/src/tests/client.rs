//! A client without mercy or manners: one request per connection, everything as it came.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The response.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: BTreeMap<String, String>,
    /// After the headers, chunk marks removed.
    pub(super) body: Vec<u8>,
    /// Whether the transfer was complete by its own account.
    pub(super) complete: bool,
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(super) fn ids(&self) -> Vec<String> {
        rows(&self.json()).iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
    }
}

/// The conversations of a body, with or without an envelope.
pub(super) fn rows(body: &Value) -> Vec<Value> {
    body.as_array().or_else(|| body["conversations"].as_array()).unwrap().clone()
}

/// Sends a GET with `key`; None if the connection was reset.
pub(super) async fn get(addr: SocketAddr, address: &str, key: &str) -> Option<Answer> {
    send(
        addr,
        &format!("GET {address} HTTP/1.1\r\nhost: sim\r\nx-api-key: {key}\r\nconnection: close\r\n\r\n"),
    )
    .await
}

/// Lists the project `reservations` with `query`.
pub(super) async fn list(addr: SocketAddr, query: &str) -> Answer {
    get(addr, &format!("/us-1/v3/ws-00000001/PROJECT-RESERVATIONS/conversations?{query}"), "demo-key")
        .await
        .unwrap()
}

pub(super) async fn send(addr: SocketAddr, request: &str) -> Option<Answer> {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.ok()?;
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers: BTreeMap<String, String> = lines
        .map(|line| line.split_once(':').unwrap())
        .map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()))
        .collect();
    let rest = &bytes[end + 4..];
    let (body, complete) = match headers.get("content-length") {
        Some(length) => (rest.to_vec(), length.parse() == Ok(rest.len())),
        None => dechunk(rest),
    };
    Some(Answer { status, headers, body, complete })
}

fn dechunk(mut rest: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    while let Some(line) = rest.windows(2).position(|window| window == b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..line]).unwrap(), 16).unwrap();
        if size == 0 {
            return (body, true);
        }
        rest = &rest[line + 2..];
        body.extend_from_slice(&rest[..size.min(rest.len())]);
        rest = rest.get(size + 2..).unwrap_or(&[]);
    }
    (body, false)
}
