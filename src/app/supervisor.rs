//! A poller that falls over a fault of this program.
//!
//! Owns: that its target says so, as of any failed poll, and is left alone for a while; the other targets never notice. Never:
//! the new beginning, which is the fleet's.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::Id;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::events::Events;
use crate::problem::Problem;
use crate::recorder::task::{RecorderHandle, RecorderStopped};
use crate::recorder::{PollStatus, TargetIndex};
use crate::poller::{FirstPollLatch, Poller};
use crate::status::PollHistory;
use crate::target::TargetKey;
use crate::timestamp::Timestamp;

/// How long a target is left alone after its poller fell: what made it fall is likely to be there still, and each time costs
/// the reading of what was not committed.
const RESTART_DELAY: Duration = Duration::from_secs(60);

/// A poller that fell, a while ago.
#[derive(Debug)]
pub(super) struct PollerPanicked {
    /// Whose it was.
    pub(super) target: TargetKey,
    /// The task that it ran under; another may have taken its place since.
    pub(super) task: Id,
}

/// Who stays beside a poller until it ends.
pub(super) struct PollerSupervisor {
    pub(super) target: TargetKey,
    pub(super) index: TargetIndex,
    pub(super) tried: FirstPollLatch,
    pub(super) clock: Clock,
    pub(super) events: Events,
    pub(super) recorder: RecorderHandle,
    pub(super) history: Arc<PollHistory>,
    pub(super) fallen: mpsc::UnboundedSender<PollerPanicked>,
}

impl PollerSupervisor {
    /// Runs `poller` until `stop`. Should it fall, its target is down until [`PollerPanicked`] is sent.
    pub(super) async fn supervise(self, poller: Poller, stop: CancellationToken) {
        if tokio::spawn(poller.run(stop.clone())).await.is_ok() {
            return;
        }
        self.events.poller_panicked(&self.target);
        self.events.problem_started(&self.target, Problem::InternalError);
        let here = Timestamp::from(self.clock.now());
        self.history.poller_panicked(here, here + RESTART_DELAY);
        self.tried.set();
        let ahead = self.history.read(|entries| entries.progress.api_ahead_millis);
        let now = Timestamp::from_millis(here.millis().saturating_add(ahead));
        let problems = BTreeSet::from([Problem::InternalError]);
        let status = PollStatus { target: self.index, now, up: false, problems };
        tokio::select! {
            () = stop.cancelled() => {}
            // The recorder is gone only when the program stops.
            Ok(()) = self.report_down(status) => {
                let _ = self.fallen.send(PollerPanicked { target: self.target, task: tokio::task::id() });
            }
        }
    }

    async fn report_down(&self, status: PollStatus) -> Result<(), RecorderStopped> {
        self.recorder.set_poll_status(status).await?;
        tokio::time::sleep(RESTART_DELAY).await;
        Ok(())
    }
}
