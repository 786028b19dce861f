//! What a scrape shows: the published generation, through the board of finished pages, with the exporter's own metrics.
//!
//! Owns: which board is in use. Never: what a page holds.

use std::io;
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::clock::Clock;
use crate::exporter_metrics::ExporterMetrics;
use crate::exposition::board::{ExpositionCache, FormatOptions};
use crate::exposition::page::{ContentEncoding, EncodedBody};
use crate::exposition::{Family, Format};
use crate::recorder::Snapshot;
use crate::recorder::task::SnapshotCell;
use crate::http::MetricsSource;
use crate::timestamp::Timestamp;

pub(super) struct MetricsProvider {
    published: SnapshotCell,
    stats: ExporterMetrics,
    board: ArcSwap<(FormatOptions, ExpositionCache)>,
    clock: Clock,
}

impl MetricsProvider {
    pub(super) fn new(
        published: SnapshotCell,
        stats: ExporterMetrics,
        shown: FormatOptions,
        clock: Clock,
    ) -> Self {
        Self { published, stats, board: ArcSwap::from_pointee((shown, ExpositionCache::new(shown))), clock }
    }

    /// From now on pages show this.
    pub(super) fn show(&self, shown: FormatOptions) {
        if self.board.load().0 != shown {
            self.board.store(Arc::new((shown, ExpositionCache::new(shown))));
        }
    }
}

impl MetricsSource for MetricsProvider {
    fn generation(&self) -> u64 {
        self.published.load().number
    }

    fn ready(&self, format: Format, coding: ContentEncoding, generation: u64) -> Option<EncodedBody> {
        self.board.load().1.ready(format, coding, generation, Timestamp::from(self.clock.now()))
    }

    fn render(&self, format: Format, coding: ContentEncoding) -> io::Result<EncodedBody> {
        let generation = self.published.load_full();
        let now = Timestamp::from(self.clock.now());
        self.board.load_full().1.render(format, coding, &generation, now, || live(&generation, &self.stats))
    }
}

/// The exporter's own metrics beside `generation`.
pub(crate) fn live(generation: &Snapshot, stats: &ExporterMetrics) -> Vec<Family> {
    stats.set_series(generation.targets.iter().map(|(_, series)| series.len()).sum());
    stats.set_state_bytes(generation.state_bytes);
    stats.gather()
}
