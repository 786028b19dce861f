//! The runbooks: one per alert, complete, and with valid queries.

use std::collections::BTreeSet;
use std::process::Command;

use promql_parser::parser;

use super::promql_ast::resolved;
use super::promtool::{said, tool};
use super::rules::{alerts, all, project, yaml};

const HEADINGS: [&str; 6] =
    ["## Meaning", "## Impact", "## Diagnosis", "## Mitigation", "## Escalation", "## Tuning"];

fn books() -> Vec<(String, String)> {
    let mut books = Vec::new();
    for entry in std::fs::read_dir(project().join("docs/runbooks")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        books.push((name, std::fs::read_to_string(path).unwrap()));
    }
    books.sort();
    books
}

#[test]
fn alerts_and_runbooks_correspond() {
    let alerts: BTreeSet<String> = alerts().into_iter().map(|rule| rule.name).collect();
    let books: BTreeSet<String> =
        books().into_iter().map(|(name, _)| name).filter(|name| name != "README").collect();
    assert_eq!(alerts, books);
}

#[test]
fn runbooks_are_complete_and_indexed() {
    let books = books();
    let (_, index) = books.iter().find(|(name, _)| name == "README").unwrap();
    let values = yaml(&std::fs::read_to_string(project().join("alerts/thresholds.yml")).unwrap());
    for (name, text) in books.iter().filter(|(name, _)| name != "README") {
        assert!(text.starts_with(&format!("# {name}\n")), "{name}");
        let mut rest = text.as_str();
        for heading in HEADINGS {
            let (_, after) =
                rest.split_once(&format!("\n{heading}\n\n")).unwrap_or_else(|| panic!("{name}: {heading}"));
            assert!(!after.trim_start().starts_with('#'), "{name}: {heading} is empty");
            rest = after;
        }
        let alert = &values["alerts"][name.as_str()];
        let off = if alert["enabled"].as_bool() == Some(true) { "" } else { ", off" };
        let line = format!("| [{name}]({name}.md) | {}{off} |", alert["severity"].as_str().unwrap());
        assert!(index.contains(&line), "the index lacks {line}");
        // The keys that it names for tuning are there.
        for key in rest.split('`').skip(1).step_by(2) {
            let bare = key.strip_prefix('.').unwrap_or(key);
            let there = bare.split('.').fold(&values, |node, part| &node[part]);
            let known =
                !there.is_badvalue() || !alert[bare].is_badvalue() || ["projects", "goal"].contains(&bare);
            assert!(known, "{name}: there is no key {key}");
        }
    }
}

/// The blocks of PromQL in `text`, each of which is one query, to be copied as it is.
fn queries(text: &str) -> Vec<String> {
    text.split("```promql\n").skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

#[test]
fn queries_name_existing_series() {
    let recorded: BTreeSet<String> =
        all().into_iter().filter(|rule| !rule.is_alert).map(|rule| rule.name).collect();
    let mut seen = 0;
    for (name, text) in books() {
        for query in queries(&text) {
            let expr = parser::parse(&query).unwrap_or_else(|error| panic!("{name}: {error}\n{query}"));
            resolved(&expr, &recorded).unwrap_or_else(|wrong| panic!("{name}: {wrong}\n{query}"));
            seen += 1;
        }
    }
    assert!(seen > 80, "{seen}");
}

/// A reason that did not exist an hour or a week ago is the one to look for, though `increase` does not see its first handoffs.
#[test]
fn growing_reasons_include_new_ones() {
    let Some(promtool) = tool("promtool") else { return };
    let books = books();
    let mut cases = String::new();
    for (name, grown) in [
        ("PolyAIHandoffRateJump", "{reason=\"new\"}"),
        ("PolyAIHandoffRateHigh", "{reason=\"new\",destination=\"d\"}"),
        ("PolyAIHandledBudgetBurn", "{reason=\"new\"}"),
    ] {
        let (_, text) = books.iter().find(|(book, _)| book == name).unwrap();
        let query = queries(text).into_iter().find(|query| query.contains("_by_reason_")).unwrap();
        let query = query
            .replace("$PROJECT", "p")
            .replace("$REGION", "us-1")
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ");
        cases.push_str(&format!(
            "      - expr: '({query}) > 30'\n        eval_time: 200h\n        exp_samples: [{{labels: '{grown}', value: 40}}]\n"
        ));
    }
    let series = |reason: &str, values: &str| {
        format!(
            "      - series: 'polyai_handoffs_by_reason_total{{project=\"p\",region=\"us-1\",client_env=\"live\",channel=\"c\",reason=\"{reason}\",destination=\"d\"}}'\n        values: '{values}'\n"
        )
    };
    // The usual reason has a handoff an hour; the new one appears 16 minutes before.
    let input = series("usual", "0+0.05x4000") + &series("new", "_x3996 40x10");
    let text = format!("tests:\n  - interval: 3m\n    input_series:\n{input}    promql_expr_test:\n{cases}");
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("case.yml"), text).unwrap();
    let output = Command::new(promtool).args(["test", "rules", "case.yml"]).current_dir(dir.path()).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn links_resolve() {
    for (name, text) in books() {
        for link in text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()) {
            let file = link.split('#').next().unwrap();
            assert!(project().join("docs/runbooks").join(file).exists(), "{name}: {link}");
        }
    }
}
