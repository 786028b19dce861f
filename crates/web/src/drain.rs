//! Waiting for tasks to end, up to a deadline.

use std::time::Duration;

use tokio::time::{Instant, timeout};
use tokio_util::task::TaskTracker;

/// The result of a drain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "tasks may remain"]
pub struct DrainOutcome {
    /// Tasks that were still running at the deadline; 0 if all ended in time.
    pub remaining: usize,
    /// How long it took.
    pub took: Duration,
}

/// Waits until all tasks of `tracker` have ended, at most for `deadline`. Remaining tasks keep running until their owner cancels
/// them.
pub async fn drain(tracker: &TaskTracker, deadline: Duration) -> DrainOutcome {
    let started = Instant::now();
    tracker.close();
    let remaining = match timeout(deadline, tracker.wait()).await {
        Ok(()) => 0,
        Err(_) => tracker.len(),
    };
    DrainOutcome { remaining, took: started.elapsed() }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn drain_ends_with_the_last_task() {
        let tracker = TaskTracker::new();
        for seconds in [1, 3] {
            tracker.spawn(tokio::time::sleep(Duration::from_secs(seconds)));
        }
        let outcome = drain(&tracker, Duration::from_secs(5)).await;
        assert_eq!(outcome, DrainOutcome { remaining: 0, took: Duration::from_secs(3) });
    }

    #[tokio::test(start_paused = true)]
    async fn drain_reports_tasks_left_at_the_deadline() {
        let tracker = TaskTracker::new();
        tracker.spawn(tokio::time::sleep(Duration::from_secs(1)));
        tracker.spawn(pending::<()>());
        tracker.spawn(pending::<()>());
        let outcome = drain(&tracker, Duration::from_secs(5)).await;
        assert_eq!(outcome, DrainOutcome { remaining: 2, took: Duration::from_secs(5) });
    }
}
