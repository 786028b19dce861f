//! The thresholds of the rules: the defaults, with the values of a user over them.

use std::collections::BTreeMap;

use exporter_schema::{Diagnostic, FromNode, Location, Node, Schema, Value, parse_yaml, quoted};

use super::schema;

/// A values file with every key, its default, and the reason for it.
pub const DEFAULT_VALUES: &str = include_str!("../../alerts/thresholds.yml");

/// Values of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The name of a file, for diagnostics, and its text.
    File(String, String),
    /// `key=value`, as written on the command line.
    Assignment(String),
}

/// A complete and checked set of values.
#[derive(Debug, Clone, PartialEq)]
pub struct Values {
    root: Node,
}

impl Values {
    /// The defaults with `sources` over them in their order, and every unknown key or value of a wrong type.
    pub(super) fn merge(sources: &[Source]) -> (Self, Vec<Diagnostic>) {
        let mut errors = Vec::new();
        let defaults = parse_yaml("alerts/thresholds.yml", DEFAULT_VALUES);
        let mut root =
            defaults.map_err(|wrong| errors.extend(wrong)).unwrap_or(Node::table(Location::Program));
        let keys = schema::keys(&root);
        let schema = Schema { keys: &keys, unsupported: &[], variable: None };
        for source in sources {
            match parse(source) {
                Ok(overrides) => {
                    errors.extend(schema.check(&overrides));
                    merge(&mut root, overrides);
                }
                Err(wrong) => errors.extend(wrong),
            }
        }
        (Self { root }, errors)
    }

    /// The value at `path`, such as `slo.handled.goal`.
    pub(super) fn node(&self, path: &str) -> Option<&Node> {
        if path.is_empty() {
            return Some(&self.root);
        }
        path.split('.').try_fold(&self.root, |node, name| node.get(name))
    }

    /// The values of `alert` for `project` alone, or for all.
    pub(super) fn section(&self, alert: &str, project: Option<&str>) -> Option<&Node> {
        match project {
            Some(project) => self.root.get("projects")?.get(project)?.get(alert),
            None => self.root.get("alerts")?.get(alert),
        }
    }

    /// The value of `alert` for `project`, or else for all.
    pub(super) fn of_alert(&self, alert: &str, project: Option<&str>, name: &str) -> Option<&Node> {
        let of = |project| self.section(alert, project)?.get(name);
        of(project).or_else(|| of(None))
    }

    pub(super) fn is_enabled(&self, alert: &str, project: Option<&str>) -> bool {
        self.of_alert(alert, project, "enabled").is_some_and(|node| node.value == Value::Bool(true))
    }

    /// The annotations of every alert about `project`, or of every alert.
    pub(super) fn annotations(&self, project: Option<&str>) -> impl Iterator<Item = (&str, &Node)> {
        let section = match project {
            Some(project) => self.root.get("projects").and_then(|projects| projects.get(project)),
            None => self.root.get("common"),
        };
        let entries = section.and_then(|section| section.get("annotations")?.entries()).into_iter().flatten();
        entries.map(|(name, node)| (name.as_str(), node))
    }

    /// The alerts, by name.
    pub(super) fn alerts(&self) -> impl Iterator<Item = &str> {
        self.entries("alerts").map(|(name, _)| name)
    }

    /// The projects that have values of their own for `alert`.
    pub(super) fn projects(&self, alert: &str) -> Vec<&str> {
        let projects = self.entries("projects").filter(|(_, alerts)| alerts.get(alert).is_some());
        projects.map(|(project, _)| project).collect()
    }

    /// No project (the alert for all), and each project with values of its own for `alert`.
    pub(super) fn scopes(&self, alert: &str) -> impl Iterator<Item = Option<&str>> + use<'_> {
        [None].into_iter().chain(self.projects(alert).into_iter().map(Some))
    }

    /// The entries of the section at `path`, or of the top level.
    pub(super) fn entries(&self, path: &str) -> impl Iterator<Item = (&str, &Node)> {
        let entries = self.node(path).and_then(Node::entries).into_iter().flatten();
        entries.map(|(name, node)| (name.as_str(), node))
    }

    pub(super) fn text(&self, path: &str) -> &str {
        self.node(path).and_then(Node::as_text).unwrap_or_default()
    }

    pub(super) fn get<T: FromNode>(&self, path: &str) -> Option<T> {
        T::from_node(self.node(path)?)
    }

    pub(super) fn labels(&self, path: &str) -> Vec<(&str, &str)> {
        self.entries(path).filter_map(|(name, value)| Some((name, value.as_text()?))).collect()
    }

    /// The URLs that still are the examples of the defaults.
    pub fn placeholders(&self) -> Vec<&'static str> {
        let keys = ["common.runbook_url", "common.dashboard_url"];
        keys.into_iter().filter(|key| self.text(key).contains(".example.com")).collect()
    }
}

/// Puts `overrides` over `base`: mappings are merged, and everything else is replaced.
fn merge(base: &mut Node, overrides: Node) {
    match (&mut base.value, overrides.value) {
        (Value::Table(base), Value::Table(overrides)) => {
            for (name, node) in overrides {
                match base.get_mut(&name) {
                    Some(entry) => merge(entry, node),
                    None => {
                        base.insert(name, node);
                    }
                }
            }
        }
        (_, value) => *base = Node { location: overrides.location, value },
    }
}

fn parse(source: &Source) -> Result<Node, Vec<Diagnostic>> {
    match source {
        Source::File(name, text) => parse_yaml(name, text),
        Source::Assignment(text) => {
            let location = Location::Flag(format!("--set {}", text.split('=').next().unwrap_or_default()));
            assignment(text, &location).map_err(|error| vec![Diagnostic::new(&location, "", error)])
        }
    }
}

/// `a.b=value` as a tree.
fn assignment(text: &str, location: &Location) -> Result<Node, String> {
    let form = "write KEY=VALUE, such as alerts.PolyAIHandoffRateHigh.ratio=0.6";
    let (path, value) = text.split_once('=').ok_or_else(|| format!("found no \"=\"; {form}"))?;
    if path.is_empty() || path.split('.').any(str::is_empty) {
        return Err(format!("found no key; {form}"));
    }
    let mut node = if value.trim().is_empty() {
        Node::text(location.clone(), "")
    } else {
        let document = parse_yaml("--set", &format!("value: {value}"))
            .map_err(|_| format!("the value {} cannot be read; put it in quotes", quoted(value)))?;
        let value = document.get("value").map(|node| node.value.clone());
        with_location(value.unwrap_or(Value::Null), location)
    };
    for name in path.split('.').rev() {
        let entries = BTreeMap::from([(name.to_owned(), node)]);
        node = Node { location: location.clone(), value: Value::Table(entries) };
    }
    Ok(node)
}

/// `value` with everything in it at `location`.
fn with_location(value: Value, location: &Location) -> Node {
    let value = match value {
        Value::List(items) => {
            Value::List(items.into_iter().map(|item| with_location(item.value, location)).collect())
        }
        Value::Table(entries) => Value::Table(
            entries.into_iter().map(|(name, entry)| (name, with_location(entry.value, location))).collect(),
        ),
        scalar @ (Value::Null | Value::Bool(_) | Value::Integer(_) | Value::Float(_) | Value::Text(_)) => {
            scalar
        }
    };
    Node { location: location.clone(), value }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(sources: &[Source]) -> Vec<String> {
        match Values::load(sources) {
            Ok(_) => Vec::new(),
            Err(problems) => problems.diagnostics().iter().map(ToString::to_string).collect(),
        }
    }

    fn set(text: &str) -> Vec<String> {
        errors(&[Source::Assignment(text.to_owned())])
    }

    #[test]
    fn defaults_are_valid_and_declared() {
        let values = Values::load(&[]).unwrap();
        let keys = schema::keys(&values.root);
        let schema = Schema { keys: &keys, unsupported: &[], variable: None };
        assert_eq!(schema.check(&values.root), []);
        assert!(
            keys.len() > 300
                && keys.iter().all(|key| schema::value_type(&key.path).is_some() || key.path.ends_with(".*"))
        );
    }

    #[test]
    fn sources_override_defaults_in_their_order() {
        let file = "alerts:\n  PolyAIHandoffRateHigh:\n    ratio: 0.6\n    min_conversations: 40\n";
        let values = Values::load(&[
            Source::File("mine.yml".to_owned(), file.to_owned()),
            Source::Assignment("alerts.PolyAIHandoffRateHigh.ratio=0.7".to_owned()),
            Source::Assignment(r#"common.selector=cluster="eu""#.to_owned()),
            Source::Assignment("common.target_selector=".to_owned()),
        ])
        .unwrap();
        let ratio = values.of_alert("PolyAIHandoffRateHigh", None, "ratio").and_then(Node::as_number);
        assert_eq!(ratio, Some(0.7));
        assert_eq!(values.get("alerts.PolyAIHandoffRateHigh.min_conversations"), Some(40.0));
        assert_eq!(values.text("common.selector"), r#"cluster="eu""#);
        assert_eq!(values.text("common.target_selector"), "");
        assert_eq!(values.text("alerts.PolyAIHandoffRateHigh.window"), "30m", "the rest stays");
    }

    #[test]
    fn invalid_values_are_refused_with_advice() {
        for (text, expected) in [
            (
                "alerts.PolyAIHandoffRateHigh.ratoi=1",
                "--set alerts.PolyAIHandoffRateHigh.ratoi: alerts.PolyAIHandoffRateHigh.ratoi: unknown key; did you mean `ratio`?",
            ),
            ("alerts.PolyAIHandofRateHigh.ratio=0.5", "did you mean `PolyAIHandoffRateHigh`?"),
            ("alert.x=1", "alert: unknown key; did you mean `alerts`?"),
            ("zebra=1", "unknown key; the top level has alerts, common, operator, slo and projects"),
            (
                "alerts.PolyAIHandoffRateHigh.ratio=50",
                "found 50; write a share above 0 and below 1, such as 0.25 for 25 %",
            ),
            ("alerts.PolyAIHandoffRateHigh.ratio=high", "found \"high\"; write a share"),
            ("alerts.PolyAIHandoffRateHigh.window=45m", "found \"45m\"; write 5m, 15m, 30m, 1h, 6h or 1d"),
            ("alerts.PolyAIHandoffRateHigh.for=5", "found 5; write a duration of Prometheus"),
            ("alerts.PolyAIHandoffRateHigh.min_conversations=0", "found 0; write a whole number from 1"),
            ("alerts.PolyAIHandoffRateHigh.severity=page", "common.severities has the names"),
            ("alerts.PolyAIHandoffRateHigh.enabled=perhaps", "write true or false"),
            ("alerts.PolyAIHandoffRateHigh=0.5", "found a number; write a section with keys"),
            ("common.selector=cluster=eu", "write label matchers"),
            ("common.by=1x", "write a label name"),
            ("common.by={}", "write a list of label names, such as [cluster]"),
            ("common.dashboard_url=grafana", "write a URL that begins with http:// or https://"),
            ("common.by", "found no \"=\"; write KEY=VALUE"),
            ("=1", "found no key; write KEY=VALUE"),
            (
                "projects.billing.PolyAIHandoffRateHigh.ratio=2",
                "projects.billing.PolyAIHandoffRateHigh.ratio: found 2; write a share",
            ),
            ("projects.billing.PolyAIZebra.ratio=0.2", "unknown key; `projects.*` has no such key"),
        ] {
            let errors = set(text);
            assert!(errors.len() == 1 && errors[0].contains(expected), "{text}: {errors:?}");
        }
    }

    #[test]
    fn all_errors_are_reported_with_locations() {
        let file = "slo:\n  handled:\n    goal: 3\n\nalerts:\n  PolyAIClockSkew:\n    four: 5m\n";
        let errors = errors(&[Source::File("mine.yml".to_owned(), file.to_owned())]);
        assert_eq!(
            errors,
            [
                "mine.yml:3:5: slo.handled.goal: found 3; write a share above 0 and below 1, such as 0.25 for 25 %",
                "mine.yml:7:5: alerts.PolyAIClockSkew.four: unknown key; did you mean `for`?",
            ]
        );
    }
}
