//! What a scrape shows, and what Prometheus adds to it.
//!
//! Owns: the series that Prometheus makes of a scrape itself. Their names and meanings: "Jobs and instances" of the Prometheus
//! documentation. Never: the numbers of the daemon.

use std::collections::HashSet;
use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use tokio::time::Instant;

use crate::app;
use crate::recorder::Generation;
use crate::selfstats::SelfStats;

/// The start of the process, which is told by the process itself.
const PROCESS_START: &str = "process_start_time_seconds";

/// A Prometheus at the door.
pub(super) struct Scraper {
    /// The daemon's start in the time that it lives through.
    began: DateTime<Utc>,
    known: HashSet<Box<str>>,
}

impl Scraper {
    pub(super) fn new(began: DateTime<Utc>) -> Self {
        Self { began, known: HashSet::new() }
    }

    /// The text of a scrape now, with the series of Prometheus at its end.
    pub(super) fn scrape(&mut self, generation: &Generation, stats: &SelfStats) -> String {
        let started = Instant::now();
        let mut out = Vec::with_capacity(256 << 10);
        app::scrape(generation, stats, &mut out);
        let took = started.elapsed().as_secs_f64();
        // The formats are text by construction.
        let mut text = self.in_its_time(&String::from_utf8_lossy(&out));
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
    fn in_its_time(&self, text: &str) -> String {
        let Some(at) = text.find(&format!("\n{PROCESS_START} ")) else { return text.to_owned() };
        let (before, rest) = text.split_at(at + 1);
        let after = rest.split_once('\n').map_or("", |(_, after)| after);
        format!("{before}{PROCESS_START} {}\n{after}", self.began.timestamp())
    }
}
