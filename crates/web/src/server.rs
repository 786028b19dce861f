//! The server: accepts connections on all listeners, rejects those over the limit, drains on stop.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info};

use crate::access::AccessControl;
use crate::config::WebConfig;
use crate::connection::ConnectionHandler;
use crate::connection_limit::ConnectionLimiter;
use crate::drain::{DrainOutcome, drain};
use crate::limits::Limits;
use crate::listen_address::ListenAddress;
use crate::listener::{BindError, BoundListener, bind};
use crate::observer::Observer;
use crate::response::Handler;
use crate::stream::{Peer, Stream, reject};

/// Listeners that are bound but do not serve yet.
#[derive(Debug)]
pub struct Server {
    listeners: Vec<BoundListener>,
    limits: Limits,
}

impl Server {
    /// Binds all of `addresses`; port 0 takes a free port. From then on connections queue up.
    ///
    /// # Errors
    ///
    /// If one of the addresses is in use, not of this machine or not permitted, or no usable socket was inherited; then none is
    /// bound.
    pub async fn bind(addresses: &[ListenAddress], limits: Limits) -> Result<Self, BindError> {
        let listeners: Result<Vec<_>, _> = addresses.iter().map(bind).collect();
        Ok(Self { listeners: listeners?.into_iter().flatten().collect(), limits })
    }

    /// The bound addresses, with actual ports.
    pub fn addresses(&self) -> impl Iterator<Item = &ListenAddress> {
        self.listeners.iter().map(|bound| &bound.address)
    }

    /// The first bound TCP address, with its actual port.
    pub fn address(&self) -> Option<SocketAddr> {
        self.addresses().find_map(|address| match address {
            ListenAddress::Socket(address) => Some(*address),
            ListenAddress::AnyAddress(_) | ListenAddress::Unix(_) | ListenAddress::Inherited => None,
        })
    }

    /// Serves `handler` until `stop`, then lets requests in flight finish within [`Limits::drain`] and closes the remaining
    /// connections, which the result counts.
    pub async fn run(
        self,
        handler: Arc<dyn Handler>,
        config: WebConfig,
        observer: Arc<dyn Observer>,
        stop: CancellationToken,
    ) -> DrainOutcome {
        let Self { listeners, limits } = self;
        let access = AccessControl { handler, config, observer };
        let acceptor = Arc::new(Acceptor {
            limiter: ConnectionLimiter::new(limits.connections),
            reject_permits: Arc::new(Semaphore::new(MAX_POLITE_REJECTIONS)),
            tracker: TaskTracker::new(),
            connections: ConnectionHandler::new(access, limits, stop.clone()),
        });
        let accepting = TaskTracker::new();
        for bound in listeners {
            let tls = acceptor.connections.access.config.active().tls().is_some();
            info!(address = %bound.address, tls, "listening");
            let (acceptor, stop) = (Arc::clone(&acceptor), stop.clone());
            accepting.spawn(async move { acceptor.accept_loop(bound, &stop).await });
        }
        accepting.close();
        // Each loop ends with `stop`, and its listener with it.
        accepting.wait().await;
        let outcome = drain(&acceptor.tracker, acceptor.connections.limits.drain).await;
        acceptor.connections.force_close.cancel();
        acceptor.tracker.wait().await;
        outcome
    }
}

/// How long accepting pauses after a local failure, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Connections over the limit that are sent a response at the same time; further ones are just closed.
const MAX_POLITE_REJECTIONS: usize = 64;

const TOO_MANY_CONNECTIONS: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\n\
    Content-Length: 21\r\nRetry-After: 5\r\nConnection: close\r\n\r\ntoo many connections\n";

/// Whether accept(2) failed because of the peer, rather than for a local reason.
fn is_connection_error(reason: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionRefused, ConnectionReset, HostUnreachable, Interrupted, NetworkDown,
        NetworkUnreachable, TimedOut,
    };

    let kinds = [
        ConnectionAborted,
        ConnectionRefused,
        ConnectionReset,
        HostUnreachable,
        Interrupted,
        NetworkDown,
        NetworkUnreachable,
        TimedOut,
    ];
    kinds.contains(&reason.kind())
}

struct Acceptor {
    limiter: Arc<ConnectionLimiter>,
    reject_permits: Arc<Semaphore>,
    tracker: TaskTracker,
    connections: Arc<ConnectionHandler>,
}

impl Acceptor {
    async fn accept_loop(&self, bound: BoundListener, stop: &CancellationToken) {
        while let Some(accepted) = stop.run_until_cancelled(bound.listener.accept()).await {
            match accepted {
                Ok((stream, peer)) => self.on_accept(stream, peer),
                Err(reason) if is_connection_error(&reason) => {
                    debug!(%reason, "connection ended before it was accepted");
                }
                Err(reason) => {
                    self.connections.access.observer.on_accept_failed(&reason);
                    stop.run_until_cancelled(sleep(ACCEPT_PAUSE)).await;
                }
            }
        }
    }

    fn on_accept(&self, stream: Stream, peer: Peer) {
        let connections = Arc::clone(&self.connections);
        let Some(permit) = self.limiter.admit() else { return self.reject(stream) };
        if permit.has_evicted {
            connections.access.observer.on_connection_evicted(connections.limits.connections);
        }
        self.tracker.spawn(async move {
            let serving = connections.serve(stream, peer, permit.activity.clone());
            if permit.evicted.run_until_cancelled(serving).await.is_none() {
                debug!(%peer, "connection closed: evicted in favor of a new one");
            }
        });
    }

    fn reject(&self, stream: Stream) {
        let ConnectionHandler { access, limits, force_close, .. } = &*self.connections;
        access.observer.on_connection_rejected(limits.connections);
        // With TLS a response would cost a handshake.
        if access.config.active().tls().is_none()
            && let Ok(permit) = Arc::clone(&self.reject_permits).try_acquire_owned()
        {
            let rejecting =
                force_close.clone().run_until_cancelled_owned(reject(stream, TOO_MANY_CONNECTIONS));
            self.tracker.spawn(async move {
                rejecting.await;
                drop(permit);
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accept_errors_of_the_peer_are_not_local() {
        for kind in
            [io::ErrorKind::ConnectionAborted, io::ErrorKind::ConnectionReset, io::ErrorKind::HostUnreachable]
        {
            assert!(is_connection_error(&kind.into()), "{kind}");
        }
        let (emfile, enfile, enobufs) = (24, 23, 105);
        for code in [emfile, enfile, enobufs] {
            let error = io::Error::from_raw_os_error(code);
            assert!(!is_connection_error(&error), "{error}");
        }
    }

    #[test]
    fn rejection_has_its_exact_length() {
        let (head, body) = str::from_utf8(TOO_MANY_CONNECTIONS).unwrap().split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())));
    }
}
