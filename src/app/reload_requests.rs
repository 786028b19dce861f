//! Requests for reloads, coalesced: all requests during a reload share the next one.
//!
//! Every request gets the outcome of a reload that began after it, and a caller that stops waiting changes nothing.

use tokio::sync::watch;

use crate::http::{ConfigReloader, ReloadFuture};

/// The cause of a reload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReloadTrigger {
    /// SIGHUP.
    Signal,
    /// `POST /-/reload`.
    Request,
    /// A changed file.
    Files,
}

impl ReloadTrigger {
    /// The name in the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Signal => "SIGHUP",
            Self::Request => "POST /-/reload",
            Self::Files => "file change",
        }
    }
}

/// The changes, or the reason there are none; may have several lines.
pub(super) type Outcome = Result<String, String>;

/// Requests reloads.
#[derive(Debug, Clone)]
pub struct ReloadHandle {
    requests: watch::Sender<ReloadRequest>,
    responses: watch::Receiver<ReloadResponse>,
}

/// The latest request.
#[derive(Debug, Clone, Copy)]
pub(super) struct ReloadRequest {
    /// The number of requests so far.
    count: u64,
    pub(super) trigger: ReloadTrigger,
}

/// The latest response.
#[derive(Debug)]
struct ReloadResponse {
    /// The number of requests that it answers.
    count: u64,
    outcome: Outcome,
}

/// Receives requests and answers them.
#[derive(Debug)]
pub(super) struct ReloadReceiver {
    requests: watch::Receiver<ReloadRequest>,
    responses: watch::Sender<ReloadResponse>,
}

pub(super) fn channel() -> (ReloadHandle, ReloadReceiver) {
    let (request_sender, requests) =
        watch::channel(ReloadRequest { count: 0, trigger: ReloadTrigger::Signal });
    let (responses, response_receiver) =
        watch::channel(ReloadResponse { count: 0, outcome: Ok(String::new()) });
    let handle = ReloadHandle { requests: request_sender, responses: response_receiver };
    (handle, ReloadReceiver { requests, responses })
}

impl ReloadHandle {
    /// Requests a reload and returns the changes.
    ///
    /// # Errors
    /// The reason the reload failed; may have several lines.
    pub async fn reload(&self, trigger: ReloadTrigger) -> Result<String, String> {
        let mut own = 0;
        self.requests.send_modify(|request| {
            own = request.count + 1;
            *request = ReloadRequest { count: own, trigger };
        });
        match self.responses.clone().wait_for(|response| response.count >= own).await {
            Ok(response) => response.outcome.clone(),
            Err(_) => Err("the program is stopping".to_owned()),
        }
    }
}

impl ConfigReloader for ReloadHandle {
    fn reload(&self) -> ReloadFuture<'_> {
        Box::pin(self.reload(ReloadTrigger::Request))
    }
}

impl ReloadReceiver {
    /// Waits for a request. Cancel safe.
    pub(super) async fn next(&mut self) -> ReloadRequest {
        match self.requests.changed().await {
            Ok(()) => *self.requests.borrow_and_update(),
            // All handles are dropped.
            Err(_) => std::future::pending().await,
        }
    }

    /// Answers all requests up to `request`.
    pub(super) fn answer(&self, request: ReloadRequest, outcome: Outcome) {
        self.responses.send_replace(ReloadResponse { count: request.count, outcome });
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::{JoinHandle, yield_now};

    use super::*;

    async fn request(reloads: &ReloadHandle, trigger: ReloadTrigger) -> JoinHandle<Outcome> {
        let reloads = reloads.clone();
        let requesting = tokio::spawn(async move { reloads.reload(trigger).await });
        yield_now().await;
        requesting
    }

    #[tokio::test]
    async fn requests_during_reload_are_coalesced() {
        let (reloads, mut receiver) = channel();
        let first = request(&reloads, ReloadTrigger::Signal).await;
        let running = receiver.next().await;
        assert_eq!(running.trigger, ReloadTrigger::Signal);
        let mut later = Vec::new();
        for _ in 0..1000 {
            later.push(request(&reloads, ReloadTrigger::Request).await);
        }
        receiver.answer(running, Ok("first".to_owned()));
        assert_eq!(first.await.unwrap(), Ok("first".to_owned()));
        yield_now().await;
        assert!(
            later.iter().all(|waiting| !waiting.is_finished()),
            "the running reload began before these requests"
        );
        let next = receiver.next().await;
        receiver.answer(next, Err("second".to_owned()));
        for waiting in later {
            assert_eq!(waiting.await.unwrap(), Err("second".to_owned()));
        }
        tokio::select! {
            biased;
            _ = receiver.next() => panic!("nothing is left to answer"),
            () = yield_now() => {}
        }
    }

    #[tokio::test]
    async fn abandoned_requests_trigger_one_reload() {
        let (reloads, mut receiver) = channel();
        for _ in 0..100 {
            request(&reloads, ReloadTrigger::Request).await.abort();
        }
        let request = receiver.next().await;
        receiver.answer(request, Ok("all".to_owned()));
        tokio::select! {
            biased;
            _ = receiver.next() => panic!("one reload answers all"),
            () = yield_now() => {}
        }
    }

    #[tokio::test]
    async fn waiting_requests_are_answered_on_shutdown() {
        let (reloads, receiver) = channel();
        let waiting = request(&reloads, ReloadTrigger::Request).await;
        drop(receiver);
        assert_eq!(waiting.await.unwrap().unwrap_err(), "the program is stopping");
        assert_eq!(reloads.reload(ReloadTrigger::Signal).await.unwrap_err(), "the program is stopping");
    }
}
