//! The lint of the rules: what pint would find without a server, and what this project asks on top.

use std::collections::{BTreeMap, BTreeSet};

use polyai_exporter::alert_rules::Format;
use promql_parser::label::MatchOp;
use promql_parser::parser::token::{T_DIV, T_EQLC, T_GTE, T_GTR, T_LSS, T_LTE, T_NEQ};
use promql_parser::parser::{BinaryExpr, Expr};

use super::promql_ast::{Named, binaries, parts, resolved, selectors};
use super::rules::{Rule, alerts, all, project, rendered, yaml};

/// The dashboards of this project.
const DASHBOARDS: [&str; 5] =
    ["polyai-overview", "polyai-project", "polyai-quality", "polyai-slo", "polyai-exporter"];

fn recorded() -> BTreeSet<String> {
    all().into_iter().filter(|rule| !rule.is_alert).map(|rule| rule.name).collect()
}

fn is_comparison(binary: &BinaryExpr) -> bool {
    let compares = [T_GTR, T_GTE, T_LSS, T_LTE, T_EQLC, T_NEQ].contains(&binary.op.id());
    compares && !binary.modifier.as_ref().is_some_and(|modifier| modifier.return_bool)
}

fn for_each(rules: Vec<Rule>, check: impl Fn(&Rule) -> Result<(), String>) {
    let wrong: Vec<String> = rules
        .iter()
        .filter_map(|rule| check(rule).err().map(|wrong| format!("{}: {wrong}\n{}", rule.name, rule.text)))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn ensure(holds: bool, otherwise: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise.to_owned()) }
}

#[test]
#[expect(clippy::wildcard_enum_match_arm, reason = "only two kinds of expression name labels")]
fn expressions_name_existing_series_and_labels() {
    let recorded = recorded();
    for_each(all(), |rule| {
        let known = resolved(&rule.expr, &recorded)?;
        let labels: BTreeSet<&str> =
            known.iter().flat_map(|named| named.series.labels.iter().map(String::as_str)).collect();
        for (part, _) in parts(&rule.expr) {
            let named = match part {
                Expr::Aggregate(aggregate) => aggregate.modifier.as_ref().map(|modifier| modifier.labels()),
                Expr::Binary(binary) => binary
                    .modifier
                    .as_ref()
                    .and_then(|modifier| modifier.matching.as_ref())
                    .map(|matching| matching.labels()),
                _ => None,
            };
            for label in named.into_iter().flat_map(|labels| &labels.labels) {
                ensure(labels.contains(label.as_str()), &format!("no series here has the label {label}"))?;
            }
        }
        Ok(())
    });
}

#[test]
fn only_counters_are_read_as_increases() {
    let recorded = recorded();
    for_each(all(), |rule| {
        for Named { selector, around, series } in resolved(&rule.expr, &recorded)? {
            let name = selector.name.as_deref().unwrap_or_default();
            let grows = around.iter().any(|function| ["increase", "rate"].contains(function));
            // Whether a counter was there at some time is asked by counting it.
            let is_counted = around.contains(&"last_over_time") && selector.offset.is_some();
            ensure(series.is_counter == grows || is_counted, &format!("{name} and its increase"))?;
        }
        Ok(())
    });
}

/// A failed scrape ends all series of the exporter until the next one, which would start `for` over and end what fires.
#[test]
fn scraped_series_are_read_over_windows() {
    let recorded = recorded();
    for_each(all(), |rule| {
        for Named { selector, around, .. } in resolved(&rule.expr, &recorded)? {
            let name = selector.name.as_deref().unwrap_or_default();
            let over_window = around.iter().any(|function| {
                function.ends_with("_over_time") || ["increase", "changes"].contains(function)
            });
            ensure(over_window || name == "up" || recorded.contains(name), &format!("{name} at an instant"))?;
        }
        Ok(())
    });
}

#[test]
fn names_follow_conventions() {
    for_each(all(), |rule| {
        let letters = |text: &str| text.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
        if rule.is_alert {
            let rest = rule.name.strip_prefix("PolyAI").ok_or("PolyAI comes first")?;
            let camel = rest.starts_with(char::is_uppercase) && rest.chars().all(char::is_alphanumeric);
            ensure(camel, "the name of an alert is in CamelCase")
        } else {
            let [level, metric, operations] = rule.name.split(':').collect::<Vec<_>>()[..] else {
                return Err("a recorded name is level:metric:operations".to_owned());
            };
            ensure(["target", "slo"].contains(&level), "the level is target or slo")?;
            ensure(metric.starts_with("polyai_") && letters(metric), "the metric begins with polyai_")?;
            ensure(letters(operations), "the operations are words")
        }
    });
}

#[test]
fn alerts_have_labels_and_annotations() {
    for_each(alerts(), |rule| {
        let severities = ["critical", "warning", "info"];
        let components = ["exporter", "data", "agent", "slo"];
        let label = |name: &str| rule.labels.get(name).map(String::as_str).unwrap_or_default();
        ensure(severities.contains(&label("severity")), "severity")?;
        ensure(components.contains(&label("component")), "component")?;
        ensure(
            rule.labels.values().all(|value| !value.contains("{{")),
            "a value in a label makes a new alert of each",
        )?;
        let said = |name: &str| {
            let text = rule.annotations.get(name).map(String::as_str).unwrap_or_default();
            if text.is_empty() { Err(format!("{name} is missing")) } else { Ok(text) }
        };
        ensure(!said("summary")?.contains("$value"), "a summary with a value is another message each time")?;
        ensure(said("summary")?.len() < 160, "the summary is too long for a telephone")?;
        let description = said("description")?;
        ensure(description.len() > 80, "the description says too little")?;
        let has_impact = description.to_lowercase().contains("caller");
        ensure(has_impact, "the description has the impact on callers")?;
        ensure(description.matches('.').count() >= 2, "the description has a cause or a consequence")?;

        ensure(said("runbook_url")?.ends_with(&format!("/{}.md", rule.name)), "runbook_url")?;
        let book = project().join(format!("docs/runbooks/{}.md", rule.name));
        ensure(book.is_file(), "there is no runbook")?;
        let (_, dashboard) = said("dashboard_url")?.split_once("/d/").ok_or("dashboard_url")?;
        let (uid, variables) = dashboard.split_once('?').unwrap_or((dashboard, ""));
        ensure(DASHBOARDS.contains(&uid), "there is no such dashboard")?;
        if rule.text.contains("(project,") {
            for label in ["project", "region"] {
                let own = format!("var-{label}={{{{ $labels.{label} | urlquery }}}}");
                ensure(variables.contains(&own), "the dashboard opens with the labels of the alert")?;
            }
        }
        Ok(())
    });
}

/// A share in words would be wrong once a threshold is changed; limits come from the thresholds.
#[test]
fn texts_put_no_share_into_words() {
    let words = [
        "most",
        "mostly",
        "half",
        "majority",
        "nearly",
        "hardly",
        "far",
        "twice",
        "third",
        "quarter",
        "immediately",
    ];
    for_each(alerts(), |rule| {
        for text in rule.annotations.values() {
            let said = text.split(|letter: char| !letter.is_alphabetic()).find(|word| words.contains(word));
            ensure(said.is_none(), &format!("{said:?} in {text}"))?;
        }
        Ok(())
    });
}

/// A label that the expression does not keep is an empty word in a message.
#[test]
#[expect(clippy::wildcard_enum_match_arm, reason = "only two kinds of expression name labels")]
fn annotations_use_labels_of_the_alert() {
    for_each(alerts(), |rule| {
        let kept: BTreeSet<String> = parts(&rule.expr)
            .into_iter()
            .flat_map(|(part, _)| match part {
                Expr::Aggregate(aggregate) => {
                    aggregate.modifier.iter().flat_map(|modifier| modifier.labels().labels.clone()).collect()
                }
                Expr::VectorSelector(selector)
                    if selector.name.as_deref().is_some_and(|name| name.starts_with("target:")) =>
                {
                    ["project", "region", "client_env"].map(str::to_owned).to_vec()
                }
                _ => Vec::new(),
            })
            .collect();
        for text in rule.annotations.values() {
            for used in text.split("$labels.").skip(1) {
                let label: String =
                    used.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect();
                ensure(kept.contains(&label), &format!("the alert has no label {label}"))?;
            }
        }
        Ok(())
    });
}

#[test]
fn alerts_compare_and_do_not_rank() {
    for_each(alerts(), |rule| {
        let absent = parts(&rule.expr)
            .iter()
            .any(|(part, _)| matches!(part, Expr::Call(call) if call.func.name == "absent"));
        ensure(
            absent || binaries(&rule.expr).iter().any(|binary| is_comparison(binary)),
            "it is always true",
        )?;
        ensure(!absent || rule.holds.is_some(), "absent without `for` fires at each restart of Prometheus")?;
        ensure(!rule.text.contains("topk") && !rule.text.contains("bottomk"), "members of a top flap")
    });
}

/// A share of three calls at night is no news.
#[test]
fn ratios_and_percentiles_have_a_minimum_of_events() {
    let recorded = recorded();
    for_each(alerts(), |rule| {
        let is_share = |name: &str| name.contains(":ratio") || name.contains(":p95");
        let judged = resolved(&rule.expr, &recorded)?
            .iter()
            .any(|named| named.selector.name.as_deref().is_some_and(is_share));
        let divides = binaries(&rule.expr).iter().any(|binary| binary.op.id() == T_DIV);
        // Polls come at all hours.
        let of_time = rule.text.contains(":stale_ratio");
        let has_floor = binaries(&rule.expr).iter().any(|binary| {
            let events = selectors(&binary.lhs).iter().any(|(selector, around)| {
                around.contains(&"increase")
                    || selector.name.as_deref().is_some_and(|name| name.contains(":increase"))
            });
            binary.op.id() == T_GTE && events && matches!(*binary.rhs, Expr::NumberLiteral(_))
        });
        ensure(has_floor || of_time || !(judged || divides), "no floor of events")
    });
}

#[test]
fn denominators_are_not_zero() {
    for_each(all(), |rule| {
        for division in binaries(&rule.expr).into_iter().filter(|binary| binary.op.id() == T_DIV) {
            let constant = selectors(&division.rhs).is_empty();
            let guarded = binaries(&division.rhs).iter().any(|binary| is_comparison(binary));
            ensure(constant || guarded, "a division without `> 0` or a floor gives NaN")?;
        }
        Ok(())
    });
}

/// Of a stale target nothing is claimed: every alert about an agent asks whether its data is fresh.
#[test]
fn agent_alerts_require_fresh_data() {
    for_each(alerts(), |rule| {
        let about_agent = ["agent", "slo"].contains(&rule.labels["component"].as_str());
        let asks = ["target:polyai_data:fresh == 1", "target:polyai_data:stale_ratio"]
            .iter()
            .any(|ask| rule.text.contains(ask))
            || (rule.text.contains("min_over_time(target:polyai_data:fresh[")
                && rule.text.contains("]) == 1"));
        ensure(!about_agent || asks, "not gated on freshness")?;
        // The gate binds all of it, and not one side of an `or`.
        let Expr::Binary(last) = &rule.expr else { return Ok(()) };
        ensure(!about_agent || !last.op.to_string().contains("or"), "the gate is inside one side of an `or`")
    });
}

#[test]
fn buckets_are_matched_in_both_spellings() {
    let values = yaml(&std::fs::read_to_string(project().join("alerts/thresholds.yml")).unwrap());
    let bounds: Vec<f64> = ["latency_buckets", "duration_buckets"]
        .into_iter()
        .flat_map(|name| values["common"][name].as_vec().unwrap().clone())
        .map(|bound| {
            bound.as_f64().or(bound.as_i64().map(|whole| f64::from(i32::try_from(whole).unwrap()))).unwrap()
        })
        .collect();
    let mut seen = 0;
    for rule in super::rules::list(&rendered(&["slo.reply_latency.bound=3"], Format::Prometheus))
        .into_iter()
        .chain(all())
    {
        for (selector, _) in selectors(&rule.expr) {
            for matcher in selector.matchers.matchers.iter().filter(|matcher| matcher.name == "le") {
                let bound: f64 = matcher.value.trim_end_matches(r"(\.0)?").parse().unwrap();
                assert!(bounds.contains(&bound), "{}: no bucket ends at {bound}", rule.name);
                if bound.fract() == 0.0 {
                    let MatchOp::Re(pattern) = &matcher.op else { panic!("{}: {matcher:?}", rule.name) };
                    assert!(
                        pattern.is_match(&format!("{bound}")) && pattern.is_match(&format!("{bound:.1}"))
                    );
                }
                seen += 1;
            }
        }
    }
    assert!(seen > 20, "{seen}");
}

#[test]
fn regular_expressions_are_used_for_patterns() {
    for_each(all(), |rule| {
        for (selector, _) in selectors(&rule.expr) {
            for matcher in &selector.matchers.matchers {
                let is_pattern = matches!(matcher.op, MatchOp::Re(_) | MatchOp::NotRe(_));
                let needs_one = matcher.value.contains(['|', '.', '(', '[', '*', '+', '?']);
                ensure(!is_pattern || needs_one, &format!("{}: a plain match would do", matcher.name))?;
            }
        }
        Ok(())
    });
}

#[test]
fn groups_are_evaluated_within_5m_and_unique() {
    let document = yaml(&rendered(&[], Format::Prometheus));
    for group in document["groups"].as_vec().unwrap() {
        let interval = group["interval"].as_str().unwrap();
        assert!(["30s", "1m", "3m"].contains(&interval), "{interval}");
    }
    let mut seen = BTreeMap::new();
    for rule in all() {
        let before = seen.insert((rule.name.clone(), rule.labels.clone()), rule.text);
        assert_eq!(before, None, "{} is defined twice", rule.name);
    }
}
