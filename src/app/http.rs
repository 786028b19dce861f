//! The HTTP tasks of the daemon: the server, and the watch over its web configuration.

use std::sync::Arc;

use exporter_web::{DrainOutcome, WebConfig};
use polyai_domain::clock::Clock;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::events::Events;
use crate::http::{Routes, Server};

/// The web configuration, and what its watch needs.
pub(super) struct WebConfigWatch {
    pub(super) web: WebConfig,
    pub(super) events: Events,
    pub(super) clock: Clock,
}

/// The running tasks.
#[derive(Debug)]
pub(super) struct HttpTasks {
    server: JoinHandle<DrainOutcome>,
    watch: JoinHandle<()>,
    stop: CancellationToken,
}

impl HttpTasks {
    pub(super) fn spawn(server: Server, routes: Routes, watch: WebConfigWatch) -> Self {
        let WebConfigWatch { web, events, clock } = watch;
        let (observer, stop) = (Arc::new(events), CancellationToken::new());
        let server = server.run(Arc::new(routes), web.clone(), observer.clone(), stop.clone());
        let watch = web.watch(observer, move || clock.now(), stop.clone());
        Self { server: tokio::spawn(server), watch: tokio::spawn(watch), stop }
    }

    /// Waits until one of the two tasks exits, which before [`close`](Self::close) is a bug; returns which.
    pub(super) async fn task_exited(&mut self) -> &'static str {
        tokio::select! {
            _ = &mut self.server => "server",
            _ = &mut self.watch => "watch over the web configuration",
        }
    }

    /// Lets requests in flight finish; returns how many connections were closed before that.
    pub(super) async fn close(self) -> usize {
        let has_exited = self.server.is_finished();
        self.stop.cancel();
        // Reading a file on a hung disk would never end.
        self.watch.abort();
        if has_exited { 0 } else { self.server.await.map_or(0, |outcome| outcome.remaining) }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    /// Tasks that run until the stop.
    fn tasks() -> HttpTasks {
        let stop = CancellationToken::new();
        let server = stop.clone();
        let server = tokio::spawn(async move {
            server.cancelled().await;
            DrainOutcome { remaining: 2, took: Duration::ZERO }
        });
        HttpTasks { server, watch: tokio::spawn(stop.clone().cancelled_owned()), stop }
    }

    #[tokio::test(start_paused = true)]
    async fn running_tasks_do_not_exit() {
        let mut tasks = tasks();
        assert!(timeout(Duration::from_secs(3600), tasks.task_exited()).await.is_err());
        assert_eq!(tasks.close().await, 2);
    }

    #[tokio::test]
    async fn exit_of_either_task_is_reported() {
        let mut without_server = tasks();
        without_server.server = tokio::spawn(async { panic!("a bug") });
        assert_eq!(without_server.task_exited().await, "server");
        assert_eq!(without_server.close().await, 0);

        let mut without_watch = tasks();
        without_watch.watch = tokio::spawn(async { panic!("a bug") });
        assert_eq!(without_watch.task_exited().await, "watch over the web configuration");
        assert_eq!(without_watch.close().await, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn hung_watch_does_not_delay_the_stop() {
        let mut tasks = tasks();
        tasks.watch = tokio::spawn(std::future::pending());
        timeout(Duration::from_secs(1), tasks.close()).await.expect("the watch is aborted");
    }
}
