//! The queries: they parse, name what exists, are selected by the variables, and read the right windows with a floor.

use std::collections::BTreeSet;

use serde_json::Value;

use super::promql::{Query, Series};
use super::vocabulary::{Kind, Known, Origin, RECORDED, VOCABULARY, recorded};
use super::{Examined, list, text};

pub(crate) fn check(examined: &mut Examined<'_>) {
    for (name, panel) in examined.panels() {
        for query in list(&panel["targets"]) {
            let place = format!("{name} query {}", text(&query["refId"]));
            match Query::parse(text(&query["expr"])) {
                Ok(parsed) => one(examined, &place, &panel, query, &parsed),
                Err(error) => examined.find(format!("{place}: {error}")),
            }
        }
    }
    for annotation in list(&examined.file["annotations"]["list"]) {
        let place = format!("annotation '{}'", text(&annotation["name"]));
        match Query::parse(text(&annotation["expr"])) {
            Ok(query) => query.selectors().iter().for_each(|series| drop(known(examined, &place, series))),
            Err(error) => examined.find(format!("{place}: {error}")),
        }
    }
}

fn one(examined: &mut Examined<'_>, place: &str, panel: &Value, query: &Value, parsed: &Query) {
    for series in parsed.selectors() {
        let Some(known) = known(examined, place, &series) else { continue };
        selected(examined, place, &series, &known);
        read(examined, place, panel, &series, &known);
    }
    grouped(examined, place, parsed);
    let expr = text(&query["expr"]);
    let business = parsed.selectors().iter().any(is_business);
    if business && parsed.divides_increases() {
        examined.demand(
            expr.contains(">= $min_conversations"),
            format!("{place}: a ratio without a floor of events"),
        );
    }
    for by in parsed.quantiles() {
        examined.demand(
            by.iter().any(|label| label == "le"),
            format!("{place}: a quantile of buckets not summed by le"),
        );
    }
    // Lines of latency and duration show the calls behind them.
    let timed = parsed
        .selectors()
        .iter()
        .any(|series| is_business(series) && series.name.ends_with("_seconds_bucket"));
    if timed && !parsed.quantiles().is_empty() && panel["type"] == "timeseries" {
        examined.demand(query["exemplar"] == true, format!("{place}: shows no exemplars"));
    }
    if let Some(labels) = parsed.labels() {
        for label in legend(text(&query["legendFormat"])) {
            examined.demand(
                labels.contains(&label),
                format!("{place}: the legend names {label}, which is aggregated away"),
            );
        }
    }
    let instant = query["instant"] == true;
    let is_instant = matches!(text(&panel["type"]), "stat" | "table" | "bargauge");
    examined.demand(
        instant == is_instant,
        format!("{place}: a number needs an instant query, a graph a range query"),
    );
    examined.demand(query["range"] == !instant, format!("{place}: both instant and over a range"));
}

/// Looks up a series; reports an unknown series, and matchers on labels that it does not have.
fn known(examined: &mut Examined<'_>, place: &str, series: &Series) -> Option<Known> {
    let known = if series.name.contains(':') {
        let exists = RECORDED.as_ref().is_none_or(|names| names.contains(&series.name));
        examined.demand(exists, format!("{place}: no rule records {}", series.name));
        recorded()
    } else if let Some(known) = VOCABULARY.get(&series.name) {
        known.clone()
    } else {
        examined.find(format!("{place}: there is no metric {}", series.name));
        return None;
    };
    for (label, _) in &series.matchers {
        examined.demand(
            known.labels.contains(label.as_str()),
            format!("{place}: {} has no label {label}", series.name),
        );
    }
    Some(known)
}

/// Each series is chosen by the variables of its kind.
fn selected(examined: &mut Examined<'_>, place: &str, series: &Series, known: &Known) {
    let variables: &[&str] = match known.origin {
        Origin::Business => &["cluster", "job", "project", "region", "client_env"],
        Origin::Own | Origin::Scrape => &["cluster", "job", "instance"],
        Origin::Recorded if !series.name.starts_with("slo:") => {
            &["cluster", "project", "region", "client_env"]
        }
        Origin::Recorded | Origin::Alerts => &[],
    };
    for variable in variables {
        let chosen = (String::from(*variable), format!("${variable}"));
        examined.demand(
            series.matchers.contains(&chosen),
            format!("{place}: {} does not follow ${variable}", series.name),
        );
    }
}

/// Counters are read by their growth and gauges are not; each over the window that fits.
fn read(examined: &mut Examined<'_>, place: &str, panel: &Value, series: &Series, known: &Known) {
    let name = &series.name;
    let Some((function, window)) = &series.over_time else {
        examined.demand(
            known.kind == Kind::Gauge,
            format!("{place}: {name} is a counter, shown without rate or increase"),
        );
        return;
    };
    let grows = matches!(function.as_str(), "increase" | "rate");
    examined.demand(
        grows == (known.kind == Kind::Counter),
        format!("{place}: {function} of {name} does not fit"),
    );
    let fits = match (known.origin, function.as_str()) {
        (Origin::Business, "increase") => {
            let column =
                panel["type"] == "heatmap" && window == "$__interval" && panel.get("interval").is_some();
            column || matches!(window.as_str(), "$window" | "$__range")
        }
        (Origin::Business, "rate") => false,
        (Origin::Own, "rate") => window == "$__rate_interval",
        (Origin::Own, "increase") => matches!(window.as_str(), "$window" | "$__rate_interval"),
        _ => true,
    };
    examined.demand(fits, format!("{place}: {function} of {name} over {window}"));
}

/// Groups are formed by labels that the series below have, or that the query makes.
fn grouped(examined: &mut Examined<'_>, place: &str, query: &Query) {
    let made = query.made_labels();
    for (by, below) in query.groupings() {
        let mut there: BTreeSet<&str> = made.iter().map(String::as_str).collect();
        for series in &below {
            let known = if series.name.contains(':') {
                Some(recorded())
            } else {
                VOCABULARY.get(&series.name).cloned()
            };
            there.extend(known.into_iter().flat_map(|known| known.labels));
        }
        for label in by {
            examined.demand(
                there.contains(label.as_str()),
                format!("{place}: groups by {label}, which nothing below has"),
            );
        }
    }
}

fn is_business(series: &Series) -> bool {
    VOCABULARY.get(&series.name).is_some_and(|known| known.origin == Origin::Business)
}

/// The labels in a legend: `{{project}} {{region}}`.
fn legend(format: &str) -> Vec<String> {
    format.split("{{").skip(1).filter_map(|rest| Some(rest.split_once("}}")?.0.trim().to_owned())).collect()
}
