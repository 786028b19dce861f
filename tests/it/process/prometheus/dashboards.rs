//! Every query of every dashboard, asked of a real Prometheus that scrapes the demo: each is answered, and with data.
//!
//! Owns: the few reasons for which an answer may be empty. Never: the queries, which it reads from `dashboards/`.

use std::path::Path;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::{Demo, Prometheus, installed, wait};
use crate::process::web;

/// A query of a file, with the choices of its reader in the places of the variables.
#[derive(Debug)]
struct Asked {
    /// Dashboard, panel and letter.
    place: String,
    expr: String,
    instant: bool,
}

/// Why this query may have no answer here; none if it must have one.
fn may_be_empty(expr: &str) -> Option<&'static str> {
    let reasons = [
        (
            "target:polyai_",
            "recorded by the rules of alerts/, which are not loaded here and take minutes to record",
        ),
        ("slo:polyai_", "as above"),
        ("ALERTS", "no alert without the rules"),
        ("offset 1w", "the demo is a minute old"),
        ("offset 2w", "as above"),
        ("variant!=\"\"", "the label is off in the demo"),
    ];
    // The state of a target looks a week back for one of its kinds only.
    let is_state = expr.contains("label_replace");
    reasons.iter().find(|(part, _)| expr.contains(part) && !is_state).map(|(_, reason)| *reason)
}

/// All queries of all dashboards: panels, also of closed rows, annotations and variables.
fn all() -> Vec<Asked> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("dashboards");
    let mut asked = Vec::new();
    let mut dashboards = 0;
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        dashboards += 1;
        let file: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let uid = file["uid"].as_str().unwrap();
        let top = list(&file["panels"]);
        for panel in top.iter().chain(top.iter().flat_map(|panel| list(&panel["panels"]))) {
            for query in list(&panel["targets"]) {
                asked.push(Asked {
                    place: format!("{uid}, panel {} {}, {}", panel["id"], panel["title"], query["refId"]),
                    expr: filled(&file, query["expr"].as_str().unwrap()),
                    instant: query["instant"] == true,
                });
            }
        }
        for annotation in list(&file["annotations"]["list"]) {
            let expr = filled(&file, annotation["expr"].as_str().unwrap());
            asked.push(Asked {
                place: format!("{uid}, annotation {}", annotation["name"]),
                expr,
                instant: false,
            });
        }
        for variable in list(&file["templating"]["list"]) {
            let Some(query) = variable["query"]["query"].as_str() else { continue };
            let (selector, label) = query
                .strip_prefix("label_values(")
                .unwrap()
                .strip_suffix(')')
                .unwrap()
                .rsplit_once(", ")
                .unwrap();
            // Nobody has given the demo's series a cluster.
            if label != "cluster" {
                let expr = format!("count by ({label}) ({})", filled(&file, selector));
                asked.push(Asked { place: format!("{uid}, variable {label}"), expr, instant: true });
            }
        }
    }
    assert_eq!(dashboards, 5);
    asked
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// With All chosen everywhere, the shortest windows, and no floor to speak of.
fn filled(file: &Value, expr: &str) -> String {
    let mut filled = expr.to_owned();
    let windows =
        [("$__rate_interval", "15s"), ("$__interval", "15s"), ("$__range", "1m"), ("$window", "1m")];
    for (name, value) in windows.into_iter().chain([("$min_conversations", "1"), ("$min_events", "1")]) {
        filled = filled.replace(name, value);
    }
    for variable in list(&file["templating"]["list"]) {
        if let (Some(name), Some(all)) = (variable["name"].as_str(), variable["allValue"].as_str()) {
            filled = filled.replace(&format!("${name}"), all);
        }
    }
    assert!(!filled.contains('$'), "{filled}");
    filled
}

/// Whether Prometheus answers with a number; it must answer in any case.
async fn has_data(prometheus: &Prometheus, asked: &Asked) -> bool {
    let query = utf8_percent_encode(&asked.expr, NON_ALPHANUMERIC);
    let path = if asked.instant {
        format!("/api/v1/query?query={query}")
    } else {
        let now = prometheus.number("vector(time())").await.unwrap();
        format!("/api/v1/query_range?query={query}&start={:.3}&end={now:.3}&step=5", now - 60.0)
    };
    let (status, body) = web::get(prometheus.address, &path).await.unwrap();
    assert_eq!(status, 200, "{}: {}\n{body}", asked.place, asked.expr);
    let answer: Value = serde_json::from_str(&body).unwrap();
    let result = list(&answer["data"]["result"]);
    let samples = result.iter().flat_map(|series| list(&series["values"]).iter().chain(series.get("value")));
    samples.filter_map(|sample| sample[1].as_str()?.parse::<f64>().ok()).any(f64::is_finite)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dashboard_queries_return_data() {
    if !installed().await {
        return;
    }
    let demo = Demo::start().await;
    let prometheus = Prometheus::start(demo.exporter).await;
    wait("up", async || prometheus.number(r#"up{job="polyai"}"#).await.filter(|up| *up == 1.0)).await;
    // One failing target, so that panels about failures have data.
    let fault = "/_sim/faults?kind=key_refused&project=pilot";
    assert_eq!(web::ask(demo.simulator, "POST", fault).await.unwrap().0, 200);

    let mut without = all();
    assert!(without.len() > 150, "{} queries", without.len());
    let mut rounds = 0;
    // Asked again until there is data: a rate needs a minute of calls that ended.
    while !without.is_empty() && rounds < 60 {
        let mut still = Vec::new();
        for asked in without {
            if !has_data(&prometheus, &asked).await && may_be_empty(&asked.expr).is_none() {
                still.push(asked);
            }
        }
        without = still;
        rounds += 1;
        tokio::time::sleep(super::STEP * 8).await;
    }
    let said: Vec<String> = without.iter().map(|asked| format!("{}: {}", asked.place, asked.expr)).collect();
    assert!(said.is_empty(), "{} queries have no data:\n{}", said.len(), said.join("\n"));
}
