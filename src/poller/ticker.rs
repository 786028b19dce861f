//! The ticks of one target.
//!
//! Owns: a phase of its own, so that many targets do not ask at once, and the count of ticks that came while the previous
//! poll was still running: one of them waits, the others are refused.

use std::time::Duration;

use tokio::time::Instant;

/// Ticks at a fixed interval from a first one.
#[derive(Debug)]
pub struct Timer {
    interval: Duration,
    next: Instant,
}

impl Timer {
    /// Ticks first after `phase`, then every `interval`.
    pub fn new(interval: Duration, phase: Duration) -> Self {
        Self { interval, next: Instant::now() + phase }
    }

    /// Waits for the next tick; answers how many were refused since the last one.
    pub async fn tick(&mut self) -> u64 {
        tokio::time::sleep_until(self.next).await;
        let late = Instant::now().saturating_duration_since(self.next);
        let skipped = late.as_nanos() / self.interval.as_nanos().max(1);
        let refused = u32::try_from(skipped).unwrap_or(u32::MAX);
        self.next += self.interval.saturating_mul(refused.saturating_add(1));
        u64::from(refused)
    }

    /// How long it is until the next tick is due; zero if it is overdue.
    pub fn until_next(&self) -> Duration {
        self.next.saturating_duration_since(Instant::now())
    }

    /// Lets no tick come before `pause` is over. Those left out on purpose do not count as refused.
    pub fn pause(&mut self, pause: Duration) {
        self.next = self.next.max(Instant::now() + pause);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn ticks_come_at_their_phase_and_then_at_the_interval() {
        let started = Instant::now();
        let mut timer = Timer::new(INTERVAL, Duration::from_secs(7));
        for expected in [7, 37, 67] {
            assert_eq!(timer.tick().await, 0);
            assert_eq!(started.elapsed().as_secs(), expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn while_a_poll_runs_one_tick_waits_and_the_others_are_refused() {
        let started = Instant::now();
        let mut timer = Timer::new(INTERVAL, Duration::ZERO);
        timer.tick().await;
        tokio::time::sleep(Duration::from_secs(100)).await;
        assert_eq!(timer.tick().await, 2);
        assert_eq!(started.elapsed().as_secs(), 100);
        assert_eq!(timer.tick().await, 0);
        assert_eq!(started.elapsed().as_secs(), 120);
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_on_purpose_refuses_nothing() {
        let started = Instant::now();
        let mut timer = Timer::new(INTERVAL, Duration::ZERO);
        timer.tick().await;
        timer.pause(Duration::from_secs(300));
        assert_eq!(timer.until_next(), Duration::from_secs(300));
        assert_eq!(timer.tick().await, 0);
        assert_eq!(started.elapsed().as_secs(), 300);
    }
}
