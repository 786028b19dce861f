//! Whether the daemon is ready, and how many targets still catch up.

use polyai_engine::aggregate::{Metric, TargetSeries};
use polyai_engine::recorder::task::SnapshotCell;

use super::pollers::ReadinessLatches;
use crate::http::Readiness;

/// Ready once every target has been polled or has had a minute for it. A target that catches up exposes its freshness, and the
/// scrapes of the others must not wait until it is done.
pub(super) struct ReadinessProbe {
    latches: ReadinessLatches,
    published: SnapshotCell,
}

impl ReadinessProbe {
    pub(super) fn new(latches: ReadinessLatches, published: SnapshotCell) -> Self {
        Self { latches, published }
    }
}

impl Readiness for ReadinessProbe {
    fn ready(&self) -> Result<Option<String>, String> {
        match self.latches.unset() {
            0 => {}
            1 => return Err("1 target has not been polled yet".to_owned()),
            left => return Err(format!("{left} targets have not been polled yet")),
        }
        let snapshot = self.published.load();
        let catching_up = snapshot.targets.iter().filter(|(_, series)| is_catching_up(series)).count();
        Ok(match catching_up {
            0 => None,
            1 => Some("1 target is catching up and exposes no conversation series yet".to_owned()),
            more => Some(format!("{more} targets are catching up and expose no conversation series yet")),
        })
    }
}

fn is_catching_up(series: &TargetSeries) -> bool {
    series.of(Metric::TargetCatchingUp).any(|(_, series)| series.value.gauge() == Some(1.0))
}
