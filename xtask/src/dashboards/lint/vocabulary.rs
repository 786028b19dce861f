//! The existing metrics with their types and labels.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use polyai_engine::aggregate::Kind as Conversational;
use polyai_engine::aggregate::catalogue::{CATALOGUE, TARGET_LABELS};
use polyai_exporter::exporter_metrics::ExporterMetrics;

/// The use of a series in queries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A counter: only its increase or rate is used.
    Counter,
    /// A value that is used directly.
    Gauge,
}

/// The source of a series, which determines its selectors and windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Conversations and targets.
    Business,
    /// The exporter itself.
    Own,
    /// Written by Prometheus about scrapes.
    Scrape,
    /// Written by Prometheus about alerts.
    Alerts,
    /// Recorded by the rules of `alerts/`.
    Recorded,
}

/// Type, labels and origin of a series.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) kind: Kind,
    pub(crate) origin: Origin,
    pub(crate) labels: BTreeSet<&'static str>,
}

/// Labels that Prometheus or its configuration adds to every scraped series.
const ADDED: [&str; 3] = ["cluster", "job", "instance"];

/// Everything that a query may name, but for what the rules record.
pub(crate) static VOCABULARY: LazyLock<BTreeMap<String, Known>> = LazyLock::new(vocabulary);

/// The names that the rule files record; none while there are no rule files.
pub(crate) static RECORDED: LazyLock<Option<BTreeSet<String>>> = LazyLock::new(recorded_names);

fn vocabulary() -> BTreeMap<String, Known> {
    let mut known = BTreeMap::new();
    let mut histogram = |name: &str, labels: &BTreeSet<&'static str>, origin| {
        for part in ["_bucket", "_sum", "_count"] {
            let mut labels = labels.clone();
            if part == "_bucket" {
                labels.insert("le");
            }
            known.insert(format!("{name}{part}"), Known { kind: Kind::Counter, origin, labels });
        }
    };
    let mut plain = Vec::new();
    for definition in &CATALOGUE {
        let own = definition.labels.names(&["channel", "variant"]);
        let labels: BTreeSet<_> = ADDED.into_iter().chain(TARGET_LABELS).chain(own).collect();
        match definition.kind {
            Conversational::Histogram(_) => histogram(definition.name, &labels, Origin::Business),
            Conversational::Counter => {
                plain.push((definition.name.to_owned(), Kind::Counter, Origin::Business, labels))
            }
            Conversational::Gauge => {
                plain.push((definition.name.to_owned(), Kind::Gauge, Origin::Business, labels))
            }
        }
    }
    for entry in ExporterMetrics::catalogue() {
        let labels: BTreeSet<_> = ADDED.into_iter().chain(entry.labels.iter().copied()).collect();
        match entry.kind {
            exporter_exposition::Kind::Histogram => histogram(&entry.name, &labels, Origin::Own),
            exporter_exposition::Kind::Counter => {
                plain.push((entry.name.to_string(), Kind::Counter, Origin::Own, labels))
            }
            exporter_exposition::Kind::Gauge => {
                plain.push((entry.name.to_string(), Kind::Gauge, Origin::Own, labels))
            }
        }
    }
    for name in ["up", "scrape_duration_seconds", "scrape_samples_scraped"] {
        plain.push((name.to_owned(), Kind::Gauge, Origin::Scrape, ADDED.into_iter().collect()));
    }
    let of_alerts = ["alertname", "alertstate", "severity", "component", "project", "region", "client_env"];
    for name in ["ALERTS", "ALERTS_FOR_STATE"] {
        plain.push((name.to_owned(), Kind::Gauge, Origin::Alerts, of_alerts.into_iter().collect()));
    }
    for (name, kind, origin, labels) in plain {
        known.insert(name, Known { kind, origin, labels });
    }
    known
}

/// A series that the rules record for each target, or for a goal.
pub(crate) fn recorded() -> Known {
    let labels = ["cluster", "slo"].into_iter().chain(TARGET_LABELS).collect();
    Known { kind: Kind::Gauge, origin: Origin::Recorded, labels }
}

fn recorded_names() -> Option<BTreeSet<String>> {
    let dir = crate::repository::root().join("alerts");
    let files = std::fs::read_dir(dir).ok()?.flatten().map(|entry| entry.path());
    let rules = files.filter(|path| path.extension().is_some_and(|extension| extension == "yml"));
    let names: BTreeSet<String> = rules
        .flat_map(|path| {
            let text = std::fs::read_to_string(path).unwrap();
            let names =
                text.lines().filter_map(|line| line.trim().trim_start_matches("- ").strip_prefix("record: "));
            names.map(|name| name.trim().to_owned()).collect::<Vec<_>>()
        })
        .collect();
    (!names.is_empty()).then_some(names)
}
