//! The limit on open connections, and which one is evicted for a newcomer.
//!
//! The least recently active connection is evicted, so peers that open connections and send nothing, or do not read their
//! responses, keep nobody out, from however many addresses they come. A limit per address would do less: behind a proxy or the
//! network address translation of a cluster all peers share one, the probes of the kubelet included.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::activity::ConnectionActivity;

#[derive(Debug)]
pub(crate) struct ConnectionLimiter {
    max: usize,
    connections: Mutex<Connections>,
}

#[derive(Debug, Default)]
struct Connections {
    next: u64,
    open: BTreeMap<u64, (ConnectionActivity, CancellationToken)>,
}

/// The right to one connection, until this is dropped or the connection is evicted.
#[derive(Debug)]
pub(crate) struct ConnectionPermit {
    limiter: Arc<ConnectionLimiter>,
    number: u64,
    pub(crate) activity: ConnectionActivity,
    /// Cancelled when the connection must close at once.
    pub(crate) evicted: CancellationToken,
    /// Whether another connection was evicted for this one.
    pub(crate) has_evicted: bool,
}

impl ConnectionLimiter {
    pub(crate) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { max, connections: Mutex::default() })
    }

    /// `None` if the limit is reached and all connections are waiting for a response to be produced.
    pub(crate) fn admit(self: &Arc<Self>) -> Option<ConnectionPermit> {
        let mut connections = self.connections();
        let has_evicted = connections.open.len() >= self.max;
        if has_evicted {
            let number = connections.least_recently_active()?;
            let (_, evicted) = connections.open.remove(&number)?;
            evicted.cancel();
        }
        let (number, activity, evicted) =
            (connections.next, ConnectionActivity::new(), CancellationToken::new());
        connections.next += 1;
        connections.open.insert(number, (activity.clone(), evicted.clone()));
        Some(ConnectionPermit { limiter: Arc::clone(self), number, activity, evicted, has_evicted })
    }

    fn connections(&self) -> MutexGuard<'_, Connections> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connections {
    /// The evictable connection that has been idle for longest; the older one of two.
    fn least_recently_active(&self) -> Option<u64> {
        let idle =
            self.open.iter().filter_map(|(number, (activity, _))| Some((activity.idle_since()?, number)));
        idle.min().map(|(_, number)| *number)
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.limiter.connections().open.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::advance;

    use super::*;

    fn available(limiter: &Arc<ConnectionLimiter>) -> ConnectionPermit {
        limiter.admit().filter(|permit| !permit.has_evicted).unwrap()
    }

    fn evicting(limiter: &Arc<ConnectionLimiter>) -> ConnectionPermit {
        limiter.admit().filter(|permit| permit.has_evicted).unwrap()
    }

    async fn a_second() {
        advance(Duration::from_secs(1)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn newcomer_evicts_the_least_recently_active() {
        let limiter = ConnectionLimiter::new(3);
        let [oldest, asked, newest] = [available(&limiter), available(&limiter), available(&limiter)];
        a_second().await;
        drop(asked.activity.start_request());
        drop(oldest.activity.start_request());
        a_second().await;
        let newcomer = evicting(&limiter);
        assert!(newest.evicted.is_cancelled() && !newcomer.evicted.is_cancelled());
        let another = evicting(&limiter);
        assert!(oldest.evicted.is_cancelled() && !asked.evicted.is_cancelled(), "of two the older one");
        drop((oldest, newest, another));
        drop(available(&limiter));
        assert!(!asked.evicted.is_cancelled() && !newcomer.evicted.is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn connection_with_pending_handler_is_not_evicted() {
        let limiter = ConnectionLimiter::new(2);
        let (working, stalled) = (available(&limiter), available(&limiter));
        let (_answer, unread) = (working.activity.start_request(), stalled.activity.start_request());
        a_second().await;
        assert!(limiter.admit().is_none());
        unread.record_progress();
        a_second().await;
        let _newcomer = evicting(&limiter);
        assert!(stalled.evicted.is_cancelled() && !working.evicted.is_cancelled());
    }

    #[test]
    fn permit_is_released_when_its_connection_ends() {
        let limiter = ConnectionLimiter::new(1);
        for _ in 0..3 {
            drop(available(&limiter));
        }
        assert!(limiter.connections().open.is_empty());
    }
}
