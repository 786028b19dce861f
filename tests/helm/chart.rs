//! The files of the chart, and its scenarios: sets of values, each for a purpose.

use std::path::PathBuf;

use yaml_rust2::{Yaml, YamlLoader};

/// The root of the project.
pub(crate) fn project() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The directory of the chart.
pub(crate) fn dir() -> PathBuf {
    project().join("deploy/helm/polyai-exporter")
}

/// A file of the chart.
pub(crate) fn file(name: &str) -> String {
    read(&dir().join(name))
}

/// A file, or which one is missing.
pub(crate) fn read(path: &std::path::Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The one document in `text`.
pub(crate) fn yaml(text: &str) -> Yaml {
    YamlLoader::load_from_str(text).unwrap_or_else(|error| panic!("{error}: {text}")).remove(0)
}

/// Values to render the chart with.
#[derive(Debug, Clone)]
pub(crate) struct Scenario {
    /// The file name without `-values.yaml`.
    pub(crate) name: String,
    /// The values, as YAML.
    pub(crate) text: String,
}

/// All scenarios of `ci/`, and the values with which the README begins, in the order of their names.
pub(crate) fn scenarios() -> Vec<Scenario> {
    let mut found: Vec<Scenario> = std::fs::read_dir(dir().join("ci"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            let file = path.file_name().unwrap().to_str().unwrap();
            let name = file.strip_suffix("-values.yaml").unwrap_or_else(|| panic!("{file} is no scenario"));
            Scenario { name: name.to_owned(), text: read(&path) }
        })
        .collect();
    found.push(Scenario { name: "readme".to_owned(), text: first_yaml(&file("README.md")) });
    found.sort_by(|one, other| one.name.cmp(&other.name));
    assert!(found.len() >= 10, "{found:?}");
    found
}

/// The first block of YAML in a document.
fn first_yaml(document: &str) -> String {
    let (_, rest) = document.split_once("```yaml\n").unwrap();
    rest.split_once("```").unwrap().0.to_owned()
}

/// The scenario of this name.
pub(crate) fn scenario(name: &str) -> Scenario {
    scenarios().into_iter().find(|one| one.name == name).unwrap_or_else(|| panic!("no scenario {name}"))
}

/// The least values that work, with `more` after them.
pub(crate) fn minimal_and(more: &str) -> Scenario {
    let Scenario { name, text } = scenario("minimal");
    Scenario { name: format!("{name} and {more}"), text: format!("{text}\n{more}\n") }
}

#[test]
fn chart_version_matches_package() {
    let chart = yaml(&file("Chart.yaml"));
    assert_eq!(chart["appVersion"].as_str(), Some(env!("CARGO_PKG_VERSION")));
    assert_eq!(chart["description"].as_str(), Some(env!("CARGO_PKG_DESCRIPTION")));
}
