//! One HTTP request on the loopback interface.
//!
//! Owns: the request and the reading of its answer, both bounded in time. Never: what the answer means.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(30);

/// The status and body that `GET path` brings.
pub(super) async fn get(address: SocketAddr, path: &str) -> Result<(u16, String), String> {
    ask(address, "GET", path).await
}

/// The status and body that `method path` brings. HTTP 1.0, so that the answer ends with the connection.
pub(super) async fn ask(address: SocketAddr, method: &str, path: &str) -> Result<(u16, String), String> {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        let request = format!("{method} {path} HTTP/1.0\r\nhost: {address}\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    let answer = timeout(PATIENCE, exchange)
        .await
        .map_err(|_| format!("{address}{path}: no answer"))?
        .map_err(|error| format!("{address}{path}: {error}"))?;
    let answer = String::from_utf8(answer).map_err(|error| error.to_string())?;
    let (head, body) =
        answer.split_once("\r\n\r\n").ok_or_else(|| format!("{address}{path}: no head in {answer:?}"))?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    Ok((status.ok_or_else(|| format!("{address}{path}: no status in {head:?}"))?, body.to_owned()))
}
