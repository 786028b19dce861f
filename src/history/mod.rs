//! Hours that are lived through in seconds: the simulated contact centre, polled and counted by the daemon's own passes and
//! recorder at the times of a past day, and scraped as Prometheus would have.
//!
//! Owns: the order of polls and scrapes in that time, and the file that a Prometheus takes in
//! (`promtool tsdb create-blocks-from openmetrics`). Never: a number of its own; everything in the file was counted from
//! conversations, or, for the exporter's own metrics, measured while it happened. Never used by `serve`.

mod columns;
mod life;
mod openmetrics;
mod scrapes;

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

pub use columns::SampleStore;
pub use life::ReplayError;
pub use openmetrics::write;

use crate::config::Settings;
use crate::ledger::store::Store;
use crate::simulator::World;

/// Which time is lived through, and how it is scraped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackfillSpec {
    /// The daemon starts.
    pub from: DateTime<Utc>,
    /// It stops; nothing later is read or written.
    pub until: DateTime<Utc>,
    /// From one scrape to the next; the first comes at `from`.
    pub step: Duration,
    /// The labels that Prometheus adds to every sample: `job` and `instance`.
    pub job: String,
    /// See [`job`](Self::job).
    pub instance: String,
}

/// What is left of the time that was lived through.
#[derive(Debug)]
pub struct BackfillResult {
    /// Every scrape.
    pub columns: SampleStore,
    /// The state as the daemon left it; one that is started on it goes on counting from there.
    pub store: Store,
}

/// Lives through the time of `plan`: a daemon with these settings reads `world` and is scraped. Takes as long as the work
/// takes, without waiting; to be run where that holds nobody up.
///
/// # Errors
/// When the state cannot be written, the simulated API does not answer as it should (an error in this program), or after `stop`.
pub fn live(
    plan: &BackfillSpec,
    settings: &Settings,
    world: &World,
    stop: &CancellationToken,
) -> Result<BackfillResult, ReplayError> {
    let world = world.clone().with_cache(plan.from, plan.until);
    // The log tells of what happens now, and these things do not.
    tracing::subscriber::with_default(tracing::subscriber::NoSubscriber::default(), || {
        let mut life = life::Replay::begin(plan, settings, world)?;
        let mut columns = SampleStore::default();
        while let Some((at, scrape)) = life.next_scrape()? {
            columns.take(at, &scrape);
            if stop.is_cancelled() {
                return Err(ReplayError::Stopped);
            }
        }
        Ok(BackfillResult { columns, store: life.end()? })
    })
}

#[cfg(test)]
mod tests;
