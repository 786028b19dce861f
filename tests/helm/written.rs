//! What the chart has from elsewhere in the repository is current.

use std::collections::BTreeSet;
use std::path::Path;

use super::chart::{file, folder, project, read, scenarios, yaml};
use super::values::{self, Key};
use super::{schema, table};

/// Compares a file with what it should be, or writes it.
pub(crate) fn is_current(path: &Path, expected: &str) {
    #[expect(clippy::disallowed_methods, reason = "a test reads its own switch")]
    if std::env::var("POLYAI_UPDATE_DOCS").is_ok() {
        std::fs::write(path, expected).unwrap();
        return;
    }
    let found = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        found == expected,
        "{} is not current; run with POLYAI_UPDATE_DOCS=1 to write it",
        path.display()
    );
}

fn dashboards(folder: &Path) -> BTreeSet<String> {
    let names =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.ends_with(".json")).collect()
}

#[test]
fn rules_and_dashboards_are_those_of_the_repository() {
    is_current(
        &folder().join("files/prometheusrule.yaml"),
        &read(&project().join("alerts/prometheusrule.yaml")),
    );
    let source = project().join("dashboards");
    let names = dashboards(&source);
    for name in &names {
        is_current(&folder().join("files/dashboards").join(name), &read(&source.join(name)));
    }
    assert_eq!(dashboards(&folder().join("files/dashboards")), names);
}

#[test]
fn the_schema_is_made_from_the_values() {
    is_current(&folder().join("values.schema.json"), &schema::written());
}

#[test]
fn the_table_of_values_is_made_from_the_values() {
    is_current(&folder().join("README.md"), &table::filled(&file("README.md")));
}

#[test]
fn the_chart_installs_the_version_of_this_package() {
    let chart = yaml(&file("Chart.yaml"));
    assert_eq!(chart["appVersion"].as_str(), Some(env!("CARGO_PKG_VERSION")));
    assert_eq!(chart["description"].as_str(), Some(env!("CARGO_PKG_DESCRIPTION")));
}

/// A value that no template reads would be a promise that nobody keeps.
#[test]
fn every_value_has_an_effect_and_a_scenario() {
    fn leaves(keys: &[Key], found: &mut Vec<String>) {
        for key in keys {
            if key.keys.is_empty() { found.push(key.path.clone()) } else { leaves(&key.keys, found) }
        }
    }
    let mut paths = Vec::new();
    leaves(&values::keys(), &mut paths);
    let templates = everything_below(&folder().join("templates"));
    let scenarios: Vec<_> = scenarios().iter().map(|scenario| yaml(&scenario.text)).collect();
    let mut untried = Vec::new();
    for path in paths.iter().filter(|path| *path != "global") {
        let name = path.rsplit('.').next().unwrap();
        assert!(templates.contains(&format!(".{name}")), "{path} is read by no template");
        let tried = scenarios.iter().any(|values| {
            let mut place = values;
            path.split('.').all(|part| {
                place = &place[part];
                !place.is_badvalue()
            })
        });
        if !tried {
            untried.push(path.as_str());
        }
    }
    assert!(untried.is_empty(), "no scenario of ci/ has {untried:?}");
}

fn everything_below(folder: &Path) -> String {
    let mut text = String::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        text.push_str(&if path.is_dir() { everything_below(&path) } else { read(&path) });
    }
    text
}
