//! The rendered rules as a list.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use polyai_exporter::alert_rules::{Format, Source, Values, render};
use promql_parser::parser::{self, Expr};
use yaml_rust2::{Yaml, YamlLoader};

/// A rule.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    /// The name of an alert or of a recorded series.
    pub(crate) name: String,
    pub(crate) is_alert: bool,
    pub(crate) text: String,
    pub(crate) expr: Expr,
    pub(crate) holds: Option<String>,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) annotations: BTreeMap<String, String>,
}

/// The root of the project.
pub(crate) fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// The rules as text, with these assignments.
pub(crate) fn rendered(assignments: &[&str], format: Format) -> String {
    let sources: Vec<Source> =
        assignments.iter().map(|text| Source::Assignment((*text).to_owned())).collect();
    render(&Values::load(&sources).unwrap_or_else(|problems| panic!("{problems}")), format).unwrap()
}

/// Switches on what is off by default, so that no alert goes unchecked.
pub(crate) const ALL: [&str; 1] = ["alerts.PolyAIHandledBudgetBurn.enabled=true"];

/// All rules, in their order.
pub(crate) fn all() -> Vec<Rule> {
    list(&rendered(&ALL, Format::Prometheus))
}

/// The alerts among them.
pub(crate) fn alerts() -> Vec<Rule> {
    all().into_iter().filter(|rule| rule.is_alert).collect()
}

/// The rules in `text`.
pub(crate) fn list(text: &str) -> Vec<Rule> {
    let document = yaml(text);
    let mut rules = Vec::new();
    for group in document["groups"].as_vec().unwrap() {
        for rule in group["rules"].as_vec().unwrap() {
            rules.push(one(rule));
        }
    }
    rules
}

/// The one document in `text`.
pub(crate) fn yaml(text: &str) -> Yaml {
    YamlLoader::load_from_str(text).unwrap().remove(0)
}

fn one(rule: &Yaml) -> Rule {
    let (name, is_alert) = match rule["alert"].as_str() {
        Some(name) => (name, true),
        None => (rule["record"].as_str().unwrap(), false),
    };
    let text = rule["expr"].as_str().unwrap();
    let expr = parser::parse(text).unwrap_or_else(|error| panic!("{name}: {error}\n{text}"));
    Rule {
        name: name.to_owned(),
        is_alert,
        text: text.to_owned(),
        expr,
        holds: rule["for"].as_str().map(str::to_owned),
        labels: words(&rule["labels"]),
        annotations: words(&rule["annotations"]),
    }
}

fn words(table: &Yaml) -> BTreeMap<String, String> {
    let entries = table.as_hash().into_iter().flatten();
    entries
        .map(|(name, word)| (name.as_str().unwrap().to_owned(), word.as_str().unwrap().to_owned()))
        .collect()
}
