//! The runbooks: one per alert, complete, and with valid queries.

use std::collections::BTreeSet;

use promql_parser::parser;

use super::promql_ast::resolved;
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

/// The lines of PromQL in `text`: each a query, or the rest of the one before if it begins with an operator.
fn queries(text: &str) -> Vec<String> {
    let mut queries: Vec<String> = Vec::new();
    let mut inside = false;
    for line in text.lines().map(str::trim) {
        match line {
            "```promql" => inside = true,
            "```" => inside = false,
            _ if inside && line.starts_with(['-', '/']) => {
                queries.last_mut().unwrap().push_str(&format!(" {line}"))
            }
            _ if inside => queries.push(line.to_owned()),
            _ => {}
        }
    }
    queries
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

#[test]
fn links_resolve() {
    for (name, text) in books() {
        for link in text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()) {
            let file = link.split('#').next().unwrap();
            assert!(project().join("docs/runbooks").join(file).exists(), "{name}: {link}");
        }
    }
}
