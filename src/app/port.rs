//! The port while the daemon runs: the server, and the watch over its web configuration.
//!
//! Owns: both tasks, and that neither ends without anybody noticing. Never: what is answered, or what follows from a fall.

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::events::Events;
use crate::server::{Routes, Server};
use crate::shutdown::DrainOutcome;
use crate::web::WebConfig;

/// What the watch over the web configuration needs.
pub(super) struct WebConfigWatch {
    pub(super) web: WebConfig,
    pub(super) events: Events,
    pub(super) clock: Clock,
}

/// The port, which is served.
#[derive(Debug)]
pub(super) struct HttpTasks {
    serving: JoinHandle<DrainOutcome>,
    watching: JoinHandle<()>,
    stop: CancellationToken,
}

impl HttpTasks {
    /// Answers from now on.
    pub(super) fn spawn(server: Server, routes: Routes, watching: WebConfigWatch) -> Self {
        let WebConfigWatch { web, events, clock } = watching;
        let stop = CancellationToken::new();
        let serving = tokio::spawn(server.run(routes, web.clone(), stop.clone()));
        let watching = tokio::spawn(web.watch(events, clock, stop.clone()));
        Self { serving, watching, stop }
    }

    /// Waits until one of the two has ended, which without [`close`](Self::close) only a fault of this program makes it do;
    /// answers which.
    pub(super) async fn task_exited(&mut self) -> &'static str {
        tokio::select! {
            _ = &mut self.serving => "server",
            _ = &mut self.watching => "watch over the web configuration",
        }
    }

    /// Lets running answers end; answers how many connections were cut off.
    pub(super) async fn close(self) -> usize {
        let has_fallen = self.serving.is_finished();
        self.stop.cancel();
        // A look at a file of a disk that hangs would never end.
        self.watching.abort();
        if has_fallen { 0 } else { self.serving.await.map_or(0, |drained| drained.remaining) }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    /// A port whose tasks run until the stop.
    fn port() -> HttpTasks {
        let stop = CancellationToken::new();
        let (serving, watching) = (stop.clone(), stop.clone());
        let serving = tokio::spawn(async move {
            serving.cancelled().await;
            DrainOutcome { remaining: 2, took: Duration::ZERO }
        });
        let watching = tokio::spawn(async move { watching.cancelled().await });
        HttpTasks { serving, watching, stop }
    }

    #[tokio::test(start_paused = true)]
    async fn a_port_that_is_served_does_not_fall() {
        let mut port = port();
        assert!(timeout(Duration::from_secs(3600), port.task_exited()).await.is_err());
        assert_eq!(port.close().await, 2);
    }

    #[tokio::test]
    async fn each_of_its_tasks_is_missed() {
        let mut served = port();
        served.serving = tokio::spawn(async { panic!("a fault of our own") });
        assert_eq!(served.task_exited().await, "server");
        assert_eq!(served.close().await, 0);

        let mut watched = port();
        watched.watching = tokio::spawn(async { panic!("a fault of our own") });
        assert_eq!(watched.task_exited().await, "watch over the web configuration");
        assert_eq!(watched.close().await, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_that_hangs_does_not_hold_up_the_stop() {
        let mut port = port();
        port.watching = tokio::spawn(std::future::pending());
        timeout(Duration::from_secs(1), port.close()).await.expect("it is not waited for");
    }
}
