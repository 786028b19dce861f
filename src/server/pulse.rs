//! Whether a connection is alive: what it is asked, what it takes, and how long it has done neither.
//!
//! Owns: the limits on time of a whole answer, of one that is not taken, and of a connection without requests. hyper knows
//! only how long a head may take, and of HTTP/2 nothing at all. Never: what is asked.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// The pulse of one connection. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct ConnectionActivity(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    underway: BTreeMap<u64, InFlight>,
    next: u64,
    idle_since: Instant,
}

#[derive(Debug)]
struct InFlight {
    began: Instant,
    /// When the peer last took some of the answer; none while the answer is being made.
    taken: Option<Instant>,
}

/// How long a connection may do without.
#[derive(Debug, Clone, Copy)]
pub(super) struct ConnectionTimeouts {
    /// For a request with its whole answer.
    pub(super) answer: Duration,
    /// For an answer of which the peer takes nothing.
    pub(super) write_stall: Duration,
    /// Without a request; none: for ever.
    pub(super) idle: Option<Duration>,
}

/// What has taken too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TimeoutKind {
    /// The peer asks nothing.
    Idle,
    /// The answer is not made.
    HandlerTimeout,
    /// The answer is made, and the peer does not read it, or too slowly.
    WriteStalled,
}

impl ConnectionActivity {
    pub(super) fn new() -> Self {
        let state = State { underway: BTreeMap::new(), next: 0, idle_since: Instant::now() };
        Self(Arc::new(Mutex::new(state)))
    }

    /// A request has come.
    pub(super) fn start_request(&self) -> RequestGuard {
        let mut state = self.state();
        let number = state.next;
        state.next += 1;
        state.underway.insert(number, InFlight { began: Instant::now(), taken: None });
        RequestGuard { pulse: self.clone(), number }
    }

    /// Since when nothing has passed on the connection; none while an answer is being made.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        let state = self.state();
        if state.underway.is_empty() {
            return Some(state.idle_since);
        }
        let taken: Option<Vec<Instant>> = state.underway.values().map(|span| span.taken).collect();
        taken?.into_iter().max()
    }

    /// Waits until something has taken too long.
    pub(super) async fn wait_timeout(&self, patience: ConnectionTimeouts) -> TimeoutKind {
        loop {
            let now = Instant::now();
            // Requests come and go meanwhile, so it looks again before long.
            let again = now + patience.write_stall.max(Duration::from_millis(10));
            match self.deadline(patience) {
                Some((deadline, what)) if deadline <= now => return what,
                Some((deadline, _)) => sleep_until(deadline.min(again)).await,
                None => sleep_until(again).await,
            }
        }
    }

    fn deadline(&self, patience: ConnectionTimeouts) -> Option<(Instant, TimeoutKind)> {
        let state = self.state();
        let of_span = |span: &InFlight| {
            let whole = span.began + patience.answer;
            match span.taken {
                None => (whole, TimeoutKind::HandlerTimeout),
                Some(taken) => (whole.min(taken + patience.write_stall), TimeoutKind::WriteStalled),
            }
        };
        match state.underway.values().map(of_span).min_by_key(|(deadline, _)| *deadline) {
            Some(first) => Some(first),
            None => patience.idle.map(|idle| (state.idle_since + idle, TimeoutKind::Idle)),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that is being answered; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct RequestGuard {
    pulse: ConnectionActivity,
    number: u64,
}

impl RequestGuard {
    /// The answer is ready, or the peer has taken some of it.
    pub(super) fn record_progress(&self) {
        if let Some(span) = self.pulse.state().underway.get_mut(&self.number) {
            span.taken = Some(Instant::now());
        }
    }
}

impl Drop for RequestGuard {
    fn drop(&mut self) {
        let mut state = self.pulse.state();
        state.underway.remove(&self.number);
        state.idle_since = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{advance, sleep};

    use super::*;

    const PATIENCE: ConnectionTimeouts = ConnectionTimeouts {
        answer: Duration::from_secs(100),
        write_stall: Duration::from_secs(30),
        idle: Some(Duration::from_secs(20)),
    };

    #[tokio::test(start_paused = true)]
    async fn a_connection_without_requests_is_overdue_after_a_while() {
        let pulse = ConnectionActivity::new();
        let began = Instant::now();
        advance(Duration::from_secs(15)).await;
        drop(pulse.start_request());
        assert_eq!(pulse.wait_timeout(PATIENCE).await, TimeoutKind::Idle);
        assert_eq!(began.elapsed(), Duration::from_secs(35));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_not_taken_is_overdue_whatever_else_is() {
        let pulse = ConnectionActivity::new();
        let began = Instant::now();
        let stalled = pulse.start_request();
        stalled.record_progress();
        let busy = pulse.clone();
        let others = tokio::spawn(async move {
            loop {
                busy.start_request().record_progress();
                sleep(Duration::from_secs(1)).await;
            }
        });
        assert_eq!(pulse.wait_timeout(PATIENCE).await, TimeoutKind::WriteStalled);
        assert_eq!(began.elapsed(), Duration::from_secs(30));
        others.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_drips_is_overdue_in_the_end() {
        let pulse = ConnectionActivity::new();
        let began = Instant::now();
        let dripping = pulse.start_request();
        let drip = async {
            loop {
                sleep(Duration::from_secs(10)).await;
                dripping.record_progress();
            }
        };
        let what = tokio::select! {
            what = pulse.wait_timeout(PATIENCE) => what,
            () = drip => unreachable!("it drips for ever"),
        };
        assert_eq!((what, began.elapsed()), (TimeoutKind::WriteStalled, Duration::from_secs(100)));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_never_made_is_not_the_fault_of_the_peer() {
        let pulse = ConnectionActivity::new();
        let began = Instant::now();
        let _unmade = pulse.start_request();
        assert_eq!(pulse.wait_timeout(PATIENCE).await, TimeoutKind::HandlerTimeout);
        assert_eq!(began.elapsed(), Duration::from_secs(100));
    }
}
