//! The source of `/metrics`: the published snapshot and the exporter's own metrics.

mod snapshot;

use std::io;
use std::sync::Arc;

use arc_swap::ArcSwap;

pub use snapshot::SnapshotSource;

use crate::exporter_metrics::ExporterMetrics;
use crate::http::MetricsSource;
use exporter_exposition::{
    self, ContentEncoding, EncodedBody, ExpositionCache, Family, Format, FormatOptions,
};
use polyai_domain::clock::Clock;
use polyai_domain::timestamp::Timestamp;
use polyai_engine::recorder::Snapshot;
use polyai_engine::recorder::task::SnapshotCell;

/// Renders the published snapshot with the exporter's own metrics.
pub(crate) struct MetricsProvider {
    published: SnapshotCell,
    metrics: ExporterMetrics,
    cache: ArcSwap<(FormatOptions, ExpositionCache<SnapshotSource>)>,
    clock: Clock,
}

impl MetricsProvider {
    pub(crate) fn new(
        published: SnapshotCell,
        metrics: ExporterMetrics,
        options: FormatOptions,
        clock: Clock,
    ) -> Self {
        Self {
            published,
            metrics,
            cache: ArcSwap::from_pointee((options, ExpositionCache::new(options))),
            clock,
        }
    }

    /// Applies changed options; bodies that are cached under other options are dropped.
    pub(crate) fn set_options(&self, options: FormatOptions) {
        if self.cache.load().0 != options {
            self.cache.store(Arc::new((options, ExpositionCache::new(options))));
        }
    }

    fn now(&self) -> exporter_exposition::Timestamp {
        exposition_timestamp(Timestamp::from(self.clock.now()))
    }
}

impl MetricsSource for MetricsProvider {
    fn generation(&self) -> u64 {
        self.published.load().number
    }

    fn ready(&self, format: Format, encoding: ContentEncoding, generation: u64) -> Option<EncodedBody> {
        self.cache.load().1.get(format, encoding, generation, self.now())
    }

    fn render(&self, format: Format, encoding: ContentEncoding) -> io::Result<EncodedBody> {
        let snapshot = self.published.load_full();
        let source = SnapshotSource::new(snapshot.clone());
        let live = || live_families(&snapshot, &self.metrics);
        Ok(self.cache.load_full().1.render(format, encoding, &source, self.now(), live))
    }
}

/// The exporter's own metrics, next to those of `snapshot`.
pub(crate) fn live_families(snapshot: &Snapshot, metrics: &ExporterMetrics) -> Vec<Family> {
    metrics.set_series(snapshot.targets.iter().map(|(_, series)| series.len()).sum());
    metrics.set_state_bytes(snapshot.state_bytes);
    metrics.gather()
}

/// The same point in time as the exposition has it.
pub(crate) fn exposition_timestamp(at: Timestamp) -> exporter_exposition::Timestamp {
    exporter_exposition::Timestamp::from_millis(at.millis())
}

#[cfg(test)]
mod tests;
