//! The dashboards of `dashboards/`: their one source, the check that the files are current, and a lint.
//!
//! `POLYAI_UPDATE_DOCS=1 cargo test --test dashboards` writes the files instead of comparing them.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a dashboard that cannot be built has failed")]

mod dashboard;
mod exporter;
mod field;
mod lint;
mod lint_tests;
mod measures;
mod overview;
mod panel;
mod project;
mod quality;
mod query;
mod signals;
mod slo;
mod table;
mod variables;

use std::collections::BTreeSet;
use std::path::Path;

use dashboard::Dashboard;
use serde_json::Value;
use yaml_rust2::{Yaml, YamlLoader};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/dashboards");

fn all() -> Vec<Dashboard> {
    vec![
        overview::dashboard(),
        project::dashboard(),
        quality::dashboard(),
        slo::dashboard(),
        exporter::dashboard(),
    ]
}

/// The dashboards as anybody would read them.
fn files() -> Vec<Value> {
    all().iter().map(|dashboard| serde_json::from_str(&dashboard.to_json()).unwrap()).collect()
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test reads its own switch")]
fn the_files_are_what_the_source_says() {
    let folder = Path::new(FOLDER);
    for dashboard in all() {
        let file = folder.join(format!("{}.json", dashboard.uid));
        let expected = dashboard.to_json();
        if std::env::var("POLYAI_UPDATE_DOCS").is_ok() {
            std::fs::write(&file, expected).unwrap();
            continue;
        }
        let found = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(
            found == expected,
            "{} is not current; run with POLYAI_UPDATE_DOCS=1 to write it",
            file.display()
        );
    }
    let uids: BTreeSet<String> = all().iter().map(|dashboard| format!("{}.json", dashboard.uid)).collect();
    let there =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let there: BTreeSet<String> = there.filter(|name| name.ends_with(".json")).collect();
    assert_eq!(there, uids, "dashboards/ has files that no source writes, or lacks some");
}

#[test]
fn the_lint_finds_nothing() {
    let found = lint::findings(&files());
    assert!(found.is_empty(), "{} findings:\n{}", found.len(), found.join("\n"));
}

#[test]
fn the_limits_are_those_of_the_alerts() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("alerts/thresholds.yml");
    let Ok(text) = std::fs::read_to_string(file) else { return };
    let values = &YamlLoader::load_from_str(&text).unwrap()[0];
    let number = |value: &Yaml| value.as_f64().or(value.as_i64().map(|whole| whole as f64));
    for (alert, key, limit) in signals::ALERTS {
        assert_eq!(number(&values["alerts"][alert][key]), Some(limit), "{alert}.{key}");
    }
    let common = &values["common"];
    assert_eq!(number(&common["short_conversation"]), Some(signals::SHORT_SECONDS));
    assert_eq!(number(&values["slo"]["reply_latency"]["bound"]), Some(signals::SLOW_SECONDS));
    let stale = humantime::parse_duration(common["stale_after"].as_str().unwrap()).unwrap();
    assert_eq!(stale.as_secs_f64(), signals::AGE.bad);
}
