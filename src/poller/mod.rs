//! The task that polls one target: it performs the commands of its [`PollSession`].

mod backoff;
pub(crate) mod report;
mod ticker;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use polyai_api::ConversationList;
use polyai_domain::clock::Clock;
use polyai_domain::target::TargetKey;
use polyai_domain::timestamp::Timestamp;
use polyai_engine::poll_session::{Command, PollSession, SessionTime};
use polyai_engine::recorder::BatchOutcome;
use polyai_engine::recorder::task::{PendingCommit, RecorderHandle, RecorderStopped};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::backoff::Backoff;
use self::ticker::Ticker;
use crate::events::Events;
use crate::exporter_metrics::ExporterMetrics;
use crate::status::PollHistory;

/// A target that has not been polled by then does not keep the scrapes of the others away.
const MAX_FIRST_POLL: Duration = Duration::from_secs(60);

/// One target's poller.
#[derive(Debug)]
pub struct Poller {
    /// The target.
    pub target: TargetKey,
    /// What to do in each poll.
    pub session: PollSession,
    /// The target's list at the API.
    pub list: ConversationList,
    /// `polling.interval`
    pub interval: Duration,
    /// How long the first poll is delayed, so that targets do not poll in step.
    pub phase: Duration,
    /// Takes batches.
    pub recorder: RecorderHandle,
    /// This machine's clock.
    pub clock: Clock,
    /// The log.
    pub events: Events,
    /// The exporter's own metrics.
    pub stats: ExporterMetrics,
    /// Refetch requests per poll.
    pub refetch_budget: RefetchBudget,
    /// Set after the first poll.
    pub first_poll: FirstPollLatch,
    /// What the status page shows of the polls.
    pub history: Arc<PollHistory>,
}

impl Poller {
    /// Polls until `stop`. The current poll is then dropped; what it has not committed is read again.
    pub async fn run(self, stop: CancellationToken) {
        let poll_loop = PollLoop {
            ticker: Ticker::new(self.interval, self.phase),
            poller: self,
            backoff: Backoff::default(),
            origin: Instant::now(),
            pending: None,
        };
        tokio::select! {
            () = stop.cancelled() => {}
            // The recorder stops only with the program.
            _ = poll_loop.run() => {}
        }
    }
}

struct PollLoop {
    poller: Poller,
    ticker: Ticker,
    backoff: Backoff,
    /// The origin of the session's steady clock.
    origin: Instant,
    /// The batch that is being committed while the next window is read.
    pending: Option<PendingCommit>,
}

impl PollLoop {
    async fn run(mut self) -> Result<(), RecorderStopped> {
        self.poller.history.set_first_due(self.next_poll());
        loop {
            for _ in 0..self.ticker.tick().await {
                self.poller.events.poll_skipped(&self.poller.target);
            }
            // Allocated only while a poll runs: of thousands of targets, few are polled at one moment.
            Box::pin(self.poll()).await?;
            self.poller.first_poll.set();
        }
    }

    async fn poll(&mut self) -> Result<(), RecorderStopped> {
        let started = Instant::now();
        self.poller.history.poll_started(self.wall_time());
        self.poller.session.set_refetch_budget(self.poller.refetch_budget.requests());
        self.poller.session.start(self.session_time());
        while let Some(command) = self.poller.session.next_command(self.session_time()) {
            match command {
                Command::Fetch(plan, limit) => {
                    let result = self.poller.list.fetch(plan.window, plan.filter, limit).await;
                    self.poller.session.on_fetched(result, self.session_time());
                }
                Command::Submit(batch) => self.pending = Some(self.poller.recorder.record(batch).await?),
                Command::AwaitCommit => {
                    let outcome = match self.pending.take() {
                        Some(pending) => pending.wait_committed().await?,
                        None => BatchOutcome::default(),
                    };
                    self.poller.session.on_committed(&outcome, self.session_time());
                }
                Command::Notify(notice) => {
                    report::log_notice(&self.poller.events, &self.poller.target, &notice);
                }
                Command::Report(report) => self.report(report, started.elapsed()).await?,
            }
        }
        Ok(())
    }

    fn session_time(&self) -> SessionTime {
        let reading = self.poller.clock.read();
        let server_clock = &self.poller.list.server_clock;
        SessionTime {
            api: Timestamp::from(server_clock.at(reading)),
            steady: reading.steady.saturating_duration_since(self.origin),
            certain: server_clock.is_certain(),
            skewed: server_clock.skew_seconds(reading).is_some(),
        }
    }

    fn wall_time(&self) -> Timestamp {
        Timestamp::from(self.poller.clock.now())
    }

    /// When the next poll is due, on this machine's clock.
    fn next_poll(&self) -> Timestamp {
        self.wall_time() + self.ticker.until_next()
    }
}

/// Whether a target has been polled at all, successfully or not, or has had a minute for it. Clones share it.
#[derive(Debug, Clone)]
pub struct FirstPollLatch {
    polled: Arc<AtomicBool>,
    created: Instant,
}

impl Default for FirstPollLatch {
    fn default() -> Self {
        Self { polled: Arc::default(), created: Instant::now() }
    }
}

impl FirstPollLatch {
    /// Whether it is set.
    pub fn is_set(&self) -> bool {
        self.polled.load(Ordering::Relaxed) || self.created.elapsed() >= MAX_FIRST_POLL
    }

    /// Sets it for good.
    pub fn set(&self) {
        self.polled.store(true, Ordering::Relaxed);
    }
}

/// How many refetch requests per poll the rate limit of an API key leaves each of its targets. Clones share it: it changes while
/// pollers run, as targets that use the key come and go.
#[derive(Debug, Clone)]
pub struct RefetchBudget(Arc<AtomicUsize>);

impl RefetchBudget {
    /// A budget of `requests` per poll.
    pub fn new(requests: usize) -> Self {
        Self(Arc::new(AtomicUsize::new(requests)))
    }

    /// Sets the budget from the next poll on.
    pub fn set(&self, requests: usize) {
        self.0.store(requests, Ordering::Relaxed);
    }

    /// The current budget.
    pub fn requests(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}
