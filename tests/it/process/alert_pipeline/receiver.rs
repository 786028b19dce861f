//! The webhook receiver at the end of the chain: the notifications that an on-call engineer would get.
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
pub(super) struct Notification {
    pub(super) at: Instant,
    /// The same for all alerts of a message.
    pub(super) message: usize,
    /// The receiver: its path.
    pub(super) to: String,
    pub(super) is_firing: bool,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) annotations: BTreeMap<String, String>,
}

impl Notification {
    pub(super) fn alert(&self) -> &str {
        &self.labels["alertname"]
    }

    /// Empty for alerts about the exporter.
    pub(super) fn project(&self) -> &str {
        self.labels.get("project").map_or("", String::as_str)
    }
}

impl fmt::Display for Notification {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = if self.is_firing { "firing" } else { "resolved" };
        write!(out, "to {}: {} {} {:?}", self.to, self.alert(), status, self.labels)
    }
}

/// Listens until it is dropped.
#[derive(Debug)]
pub(super) struct Receiver {
    pub(super) address: SocketAddr,
    notification: Arc<Mutex<Vec<Notification>>>,
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
        let notification = Arc::<Mutex<Vec<Notification>>>::default();
        let record = notification.clone();
        let listening = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let record = record.clone();
                tokio::spawn(async move {
                    // A message that is cut is sent again.
                    if let Ok((to, message)) = read(stream).await {
                        let mut record = record.lock().unwrap();
                        let number = record.len();
                        record.extend(alerts(number, &to, &message));
                    }
                });
            }
        });
        Self { address, notification, listening }
    }

    /// All that has come since `since`, in order.
    pub(super) fn since(&self, since: Instant) -> Vec<Notification> {
        self.notification
            .lock()
            .unwrap()
            .iter()
            .filter(|notification| notification.at >= since)
            .cloned()
            .collect()
    }

    /// The alerts of which the last word is that they fire.
    pub(super) fn firing(&self) -> Vec<Notification> {
        let mut last = BTreeMap::new();
        for notification in self.notification.lock().unwrap().iter() {
            last.insert((notification.to.clone(), notification.labels.clone()), notification.clone());
        }
        last.into_values().filter(|notification| notification.is_firing).collect()
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

fn alerts(number: usize, to: &str, message: &[u8]) -> Vec<Notification> {
    let message: Value = serde_json::from_slice(message).expect("Alertmanager writes JSON");
    let texts = |value: &Value| serde_json::from_value(value.clone()).expect("labels are texts");
    let alerts = message["alerts"].as_array().expect("a message has alerts");
    let notification = |alert: &Value| Notification {
        at: Instant::now(),
        message: number,
        to: to.trim_start_matches('/').to_owned(),
        is_firing: alert["status"] == "firing",
        labels: texts(&alert["labels"]),
        annotations: texts(&alert["annotations"]),
    };
    alerts.iter().map(notification).collect()
}
