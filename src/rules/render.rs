//! From templates and values to the rules.
//!
//! Owns: which template is written for which window and project, and the two forms of the file. Never: the values' checks.

use std::fmt::Write as _;

use super::kind::text;
use super::scope::Scope;
use super::template::{Rule, Template, substitute};
use super::values::Values;
use super::{RECORDED_WINDOWS, RecordedWindow, matchers};
use exporter_schema::Value;

const FRESHNESS: &str = include_str!("../../alerts/templates/freshness.yml");
const COUNTS: &str = include_str!("../../alerts/templates/counts.yml");
const QUALITY: &str = include_str!("../../alerts/templates/quality.yml");
const SAME_HOUR_LAST_WEEKS: &str = include_str!("../../alerts/templates/former.yml");
const OPEN: &str = include_str!("../../alerts/templates/open.yml");
const BUDGETS: &str = include_str!("../../alerts/templates/budgets.yml");
const ALERTS: [&str; 4] = [
    include_str!("../../alerts/templates/exporter.yml"),
    include_str!("../../alerts/templates/data.yml"),
    include_str!("../../alerts/templates/agent.yml"),
    include_str!("../../alerts/templates/slo.yml"),
];

/// Alerts that compare with the same window of former weeks.
const WEEK_OVER_WEEK_ALERTS: [&str; 3] =
    ["PolyAITrafficStopped", "PolyAITrafficDropped", "PolyAIHandoffRateJump"];

/// What the rules are written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    /// A file for `rule_files` of Prometheus.
    #[default]
    Prometheus,
    /// A `PrometheusRule` object for the Prometheus Operator.
    Operator,
}

/// A template with a placeholder that means nothing: a fault of this program.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a template of the rules has the placeholder ${{{0}}}, which means nothing; please report it")]
pub struct TemplateError(String);

/// All rules as YAML.
///
/// # Errors
/// Never with the templates of this program, as its tests show.
pub fn render(values: &Values, format: Format) -> Result<String, TemplateError> {
    let mut groups = String::new();
    group(&mut groups, values, FRESHNESS, None)?;
    for window in &RECORDED_WINDOWS {
        group(&mut groups, values, COUNTS, Some(window))?;
    }
    for window in RECORDED_WINDOWS.iter().filter(|window| window.full) {
        group(&mut groups, values, QUALITY, Some(window))?;
    }
    for window in RECORDED_WINDOWS.iter().filter(|window| is_compared(values, window)) {
        group(&mut groups, values, SAME_HOUR_LAST_WEEKS, Some(window))?;
    }
    for template in [OPEN, BUDGETS].into_iter().chain(ALERTS) {
        group(&mut groups, values, template, None)?;
    }
    Ok(match format {
        Format::Prometheus => format!("{NOTE}groups:\n{groups}"),
        Format::Operator => render_prometheus_rule(values, &groups),
    })
}

const NOTE: &str = "\
# Recording and alert rules for polyai-exporter, written by `polyai-exporter rules`.
# Do not change this file: put the values that you want otherwise into a file of your own and write the rules with
# `polyai-exporter rules --values FILE`. alerts/thresholds.yml has all values, and the reason for each.
";

fn is_compared(values: &Values, window: &RecordedWindow) -> bool {
    WEEK_OVER_WEEK_ALERTS.iter().any(|alert| {
        let projects = values.projects(alert);
        [None]
            .into_iter()
            .chain(projects.into_iter().map(Some))
            .any(|project| values.of_alert(alert, project, "window").and_then(text) == Some(window.name))
    })
}

/// The rules as an object of Kubernetes.
fn render_prometheus_rule(values: &Values, groups: &str) -> String {
    let mut object = format!(
        "{NOTE}apiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nmetadata:\n  name: {}\n",
        values.text("operator.name")
    );
    let namespace = values.text("operator.namespace");
    if !namespace.is_empty() {
        // Writing to a String cannot fail.
        let _ = writeln!(object, "  namespace: {namespace}");
    }
    let labels = values.labels("operator.labels");
    if !labels.is_empty() {
        object.push_str("  labels:\n");
        for (name, value) in labels {
            let _ = writeln!(object, "    {name}: {}", quoted(value));
        }
    }
    object.push_str("spec:\n  groups:\n");
    for line in groups.lines() {
        if !line.is_empty() {
            object.push_str("  ");
        }
        object.push_str(line);
        object.push('\n');
    }
    object
}

/// A string of JSON is one of YAML too.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn group(
    groups: &mut String,
    values: &Values,
    template: &str,
    window: Option<&RecordedWindow>,
) -> Result<(), TemplateError> {
    let template = Template::of(template);
    let mut rules = String::new();
    for rule in &template.rules {
        write_rule(&mut rules, values, rule, window)?;
    }
    // Prometheus takes a group without rules, but nobody wants to read it.
    if !rules.is_empty() {
        groups.push_str(&fill(template.head, &Scope::of_record(values, window))?);
        groups.push_str(&rules);
    }
    Ok(())
}

fn write_rule(
    rules: &mut String,
    values: &Values,
    rule: &Rule<'_>,
    window: Option<&RecordedWindow>,
) -> Result<(), TemplateError> {
    let Some(alert) = rule.alert else {
        rules.push_str(&fill(rule.text, &Scope::of_record(values, window))?);
        return Ok(());
    };
    // An alert about an exporter knows no project.
    let is_of_target = rule.text.contains("${by}");
    let projects = if is_of_target { values.projects(alert) } else { Vec::new() };
    for project in [None].into_iter().chain(projects.iter().map(|project| Some(*project))) {
        let enabled = values.of_alert(alert, project, "enabled").map(|node| &node.value);
        if enabled != Some(&Value::Bool(true)) {
            continue;
        }
        let apart = match (project, projects.as_slice()) {
            (Some(project), _) => format!("project={}", matchers::string(project)),
            (None, []) => String::new(),
            (None, [one]) => format!("project!={}", matchers::string(one)),
            (None, several) => {
                let names: Vec<String> = several.iter().map(|name| matchers::literal(name)).collect();
                format!("project!~{}", matchers::string(&names.join("|")))
            }
        };
        let scope = Scope { values, window, alert: Some((alert, project)), project_exclusion: apart };
        rules.push_str(&with_labels(&fill(rule.text, &scope)?, values, project));
    }
    Ok(())
}

/// The rule without durations of nothing, and with the labels that the user wants on it.
fn with_labels(rule: &str, values: &Values, project: Option<&str>) -> String {
    let mut text = String::with_capacity(rule.len());
    for line in rule.split_inclusive('\n') {
        if matches!(line.trim(), "for: 0s" | "keep_firing_for: 0s") {
            continue;
        }
        text.push_str(line);
        if line == "        labels:\n" {
            let thresholds = project.map(|project| ("thresholds", project));
            for (name, value) in values.labels("common.alert_labels").into_iter().chain(thresholds) {
                let _ = writeln!(text, "          {name}: {}", quoted(value));
            }
        }
    }
    text
}

fn fill(text: &str, scope: &Scope<'_>) -> Result<String, TemplateError> {
    substitute(text, |name, filter| scope.value(name, filter)).map_err(TemplateError)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Source;

    fn rendered(assignments: &[&str], format: Format) -> String {
        let sources: Vec<Source> =
            assignments.iter().map(|text| Source::Assignment((*text).to_owned())).collect();
        render(&Values::load(&sources).unwrap(), format).unwrap()
    }

    fn rule<'t>(rules: &'t str, start: &str) -> Vec<&'t str> {
        let cut = rules.split("\n      - ").filter(|rule| rule.starts_with(start));
        cut.map(|rule| rule.split("annotations:").next().unwrap_or(rule)).collect()
    }

    #[test]
    fn values_reach_expressions_and_words() {
        let rules = rendered(
            &[
                "alerts.PolyAIHandoffRateHigh.ratio=0.65",
                "alerts.PolyAIHandoffRateHigh.window=1h",
                "common.severities.critical=page",
                "common.alert_labels={team: 'voice \"a\"'}",
            ],
            Format::Prometheus,
        );
        let [alert] = rule(&rules, "alert: PolyAIHandoffRateHigh\n")[..] else { panic!("{rules}") };
        assert!(alert.contains("ratio1h{client_env=\"live\"} > 0.65\n"), "{alert}");
        assert!(
            alert.contains("severity: page\n") && alert.contains("team: \"voice \\\"a\\\"\"\n"),
            "{alert}"
        );
        assert!(rules.contains("(limit\n            65 %)"));
        assert!(!rules.contains("${") && !rules.contains(": 0s\n"));
    }

    #[test]
    fn an_alert_can_be_switched_off_and_a_group_without_rules_goes() {
        let rules = rendered(&["alerts.PolyAIClockSkew.enabled=false"], Format::Prometheus);
        assert!(!rules.contains("PolyAIClockSkew"));
        assert!(!rules.contains("PolyAIHandledBudgetBurn"), "off by default");
        assert!(
            rendered(&["alerts.PolyAIHandledBudgetBurn.enabled=true"], Format::Prometheus)
                .contains("PolyAIHandledBudgetBurn")
        );
    }

    #[test]
    fn a_project_with_values_of_its_own_is_judged_by_those_alone() {
        let rules = rendered(
            &[
                "projects.billing.PolyAIHandoffRateHigh={ratio: 0.7, window: 1h}",
                "projects.billing.PolyAITrafficDropped.enabled=false",
                "projects.pilot.PolyAIHandoffRateHigh.enabled=false",
            ],
            Format::Prometheus,
        );
        let [all, billing] = rule(&rules, "alert: PolyAIHandoffRateHigh\n")[..] else { panic!("{rules}") };
        assert!(all.contains(r#"ratio30m{client_env="live",project!~"billing|pilot"} > 0.5"#), "{all}");
        assert!(billing.contains(r#"ratio1h{client_env="live",project="billing"} > 0.7"#), "{billing}");
        assert!(billing.contains("thresholds: \"billing\"\n") && !all.contains("thresholds:"), "{billing}");
        let [dropped] = rule(&rules, "alert: PolyAITrafficDropped\n")[..] else { panic!("{rules}") };
        assert!(dropped.contains(r#"project!="billing""#), "{dropped}");
    }

    #[test]
    fn further_labels_and_matchers_stand_wherever_they_must() {
        let rules = rendered(
            &[
                "common.by=[cluster]",
                r#"common.selector=tenant="a""#,
                r#"alerts.PolyAIClockSkew.selector=project!="x""#,
            ],
            Format::Prometheus,
        );
        assert!(rules.contains(r#"sum by (project, region, client_env, cluster) (increase(polyai_conversations_total{tenant="a"}[30m]))"#));
        assert!(rules.contains(r#"up{job="polyai",tenant="a"}"#));
        assert!(rules.contains("max by (job, instance, cluster) (up"));
        assert!(rules.contains(
            r#"polyai_target_problem{problem="clock_skew",tenant="a",client_env="live",project!="x"}"#
        ));
        assert!(
            !rules.contains(r#"target:polyai_data:fresh{tenant"#),
            "recorded series have lost that label"
        );
    }

    #[test]
    fn the_windows_of_former_weeks_are_those_that_alerts_ask_for() {
        let rules = rendered(&["projects.x.PolyAITrafficStopped.window=6h"], Format::Prometheus);
        for window in ["15m", "1h", "6h"] {
            assert!(rules.contains(&format!("- name: polyai-former-weeks-{window}\n")), "{window}");
        }
        assert!(!rules.contains("polyai-former-weeks-30m"));
    }

    #[test]
    fn the_object_for_the_operator_has_the_same_groups() {
        let object =
            rendered(&["operator.namespace=monitoring", "operator.labels={release: kps}"], Format::Operator);
        assert!(object.contains("kind: PrometheusRule\nmetadata:\n  name: polyai-exporter\n  namespace: monitoring\n  labels:\n    release: \"kps\"\nspec:\n  groups:\n"));
        let (_, groups) = object.split_once("  groups:\n").unwrap();
        let plain = rendered(&[], Format::Prometheus);
        let (_, expected) = plain.split_once("groups:\n").unwrap();
        let back: String =
            groups.lines().map(|line| format!("{}\n", line.get(2..).unwrap_or_default())).collect();
        assert_eq!(back, expected);
    }
}
