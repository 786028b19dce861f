//! The metrics of past hours, for `demo`: a simulated day is polled, counted and scraped in seconds.
//!
//! The result is a file that Prometheus imports (`promtool tsdb create-blocks-from openmetrics`). Nothing in it is made up: every
//! value was counted from conversations or, for the exporter's own metrics, measured during the replay.

mod openmetrics;
mod replay;
mod samples;
mod scraper;

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

pub use openmetrics::write;
pub use replay::ReplayError;
pub use samples::SampleStore;

use crate::config::Settings;
use polyai_engine::ledger::store::Store;
use polyai_simulator::World;

/// The time to replay, and how it is scraped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackfillSpec {
    /// When the daemon starts.
    pub from: DateTime<Utc>,
    /// When it stops; nothing later is read or written.
    pub until: DateTime<Utc>,
    /// The scrape interval; the first scrape is at `from`.
    pub step: Duration,
    /// The label `job`, which Prometheus adds to every sample.
    pub job: String,
    /// The label `instance`.
    pub instance: String,
}

/// The result of a replay.
#[derive(Debug)]
pub struct BackfillResult {
    /// Every scrape.
    pub samples: SampleStore,
    /// The final state; a daemon started with it continues from there.
    pub store: Store,
}

/// Replays the time of `spec`: a daemon with `settings` polls `world` and is scraped. Blocks until that is done.
///
/// # Errors
/// If the state cannot be written, the simulated API does not respond as it should, or `stop` is cancelled.
pub fn run(
    spec: &BackfillSpec,
    settings: &Settings,
    world: &World,
    stop: &CancellationToken,
) -> Result<BackfillResult, ReplayError> {
    let world = world.clone().with_cache(spec.from, spec.until);
    // The log is about the present.
    tracing::subscriber::with_default(tracing::subscriber::NoSubscriber::default(), || {
        let mut replay = replay::Replay::new(spec, settings, world)?;
        let mut samples = SampleStore::default();
        while let Some((at, scrape)) = replay.next_scrape()? {
            samples.append(at, &scrape);
            if stop.is_cancelled() {
                return Err(ReplayError::Stopped);
            }
        }
        Ok(BackfillResult { samples, store: replay.finish()? })
    })
}

#[cfg(test)]
mod tests;
