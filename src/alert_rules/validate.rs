//! Whether values fit together: above all, whether an alert made from them could ever fire.

use exporter_schema::{Diagnostic, FromNode, Node, display_key};

use super::thresholds::Values;
use super::{Format, matchers, render};

/// The factors of each burn alert, and the objective whose budget they multiply.
const BURN_ALERTS: [(&str, &str, &[&str]); 4] = [
    ("PolyAIReplyLatencyBudgetBurnFast", "reply_latency", &["factor_1h", "factor_6h"]),
    ("PolyAIReplyLatencyBudgetBurnSlow", "reply_latency", &["factor_1d", "factor_3d"]),
    ("PolyAIFreshnessBudgetBurn", "freshness", &["factor_1d"]),
    ("PolyAIHandledBudgetBurn", "handled", &["factor_1d", "factor_3d"]),
];

const TARGET_LABELS: [&str; 3] = ["project", "region", "client_env"];
/// Annotations that every alert has.
const OWN_ANNOTATIONS: [&str; 4] = ["summary", "description", "runbook_url", "dashboard_url"];

/// Labels that rules keep or aggregate anyway, and so of no use in `common.by`.
const OWN_LABELS: [&str; 6] = ["project", "region", "client_env", "job", "instance", "le"];

/// Everything that does not fit.
pub(super) fn errors(values: &Values) -> Vec<Diagnostic> {
    let mut errors = Vec::new();
    let mut error =
        |node: &Node, key: &str, text: String| errors.push(Diagnostic::new(&node.location, key, text));
    for (bound, buckets) in [
        ("slo.reply_latency.bound", "common.latency_buckets"),
        ("common.short_conversation", "common.duration_buckets"),
    ] {
        if let (Some(node), Some(bounds)) = (values.node(bound), values.get::<Vec<f64>>(buckets))
            && let Some(wanted) = node.as_number()
            && !bounds.contains(&wanted)
        {
            let bounds: Vec<String> = bounds.iter().map(ToString::to_string).collect();
            let text = format!(
                "found {wanted}, which is not the bound of a bucket, so that nothing is counted below it; write one of {}, or add this bound to {buckets} and to the configuration of the exporter",
                bounds.join(", ")
            );
            error(node, bound, text);
        }
    }
    let highest = values.get::<Vec<f64>>("common.latency_buckets").and_then(|bounds| bounds.last().copied());
    let scopes = values.alerts().flat_map(|alert| values.scopes(alert).map(move |project| (alert, project)));
    for (alert, project) in scopes {
        if let (Some(node), Some(highest)) = (values.of_alert(alert, project, "seconds"), highest)
            && node.as_number().is_some_and(|seconds| seconds >= highest)
        {
            let text = format!(
                "could never fire: no percentile exceeds {highest}, the last bound of common.latency_buckets; write less"
            );
            error(node, &path(alert, project, "seconds"), text);
        }
        if project.is_some()
            && let Some(section) = values.section(alert, project)
            && !is_of_target(alert)
        {
            let text = format!("is about an exporter and not about a project; change alerts.{alert}");
            error(section, &path(alert, project, "enabled").replace(".enabled", ""), text);
        }
        if let Some(node) = values.of_alert(alert, project, "selector")
            && let Some(text) = node
                .as_text()
                .and_then(matchers::labels)
                .and_then(|labels| unmatched(values, alert, project, &labels))
        {
            error(node, &path(alert, project, "selector"), text);
        }
        if let Some(node) = values.of_alert(alert, project, "selector")
            && node.as_text().and_then(matchers::labels).is_some_and(|labels| labels.contains(&"client_env"))
            && values.text("common.target_selector").contains("client_env")
        {
            let text = "common.target_selector matches client_env already; change that".to_owned();
            error(node, &path(alert, project, "selector"), text);
        }
    }
    for (alert, objective, factors) in BURN_ALERTS {
        let goal = format!("slo.{objective}.goal");
        let Some(budget) = values.get::<f64>(&goal).map(|goal| 1.0 - goal) else { continue };
        let scopes = values.scopes(alert);
        for (project, factor) in
            scopes.flat_map(|project| factors.iter().map(move |factor| (project, *factor)))
        {
            if let Some(node) = values.of_alert(alert, project, factor)
                && node.as_number().is_some_and(|factor| factor * budget >= 1.0)
            {
                let text = format!(
                    "could never fire: this many times the budget of {goal} ({:.3}) is 1 or more; write less than {:.1}, or a higher goal",
                    budget,
                    1.0 / budget
                );
                error(node, &path(alert, project, factor), text);
            }
        }
    }
    if let Some(node) = values.node("common.by") {
        for label in Vec::<String>::from_node(node).unwrap_or_default() {
            if OWN_LABELS.contains(&label.as_str()) {
                error(node, "common.by", format!("the rules keep or aggregate {label} already; remove it"));
            }
        }
    }
    let projects =
        values.entries("projects").map(|(project, _)| (format!("projects.{project}"), Some(project)));
    for (section, project) in projects.chain([("common".to_owned(), None)]) {
        for (name, node) in values.annotations(project) {
            if !matchers::is_label(name) || OWN_ANNOTATIONS.contains(&name) {
                let text = "found the name of an annotation that alerts have already, or that is not one of letters, digits and _";
                error(node, &format!("{section}.annotations.{name}"), text.to_owned());
            }
        }
    }
    for section in ["common.alert_labels", "operator.labels"] {
        for (name, node) in values.entries(section) {
            // Those of Kubernetes have dots and slashes.
            if !name.chars().all(|letter| letter.is_ascii_alphanumeric() || "_-./".contains(letter)) {
                let text = "found an odd name of a label; write letters, digits, and _ - . /".to_owned();
                error(node, &format!("{section}.{}", display_key(name)), text);
            }
        }
    }
    errors
}

/// The values that change nothing: those of a disabled alert, and of an object that is not printed.
pub(super) fn without_effect(values: &Values, format: Format) -> Vec<Diagnostic> {
    let (defaults, _) = Values::merge(&[]);
    let mut found = Vec::new();
    for (alert, project) in
        values.alerts().flat_map(|alert| values.scopes(alert).map(move |project| (alert, project)))
    {
        // Projects without a value of their own use the one for all.
        let mut users = if project.is_some() { vec![project] } else { values.scopes(alert).collect() };
        users.retain(|project| values.is_enabled(alert, *project));
        if !users.is_empty() {
            continue;
        }
        for (name, node) in values.section(alert, project).and_then(Node::entries).into_iter().flatten() {
            let disables = name == "enabled" && (project.is_none() || values.is_enabled(alert, None));
            let default = defaults.section(alert, project).and_then(|section| section.get(name));
            if !disables && default.is_none_or(|default| default.value != node.value) {
                let text = "has no effect, because the alert is disabled";
                found.push(Diagnostic::new(&node.location, &path(alert, project, name), text));
            }
        }
    }
    for (name, node) in values.entries("operator").filter(|_| format == Format::Prometheus) {
        let path = format!("operator.{name}");
        if defaults.node(&path).is_none_or(|default| default.value != node.value) {
            found.push(Diagnostic::new(&node.location, &path, "has no effect without --format operator"));
        }
    }
    found
}

fn is_of_target(alert: &str) -> bool {
    render::template_of(alert).is_some_and(|rule| rule.is_of_target())
}

/// Why a selector with these labels would match everything or nothing.
fn unmatched(values: &Values, alert: &str, project: Option<&str>, labels: &[&str]) -> Option<String> {
    let rule = render::template_of(alert)?;
    let by = values.get::<Vec<String>>("common.by").unwrap_or_default();
    let target = [&TARGET_LABELS.map(str::to_owned)[..], &by].concat();
    if project.is_some() && labels.contains(&"project") {
        Some("these values are for one project; remove the matcher of project".to_owned())
    } else if !rule.is_of_target() {
        let found = labels.iter().find(|label| TARGET_LABELS.contains(label))?;
        Some(format!(
            "is about an exporter as a whole, which has no {found}; select by job, instance or the like"
        ))
    } else {
        let found = labels.iter().find(|label| !target.iter().any(|own| own == *label))?;
        let is_recorded = rule.text.contains("${pick}");
        is_recorded.then(|| {
            format!("found {found}, but the series that it compares have only {}", target.join(", "))
        })
    }
}

fn path(alert: &str, project: Option<&str>, name: &str) -> String {
    match project {
        None => format!("alerts.{alert}.{name}"),
        Some(project) => format!("projects.{project}.{alert}.{name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert_rules::Source;

    fn errors_of(assignments: &[&str]) -> String {
        let sources: Vec<Source> =
            assignments.iter().map(|text| Source::Assignment((*text).to_owned())).collect();
        Values::load(&sources).err().map(|problems| problems.to_string()).unwrap_or_default()
    }

    #[test]
    fn thresholds_that_never_fire_are_refused() {
        let goal = errors_of(&["slo.reply_latency.goal=0.9"]);
        assert!(
            goal.contains("alerts.PolyAIReplyLatencyBudgetBurnFast.factor_1h: could never fire"),
            "{goal}"
        );
        assert!(goal.contains("write less than 10.0, or a higher goal"), "{goal}");
        assert!(
            errors_of(&["projects.pilot.PolyAIHandledBudgetBurn.factor_1d=5"]).contains("could never fire")
        );
        assert!(errors_of(&["alerts.PolyAITurnLatencyHigh.seconds=15"]).contains("no percentile exceeds 15"));
        assert!(errors_of(&["alerts.PolyAITurnLatencyHigh.seconds=14"]).is_empty());
    }

    #[test]
    fn bounds_must_be_bounds_of_buckets() {
        let bound = errors_of(&["slo.reply_latency.bound=4"]);
        assert!(bound.contains("found 4, which is not the bound of a bucket"), "{bound}");
        assert!(errors_of(&["slo.reply_latency.bound=3"]).is_empty());
        assert!(errors_of(&["slo.reply_latency.bound=4", "common.latency_buckets=[1, 4, 8]"]).is_empty());
        assert!(errors_of(&["common.short_conversation=10"]).contains("common.duration_buckets"));
    }

    #[test]
    fn labels_are_not_matched_or_kept_twice() {
        assert!(errors_of(&["common.by=[cluster, region]"]).contains("keep or aggregate region already"));
        assert!(errors_of(&["common.by=[cluster]"]).is_empty());
        let selector = errors_of(&[r#"alerts.PolyAIClockSkew.selector=client_env="sandbox""#]);
        assert!(selector.contains("common.target_selector matches client_env already"), "{selector}");
    }

    #[test]
    fn values_of_single_projects_are_of_alerts_about_projects() {
        let exporter = errors_of(&["projects.billing.PolyAIExporterDown.enabled=false"]);
        assert!(
            exporter.contains(
                "projects.billing.PolyAIExporterDown: is about an exporter and not about a project; change alerts.PolyAIExporterDown"
            ),
            "{exporter}"
        );
        assert!(errors_of(&["projects.billing.PolyAILabelValuesFolded.enabled=false"]).is_empty());
        let limited = errors_of(&["projects.billing.PolyAIApiRateLimited.ratio=0.5"]);
        assert!(limited.contains("change alerts.PolyAIApiRateLimited"), "{limited}");
    }

    #[test]
    fn selectors_that_match_all_or_nothing_are_refused() {
        for (assignment, expected) in [
            (r#"alerts.PolyAIExporterDown.selector=project!="pilot""#, "has no project"),
            (r#"alerts.PolyAIHandoffRateHigh.selector=instance="a:9890""#, "found instance, but the series"),
            (
                r#"projects.billing.PolyAIHandoffRateHigh.selector=project!="x""#,
                "remove the matcher of project",
            ),
            (r#"alerts.PolyAIExporterDown.selector=instance!="a:9890""#, ""),
            (r#"alerts.PolyAIKeyRefused.selector=instance="a:9890""#, ""),
            (r#"projects.billing.PolyAIHandoffRateHigh.selector=region="us-1""#, ""),
        ] {
            let found = errors_of(&[assignment]);
            assert!(
                found.contains(expected) && found.is_empty() == expected.is_empty(),
                "{assignment}: {found}"
            );
        }
        let by = r#"alerts.PolyAIHandoffRateHigh.selector=cluster="eu""#;
        assert!(errors_of(&[by]).contains("project, region, client_env"));
        assert!(errors_of(&["common.by=[cluster]", by]).is_empty());
    }

    #[test]
    fn values_without_effect_are_reported() {
        let found = |assignments: &[&str], format| {
            let sources: Vec<Source> =
                assignments.iter().map(|text| Source::Assignment((*text).to_owned())).collect();
            let notes = Values::load(&sources).unwrap().without_effect(format);
            notes.iter().map(|note| format!("{note}\n")).collect::<String>()
        };
        let plain = |assignments: &[&str]| found(assignments, Format::Prometheus);
        assert_eq!(plain(&[]), "");
        let disabled = "because the alert is disabled";
        let alone = plain(&["alerts.PolyAIHandledBudgetBurn.factor_1d=2"]);
        assert!(alone.contains("alerts.PolyAIHandledBudgetBurn.factor_1d: has no effect"), "{alone}");
        let enabled = "projects.billing.PolyAIHandledBudgetBurn.enabled=true";
        assert_eq!(plain(&["alerts.PolyAIHandledBudgetBurn.factor_1d=2", enabled]), "");
        let twice = plain(&["projects.billing.PolyAIHandledBudgetBurn.enabled=false"]);
        assert!(twice.contains("projects.billing.PolyAIHandledBudgetBurn.enabled: has no effect"), "{twice}");
        assert_eq!(plain(&["projects.billing.PolyAITrafficDropped.enabled=false"]), "");
        let project = plain(&["projects.billing.PolyAITrafficDropped={enabled: false, ratio: 0.2}"]);
        assert!(project.contains("PolyAITrafficDropped.ratio") && project.contains(disabled), "{project}");
        let namespace = ["operator.namespace=monitoring"];
        assert!(plain(&namespace).contains("operator.namespace: has no effect without --format operator"));
        assert_eq!(found(&namespace, Format::Operator), "");
    }

    #[test]
    fn annotations_are_those_of_no_template() {
        for (assignment, expected) in [
            ("common.annotations={summary: x}", "common.annotations.summary: found the name"),
            ("projects.billing.annotations={'a b': x}", "projects.billing.annotations.a b: found the name"),
            ("projects.billing.annotations={owner: '{{ x'}", "text in one line without {{"),
            ("projects.billing.annotations={number: '+1 555 0100'}", ""),
        ] {
            let found = errors_of(&[assignment]);
            assert!(
                found.contains(expected) && found.is_empty() == expected.is_empty(),
                "{assignment}: {found}"
            );
        }
    }

    #[test]
    fn names_of_labels_cannot_break_the_yaml() {
        assert!(errors_of(&["common.alert_labels={'a: b': c}"]).contains("an odd name of a label"));
        assert!(errors_of(&["operator.labels={app.kubernetes.io/name: x}"]).is_empty());
    }
}
