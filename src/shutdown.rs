//! Stopping: from a signal to a token, and from running tasks to a result that says what was left.
//!
//! Owns: signals and the drain. Never: what the tasks do.

use std::io;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

/// SIGTERM and SIGINT, caught from the moment of [`Signals::install`] on.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Catches the signals, which from now on no longer end the process by themselves.
    ///
    /// # Errors
    ///
    /// If the system refuses the handlers.
    pub fn install() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Cancels `stop` at the first signal, and returns at the second: whoever sends it will not wait, so end the process
    /// at once.
    pub async fn watch(mut self, stop: CancellationToken) {
        let name = self.next().await;
        info!(signal = name, "stopping; a second signal ends at once");
        stop.cancel();
        let name = self.next().await;
        warn!(signal = name, "a second signal: ending at once");
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// How a drain went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "tasks may be left"]
pub struct DrainOutcome {
    /// Tasks that were still running at the deadline; 0 if all ended in time.
    pub remaining: usize,
    /// How long it took.
    pub took: Duration,
}

/// Waits until all tasks of `tracker` have ended, but no longer than `deadline`. Tasks that are left keep running; their
/// owner cuts them off.
pub async fn drain(tracker: &TaskTracker, deadline: Duration) -> DrainOutcome {
    let started = Instant::now();
    tracker.close();
    let left = match timeout(deadline, tracker.wait()).await {
        Ok(()) => 0,
        Err(_) => tracker.len(),
    };
    DrainOutcome { remaining: left, took: started.elapsed() }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::process::Command;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_drain_ends_with_the_last_task() {
        let tracker = TaskTracker::new();
        for seconds in [1, 3] {
            tracker.spawn(tokio::time::sleep(Duration::from_secs(seconds)));
        }
        let drained = drain(&tracker, Duration::from_secs(5)).await;
        assert_eq!(drained, DrainOutcome { remaining: 0, took: Duration::from_secs(3) });
    }

    #[tokio::test(start_paused = true)]
    async fn a_drain_gives_up_at_its_deadline_and_says_how_many_were_left() {
        let tracker = TaskTracker::new();
        tracker.spawn(tokio::time::sleep(Duration::from_secs(1)));
        tracker.spawn(pending::<()>());
        tracker.spawn(pending::<()>());
        let drained = drain(&tracker, Duration::from_secs(5)).await;
        assert_eq!(drained, DrainOutcome { remaining: 2, took: Duration::from_secs(5) });
    }

    async fn send(signal: &str) {
        let process = std::process::id().to_string();
        let kill = format!("kill -{signal} {process}");
        assert!(Command::new("sh").args(["-c", &kill]).status().await.unwrap().success());
    }

    /// One test for both signals, since they reach the whole process.
    #[tokio::test]
    async fn the_first_signal_stops_and_the_second_ends() {
        let stop = CancellationToken::new();
        let mut watching = tokio::spawn(Signals::install().unwrap().watch(stop.clone()));

        send("TERM").await;
        timeout(Duration::from_secs(10), stop.cancelled()).await.expect("the first signal stops");
        assert!(timeout(Duration::from_millis(50), &mut watching).await.is_err(), "and does not end");

        send("INT").await;
        timeout(Duration::from_secs(10), watching).await.expect("the second signal ends").unwrap();
    }
}
