//! What each placeholder of a template stands for.
//!
//! Owns: values by name, the lists of labels and matchers made from several of them, and the filters. Never: where a
//! template is used.

use super::kind::{number, text};
use super::values::Values;
use super::{RecordedWindow, span};
use exporter_schema::{Node, Value};

/// The labels of a target, and those of an exporter, before `common.by`.
const TARGET: &str = "project, region, client_env";
const INSTANCE: &str = "job, instance";

/// What placeholders stand for at one place.
pub(super) struct Scope<'a> {
    pub(super) values: &'a Values,
    pub(super) window: Option<&'a RecordedWindow>,
    pub(super) alert: Option<(&'a str, Option<&'a str>)>,
    /// The matcher that keeps projects with values of their own apart.
    pub(super) project_exclusion: String,
}

impl<'a> Scope<'a> {
    pub(super) fn of_record(values: &'a Values, window: Option<&'a RecordedWindow>) -> Self {
        Self { values, window, alert: None, project_exclusion: String::new() }
    }

    /// What stands for `name` after `filter`; none if there is no such thing.
    pub(super) fn value(&self, name: &str, filter: Option<&str>) -> Option<String> {
        if filter.is_none()
            && let Some(derived) = self.derived(name)
        {
            return Some(derived);
        }
        let node = match self.alert {
            Some((alert, project)) if !name.contains('.') => self.values.of_alert(alert, project, name),
            _ => self.values.node(name),
        }?;
        match filter {
            None => shown(node),
            Some("seconds") => span::seconds(text(node)?).map(|seconds| seconds.to_string()),
            Some("percent") => number(node).map(percent),
            Some("budget") => number(node).map(|goal| percent(1.0 - goal)),
            Some("le") => number(node).map(le),
            Some(_) => None,
        }
    }

    /// What is not a value by itself.
    fn derived(&self, name: &str) -> Option<String> {
        let text = |path| self.values.text(path);
        let selector = match self.alert {
            Some((alert, project)) => {
                self.values.of_alert(alert, project, "selector").and_then(self::text).unwrap_or_default()
            }
            None => "",
        };
        // Recorded series are of a target, and have lost the labels that tell exporters apart.
        let recorded = [text("common.target_selector"), &self.project_exclusion, selector];
        let raw =
            [text("common.selector"), text("common.target_selector"), &self.project_exclusion, selector];
        let own = [text("common.selector"), selector];
        Some(match name {
            "window" if self.alert.is_none() => self.window?.name.to_owned(),
            "range" => self.window?.range.to_owned(),
            "interval" => self.window?.interval.to_owned(),
            "by" => self.labels(TARGET),
            "instance" => self.labels(INSTANCE),
            "sel" => braces(&own),
            "sel_and" => appended(&own),
            "pick" => braces(&recorded),
            "raw" => braces(&raw),
            "raw_and" => appended(&raw),
            "own" => braces(&own),
            "own_and" => appended(&own),
            "severity" => {
                let (alert, project) = self.alert?;
                let severity = self.values.of_alert(alert, project, "severity").and_then(self::text)?;
                text(&format!("common.severities.{severity}")).to_owned()
            }
            "runbook" => format!("{}/{}.md", text("common.runbook_url").trim_end_matches('/'), self.alert?.0),
            "dashboard" => format!("{}/d", text("common.dashboard_url").trim_end_matches('/')),
            _ => return None,
        })
    }

    fn labels(&self, own: &str) -> String {
        let more = self.values.node("common.by").and_then(Node::items).unwrap_or_default();
        [own].into_iter().chain(more.iter().filter_map(text)).collect::<Vec<_>>().join(", ")
    }
}

fn braces(matchers: &[&str]) -> String {
    let matchers = joined(matchers);
    if matchers.is_empty() { matchers } else { format!("{{{matchers}}}") }
}

/// Matchers that follow one which stands in the template.
fn appended(matchers: &[&str]) -> String {
    let matchers = joined(matchers);
    if matchers.is_empty() { matchers } else { format!(",{matchers}") }
}

fn joined(matchers: &[&str]) -> String {
    matchers
        .iter()
        .map(|matchers| matchers.trim())
        .filter(|matchers| !matchers.is_empty())
        .collect::<Vec<_>>()
        .join(",")
}

fn shown(node: &Node) -> Option<String> {
    match &node.value {
        Value::Text(text) => Some(text.clone()),
        Value::Integer(number) => Some(number.to_string()),
        Value::Float(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::List(_) | Value::Table(_) => None,
    }
}

fn percent(share: f64) -> String {
    // 1 - 0.95 is not quite 0.05.
    format!("{} %", (share * 1e6).round() / 1e4)
}

/// The matcher for the bucket below `bound`. The exporter prints bounds as floats; Prometheus 2 keeps what it scrapes, while
/// 3 writes floats, and other stores have their own habits: both spellings of a whole number are one bucket.
fn le(bound: f64) -> String {
    if bound.fract() == 0.0 { format!("le=~\"{bound}(\\\\.0)?\"") } else { format!("le=\"{bound}\"") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_found_in_both_spellings() {
        assert_eq!(le(3.0), r#"le=~"3(\\.0)?""#);
        assert_eq!(le(2.5), r#"le="2.5""#);
        assert_eq!(percent(1.0 - 0.95), "5 %");
        assert_eq!(percent(0.125), "12.5 %");
    }
}
