//! Supervises a poller task: after a panic its target is down, and restarted after a delay.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use polyai_domain::clock::Clock;
use polyai_domain::problem::Problem;
use polyai_domain::target::TargetKey;
use polyai_domain::timestamp::Timestamp;
use polyai_engine::recorder::task::{RecorderHandle, RecorderStopped};
use polyai_engine::recorder::{PollStatus, TargetIndex};
use tokio::sync::mpsc;
use tokio::task::Id;
use tokio_util::sync::CancellationToken;

use crate::events::Events;
use crate::poller::{FirstPollLatch, Poller};
use crate::status::PollHistory;

/// The cause of the panic probably persists, and each restart reads uncommitted data again.
const RESTART_DELAY: Duration = Duration::from_secs(60);

/// A poller that panicked a while ago and may be restarted.
#[derive(Debug)]
pub(super) struct PollerPanicked {
    pub(super) target: TargetKey,
    /// Its task; the target may have a newer one by now.
    pub(super) task: Id,
}

/// The supervisor of one poller.
pub(super) struct PollerSupervisor {
    pub(super) target: TargetKey,
    pub(super) index: TargetIndex,
    pub(super) first_poll: FirstPollLatch,
    pub(super) clock: Clock,
    pub(super) events: Events,
    pub(super) recorder: RecorderHandle,
    pub(super) history: Arc<PollHistory>,
    pub(super) panicked: mpsc::UnboundedSender<PollerPanicked>,
}

impl PollerSupervisor {
    /// Runs `poller` until `stop`. If it panics, its target is down until [`PollerPanicked`] is sent.
    pub(super) async fn supervise(self, poller: Poller, stop: CancellationToken) {
        if tokio::spawn(poller.run(stop.clone())).await.is_ok() {
            return;
        }
        self.events.poller_panicked(&self.target);
        self.events.problem_started(&self.target, Problem::InternalError);
        let now = Timestamp::from(self.clock.now());
        self.history.poller_panicked(now, now + RESTART_DELAY);
        self.first_poll.set();
        let ahead = self.history.read(|entries| entries.progress.api_ahead_millis);
        let now = Timestamp::from_millis(now.millis().saturating_add(ahead));
        let problems = BTreeSet::from([Problem::InternalError]);
        let missing_fields = BTreeSet::new();
        let status =
            PollStatus { target: self.index, now, up: false, caught_up: false, problems, missing_fields };
        tokio::select! {
            () = stop.cancelled() => {}
            // The recorder is gone only at shutdown.
            Ok(()) = self.report_down(status) => {
                let _ = self.panicked.send(PollerPanicked { target: self.target, task: tokio::task::id() });
            }
        }
    }

    async fn report_down(&self, status: PollStatus) -> Result<(), RecorderStopped> {
        self.recorder.set_poll_status(status).await?;
        tokio::time::sleep(RESTART_DELAY).await;
        Ok(())
    }
}
