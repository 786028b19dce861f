//! The values of the rules: the defaults, and what a user lays over them.
//!
//! Owns: the tree of values and which keys exist (those of `alerts/thresholds.yml`). Never: reading files.

use std::collections::BTreeMap;

use super::kind;
use super::overlay::merge;
use super::sense;
use exporter_schema::{ConfigErrors, Diagnostic, Location, Node, Value, parse_yaml, quoted};

/// Every key, its default, and why.
const DEFAULTS: &str = include_str!("../../alerts/thresholds.yml");

/// Values of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file: its name, for complaints, and its text.
    File(String, String),
    /// `key=value`, as it was written on the command line.
    Assignment(String),
}

/// A complete and checked set of values.
#[derive(Debug, Clone, PartialEq)]
pub struct Values {
    root: Node,
}

impl Values {
    /// The defaults, with `sources` laid over them in their order.
    ///
    /// # Errors
    /// Every key that does not exist and every value that cannot work, with its place and what would be right.
    pub fn load(sources: &[Source]) -> Result<Self, ConfigErrors> {
        let mut complaints = Vec::new();
        let defaults = parsed("alerts/thresholds.yml", DEFAULTS, &mut complaints);
        let mut root = Node::table(Location::Program);
        if let Some(defaults) = &defaults {
            root = defaults.clone();
            for source in sources {
                if let Some(theirs) = read(source, &mut complaints) {
                    merge(&mut root, defaults, &theirs, "", &mut complaints);
                }
            }
        }
        let values = Self { root };
        // What makes no sense together is told once each value makes sense alone.
        if complaints.is_empty() {
            complaints = sense::complaints(&values);
        }
        match ConfigErrors::from_diagnostics(complaints) {
            Some(problems) => Err(problems),
            None => Ok(values),
        }
    }

    /// The value at `path`, such as `slo.handled.goal`.
    pub(super) fn node(&self, path: &str) -> Option<&Node> {
        path.split('.').try_fold(&self.root, |node, name| node.get(name))
    }

    /// The value of `alert` for `project`, or for all.
    pub(super) fn of_alert(&self, alert: &str, project: Option<&str>, name: &str) -> Option<&Node> {
        let own = project.and_then(|project| self.root.get("projects")?.get(project)?.get(alert)?.get(name));
        own.or_else(|| self.root.get("alerts")?.get(alert)?.get(name))
    }

    /// The alerts, by name.
    pub(super) fn alerts(&self) -> impl Iterator<Item = &str> {
        self.root.get("alerts").and_then(Node::entries).into_iter().flatten().map(|(name, _)| name.as_str())
    }

    /// The projects that have values of their own for `alert`.
    pub(super) fn projects(&self, alert: &str) -> Vec<&str> {
        let projects = self.root.get("projects").and_then(Node::entries).into_iter().flatten();
        projects
            .filter(|(_, alerts)| alerts.get(alert).is_some())
            .map(|(project, _)| project.as_str())
            .collect()
    }

    pub(super) fn text(&self, path: &str) -> &str {
        self.node(path).and_then(kind::text).unwrap_or_default()
    }

    pub(super) fn number(&self, path: &str) -> Option<f64> {
        self.node(path).and_then(kind::number)
    }

    pub(super) fn labels(&self, path: &str) -> Vec<(&str, &str)> {
        let entries = self.node(path).and_then(Node::entries).into_iter().flatten();
        entries.filter_map(|(name, value)| Some((name.as_str(), kind::text(value)?))).collect()
    }

    /// The addresses that still are the examples of the defaults, which lead nowhere.
    pub fn placeholders(&self) -> Vec<&'static str> {
        let keys = ["common.runbook_url", "common.dashboard_url"];
        keys.into_iter().filter(|key| self.text(key).contains(".example.com")).collect()
    }
}

/// The alerts with their defaults.
pub(super) fn default_alerts() -> Option<Node> {
    parsed("", DEFAULTS, &mut Vec::new())?.get("alerts").cloned()
}

fn parsed(name: &str, text: &str, complaints: &mut Vec<Diagnostic>) -> Option<Node> {
    parse_yaml(name, text).map_err(|slips| complaints.extend(slips)).ok()
}

fn read(source: &Source, complaints: &mut Vec<Diagnostic>) -> Option<Node> {
    match source {
        Source::File(name, text) => {
            let is_blank = |line: &str| line.trim().is_empty() || line.trim_start().starts_with('#');
            if text.lines().all(is_blank) {
                return None;
            }
            parsed(name, text, complaints)
        }
        Source::Assignment(text) => {
            let place = Location::Flag(format!("--set {}", text.split('=').next().unwrap_or_default()));
            assignment(text, &place)
                .map_err(|sentence| complaints.push(Diagnostic::new(&place, "", sentence)))
                .ok()
        }
    }
}

/// `a.b=value` as the tree that it stands for.
fn assignment(text: &str, place: &Location) -> Result<Node, String> {
    let form = "write KEY=VALUE, such as alerts.PolyAIHandoffRateHigh.ratio=0.6";
    let (path, value) = text.split_once('=').ok_or_else(|| format!("found no \"=\"; {form}"))?;
    if path.is_empty() || path.split('.').any(str::is_empty) {
        return Err(format!("found no key; {form}"));
    }
    let mut node = if value.trim().is_empty() {
        Node::text(place.clone(), "")
    } else {
        let document = parse_yaml("--set", &format!("value: {value}"))
            .map_err(|_| format!("the value {} cannot be read; put it in quotes", quoted(value)))?;
        let value = document.get("value").map(|node| node.value.clone());
        with_location(value.unwrap_or(Value::Null), place)
    };
    for name in path.split('.').rev() {
        let entries = BTreeMap::from([(name.to_owned(), node)]);
        node = Node { location: place.clone(), value: Value::Table(entries) };
    }
    Ok(node)
}

/// `value` with all that is in it at `place`.
fn with_location(value: Value, place: &Location) -> Node {
    let value = match value {
        Value::List(items) => {
            Value::List(items.into_iter().map(|item| with_location(item.value, place)).collect())
        }
        Value::Table(entries) => Value::Table(
            entries.into_iter().map(|(name, entry)| (name, with_location(entry.value, place))).collect(),
        ),
        plain @ (Value::Null | Value::Bool(_) | Value::Integer(_) | Value::Float(_) | Value::Text(_)) => {
            plain
        }
    };
    Node { location: place.clone(), value }
}

#[cfg(test)]
mod tests {
    use super::super::kind::Kind;
    use super::super::overlay::join;
    use super::*;

    fn complaints(sources: &[Source]) -> Vec<String> {
        match Values::load(sources) {
            Ok(_) => Vec::new(),
            Err(problems) => problems.diagnostics().iter().map(ToString::to_string).collect(),
        }
    }

    fn set(text: &str) -> Vec<String> {
        complaints(&[Source::Assignment(text.to_owned())])
    }

    #[test]
    fn the_defaults_are_sound_and_each_key_has_a_kind() {
        let values = Values::load(&[]).unwrap();
        fn leaves(node: &Node, path: &str) {
            if let Some(kind) = Kind::of(path) {
                assert_eq!(kind.check(node), Ok(()), "{path}");
                return;
            }
            let entries = node.entries().unwrap_or_else(|| panic!("{path} has no kind"));
            entries.iter().for_each(|(name, node)| leaves(node, &join(path, name)));
        }
        values.root.entries().unwrap().iter().for_each(|(name, node)| leaves(node, name));
    }

    #[test]
    fn a_file_changes_what_it_names_and_an_assignment_wins() {
        let file = "alerts:\n  PolyAIHandoffRateHigh:\n    ratio: 0.6\n    min_conversations: 40\n";
        let values = Values::load(&[
            Source::File("mine.yml".to_owned(), file.to_owned()),
            Source::Assignment("alerts.PolyAIHandoffRateHigh.ratio=0.7".to_owned()),
            Source::Assignment(r#"common.selector=cluster="eu""#.to_owned()),
            Source::Assignment("common.target_selector=".to_owned()),
        ])
        .unwrap();
        let ratio = values.of_alert("PolyAIHandoffRateHigh", None, "ratio").and_then(kind::number);
        assert_eq!(ratio, Some(0.7));
        assert_eq!(values.number("alerts.PolyAIHandoffRateHigh.min_conversations"), Some(40.0));
        assert_eq!(values.text("common.selector"), r#"cluster="eu""#);
        assert_eq!(values.text("common.target_selector"), "");
        assert_eq!(values.text("alerts.PolyAIHandoffRateHigh.window"), "30m", "the rest stays");
    }

    #[test]
    fn what_cannot_work_is_refused_with_a_sentence() {
        for (text, said) in [
            (
                "alerts.PolyAIHandoffRateHigh.ratoi=1",
                "--set alerts.PolyAIHandoffRateHigh.ratoi: alerts.PolyAIHandoffRateHigh.ratoi: unknown key; did you mean `ratio`?",
            ),
            ("alerts.PolyAIHandofRateHigh.ratio=0.5", "did you mean `PolyAIHandoffRateHigh`?"),
            ("alert.x=1", "alert: unknown key; did you mean `alerts`?"),
            ("zebra=1", "unknown key; the top level has alerts, common, operator, projects and slo"),
            (
                "alerts.PolyAIHandoffRateHigh.ratio=50",
                "found 50; write a share above 0 and below 1, such as 0.25 for 25 %",
            ),
            ("alerts.PolyAIHandoffRateHigh.ratio=high", "found \"high\"; write a share"),
            (
                "alerts.PolyAIHandoffRateHigh.window=45m",
                "found \"45m\"; write one of 5m, 15m, 30m, 1h, 6h or 1d",
            ),
            ("alerts.PolyAIHandoffRateHigh.for=5", "found 5; write a duration as Prometheus does"),
            ("alerts.PolyAIHandoffRateHigh.min_conversations=0", "found 0; write a whole number from 1"),
            ("alerts.PolyAIHandoffRateHigh.severity=page", "common.severities says how yours are called"),
            ("alerts.PolyAIHandoffRateHigh.enabled=perhaps", "write true or false"),
            ("alerts.PolyAIHandoffRateHigh=0.5", "found 0.5; write a section with keys"),
            ("common.selector=cluster=eu", "write label matchers"),
            ("common.by=cluster", "write a list of label names, such as [cluster]"),
            ("common.dashboard_url=grafana", "write an address that begins with http:// or https://"),
            ("common.by", "found no \"=\"; write KEY=VALUE"),
            ("=1", "found no key; write KEY=VALUE"),
            (
                "projects.billing.PolyAIHandoffRateHigh.ratio=2",
                "projects.billing.PolyAIHandoffRateHigh.ratio: found 2; write a share",
            ),
            ("projects.billing.PolyAIZebra.ratio=0.2", "unknown alert"),
        ] {
            let complaints = set(text);
            assert!(complaints.len() == 1 && complaints[0].contains(said), "{text}: {complaints:?}");
        }
    }

    #[test]
    fn all_is_told_at_once_with_its_place() {
        let file = "slo:\n  handled:\n    goal: 3\n\nalerts:\n  PolyAIClockSkew:\n    four: 5m\n";
        let complaints = complaints(&[Source::File("mine.yml".to_owned(), file.to_owned())]);
        assert_eq!(
            complaints,
            [
                "mine.yml:3:5: slo.handled.goal: found 3; write a share above 0 and below 1, such as 0.25 for 25 %",
                "mine.yml:7:5: alerts.PolyAIClockSkew.four: unknown key; did you mean `for`?",
            ]
        );
    }
}
