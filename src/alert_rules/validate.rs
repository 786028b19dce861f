//! Whether values fit together: above all, whether an alert made from them could ever fire.

use exporter_schema::{Diagnostic, FromNode, Node, display_key};

use super::matchers;
use super::thresholds::Values;

/// The factors of each burn alert, and the objective whose budget they multiply.
const BURN_ALERTS: [(&str, &str, &[&str]); 4] = [
    ("PolyAIReplyLatencyBudgetBurnFast", "reply_latency", &["factor_1h", "factor_6h"]),
    ("PolyAIReplyLatencyBudgetBurnSlow", "reply_latency", &["factor_1d", "factor_3d"]),
    ("PolyAIFreshnessBudgetBurn", "freshness", &["factor_1d"]),
    ("PolyAIHandledBudgetBurn", "handled", &["factor_1d", "factor_3d"]),
];

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
    fn names_of_labels_cannot_break_the_yaml() {
        assert!(errors_of(&["common.alert_labels={'a: b': c}"]).contains("an odd name of a label"));
        assert!(errors_of(&["operator.labels={app.kubernetes.io/name: x}"]).is_empty());
    }
}
