//! Those who ask for the configuration to be read again, and the answer that they share.
//!
//! Owns: that whoever asks gets the outcome of an attempt that began to read after the asking, and that all who ask while one is
//! under way share the next. Nobody who asks often, or does not wait for the answer, makes more of it. Never: the attempt.

use tokio::sync::watch;

use crate::http::{ConfigReloader, ReloadFuture};

/// What made the configuration be read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReloadTrigger {
    /// SIGHUP.
    Signal,
    /// `POST /-/reload`.
    Request,
    /// A file has another content than before.
    Files,
}

impl ReloadTrigger {
    /// For the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Signal => "SIGHUP",
            Self::Request => "POST /-/reload",
            Self::Files => "file change",
        }
    }
}

/// What changed, or why nothing was changed; for people, may have several lines.
pub(super) type Outcome = Result<String, String>;

/// The way to have the configuration read again.
#[derive(Debug, Clone)]
pub struct ReloadHandle {
    asked: watch::Sender<ReloadRequest>,
    answered: watch::Receiver<ReloadResponse>,
}

/// How often somebody has asked until now, and what the last one was.
#[derive(Debug, Clone, Copy)]
pub(super) struct ReloadRequest {
    count: u64,
    pub(super) trigger: ReloadTrigger,
}

/// The last attempt that somebody had asked for.
#[derive(Debug)]
struct ReloadResponse {
    /// How often somebody had asked when it began.
    count: u64,
    outcome: Outcome,
}

/// The other side: whoever makes the attempts.
#[derive(Debug)]
pub(super) struct ReloadReceiver {
    asked: watch::Receiver<ReloadRequest>,
    answered: watch::Sender<ReloadResponse>,
}

/// Both sides.
pub(super) fn asks() -> (ReloadHandle, ReloadReceiver) {
    let (outbox, asked) = watch::channel(ReloadRequest { count: 0, trigger: ReloadTrigger::Signal });
    let (answered, inbox) = watch::channel(ReloadResponse { count: 0, outcome: Ok(String::new()) });
    (ReloadHandle { asked: outbox, answered: inbox }, ReloadReceiver { asked, answered })
}

impl ReloadHandle {
    /// Has it read, and answers what changed. Whoever stops waiting for the answer has asked all the same.
    ///
    /// # Errors
    /// Why nothing was changed, for people; may have several lines.
    pub async fn reload(&self, trigger: ReloadTrigger) -> Result<String, String> {
        let mut own = 0;
        self.asked.send_modify(|asked| {
            own = asked.count + 1;
            *asked = ReloadRequest { count: own, trigger };
        });
        match self.answered.clone().wait_for(|answered| answered.count >= own).await {
            Ok(answered) => answered.outcome.clone(),
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
    /// Waits until somebody has asked since the last time. May be dropped at any time.
    pub(super) async fn next(&mut self) -> ReloadRequest {
        match self.asked.changed().await {
            Ok(()) => *self.asked.borrow_and_update(),
            // Nobody is left who could ask.
            Err(_) => std::future::pending().await,
        }
    }

    /// Tells the outcome of an attempt to all who had asked before it.
    pub(super) fn answer(&self, asked: ReloadRequest, outcome: Outcome) {
        self.answered.send_replace(ReloadResponse { count: asked.count, outcome });
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::{JoinHandle, yield_now};

    use super::*;

    async fn ask(reloads: &ReloadHandle, trigger: ReloadTrigger) -> JoinHandle<Outcome> {
        let reloads = reloads.clone();
        let asking = tokio::spawn(async move { reloads.reload(trigger).await });
        yield_now().await;
        asking
    }

    #[tokio::test]
    async fn requests_during_reload_are_coalesced() {
        let (reloads, mut asks) = asks();
        let first = ask(&reloads, ReloadTrigger::Signal).await;
        let under_way = asks.next().await;
        assert_eq!(under_way.trigger, ReloadTrigger::Signal);
        let mut later = Vec::new();
        for _ in 0..1000 {
            later.push(ask(&reloads, ReloadTrigger::Request).await);
        }
        asks.answer(under_way, Ok("first".to_owned()));
        assert_eq!(first.await.unwrap(), Ok("first".to_owned()));
        yield_now().await;
        assert!(later.iter().all(|asking| !asking.is_finished()), "it began to read before they asked");
        let next = asks.next().await;
        asks.answer(next, Err("second".to_owned()));
        for asking in later {
            assert_eq!(asking.await.unwrap(), Err("second".to_owned()));
        }
        tokio::select! {
            biased;
            _ = asks.next() => panic!("there is nothing left to answer"),
            () = yield_now() => {}
        }
    }

    #[tokio::test]
    async fn abandoned_requests_trigger_one_reload() {
        let (reloads, mut asks) = asks();
        for _ in 0..100 {
            ask(&reloads, ReloadTrigger::Request).await.abort();
        }
        let asked = asks.next().await;
        asks.answer(asked, Ok("all".to_owned()));
        tokio::select! {
            biased;
            _ = asks.next() => panic!("one attempt was for all"),
            () = yield_now() => {}
        }
    }

    #[tokio::test]
    async fn waiting_requests_are_answered_on_shutdown() {
        let (reloads, asks) = asks();
        let waiting = ask(&reloads, ReloadTrigger::Request).await;
        drop(asks);
        assert_eq!(waiting.await.unwrap().unwrap_err(), "the program is stopping");
        assert_eq!(reloads.reload(ReloadTrigger::Signal).await.unwrap_err(), "the program is stopping");
    }
}
