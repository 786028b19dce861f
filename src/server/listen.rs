//! The listeners: what is accepted, what is turned away, and the end of all of it.
//!
//! Owns: accepting, who is turned away, and the drain. Never: what is said on a connection, or what is answered.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info};

use super::bind::{BindError, BoundListener, bind, inherited};
use super::connection::ConnectionHandler;
use super::guard::AccessControl;
use super::routes::Routes;
use super::slots::{Admission, ConnectionLimiter, ConnectionPermit};
use super::socket::{Listener, Peer, Stream};
use crate::config::ListenAddress;
use crate::events::Events;
use crate::shutdown::{DrainOutcome, drain};
use crate::web::WebConfig;

/// What a peer may ask of the listeners.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Connections open at once over all listeners, at least 1. Beyond it the one on which nothing has passed for the longest
    /// makes way. Where something is being answered on each, the new one is answered with 503 and closed, and where TLS is spoken
    /// closed at once.
    pub connections: usize,
    /// For a whole TLS handshake.
    pub handshake_timeout: Duration,
    /// For the whole head of a request, and for a kept connection to wait for its next one.
    pub header_read_timeout: Duration,
    /// Size of the head of a request, at least 8192; beyond it the answer is 431.
    pub head_bytes: usize,
    /// Requests under way at once on one connection of HTTP/2, at least 1.
    pub max_concurrent_streams: u32,
    /// How long an answer may wait for a peer that does not read.
    pub write_timeout: Duration,
    /// For a request with its body and its whole answer, however slowly it moves.
    pub request_timeout: Duration,
    /// After so long a connection ends with its next answer, so that no client stays on a certificate, or on a right, of long
    /// ago.
    pub max_connection_age: Duration,
    /// How long running answers may take once the server stops.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 512,
            handshake_timeout: Duration::from_secs(10),
            // Between the usual scrape intervals of 15 s and 30 s, so that no scrape meets a connection that is closing.
            header_read_timeout: Duration::from_secs(20),
            head_bytes: 16 * 1024,
            max_concurrent_streams: 16,
            write_timeout: Duration::from_secs(30),
            // Longer than any scrape timeout; a large page over a poor link has the time that its scraper gives it.
            request_timeout: Duration::from_secs(120),
            max_connection_age: Duration::from_secs(3600),
            drain: Duration::from_secs(5),
        }
    }
}

/// Listeners that are bound but do not answer yet.
#[derive(Debug)]
pub struct Server {
    listeners: Vec<BoundListener>,
    limits: Limits,
    events: Events,
}

impl Server {
    /// Binds all of `addresses`; port 0 takes a free port. From here on connections queue up.
    ///
    /// # Errors
    ///
    /// If an address is taken, not of this machine, or not allowed, or the service manager has handed over nothing that can be
    /// listened on; then none is bound.
    pub async fn bind(
        addresses: &[ListenAddress],
        limits: Limits,
        events: Events,
    ) -> Result<Self, BindError> {
        let mut listeners = Vec::new();
        for address in addresses {
            match address {
                ListenAddress::Inherited => listeners.extend(inherited()?),
                ListenAddress::Socket(_) | ListenAddress::AnyAddress(_) | ListenAddress::Unix(_) => {
                    listeners.push(bind(address)?);
                }
            }
        }
        Ok(Self { listeners, limits, events })
    }

    /// What was bound, with real ports.
    pub fn addresses(&self) -> impl Iterator<Item = &ListenAddress> {
        self.listeners.iter().map(|bound| &bound.address)
    }

    /// The first TCP address that was bound, with its real port.
    pub fn address(&self) -> Option<SocketAddr> {
        self.addresses().find_map(|address| match address {
            ListenAddress::Socket(address) => Some(*address),
            ListenAddress::AnyAddress(_) | ListenAddress::Unix(_) | ListenAddress::Inherited => None,
        })
    }

    /// Answers until `stop`, then lets running answers end within [`Limits::drain`] and cuts off the rest, which is what the
    /// result tells.
    pub async fn run(self, routes: Routes, web: WebConfig, stop: CancellationToken) -> DrainOutcome {
        let Self { listeners, limits, events } = self;
        let guard = AccessControl { routes, web: web.clone(), events: events.clone() };
        let tracker = TaskTracker::new();
        let cut = CancellationToken::new();
        let acceptor = Arc::new(Acceptor {
            slots: ConnectionLimiter::new(limits.connections),
            reject_permits: Arc::new(Semaphore::new(MAX_POLITE_REJECTIONS)),
            tracker: tracker.clone(),
            conversation: ConnectionHandler::new(guard, limits.clone(), stop.clone(), cut.clone()),
            web,
            limits,
            events,
        });
        let accepting = TaskTracker::new();
        for bound in listeners {
            let tls = acceptor.web.served().tls().is_some();
            info!(address = %bound.address, tls, "listening");
            let (door, stop) = (Arc::clone(&acceptor), stop.clone());
            accepting.spawn(async move { door.accept_loop(bound, &stop).await });
        }
        accepting.close();
        // Each ends with `stop`, and its listener with it.
        accepting.wait().await;
        let drained = drain(&tracker, acceptor.limits.drain).await;
        cut.cancel();
        tracker.wait().await;
        drained
    }
}

/// After a failure of this side, such as too many open files, which ends only when connections do.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Connections beyond the cap that get a proper refusal at the same time; further ones are just closed.
const MAX_POLITE_REJECTIONS: usize = 64;

/// Whether accepting failed because of the one peer that was next in line; see accept(2) on network errors.
fn is_connection_error(reason: &io::Error) -> bool {
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

/// Where all listeners lead.
struct Acceptor {
    slots: Arc<ConnectionLimiter>,
    reject_permits: Arc<Semaphore>,
    tracker: TaskTracker,
    conversation: ConnectionHandler,
    web: WebConfig,
    limits: Limits,
    events: Events,
}

impl Acceptor {
    /// Takes connections from `bound` until `stop`.
    async fn accept_loop(&self, bound: BoundListener, stop: &CancellationToken) {
        let listener: &Listener = &bound.listener;
        while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
            match accepted {
                Ok((socket, peer)) => self.on_accept(socket, peer),
                Err(reason) if is_connection_error(&reason) => {
                    debug!(%reason, "a peer left before it was accepted")
                }
                Err(reason) => {
                    self.events.accept_failed(&reason);
                    stop.run_until_cancelled(sleep(ACCEPT_PAUSE)).await;
                }
            }
        }
    }

    fn on_accept(&self, socket: Stream, peer: Peer) {
        match self.slots.admit() {
            Admission::Available(slot) => self.hold(socket, peer, slot),
            Admission::Evicting(slot) => {
                self.events.connection_evicted(self.limits.connections);
                self.hold(socket, peer, slot);
            }
            Admission::Refused => self.reject(socket),
        }
    }

    fn hold(&self, socket: Stream, peer: Peer, slot: ConnectionPermit) {
        let conversation = self.conversation.clone();
        self.tracker.spawn(async move {
            let holding = conversation.serve(socket, peer, slot.pulse.clone());
            if slot.leave.run_until_cancelled(holding).await.is_none() {
                debug!(%peer, "connection closed: nothing passed on it, and another needed its slot");
            }
        });
    }

    fn reject(&self, socket: Stream) {
        self.events.connection_refused(self.limits.connections);
        // Where TLS is spoken a word would cost a handshake.
        if self.web.served().tls().is_none()
            && let Ok(courtesy) = Arc::clone(&self.reject_permits).try_acquire_owned()
        {
            let refusing = self
                .conversation
                .force_close()
                .run_until_cancelled_owned(write_and_close(socket, TOO_MANY_CONNECTIONS));
            self.tracker.spawn(async move {
                refusing.await;
                drop(courtesy);
            });
        }
    }
}

const TOO_MANY_CONNECTIONS: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\n\
    Content-Length: 21\r\nRetry-After: 5\r\nConnection: close\r\n\r\ntoo many connections\n";

/// Says why, and waits a moment for the peer to have read it: closing with its request unread would reset the connection
/// and take the answer back.
pub(super) async fn write_and_close(mut socket: Stream, words: &'static [u8]) {
    let said = async {
        socket.write_all(words).await?;
        socket.shutdown().await?;
        let mut unread = [0; 1024];
        let mut budget = 64;
        while budget > 0 && socket.read(&mut unread).await? > 0 {
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
            assert!(is_connection_error(&kind.into()), "{kind}");
        }
        let (too_many_files_here, too_many_files, no_buffers) = (24, 23, 105);
        for code in [too_many_files_here, too_many_files, no_buffers] {
            let error = io::Error::from_raw_os_error(code);
            assert!(!is_connection_error(&error), "{error}");
        }
    }

    #[test]
    fn the_refusal_is_as_long_as_it_says() {
        let text = str::from_utf8(TOO_MANY_CONNECTIONS).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())));
    }
}
