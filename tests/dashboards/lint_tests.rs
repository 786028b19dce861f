//! The lint finds what it is there for: each rule is broken once on purpose.

use serde_json::{Value, json};

use crate::{files, lint};

type Spoil = fn(&mut Value);

/// What the lint says when `spoil` has changed the overview.
fn said_of(spoil: impl FnOnce(&mut Value)) -> String {
    let mut files = files();
    spoil(&mut files[0]);
    lint::findings(&files).join("\n")
}

/// What it says of this query in the first tile.
fn said_of_query(expr: &str) -> String {
    said_of(|file| file["panels"][1]["targets"][0]["expr"] = json!(expr))
}

const CHOSEN: &str = "cluster=~\"$cluster\",job=~\"$job\",project=~\"$project\",region=~\"$region\",client_env=~\"$client_env\"";

#[test]
fn broken_queries_are_found() {
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
        (format!("sum(polyai_conversations_total{{{CHOSEN}}})"), "shown as it stands"),
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
        let said = said_of_query(&query);
        assert!(said.contains(expected), "{query}: {said:?}");
    }
}

#[test]
fn broken_files_are_found() {
    let spoil: [(Spoil, &str); 16] = [
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
    for (spoil, expected) in spoil {
        let said = said_of(spoil);
        assert!(said.contains(expected), "{expected}: {said:?}");
    }
}

fn defaults(file: &mut Value) -> &mut serde_json::Map<String, Value> {
    let defaults = file["panels"][1]["fieldConfig"]["defaults"].as_object_mut().unwrap();
    // A mapping would do in the place of a unit.
    defaults.remove("mappings");
    defaults
}
