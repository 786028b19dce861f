//! The webhook receiver at the end of the chain: what an on-call engineer would have been told.
//!
//! Owns: the reading of Alertmanager's messages and their record. Never: what should have come.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// One alert of one message.
#[derive(Debug, Clone)]
pub(super) struct Told {
    pub(super) at: Instant,
    /// The receiver: its path.
    pub(super) to: String,
    pub(super) is_firing: bool,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) annotations: BTreeMap<String, String>,
}

impl Told {
    pub(super) fn alert(&self) -> &str {
        &self.labels["alertname"]
    }

    /// Empty for alerts about the exporter.
    pub(super) fn project(&self) -> &str {
        self.labels.get("project").map_or("", String::as_str)
    }
}

impl fmt::Display for Told {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = if self.is_firing { "firing" } else { "resolved" };
        write!(out, "to {}: {} {} {:?}", self.to, self.alert(), status, self.labels)
    }
}

/// Listens until it is dropped.
#[derive(Debug)]
pub(super) struct Receiver {
    pub(super) address: SocketAddr,
    told: Arc<Mutex<Vec<Told>>>,
    listening: JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

impl Receiver {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let told = Arc::<Mutex<Vec<Told>>>::default();
        let record = told.clone();
        let listening = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let record = record.clone();
                tokio::spawn(async move {
                    // A message that is cut is sent again.
                    if let Ok((to, message)) = read(stream).await {
                        record.lock().unwrap().extend(alerts(&to, &message));
                    }
                });
            }
        });
        Self { address, told, listening }
    }

    /// All that has come since `since`, in order.
    pub(super) fn since(&self, since: Instant) -> Vec<Told> {
        self.told.lock().unwrap().iter().filter(|told| told.at >= since).cloned().collect()
    }

    /// The alerts of which the last word is that they fire.
    pub(super) fn firing(&self) -> Vec<Told> {
        let mut last = BTreeMap::new();
        for told in self.told.lock().unwrap().iter() {
            last.insert((told.to.clone(), told.labels.clone()), told.clone());
        }
        last.into_values().filter(|told| told.is_firing).collect()
    }
}

/// The path and body of one request, which is answered and its connection ended.
async fn read(stream: TcpStream) -> std::io::Result<(String, Vec<u8>)> {
    let mut stream = BufReader::new(stream);
    let (mut path, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        match line.trim_end().split_once(' ') {
            None => break,
            Some(("POST", rest)) => path = rest.split(' ').next().unwrap_or_default().to_owned(),
            Some((name, value)) if name.eq_ignore_ascii_case("content-length:") => {
                length = value.trim().parse().map_err(std::io::Error::other)?;
            }
            Some(_) => {}
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await?;
    stream.shutdown().await?;
    Ok((path, body))
}

fn alerts(to: &str, message: &[u8]) -> Vec<Told> {
    let message: Value = serde_json::from_slice(message).expect("Alertmanager writes JSON");
    let texts = |value: &Value| serde_json::from_value(value.clone()).expect("labels are texts");
    let alerts = message["alerts"].as_array().expect("a message has alerts");
    let told = |alert: &Value| Told {
        at: Instant::now(),
        to: to.trim_start_matches('/').to_owned(),
        is_firing: alert["status"] == "firing",
        labels: texts(&alert["labels"]),
        annotations: texts(&alert["annotations"]),
    };
    alerts.iter().map(told).collect()
}
