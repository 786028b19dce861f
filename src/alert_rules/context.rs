//! The values of the placeholders in the templates.
//!
//! Placeholders are `${name}` and `${name|filter}`, so that `{{ }}` is left to Prometheus.

use std::collections::BTreeMap;

use exporter_schema::{Node, Value};
use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior};

use super::thresholds::Values;
use super::{RecordedWindow, prom_duration};

/// The labels of a target, and those of an exporter, before `common.by`.
const TARGET_LABELS: &str = "project, region, client_env";
const INSTANCE_LABELS: &str = "job, instance";

/// The values of the placeholders.
pub(super) type Context = BTreeMap<String, minijinja::Value>;

/// The template engine, with the filters of the templates.
pub(super) fn environment() -> Result<Environment<'static>, Error> {
    let mut environment = Environment::empty();
    let syntax = SyntaxConfig::builder()
        .variable_delimiters("${", "}")
        .block_delimiters("<%", "%>")
        .comment_delimiters("<#", "#>")
        .build()?;
    environment.set_syntax(syntax);
    environment.set_keep_trailing_newline(true);
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.add_filter("seconds", |text: &str| {
        let error = || Error::new(ErrorKind::InvalidOperation, "not a duration");
        prom_duration::seconds(text).ok_or_else(error)
    });
    environment.add_filter("percent", |text: &str| number(text).map(percent));
    environment.add_filter("budget", |text: &str| number(text).map(|goal| percent(1.0 - goal)));
    environment.add_filter("le", |text: &str| number(text).map(le));
    Ok(environment)
}

fn number(text: &str) -> Result<f64, Error> {
    text.parse().map_err(|_| Error::new(ErrorKind::InvalidOperation, "not a number"))
}

/// The placeholders of recording rules over `window`, or of rules without one.
pub(super) fn of_record(values: &Values, window: Option<&RecordedWindow>) -> Context {
    let mut context = common(values, "", "");
    if let Some(window) = window {
        context.extend(
            [("window", window.name), ("range", window.range), ("interval", window.interval)]
                .map(|(name, text)| (name.to_owned(), text.into())),
        );
    }
    context
}

/// The placeholders of `alert`, for `project` or for all; `exclusion` matches the projects without values of their own.
pub(super) fn of_alert(values: &Values, alert: &str, project: Option<&str>, exclusion: &str) -> Context {
    let text = |name| values.of_alert(alert, project, name).and_then(Node::as_text).unwrap_or_default();
    let mut context = common(values, exclusion, text("selector"));
    for (name, _) in values.entries(&format!("alerts.{alert}")) {
        let value = values.of_alert(alert, project, name).map(template_value).unwrap_or_default();
        context.insert(name.to_owned(), value);
    }
    let severity = values.text(&format!("common.severities.{}", text("severity")));
    let runbook = format!("{}/{alert}.md", values.text("common.runbook_url").trim_end_matches('/'));
    context.insert("severity".to_owned(), severity.into());
    context.insert("runbook".to_owned(), runbook.into());
    context
}

/// All values by name, and the lists of labels and matchers that are made from several of them.
fn common(values: &Values, exclusion: &str, selector: &str) -> Context {
    let mut context: Context =
        values.entries("").map(|(name, node)| (name.to_owned(), template_value(node))).collect();
    let labels = |own: &str| {
        let further = values.get::<Vec<String>>("common.by").unwrap_or_default();
        [&[own.to_owned()], further.as_slice()].concat().join(", ")
    };
    let own = joined(&[values.text("common.selector"), selector]);
    // Recorded series have lost the labels that distinguish exporters.
    let recorded = joined(&[values.text("common.target_selector"), exclusion, selector]);
    let raw = joined(&[values.text("common.selector"), &recorded]);
    let dashboard = format!("{}/d", values.text("common.dashboard_url").trim_end_matches('/'));
    context.extend(
        [
            ("by", labels(TARGET_LABELS)),
            ("instance", labels(INSTANCE_LABELS)),
            ("sel", braces(&own)),
            ("sel_and", appended(&own)),
            ("pick", braces(&recorded)),
            ("raw", braces(&raw)),
            ("raw_and", appended(&raw)),
            ("own", braces(&own)),
            ("own_and", appended(&own)),
            ("dashboard", dashboard),
        ]
        .map(|(name, text)| (name.to_owned(), text.into())),
    );
    context
}

fn joined(matchers: &[&str]) -> String {
    let matchers: Vec<&str> =
        matchers.iter().map(|text| text.trim()).filter(|text| !text.is_empty()).collect();
    matchers.join(",")
}

fn braces(matchers: &str) -> String {
    if matchers.is_empty() { String::new() } else { format!("{{{matchers}}}") }
}

/// Matchers that follow one of the template.
fn appended(matchers: &str) -> String {
    if matchers.is_empty() { String::new() } else { format!(",{matchers}") }
}

/// Sections as maps and everything else as text; a list or nothing is no value of a template.
fn template_value(node: &Node) -> minijinja::Value {
    match &node.value {
        Value::Table(entries) => {
            entries.iter().map(|(name, node)| (name.clone(), template_value(node))).collect()
        }
        Value::Null | Value::List(_) => minijinja::Value::UNDEFINED,
        Value::Bool(_) | Value::Integer(_) | Value::Float(_) | Value::Text(_) => {
            node.scalar().unwrap_or_default().into()
        }
    }
}

fn percent(share: f64) -> String {
    // 1 - 0.95 is not quite 0.05.
    format!("{} %", (share * 1e6).round() / 1e4)
}

/// The matcher for the bucket below `bound`; stores write a whole number with or without a fraction.
fn le(bound: f64) -> String {
    if bound.fract() == 0.0 { format!("le=~\"{bound}(\\\\.0)?\"") } else { format!("le=\"{bound}\"") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_bounds_match_both_spellings() {
        assert_eq!(le(3.0), r#"le=~"3(\\.0)?""#);
        assert_eq!(le(2.5), r#"le="2.5""#);
        assert_eq!(percent(1.0 - 0.95), "5 %");
        assert_eq!(percent(0.125), "12.5 %");
    }
}
