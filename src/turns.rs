//! Taking turns at dear work on the port: so many at once, so many in line, and no more.
//!
//! Owns: both bounds. Never: the work. The line has an end so that the connections of those who wait in it can never be all that
//! there are: who asks for something that costs nothing is answered however many ask for what does.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// The turns at one kind of work.
#[derive(Debug)]
pub(crate) struct Admission {
    running: Arc<Semaphore>,
    queue: Semaphore,
}

/// A turn; it ends when this is dropped.
pub(crate) type Permit = OwnedSemaphorePermit;

impl Admission {
    /// So many are at work at once; so many wait.
    pub(crate) fn new(at_once: usize, waiting: usize) -> Self {
        Self { running: Arc::new(Semaphore::new(at_once)), queue: Semaphore::new(waiting) }
    }

    /// A turn, waited for in the order of asking; none if the line is full, or `patience` is over.
    pub(crate) async fn acquire(&self, patience: Duration) -> Option<Permit> {
        if let Ok(turn) = Arc::clone(&self.running).try_acquire_owned() {
            return Some(turn);
        }
        let _place = self.queue.try_acquire().ok()?;
        timeout(patience, Arc::clone(&self.running).acquire_owned()).await.ok()?.ok()
    }

    /// Turns that nobody has.
    #[cfg(test)]
    pub(crate) fn available(&self) -> usize {
        self.running.available_permits()
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn those_in_line_wait_for_a_turn_and_those_beyond_it_are_sent_away_at_once() {
        let turns = Arc::new(Admission::new(1, 2));
        let turn = turns.acquire(PATIENCE).await.unwrap();
        let waiting: Vec<_> = (0..2)
            .map(|_| {
                let turns = Arc::clone(&turns);
                tokio::spawn(async move { turns.acquire(PATIENCE).await.is_some() })
            })
            .collect();
        tokio::task::yield_now().await;

        let began = Instant::now();
        assert!(turns.acquire(PATIENCE).await.is_none(), "the line is full");
        assert_eq!(began.elapsed(), Duration::ZERO);
        drop(turn);
        for one in waiting {
            assert!(one.await.unwrap(), "who waits gets its turn");
        }
        assert_eq!(turns.available(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_ever_or_keeps_a_place_that_was_given_up() {
        let turns = Admission::new(1, 1);
        let _turn = turns.acquire(PATIENCE).await.unwrap();
        for _ in 0..3 {
            let began = Instant::now();
            assert!(turns.acquire(PATIENCE).await.is_none());
            assert_eq!(began.elapsed(), PATIENCE);
        }
    }
}
