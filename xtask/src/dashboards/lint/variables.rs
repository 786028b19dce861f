//! The variables of a dashboard: as dashboard-linter wants them, all used, and none used that does not exist.

use std::collections::BTreeSet;

use serde_json::Value;

use super::promql::{Query, placeholders};
use super::vocabulary::VOCABULARY;
use super::{Examined, list, text, walk};

/// Variables that Grafana defines.
const BUILT_IN: [&str; 6] = [
    "__interval",
    "__rate_interval",
    "__range",
    "__data.fields.project",
    "__data.fields.region",
    "__url_time_range",
];

pub(crate) fn check(examined: &mut Examined<'_>) {
    let file = examined.file;
    let variables = list(&file["templating"]["list"]);
    let first: Vec<&str> = variables.iter().take(3).map(|variable| text(&variable["name"])).collect();
    examined.demand(
        first == ["datasource", "cluster", "job"],
        "the variables begin with datasource, cluster, job",
    );
    let source = &variables[0];
    examined.demand(
        source["type"] == "datasource" && source["query"] == "prometheus" && source["label"] == "Data source",
        "the data source variable is not one that chooses a Prometheus",
    );
    for variable in variables {
        let name = text(&variable["name"]);
        examined.demand(!text(&variable["label"]).is_empty(), format!("variable {name} has no label"));
        if variable["type"] == "query" {
            chosen(examined, name, variable);
        }
    }
    used(examined);
}

/// A variable with values from Prometheus.
fn chosen(examined: &mut Examined<'_>, name: &str, variable: &Value) {
    examined.demand(variable["refresh"] == 2, format!("variable {name} does not follow the time range"));
    examined.demand(
        variable["multi"] == true && variable["includeAll"] == true,
        format!("variable {name} takes one value only"),
    );
    // A Prometheus or an exporter may be without these labels, and `.+` would then match nothing.
    let all = if matches!(name, "cluster" | "channel") { ".*" } else { ".+" };
    examined.demand(variable["allValue"] == all, format!("All of variable {name} is not {all}"));
    let query = text(&variable["query"]["query"]);
    let parts = query.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')'));
    let Some((selector, label)) = parts.and_then(|parts| parts.rsplit_once(", ")) else {
        examined.find(format!("variable {name} is not label_values(selector, label): {query}"));
        return;
    };
    examined.demand(label == name, format!("variable {name} has the values of {label}"));
    match Query::parse(selector) {
        Ok(query) => {
            for series in query.selectors() {
                let has = VOCABULARY.get(&series.name).is_some_and(|known| known.labels.contains(label));
                examined.demand(has, format!("variable {name}: {} has no label {label}", series.name));
            }
        }
        Err(error) => examined.find(format!("variable {name}: {error}")),
    }
}

fn used(examined: &mut Examined<'_>) {
    let names = examined.variables();
    let mut used = BTreeSet::new();
    walk(examined.file, &mut |key, value| {
        // Names of variables in prose would count as use.
        if matches!(key, "expr" | "url" | "uid" | "query" | "title" | "content" | "legendFormat") {
            used.extend(placeholders(text(value)));
        }
    });
    for name in &used {
        let known = names.contains(name) || BUILT_IN.contains(&name.as_str());
        examined.demand(known, format!("${name} is used and does not exist"));
    }
    for name in names {
        examined.demand(used.contains(&name), format!("variable {name} is not used"));
    }
}
