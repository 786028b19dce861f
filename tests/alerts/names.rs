//! The known series and their labels, from the metric catalogues and the recording rules.

use std::collections::BTreeSet;

use exporter_exposition::Kind;
use polyai_engine::aggregate::Kind as Metric;
use polyai_engine::aggregate::catalogue::{CATALOGUE, TARGET_LABELS};
use polyai_exporter::config::Dimension;
use polyai_exporter::exporter_metrics::ExporterMetrics;

/// The type and labels of a series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Series {
    /// Whether it only grows, so that only `increase` and the like make sense of it.
    pub(crate) is_counter: bool,
    pub(crate) labels: BTreeSet<String>,
}

/// The labels of recorded series.
const RECORDED: [&str; 4] = ["project", "region", "client_env", "slo"];

/// Returns the series called `name`; `recorded` are the names that rules record.
pub(crate) fn series(name: &str, recorded: &BTreeSet<String>) -> Option<Series> {
    let found = |is_counter: bool, labels: &[&str]| {
        Some(Series { is_counter, labels: labels.iter().map(|label| (*label).to_owned()).collect() })
    };
    if name == "up" {
        return found(false, &["job", "instance"]);
    }
    if recorded.contains(name) {
        return found(false, &RECORDED);
    }
    let dimensions = [Dimension::Channel.as_str(), Dimension::Variant.as_str()];
    for definition in &CATALOGUE {
        if let Some((is_counter, le)) =
            part(name, definition.name, matches!(definition.kind, Metric::Histogram(_)))
        {
            // What Prometheus renames them to if the scrape target has labels of these names.
            let renamed: &[&str] = match definition.name {
                "polyai_target_up" => &["exported_project", "exported_region", "exported_client_env"],
                _ => &[],
            };
            let own = definition.labels.names(&dimensions);
            let labels = [&TARGET_LABELS[..], &own, &["job", "instance"], le, renamed].concat();
            return found(is_counter || definition.kind == Metric::Counter, &labels);
        }
    }
    for entry in ExporterMetrics::catalogue() {
        if let Some((is_counter, le)) = part(name, &entry.name, entry.kind == Kind::Histogram) {
            return found(
                is_counter || entry.kind == Kind::Counter,
                &[entry.labels, &["job", "instance"], le].concat(),
            );
        }
    }
    None
}

/// Whether `name` is the metric `of`, or a part of that histogram: then a counter, with the labels that the part adds.
fn part(name: &str, of: &str, is_histogram: bool) -> Option<(bool, &'static [&'static str])> {
    match (name.strip_prefix(of)?, is_histogram) {
        ("", false) => Some((false, &[])),
        ("_bucket", true) => Some((true, &["le"])),
        ("_sum" | "_count", true) => Some((true, &[])),
        _ => None,
    }
}

#[test]
fn histogram_parts_are_counters() {
    let none = BTreeSet::new();
    let bucket = series("polyai_turn_latency_seconds_bucket", &none).unwrap();
    assert!(bucket.is_counter && bucket.labels.contains("le") && bucket.labels.contains("channel"));
    assert_eq!(series("polyai_turn_latency_seconds", &none), None);
    assert!(!series("polyai_target_up", &none).unwrap().is_counter);
    assert!(series("polyai_exporter_commits_total", &none).unwrap().labels.contains("outcome"));
    assert_eq!(series("polyai_handoff_total", &none), None);
}
