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
pub(super) struct Pulse(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    underway: BTreeMap<u64, Span>,
    next: u64,
    idle_since: Instant,
}

#[derive(Debug)]
struct Span {
    began: Instant,
    /// When the peer last took some of the answer; none while the answer is being made.
    taken: Option<Instant>,
}

/// How long a connection may do without.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// For a request with its whole answer.
    pub(super) answer: Duration,
    /// For an answer of which the peer takes nothing.
    pub(super) standstill: Duration,
    /// Without a request; none: for ever.
    pub(super) idle: Option<Duration>,
}

/// What has taken too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Overdue {
    /// The peer asks nothing.
    Idle,
    /// The answer is not made.
    Unmade,
    /// The answer is made, and the peer does not read it, or too slowly.
    Untaken,
}

impl Pulse {
    pub(super) fn new() -> Self {
        let state = State { underway: BTreeMap::new(), next: 0, idle_since: Instant::now() };
        Self(Arc::new(Mutex::new(state)))
    }

    /// A request has come.
    pub(super) fn begin(&self) -> Underway {
        let mut state = self.state();
        let number = state.next;
        state.next += 1;
        state.underway.insert(number, Span { began: Instant::now(), taken: None });
        Underway { pulse: self.clone(), number }
    }

    /// Since when nothing has passed on the connection; none while an answer is being made.
    pub(super) fn quiet_since(&self) -> Option<Instant> {
        let state = self.state();
        if state.underway.is_empty() {
            return Some(state.idle_since);
        }
        let taken: Option<Vec<Instant>> = state.underway.values().map(|span| span.taken).collect();
        taken?.into_iter().max()
    }

    /// Waits until something has taken too long.
    pub(super) async fn overdue(&self, patience: Patience) -> Overdue {
        loop {
            let now = Instant::now();
            // Requests come and go meanwhile, so it looks again before long.
            let again = now + patience.standstill.max(Duration::from_millis(10));
            match self.deadline(patience) {
                Some((deadline, what)) if deadline <= now => return what,
                Some((deadline, _)) => sleep_until(deadline.min(again)).await,
                None => sleep_until(again).await,
            }
        }
    }

    fn deadline(&self, patience: Patience) -> Option<(Instant, Overdue)> {
        let state = self.state();
        let of_span = |span: &Span| {
            let whole = span.began + patience.answer;
            match span.taken {
                None => (whole, Overdue::Unmade),
                Some(taken) => (whole.min(taken + patience.standstill), Overdue::Untaken),
            }
        };
        match state.underway.values().map(of_span).min_by_key(|(deadline, _)| *deadline) {
            Some(first) => Some(first),
            None => patience.idle.map(|idle| (state.idle_since + idle, Overdue::Idle)),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that is being answered; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Underway {
    pulse: Pulse,
    number: u64,
}

impl Underway {
    /// The answer is ready, or the peer has taken some of it.
    pub(super) fn taken(&self) {
        if let Some(span) = self.pulse.state().underway.get_mut(&self.number) {
            span.taken = Some(Instant::now());
        }
    }
}

impl Drop for Underway {
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

    const PATIENCE: Patience = Patience {
        answer: Duration::from_secs(100),
        standstill: Duration::from_secs(30),
        idle: Some(Duration::from_secs(20)),
    };

    #[tokio::test(start_paused = true)]
    async fn a_connection_without_requests_is_overdue_after_a_while() {
        let pulse = Pulse::new();
        let began = Instant::now();
        advance(Duration::from_secs(15)).await;
        drop(pulse.begin());
        assert_eq!(pulse.overdue(PATIENCE).await, Overdue::Idle);
        assert_eq!(began.elapsed(), Duration::from_secs(35));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_not_taken_is_overdue_whatever_else_is() {
        let pulse = Pulse::new();
        let began = Instant::now();
        let stalled = pulse.begin();
        stalled.taken();
        let busy = pulse.clone();
        let others = tokio::spawn(async move {
            loop {
                busy.begin().taken();
                sleep(Duration::from_secs(1)).await;
            }
        });
        assert_eq!(pulse.overdue(PATIENCE).await, Overdue::Untaken);
        assert_eq!(began.elapsed(), Duration::from_secs(30));
        others.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_drips_is_overdue_in_the_end() {
        let pulse = Pulse::new();
        let began = Instant::now();
        let dripping = pulse.begin();
        let drip = async {
            loop {
                sleep(Duration::from_secs(10)).await;
                dripping.taken();
            }
        };
        let what = tokio::select! {
            what = pulse.overdue(PATIENCE) => what,
            () = drip => unreachable!("it drips for ever"),
        };
        assert_eq!((what, began.elapsed()), (Overdue::Untaken, Duration::from_secs(100)));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_never_made_is_not_the_fault_of_the_peer() {
        let pulse = Pulse::new();
        let began = Instant::now();
        let _unmade = pulse.begin();
        assert_eq!(pulse.overdue(PATIENCE).await, Overdue::Unmade);
        assert_eq!(began.elapsed(), Duration::from_secs(100));
    }
}
