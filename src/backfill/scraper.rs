//! Scrapes of the replayed daemon, with the series that Prometheus adds to each scrape.
//!
//! See "Jobs and instances" in the Prometheus documentation.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::sync::Arc;

use tokio::time::Instant;

use crate::exporter_metrics::ExporterMetrics;
use crate::metrics_source::{SnapshotSource, exposition_timestamp, live_families};
use exporter_exposition::{ContentEncoding, ExpositionCache, Family, Format, FormatOptions, Value};
use polyai_domain::timestamp::Timestamp;
use polyai_engine::recorder::Snapshot;

/// Shows the start of this process instead of the replayed one.
const PROCESS_START: &str = "process_start_time_seconds";

/// Scrapes as Prometheus does.
pub(super) struct Scraper {
    /// When the replayed daemon started.
    started_at: Timestamp,
    cache: ExpositionCache<SnapshotSource>,
    known: HashSet<Box<str>>,
}

impl Scraper {
    pub(super) fn new(started_at: Timestamp, shown: FormatOptions) -> Self {
        Self { started_at, cache: ExpositionCache::new(shown), known: HashSet::new() }
    }

    /// Returns the text of a scrape `now`, followed by the series that Prometheus adds.
    pub(super) fn scrape(
        &mut self,
        generation: &Snapshot,
        stats: &ExporterMetrics,
        now: Timestamp,
    ) -> String {
        let started = Instant::now();
        let live = || self.with_replayed_start(live_families(generation, stats));
        let source = SnapshotSource::new(Arc::new(generation.clone()));
        let now = exposition_timestamp(now);
        let body = self.cache.render(Format::Text, ContentEncoding::Identity, &source, now, live).to_bytes();
        let took = started.elapsed().as_secs_f64();
        // The format is text by construction.
        let mut text = String::from_utf8_lossy(&body).into_owned();
        let (mut samples, mut added) = (0, 0);
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            samples += 1;
            let series = line.rsplit_once(' ').map_or(line, |(series, _)| series);
            if !self.known.contains(series) {
                self.known.insert(series.into());
                added += 1;
            }
        }
        let own = [
            ("up", "Whether the scrape succeeded.", 1.0),
            ("scrape_duration_seconds", "How long the scrape took.", took),
            ("scrape_samples_scraped", "The samples that were exposed.", f64::from(samples)),
            (
                "scrape_samples_post_metric_relabeling",
                "The samples that were left after relabelling.",
                f64::from(samples),
            ),
            ("scrape_series_added", "The approximate number of new series.", f64::from(added)),
        ];
        for (name, help, value) in own {
            // Writing to a String cannot fail.
            let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}\n");
        }
        text
    }

    fn with_replayed_start(&self, mut families: Vec<Family>) -> Vec<Family> {
        for family in families.iter_mut().filter(|family| family.meta.name == PROCESS_START) {
            for series in &mut family.series {
                series.value = Value::Gauge(self.started_at.seconds().floor());
            }
        }
        families
    }
}
