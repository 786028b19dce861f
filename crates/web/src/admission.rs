//! Admission to expensive work: a bound on concurrency, and a bounded queue that is fair between clients.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

/// Bounds how much of one kind of work runs at once and how much waits.
///
/// Clients, identified by a key `K`, take turns: in each round, one request of every waiting client is admitted. When the queue is
/// full, a newcomer displaces the last request of the last round, so a client cannot keep others out by filling the queue. The
/// queue is bounded so that waiting requests never occupy all connections.
#[derive(Debug)]
pub struct AdmissionControl<K = ()>(Arc<Mutex<State<K>>>);

#[derive(Debug)]
struct State<K> {
    available: usize,
    max_waiting: usize,
    /// In the order of their rounds.
    queue: VecDeque<Waiting<K>>,
}

#[derive(Debug)]
struct Waiting<K> {
    client: K,
    round: u64,
    sender: oneshot::Sender<Permit<K>>,
}

/// Admission to the work; dropping it admits the next request.
#[derive(Debug)]
pub struct Permit<K = ()>(Option<Arc<Mutex<State<K>>>>);

impl<K: PartialEq> AdmissionControl<K> {
    /// Admits `concurrency` requests at once and lets `max_waiting` others wait.
    pub fn new(concurrency: usize, max_waiting: usize) -> Self {
        let state = State { available: concurrency, max_waiting, queue: VecDeque::new() };
        Self(Arc::new(Mutex::new(state)))
    }

    /// Admission for a request of `client`; `None` if the queue is full or `max_wait` has passed.
    pub async fn acquire(&self, client: K, max_wait: Duration) -> Option<Permit<K>> {
        let receiver = {
            let mut state = lock(&self.0);
            if state.available > 0 {
                state.available -= 1;
                return Some(Permit(Some(Arc::clone(&self.0))));
            }
            state.enqueue(client)?
        };
        timeout(max_wait, receiver).await.ok()?.ok()
    }

    /// How many requests would be admitted at once now.
    pub fn available(&self) -> usize {
        lock(&self.0).available
    }
}

impl<K: PartialEq> State<K> {
    fn enqueue(&mut self, client: K) -> Option<oneshot::Receiver<Permit<K>>> {
        self.queue.retain(|waiting| !waiting.sender.is_closed());
        let own = self.queue.iter().filter(|waiting| waiting.client == client);
        let current = self.queue.front().map_or(0, |next| next.round);
        let round = own.map(|waiting| waiting.round + 1).max().unwrap_or(current);
        if self.queue.len() >= self.max_waiting {
            self.queue.back().filter(|last| last.round > round)?;
            self.queue.pop_back();
        }
        let (sender, receiver) = oneshot::channel();
        let position = self.queue.partition_point(|waiting| waiting.round <= round);
        self.queue.insert(position, Waiting { client, round, sender });
        Some(receiver)
    }
}

impl<K> Drop for Permit<K> {
    fn drop(&mut self) {
        let Some(shared) = self.0.take() else { return };
        loop {
            let next = {
                let mut state = lock(&shared);
                let next = state.queue.pop_front();
                state.available += usize::from(next.is_none());
                next
            };
            let Some(next) = next else { return };
            // A request that no longer waits returns the permit, which must not be dropped as such.
            match next.sender.send(Self(Some(Arc::clone(&shared)))) {
                Ok(()) => return,
                Err(mut returned) => returned.0 = None,
            }
        }
    }
}

fn lock<K>(state: &Mutex<State<K>>) -> MutexGuard<'_, State<K>> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use tokio::task::{JoinHandle, yield_now};
    use tokio::time::Instant;

    use super::*;

    const MAX_WAIT: Duration = Duration::from_secs(10);

    type Order = Arc<Mutex<Vec<&'static str>>>;

    /// Queues a request, which adds `client` to `order` when it is admitted; returns whether it was.
    async fn request(
        admission: &Arc<AdmissionControl<&'static str>>,
        client: &'static str,
        order: &Order,
    ) -> JoinHandle<bool> {
        let (admission, order) = (Arc::clone(admission), Arc::clone(order));
        let request = tokio::spawn(async move {
            let permit = admission.acquire(client, MAX_WAIT).await;
            order.lock().unwrap().extend(permit.is_some().then_some(client));
            permit.is_some()
        });
        yield_now().await;
        request
    }

    #[tokio::test(start_paused = true)]
    async fn queue_overflow_is_rejected_immediately() {
        let (admission, order) = (Arc::new(AdmissionControl::new(1, 2)), Order::default());
        let permit = admission.acquire("a", MAX_WAIT).await.unwrap();
        let waiting = [request(&admission, "a", &order).await, request(&admission, "a", &order).await];
        let started = Instant::now();
        assert!(admission.acquire("a", MAX_WAIT).await.is_none(), "the queue is full");
        assert_eq!(started.elapsed(), Duration::ZERO);
        drop(permit);
        for request in waiting {
            assert!(request.await.unwrap(), "a waiting request is admitted");
        }
        assert_eq!(admission.available(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn waiters_time_out_and_release_their_slot() {
        let admission = AdmissionControl::new(1, 1);
        let permit = admission.acquire((), MAX_WAIT).await.unwrap();
        for _ in 0..3 {
            let started = Instant::now();
            assert!(admission.acquire((), MAX_WAIT).await.is_none());
            assert_eq!(started.elapsed(), MAX_WAIT);
        }
        drop(permit);
        assert_eq!(admission.available(), 1, "a permit is not lost to a request that left");
    }

    #[tokio::test(start_paused = true)]
    async fn clients_are_admitted_in_turn() {
        let (admission, order) = (Arc::new(AdmissionControl::new(1, 9)), Order::default());
        let permit = admission.acquire("a", MAX_WAIT).await.unwrap();
        let mut requests = Vec::new();
        for client in ["a", "a", "a", "b", "c", "b"] {
            requests.push(request(&admission, client, &order).await);
        }
        requests.remove(1).abort();
        yield_now().await;
        drop(permit);
        for request in requests {
            assert!(request.await.unwrap());
        }
        assert_eq!(
            *order.lock().unwrap(),
            ["a", "b", "c", "b", "a"],
            "the second request of a was cancelled"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn newcomer_displaces_the_busiest_client_when_full() {
        let (admission, order) = (Arc::new(AdmissionControl::new(1, 3)), Order::default());
        let permit = admission.acquire("a", MAX_WAIT).await.unwrap();
        let mut requests = Vec::new();
        for client in ["a", "a", "a", "b", "b"] {
            requests.push(request(&admission, client, &order).await);
        }
        drop(permit);
        let mut admitted = Vec::new();
        for request in requests {
            admitted.push(request.await.unwrap());
        }
        assert_eq!(
            admitted,
            [true, true, false, true, false],
            "a second one of b would only turn the tables"
        );
    }
}
