//! One HTTP request with a timeout.

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

/// The status and body that `method path` brings.
pub(super) async fn ask(address: SocketAddr, method: &str, path: &str) -> Result<(u16, String), String> {
    let answer = fetch(address, method, path, &[]).await?;
    Ok((answer.status(), String::from_utf8(answer.body).map_err(|error| error.to_string())?))
}

/// An answer as it came.
#[derive(Debug)]
pub(super) struct Answer {
    head: String,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn status(&self) -> u16 {
        self.head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("checked when it was read")
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.head.lines().filter_map(|line| line.split_once(": "));
        headers.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// Returns the response to `method path` with these headers. With HTTP/1.0 it ends with the connection.
pub(super) async fn fetch(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
) -> Result<Answer, String> {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let request = format!("{method} {path} HTTP/1.0\r\nhost: {address}\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    let answer = timeout(PATIENCE, exchange)
        .await
        .map_err(|_| format!("{address}{path}: no answer"))?
        .map_err(|error| format!("{address}{path}: {error}"))?;
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
    let end = end.ok_or_else(|| format!("{address}{path}: no head in {} bytes", answer.len()))?;
    let head = String::from_utf8(answer[..end].to_vec()).map_err(|error| error.to_string())?;
    if head.split(' ').nth(1).and_then(|status| status.parse::<u16>().ok()).is_none() {
        return Err(format!("{address}{path}: no status in {head:?}"));
    }
    Ok(Answer { head, body: answer[end + 4..].to_vec() })
}
