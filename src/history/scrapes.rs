//! What a scrape shows, and what Prometheus adds to it.
//!
//! Owns: the series that Prometheus makes of a scrape itself. Their names and meanings: "Jobs and instances" of the Prometheus
//! documentation. Never: the numbers of the daemon.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::sync::Arc;

use tokio::time::Instant;

use crate::exporter_metrics::ExporterMetrics;
use crate::exposition::{ContentEncoding, ExpositionCache, Family, Format, FormatOptions, Value};
use crate::metrics_source::{SnapshotSource, exposition_timestamp, live_families};
use crate::recorder::Snapshot;
use crate::timestamp::Timestamp;

/// The start of the process, which is told by the process itself.
const PROCESS_START: &str = "process_start_time_seconds";

/// A Prometheus at the door.
pub(super) struct Scraper {
    /// The daemon's start in the time that it lives through.
    began: Timestamp,
    cache: ExpositionCache<SnapshotSource>,
    known: HashSet<Box<str>>,
}

impl Scraper {
    pub(super) fn new(began: Timestamp, shown: FormatOptions) -> Self {
        Self { began, cache: ExpositionCache::new(shown), known: HashSet::new() }
    }

    /// The text of a scrape `now`, with the series of Prometheus at its end.
    pub(super) fn scrape(
        &mut self,
        generation: &Snapshot,
        stats: &ExporterMetrics,
        now: Timestamp,
    ) -> String {
        let started = Instant::now();
        let live = || self.in_its_time(live_families(generation, stats));
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

    /// The process that lives through this time has started later than the daemon that it plays.
    fn in_its_time(&self, mut families: Vec<Family>) -> Vec<Family> {
        for family in families.iter_mut().filter(|family| family.meta.name == PROCESS_START) {
            for series in &mut family.series {
                series.value = Value::Gauge(self.began.seconds().floor());
            }
        }
        families
    }
}
