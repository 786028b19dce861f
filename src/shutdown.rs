//! Shutdown signals.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// SIGTERM and SIGINT, handled from [`Signals::install`] on.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Installs the handlers.
    ///
    /// # Errors
    ///
    /// If the system refuses.
    pub fn install() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Cancels `stop` at the first signal and returns at the second, when the process should exit immediately.
    pub async fn watch(mut self, stop: CancellationToken) {
        let name = self.next().await;
        info!(signal = name, "stopping; a second signal exits immediately");
        stop.cancel();
        let name = self.next().await;
        warn!(signal = name, "second signal received, exiting immediately");
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::process::Command;
    use tokio::time::timeout;

    use super::*;

    async fn send(signal: &str) {
        let process = std::process::id().to_string();
        let kill = format!("kill -{signal} {process}");
        assert!(Command::new("sh").args(["-c", &kill]).status().await.unwrap().success());
    }

    /// One test for both signals, since they reach the whole process.
    #[tokio::test]
    async fn first_signal_stops_and_second_exits() {
        let stop = CancellationToken::new();
        let mut watching = tokio::spawn(Signals::install().unwrap().watch(stop.clone()));

        send("TERM").await;
        timeout(Duration::from_secs(10), stop.cancelled()).await.expect("the first signal stops");
        assert!(timeout(Duration::from_millis(50), &mut watching).await.is_err(), "and does not exit");

        send("INT").await;
        timeout(Duration::from_secs(10), watching).await.expect("the second signal exits").unwrap();
    }
}
