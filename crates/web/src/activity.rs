//! Requests in flight on a connection, and how long it has been idle or stalled.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::limits::Limits;

/// The activity of one connection. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct ConnectionActivity(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    in_flight: BTreeMap<u64, InFlight>,
    next: u64,
    idle_since: Instant,
}

#[derive(Debug)]
struct InFlight {
    started: Instant,
    /// When the peer last took some of the response; `None` while the response is being produced.
    progress: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TimeoutKind {
    /// The peer sends no requests.
    Idle,
    /// The response is not produced.
    Handler,
    /// The peer does not read the response, or too slowly.
    WriteStalled,
}

impl ConnectionActivity {
    pub(crate) fn new() -> Self {
        let state = State { in_flight: BTreeMap::new(), next: 0, idle_since: Instant::now() };
        Self(Arc::new(Mutex::new(state)))
    }

    pub(crate) fn start_request(&self) -> RequestGuard {
        let mut state = self.state();
        let number = state.next;
        state.next += 1;
        state.in_flight.insert(number, InFlight { started: Instant::now(), progress: None });
        RequestGuard { activity: self.clone(), number }
    }

    /// When the last byte or request passed; `None` while a response is being produced.
    pub(crate) fn idle_since(&self) -> Option<Instant> {
        let state = self.state();
        if state.in_flight.is_empty() {
            return Some(state.idle_since);
        }
        let progress: Option<Vec<Instant>> =
            state.in_flight.values().map(|request| request.progress).collect();
        progress?.into_iter().max()
    }

    /// Waits until a request takes too long, the peer takes nothing of a response, or there is no request for `idle`, if limited.
    /// hyper limits only the head of a request, and nothing on HTTP/2.
    pub(crate) async fn wait_timeout(&self, limits: &Limits, idle: Option<Duration>) -> TimeoutKind {
        loop {
            let now = Instant::now();
            // Requests come and go while this sleeps, so it never sleeps long.
            let recheck = now + limits.write_timeout.max(Duration::from_millis(10));
            match self.deadline(limits, idle) {
                Some((deadline, kind)) if deadline <= now => return kind,
                Some((deadline, _)) => sleep_until(deadline.min(recheck)).await,
                None => sleep_until(recheck).await,
            }
        }
    }

    fn deadline(&self, limits: &Limits, idle: Option<Duration>) -> Option<(Instant, TimeoutKind)> {
        let state = self.state();
        let of_request = |request: &InFlight| {
            let end = request.started + limits.request_timeout;
            match request.progress {
                None => (end, TimeoutKind::Handler),
                Some(progress) => (end.min(progress + limits.write_timeout), TimeoutKind::WriteStalled),
            }
        };
        match state.in_flight.values().map(of_request).min_by_key(|(deadline, _)| *deadline) {
            Some(first) => Some(first),
            None => idle.map(|idle| (state.idle_since + idle, TimeoutKind::Idle)),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request in flight, until this is dropped.
#[derive(Debug)]
pub(crate) struct RequestGuard {
    activity: ConnectionActivity,
    number: u64,
}

impl RequestGuard {
    /// The response is ready, or the peer has taken some of it.
    pub(crate) fn record_progress(&self) {
        if let Some(request) = self.activity.state().in_flight.get_mut(&self.number) {
            request.progress = Some(Instant::now());
        }
    }
}

impl Drop for RequestGuard {
    fn drop(&mut self) {
        let mut state = self.activity.state();
        state.in_flight.remove(&self.number);
        state.idle_since = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{advance, sleep};

    use super::*;

    async fn exceeded(activity: &ConnectionActivity) -> TimeoutKind {
        let request_timeout = Duration::from_secs(100);
        let limits = Limits { request_timeout, write_timeout: Duration::from_secs(30), ..Limits::default() };
        activity.wait_timeout(&limits, Some(Duration::from_secs(20))).await
    }

    #[tokio::test(start_paused = true)]
    async fn connection_without_requests_times_out() {
        let activity = ConnectionActivity::new();
        let started = Instant::now();
        advance(Duration::from_secs(15)).await;
        drop(activity.start_request());
        assert_eq!(exceeded(&activity).await, TimeoutKind::Idle);
        assert_eq!(started.elapsed(), Duration::from_secs(35));
    }

    #[tokio::test(start_paused = true)]
    async fn stalled_response_times_out_despite_other_requests() {
        let activity = ConnectionActivity::new();
        let started = Instant::now();
        let stalled = activity.start_request();
        stalled.record_progress();
        let busy = activity.clone();
        let others = tokio::spawn(async move {
            loop {
                busy.start_request().record_progress();
                sleep(Duration::from_secs(1)).await;
            }
        });
        assert_eq!(exceeded(&activity).await, TimeoutKind::WriteStalled);
        assert_eq!(started.elapsed(), Duration::from_secs(30));
        others.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn dripping_response_exceeds_the_request_timeout() {
        let activity = ConnectionActivity::new();
        let started = Instant::now();
        let dripping = activity.start_request();
        let drip = async {
            loop {
                sleep(Duration::from_secs(10)).await;
                dripping.record_progress();
            }
        };
        let kind = tokio::select! {
            kind = exceeded(&activity) => kind,
            () = drip => unreachable!("dripping never ends"),
        };
        assert_eq!((kind, started.elapsed()), (TimeoutKind::WriteStalled, Duration::from_secs(100)));
    }

    #[tokio::test(start_paused = true)]
    async fn pending_handler_is_reported_as_handler_timeout() {
        let activity = ConnectionActivity::new();
        let started = Instant::now();
        let _request = activity.start_request();
        assert_eq!(exceeded(&activity).await, TimeoutKind::Handler);
        assert_eq!(started.elapsed(), Duration::from_secs(100));
    }
}
