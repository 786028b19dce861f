//! Whether every rule has test cases, for alerts both firing and not.

use std::collections::BTreeSet;

use super::promtool::{case, cases};
use super::rules::{all, yaml};

/// An expectation: the expression, and whether anything is expected.
fn expectations() -> Vec<(String, bool)> {
    let mut found = Vec::new();
    for file in cases() {
        let document = yaml(&case(&file));
        for group in document["tests"].as_vec().unwrap() {
            for test in group["promql_expr_test"].as_vec().unwrap() {
                let expected = test["exp_samples"].as_vec().unwrap();
                found.push((test["expr"].as_str().unwrap().to_owned(), !expected.is_empty()));
            }
        }
    }
    found
}

#[test]
fn alerts_have_cases_that_fire_and_that_do_not() {
    let expectations = expectations();
    let missing: Vec<String> = all()
        .into_iter()
        .filter(|rule| rule.is_alert)
        .flat_map(|rule| [(rule.name.clone(), true), (rule.name, false)])
        .filter(|(name, fires)| {
            let start = format!("ALERTS{{alertname=\"{name}\",alertstate=\"firing\"");
            !expectations.iter().any(|(expr, expected)| expr.starts_with(&start) && expected == fires)
        })
        .map(|(name, fires)| {
            format!("{name}: no case in which it {}", if fires { "fires" } else { "is silent" })
        })
        .collect();
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

#[test]
fn recorded_series_have_cases_with_values() {
    let expectations = expectations();
    let mentioned: BTreeSet<&str> = expectations
        .iter()
        .filter(|(_, expected)| *expected)
        .flat_map(|(expr, _)| {
            expr.split(|letter: char| !(letter.is_ascii_alphanumeric() || "_:".contains(letter)))
        })
        .collect();
    let missing: Vec<String> = all()
        .into_iter()
        .filter(|rule| !rule.is_alert && !mentioned.contains(rule.name.as_str()))
        .map(|rule| rule.name)
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}
