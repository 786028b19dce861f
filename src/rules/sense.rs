//! Whether values make sense together: above all, whether an alert made from them could ever fire.
//!
//! Owns: those checks, and their sentences. Never: the form of a single value.

use super::kind::{self, number, numbers};
use super::matchers;
use super::values::Values;
use exporter_schema::{Diagnostic, Node};

/// The factors of each burn alert, and the objective whose budget they multiply.
const BURNS: [(&str, &str, &[&str]); 4] = [
    ("PolyAIReplyLatencyBudgetBurnFast", "reply_latency", &["factor_1h", "factor_6h"]),
    ("PolyAIReplyLatencyBudgetBurnSlow", "reply_latency", &["factor_1d", "factor_3d"]),
    ("PolyAIFreshnessBudgetBurn", "freshness", &["factor_1d"]),
    ("PolyAIHandledBudgetBurn", "handled", &["factor_1d", "factor_3d"]),
];

/// What a label of each series, and so of no use in `common.by`, is called.
const OWN_LABELS: [&str; 6] = ["project", "region", "client_env", "job", "instance", "le"];

/// Everything that makes no sense.
pub(super) fn complaints(values: &Values) -> Vec<Diagnostic> {
    let mut complaints = Vec::new();
    let mut complain = |node: &Node, key: &str, sentence: String| {
        complaints.push(Diagnostic::new(&node.location, key, sentence));
    };
    for (bound, buckets) in [
        ("slo.reply_latency.bound", "common.latency_buckets"),
        ("common.short_conversation", "common.duration_buckets"),
    ] {
        if let (Some(node), Some(all)) = (values.node(bound), values.node(buckets).and_then(numbers))
            && let Some(wanted) = number(node)
            && !all.contains(&wanted)
        {
            let all: Vec<String> = all.iter().map(ToString::to_string).collect();
            let sentence = format!(
                "found {wanted}, which is no bound of a bucket, so that nothing is counted below it; write one of {}, or give the exporter and {buckets} this bound",
                all.join(", ")
            );
            complain(node, bound, sentence);
        }
    }
    let highest = values.node("common.latency_buckets").and_then(numbers).and_then(|all| all.last().copied());
    for (alert, project) in with_projects(values) {
        if let (Some(node), Some(highest)) = (values.of_alert(alert, project, "seconds"), highest)
            && number(node).is_some_and(|seconds| seconds >= highest)
        {
            let sentence = format!(
                "no percentile exceeds {highest}, the last bound of common.latency_buckets, so this could never fire; write less"
            );
            complain(node, &path(alert, project, "seconds"), sentence);
        }
        if let Some(node) = values.of_alert(alert, project, "selector")
            && kind::text(node)
                .and_then(matchers::labels)
                .is_some_and(|labels| labels.contains(&"client_env"))
            && values.text("common.target_selector").contains("client_env")
        {
            let sentence = "client_env is matched by common.target_selector already; change that".to_owned();
            complain(node, &path(alert, project, "selector"), sentence);
        }
    }
    for (alert, objective, factors) in BURNS {
        let goal = format!("slo.{objective}.goal");
        let Some(budget) = values.number(&goal).map(|goal| 1.0 - goal) else { continue };
        for (project, factor) in [None]
            .into_iter()
            .chain(values.projects(alert).into_iter().map(Some))
            .flat_map(|project| factors.iter().map(move |factor| (project, *factor)))
        {
            if let Some(node) = values.of_alert(alert, project, factor)
                && number(node).is_some_and(|factor| factor * budget >= 1.0)
            {
                let sentence = format!(
                    "could never fire: this many times the budget of {goal} ({:.3}) is all there is or more; write less than {:.1}, or a higher goal",
                    budget,
                    1.0 / budget
                );
                complain(node, &path(alert, project, factor), sentence);
            }
        }
    }
    if let Some(node) = values.node("common.by") {
        for label in node.items().unwrap_or_default().iter().filter_map(kind::text) {
            if OWN_LABELS.contains(&label) {
                complain(node, "common.by", format!("{label} is kept or added up already; remove it"));
            }
        }
    }
    complaints
}

/// Each alert, and once more for each project with values of its own.
fn with_projects(values: &Values) -> impl Iterator<Item = (&str, Option<&str>)> {
    values.alerts().flat_map(|alert| {
        [None]
            .into_iter()
            .chain(values.projects(alert).into_iter().map(Some))
            .map(move |project| (alert, project))
    })
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
    use crate::rules::Source;

    fn said(assignments: &[&str]) -> String {
        let sources: Vec<Source> =
            assignments.iter().map(|text| Source::Assignment((*text).to_owned())).collect();
        Values::load(&sources).err().map(|problems| problems.to_string()).unwrap_or_default()
    }

    #[test]
    fn what_could_never_fire_is_refused() {
        let goal = said(&["slo.reply_latency.goal=0.9"]);
        assert!(
            goal.contains("alerts.PolyAIReplyLatencyBudgetBurnFast.factor_1h: could never fire"),
            "{goal}"
        );
        assert!(goal.contains("write less than 10.0, or a higher goal"), "{goal}");
        assert!(said(&["projects.pilot.PolyAIHandledBudgetBurn.factor_1d=5"]).contains("could never fire"));
        assert!(said(&["alerts.PolyAITurnLatencyHigh.seconds=15"]).contains("no percentile exceeds 15"));
        assert!(said(&["alerts.PolyAITurnLatencyHigh.seconds=14"]).is_empty());
    }

    #[test]
    fn a_bound_is_one_of_a_bucket() {
        let bound = said(&["slo.reply_latency.bound=4"]);
        assert!(bound.contains("found 4, which is no bound of a bucket"), "{bound}");
        assert!(said(&["slo.reply_latency.bound=3"]).is_empty());
        assert!(said(&["slo.reply_latency.bound=4", "common.latency_buckets=[1, 4, 8]"]).is_empty());
        assert!(said(&["common.short_conversation=10"]).contains("common.duration_buckets"));
    }

    #[test]
    fn labels_are_not_kept_twice() {
        assert!(said(&["common.by=[cluster, region]"]).contains("region is kept or added up already"));
        assert!(said(&["common.by=[cluster]"]).is_empty());
        let selector = said(&[r#"alerts.PolyAIClockSkew.selector=client_env="sandbox""#]);
        assert!(selector.contains("matched by common.target_selector already"), "{selector}");
    }
}
