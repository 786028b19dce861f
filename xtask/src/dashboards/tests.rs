//! Tests of the dashboards, and of each rule of the lint by breaking it once.

use serde_json::{Value, json};
use yaml_rust2::{Yaml, YamlLoader};

use super::{all, lint, signals};
use crate::repository::read;

type Edit = fn(&mut Value);

/// The dashboards as a reader of their files sees them.
fn files() -> Vec<Value> {
    all().iter().map(|dashboard| serde_json::from_str(&dashboard.to_json()).unwrap()).collect()
}

/// The findings of the lint after an edit of the overview.
fn findings_after(edit: impl FnOnce(&mut Value)) -> String {
    let mut files = files();
    edit(&mut files[0]);
    lint::findings(&files).join("\n")
}

/// The findings of the lint with this query in the first tile.
fn findings_with_query(expr: &str) -> String {
    findings_after(|file| file["panels"][1]["targets"][0]["expr"] = json!(expr))
}

#[test]
fn lint_has_no_findings() {
    let found = lint::findings(&files());
    assert!(found.is_empty(), "{} findings:\n{}", found.len(), found.join("\n"));
}

#[test]
fn limits_match_alert_thresholds() {
    let values = &YamlLoader::load_from_str(&read("alerts/thresholds.yml")).unwrap()[0];
    let number = |value: &Yaml| value.as_f64().or(value.as_i64().map(|whole| whole as f64));
    for (alert, key, limit) in signals::ALERTS {
        assert_eq!(number(&values["alerts"][alert][key]), Some(limit), "{alert}.{key}");
    }
    let common = &values["common"];
    assert_eq!(number(&common["short_conversation"]), Some(signals::SHORT_SECONDS));
    assert_eq!(number(&values["slo"]["reply_latency"]["bound"]), Some(signals::SLOW_SECONDS));
    let stale = humantime::parse_duration(common["stale_after"].as_str().unwrap()).unwrap();
    assert_eq!(stale.as_secs_f64(), signals::AGE.bad);
}

const CHOSEN: &str = "cluster=~\"$cluster\",job=~\"$job\",project=~\"$project\",region=~\"$region\",client_env=~\"$client_env\"";

#[test]
fn broken_query_is_found() {
    let cases = [
        (format!("sum(increase(polyai_conversations_totals{{{CHOSEN}}}[$window]))"), "there is no metric"),
        (
            format!("sum(increase(polyai_conversations_total{{{CHOSEN},color=\"red\"}}[$window]))"),
            "has no label color",
        ),
        ("sum(increase(polyai_conversations_total[$window]))".to_owned(), "does not follow $project"),
        (
            format!("sum(increase(polyai_conversations_total{{{CHOSEN}}}[$__rate_interval]))"),
            "over $__rate_interval",
        ),
        (
            format!("sum(rate(polyai_conversations_total{{{CHOSEN}}}[$window]))"),
            "rate of polyai_conversations_total",
        ),
        (format!("sum(polyai_conversations_total{{{CHOSEN}}})"), "shown without rate or increase"),
        (format!("sum(increase(polyai_conversations_in_progress{{{CHOSEN}}}[$window]))"), "does not fit"),
        (format!("sum by (rule) (polyai_conversations_in_progress{{{CHOSEN}}})"), "groups by rule"),
        (
            format!(
                "sum(increase(polyai_handoffs_total{{{CHOSEN}}}[$window])) / sum(increase(polyai_conversations_total{{{CHOSEN}}}[$window]))"
            ),
            "without a floor",
        ),
        (
            format!(
                "histogram_quantile(0.9, sum(increase(polyai_turn_latency_seconds_bucket{{{CHOSEN}}}[$window])))"
            ),
            "not summed by le",
        ),
        ("sum(((".to_owned(), "query A"),
        ("sum(up{cluster=~\"$nonsense\"})".to_owned(), "$nonsense is used and does not exist"),
    ];
    for (query, expected) in cases {
        let findings = findings_with_query(&query);
        assert!(findings.contains(expected), "{query}: {findings:?}");
    }
}

#[test]
fn broken_file_is_found() {
    let edits: [(Edit, &str); 16] = [
        (|file| file["__inputs"] = json!([]), "__inputs"),
        (|file| file["elements"] = json!({}), "elements"),
        (|file| file["panels"][1]["datasource"]["uid"] = json!("prometheus"), "instead of the variable"),
        (|file| file["panels"][1]["description"] = json!(""), "does not say in a sentence"),
        (|file| file["panels"][1]["title"] = json!(""), "has no title"),
        (|file| file["panels"][1]["id"] = json!(3), "not unique"),
        (|file| file["panels"][1]["gridPos"]["x"] = json!(1), "overlap"),
        (|file| file["panels"][1]["gridPos"]["w"] = json!(25), "outside"),
        (|file| drop(defaults(file).remove("unit")), "has no unit"),
        (|file| drop(defaults(file).remove("noValue")), "why it may be empty"),
        (|file| drop(defaults(file).remove("thresholds")), "nobody has set"),
        (|file| file["links"] = json!([]), "no menu"),
        (|file| file["annotations"]["list"] = json!([]), "not annotated"),
        (|file| file["templating"]["list"][2]["refresh"] = json!(1), "does not follow the time range"),
        (|file| file["templating"]["list"][2]["multi"] = json!(false), "one value only"),
        (|file| file["uid"] = json!("polyai-project"), "the same uid"),
    ];
    for (edit, expected) in edits {
        let findings = findings_after(edit);
        assert!(findings.contains(expected), "{expected}: {findings:?}");
    }
}

fn defaults(file: &mut Value) -> &mut serde_json::Map<String, Value> {
    let defaults = file["panels"][1]["fieldConfig"]["defaults"].as_object_mut().unwrap();
    // A mapping is accepted instead of a unit.
    defaults.remove("mappings");
    defaults
}
