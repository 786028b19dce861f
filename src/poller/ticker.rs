//! The ticks of one target, which skip those that come while a poll is running.

use std::time::Duration;

use tokio::time::Instant;

/// Ticks at a fixed interval. One tick that comes while the previous poll is running waits for its end; further ones are skipped.
#[derive(Debug)]
pub(super) struct Ticker {
    interval: Duration,
    next: Instant,
}

impl Ticker {
    /// Ticks first after `phase`, then every `interval`.
    pub(super) fn new(interval: Duration, phase: Duration) -> Self {
        Self { interval, next: Instant::now() + phase }
    }

    /// Waits for the next tick. Returns how many were skipped since the last one.
    pub(super) async fn tick(&mut self) -> u64 {
        tokio::time::sleep_until(self.next).await;
        let late = Instant::now().saturating_duration_since(self.next);
        let skipped = late.as_nanos() / self.interval.as_nanos().max(1);
        let skipped = u32::try_from(skipped).unwrap_or(u32::MAX);
        self.next += self.interval.saturating_mul(skipped.saturating_add(1));
        u64::from(skipped)
    }

    /// The time until the next tick; zero if it is overdue.
    pub(super) fn until_next(&self) -> Duration {
        self.next.saturating_duration_since(Instant::now())
    }

    /// Delays the next tick until `pause` is over. Ticks omitted by that do not count as skipped.
    pub(super) fn pause(&mut self, pause: Duration) {
        self.next = self.next.max(Instant::now() + pause);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn ticks_follow_phase_and_interval() {
        let started = Instant::now();
        let mut ticker = Ticker::new(INTERVAL, Duration::from_secs(7));
        for expected in [7, 37, 67] {
            assert_eq!(ticker.tick().await, 0);
            assert_eq!(started.elapsed().as_secs(), expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn ticks_during_a_poll_are_skipped_but_one() {
        let started = Instant::now();
        let mut ticker = Ticker::new(INTERVAL, Duration::ZERO);
        ticker.tick().await;
        tokio::time::sleep(Duration::from_secs(100)).await;
        assert_eq!(ticker.tick().await, 2);
        assert_eq!(started.elapsed().as_secs(), 100);
        assert_eq!(ticker.tick().await, 0);
        assert_eq!(started.elapsed().as_secs(), 120);
    }

    #[tokio::test(start_paused = true)]
    async fn pause_skips_no_ticks() {
        let started = Instant::now();
        let mut ticker = Ticker::new(INTERVAL, Duration::ZERO);
        ticker.tick().await;
        ticker.pause(Duration::from_secs(300));
        assert_eq!(ticker.until_next(), Duration::from_secs(300));
        assert_eq!(ticker.tick().await, 0);
        assert_eq!(started.elapsed().as_secs(), 300);
    }
}
