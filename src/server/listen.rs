//! The listener: connections, their limits and their end.
//!
//! Owns: binding, accepting, the cap, the time limits and the drain. Never: what is answered.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info};

use super::patience::Patient;
use super::routes::Routes;
use crate::events::Events;
use crate::shutdown::{Drained, drain};

/// What a peer may ask of the listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Connections open at once, at least 1; beyond it they are answered with 503 and closed.
    pub connections: usize,
    /// For the whole head of a request, and for a kept connection to wait for its next one.
    pub head_timeout: Duration,
    /// Size of the head of a request, at least 8192; beyond it the answer is 431.
    pub head_bytes: usize,
    /// How long an answer may wait for a peer that does not read.
    pub write_timeout: Duration,
    /// How long running answers may take once the server stops.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 512,
            // Between the usual scrape intervals of 15 s and 30 s, so that no scrape meets a connection that is closing.
            head_timeout: Duration::from_secs(20),
            head_bytes: 16 * 1024,
            write_timeout: Duration::from_secs(30),
            drain: Duration::from_secs(5),
        }
    }
}

/// The address could not be bound.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}{}", advice(source.kind()))]
pub struct BindError {
    /// The address asked for (`server.listen`).
    pub address: SocketAddr,
    /// Why not.
    pub source: io::Error,
}

fn advice(kind: io::ErrorKind) -> &'static str {
    if kind == io::ErrorKind::AddrInUse {
        "; another process listens there: stop it, or set server.listen to another port"
    } else if kind == io::ErrorKind::AddrNotAvailable {
        "; this machine has no such address: set server.listen to one it has, or to 0.0.0.0 for all"
    } else if kind == io::ErrorKind::PermissionDenied {
        "; ports below 1024 need a privilege: set server.listen to a higher port"
    } else {
        ""
    }
}

/// A listener that is bound but does not answer yet.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    limits: Limits,
    events: Events,
}

impl Server {
    /// Binds `address`; port 0 takes a free port. From here on connections queue up.
    ///
    /// # Errors
    ///
    /// If the address is taken, not of this machine, or not allowed.
    pub async fn bind(address: SocketAddr, limits: Limits, events: Events) -> Result<Self, BindError> {
        let bound = async {
            let listener = TcpListener::bind(address).await?;
            let address = listener.local_addr()?;
            Ok(Self { listener, address, limits, events })
        };
        bound.await.map_err(|source| BindError { address, source })
    }

    /// The address that was bound, with its real port.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `stop`, then lets running answers end within [`Limits::drain`] and cuts off the rest, which is what
    /// the result tells.
    pub async fn run(self, routes: Routes, stop: CancellationToken) -> Drained {
        let Self { listener, address, limits, events } = self;
        info!(%address, "listening");
        let connections = Connections {
            http: http(&limits),
            slots: Arc::new(Semaphore::new(limits.connections)),
            courtesies: Arc::new(Semaphore::new(COURTESIES)),
            tracker: TaskTracker::new(),
            stop: stop.clone(),
            cut: CancellationToken::new(),
            limits,
            routes,
            events,
        };
        while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
            match accepted {
                Ok((stream, peer)) => connections.take(stream, peer),
                Err(reason) if is_of_the_peer(&reason) => {
                    debug!(%reason, "a peer left before it was accepted")
                }
                Err(reason) => {
                    connections.events.accept_failed(&reason);
                    stop.run_until_cancelled(sleep(ACCEPT_PAUSE)).await;
                }
            }
        }
        drop(listener);
        let drained = drain(&connections.tracker, connections.limits.drain).await;
        connections.cut.cancel();
        connections.tracker.wait().await;
        drained
    }
}

/// After a failure of this side, such as too many open files, which ends only when connections do.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Connections beyond the cap that get a proper refusal at the same time; further ones are just closed.
const COURTESIES: usize = 64;

/// Whether accepting failed because of the one peer that was next in line; see accept(2) on network errors.
fn is_of_the_peer(reason: &io::Error) -> bool {
    use io::ErrorKind as Kind;

    let peers = [
        Kind::ConnectionAborted,
        Kind::ConnectionRefused,
        Kind::ConnectionReset,
        Kind::HostUnreachable,
        Kind::Interrupted,
        Kind::NetworkDown,
        Kind::NetworkUnreachable,
        Kind::TimedOut,
    ];
    peers.contains(&reason.kind())
}

fn http(limits: &Limits) -> http1::Builder {
    let mut http = http1::Builder::new();
    // Without a timer the time limit would panic.
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.head_timeout)
        .max_buf_size(limits.head_bytes.max(8192));
    http
}

struct Connections {
    http: http1::Builder,
    slots: Arc<Semaphore>,
    courtesies: Arc<Semaphore>,
    tracker: TaskTracker,
    /// Finish what is running.
    stop: CancellationToken,
    /// Finish nothing.
    cut: CancellationToken,
    limits: Limits,
    routes: Routes,
    events: Events,
}

impl Connections {
    fn take(&self, stream: TcpStream, peer: SocketAddr) {
        if let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() {
            // An answer is written as a whole; waiting to fill packets only delays its end.
            if let Err(reason) = stream.set_nodelay(true) {
                debug!(%peer, %reason, "cannot set TCP_NODELAY");
            }
            let serving = self.serve(stream, peer);
            self.tracker.spawn(async move {
                serving.await;
                drop(slot);
            });
        } else {
            self.events.connection_refused(self.limits.connections);
            if let Ok(courtesy) = Arc::clone(&self.courtesies).try_acquire_owned() {
                let refusing = self.cut.clone().run_until_cancelled_owned(refuse(stream));
                self.tracker.spawn(async move {
                    refusing.await;
                    drop(courtesy);
                });
            }
        }
    }

    /// Serves one connection of any kind to its end.
    fn serve<S>(&self, stream: S, peer: SocketAddr) -> impl Future<Output = ()> + use<S>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let routes = self.routes.clone();
        let service = service_fn(move |request| {
            let routes = routes.clone();
            async move { Ok::<_, Infallible>(routes.answer(request).await) }
        });
        let stream = TokioIo::new(Patient::new(stream, self.limits.write_timeout));
        let connection = self.http.serve_connection(stream, service);
        let (stop, cut) = (self.stop.clone(), self.cut.clone());
        async move {
            let mut connection = pin!(connection);
            let ended = tokio::select! {
                biased;
                () = cut.cancelled() => return,
                () = stop.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    tokio::select! {
                        () = cut.cancelled() => return,
                        ended = connection => ended,
                    }
                }
                ended = connection.as_mut() => ended,
            };
            if let Err(reason) = ended {
                debug!(%peer, %reason, "connection ended");
            }
        }
    }
}

const BUSY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\n\
    Content-Length: 21\r\nRetry-After: 5\r\nConnection: close\r\n\r\ntoo many connections\n";

/// Says why, and waits a moment for the peer to have read it: closing with its request unread would reset the connection
/// and take the answer back.
async fn refuse(mut stream: TcpStream) {
    let said = async {
        stream.write_all(BUSY).await?;
        stream.shutdown().await?;
        let mut unread = [0; 1024];
        let mut budget = 64;
        while budget > 0 && stream.read(&mut unread).await? > 0 {
            budget -= 1;
        }
        io::Result::Ok(())
    };
    if let Ok(Err(reason)) = timeout(Duration::from_secs(1), said).await {
        debug!(%reason, "a refused peer left early");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accept_errors_are_sorted_by_whose_fault_they_are() {
        let peers = [
            io::ErrorKind::ConnectionAborted,
            io::ErrorKind::ConnectionReset,
            io::ErrorKind::HostUnreachable,
        ];
        for kind in peers {
            assert!(is_of_the_peer(&kind.into()), "{kind}");
        }
        let (too_many_files_here, too_many_files, no_buffers) = (24, 23, 105);
        for code in [too_many_files_here, too_many_files, no_buffers] {
            let error = io::Error::from_raw_os_error(code);
            assert!(!is_of_the_peer(&error), "{error}");
        }
    }

    #[test]
    fn the_refusal_is_as_long_as_it_says() {
        let text = str::from_utf8(BUSY).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())));
    }
}
