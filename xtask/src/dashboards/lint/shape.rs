//! The form of a dashboard: what Grafana 11 to 13 load by provisioning and import, and what a reader needs on a panel.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Examined, list, text, walk};
use crate::dashboards::dashboard::COLUMNS;

/// Checks across dashboards.
pub(crate) fn between(files: &[Value]) -> Vec<String> {
    let mut found = Vec::new();
    for key in ["uid", "title"] {
        let different: BTreeSet<_> = files.iter().map(|file| text(&file[key])).collect();
        if different.len() < files.len() {
            found.push(format!("two dashboards have the same {key}"));
        }
    }
    found
}

pub(crate) fn check(examined: &mut Examined<'_>) {
    let file = examined.file;
    loads(examined);
    let uid = text(&file["uid"]);
    examined.demand((8..=40).contains(&uid.len()), "the uid must have 8 to 40 characters");
    examined.demand(text(&file["title"]).starts_with("PolyAI / "), "the title begins with 'PolyAI / '");
    examined.demand(list(&file["tags"]).contains(&Value::from("polyai")), "the tag polyai is missing");
    examined.demand(file["refresh"] == "1m", "refreshes once a minute, as nothing changes faster");
    let siblings = list(&file["links"]).iter().any(|link| {
        link["type"] == "dashboards"
            && link["tags"] == serde_json::json!(["polyai"])
            && link["keepTime"] == true
            && link["includeVars"] == true
    });
    examined.demand(siblings, "no menu of the other dashboards that keeps time and variables");
    let alerts = list(&file["annotations"]["list"])
        .iter()
        .any(|annotation| text(&annotation["expr"]).starts_with("ALERTS{") && annotation["enable"] == true);
    examined.demand(alerts, "firing alerts are not annotated");
    grid(examined);
    for (name, panel) in examined.panels() {
        if panel["type"] == "text" {
            continue;
        }
        check_texts(examined, &name, &panel);
        drawn(examined, &name, &panel);
    }
    let fresh = examined.panels().iter().any(|(_, panel)| {
        panel["type"] == "stat"
            && list(&panel["targets"])
                .iter()
                .any(|query| text(&query["expr"]).contains("polyai_target_last_success_timestamp_seconds"))
    });
    examined.demand(fresh, "does not say how old its data is");
    links(examined);
}

/// Classic JSON for a provisioned file: nothing that only the import dialog or the newer form knows.
fn loads(examined: &mut Examined<'_>) {
    let file = examined.file;
    for key in ["__inputs", "__requires", "__elements", "elements", "layout", "apiVersion", "spec", "kind"] {
        examined
            .demand(file.get(key).is_none(), format!("has the key {key}, which a provisioned file must not"));
    }
    examined.demand(file["id"].is_null(), "has an id, which belongs to one Grafana");
    examined.demand(file["schemaVersion"] == 39, "schemaVersion is not that of Grafana 11.0");
    examined.demand(file["editable"] == false, "is editable, though provisioning would undo it");
    let mut sources = BTreeSet::new();
    walk(file, &mut |key, value| {
        if key == "datasource" && value["uid"] != "${datasource}" {
            sources.insert(value.to_string());
        }
    });
    for source in sources {
        examined.find(format!("names the data source {source} instead of the variable"));
    }
}

/// Ids are unique; panels stay within the columns and do not overlap.
fn grid(examined: &mut Examined<'_>) {
    let top = list(&examined.file["panels"]);
    let inside = top.iter().flat_map(|panel| list(&panel["panels"]));
    let ids: Vec<u64> = top.iter().chain(inside).map(|panel| panel["id"].as_u64().unwrap_or(0)).collect();
    let different: BTreeSet<_> = ids.iter().collect();
    examined.demand(different.len() == ids.len() && !different.contains(&0), "ids of panels are not unique");
    let mut levels = vec![top];
    levels.extend(top.iter().map(|panel| list(&panel["panels"])));
    for level in levels {
        let mut taken = BTreeMap::new();
        for panel in level {
            let side = |key: &str| panel["gridPos"][key].as_u64().unwrap_or(u64::MAX);
            let (x, y, w, h) = (side("x"), side("y"), side("w"), side("h"));
            if h == 0 || w == 0 || x.saturating_add(w) > u64::from(COLUMNS) {
                examined.find(format!("panel {} is outside of the grid", panel["id"]));
                continue;
            }
            for cell in (y..y + h).flat_map(|row| (x..x + w).map(move |column| (row, column))) {
                if let Some(other) = taken.insert(cell, &panel["id"]) {
                    examined.find(format!("panels {other} and {} overlap", panel["id"]));
                    break;
                }
            }
        }
    }
}

/// Checks the texts of a panel.
fn check_texts(examined: &mut Examined<'_>, name: &str, panel: &Value) {
    let description = text(&panel["description"]);
    examined.demand(!text(&panel["title"]).trim().is_empty(), format!("{name} has no title"));
    examined.demand(
        description.len() >= 10 && description.ends_with('.'),
        format!("{name} does not say in a sentence what it shows"),
    );
    examined.demand(
        !text(&panel["fieldConfig"]["defaults"]["noValue"]).is_empty(),
        format!("{name} does not say why it may be empty"),
    );
}

/// Checks the settings that a panel is drawn with.
fn drawn(examined: &mut Examined<'_>, name: &str, panel: &Value) {
    let defaults = &panel["fieldConfig"]["defaults"];
    examined.demand(!list(&panel["targets"]).is_empty(), format!("{name} asks nothing"));
    examined.demand(
        defaults.get("unit").is_some() || defaults.get("mappings").is_some(),
        format!("{name} has no unit"),
    );
    if matches!(text(&panel["type"]), "stat" | "bargauge" | "state-timeline") {
        examined.demand(
            !list(&defaults["thresholds"]["steps"]).is_empty(),
            format!("{name} is coloured by thresholds that nobody has set"),
        );
    }
    if panel["type"] == "timeseries" {
        examined.demand(defaults["custom"]["spanNulls"] == false, format!("{name} draws lines over gaps"));
    }
    if panel["type"] == "table" {
        let renamed = &panel["transformations"][1]["options"]["renameByName"];
        let columns: Vec<&str> =
            renamed.as_object().into_iter().flatten().map(|(_, name)| text(name)).collect();
        let different: BTreeSet<_> = columns.iter().collect();
        examined.demand(different.len() == columns.len(), format!("{name} has two columns of one name"));
        let mut named = vec![text(&panel["options"]["sortBy"][0]["displayName"])];
        named.extend(
            list(&panel["fieldConfig"]["overrides"]).iter().map(|change| text(&change["matcher"]["options"])),
        );
        for column in named {
            examined.demand(columns.contains(&column), format!("{name} has no column '{column}'"));
        }
    }
}

/// Links lead to dashboards that exist, and hand over variables that both have.
fn links(examined: &mut Examined<'_>) {
    let mut urls = Vec::new();
    walk(examined.file, &mut |key, value| {
        if key == "url" && !text(value).is_empty() {
            urls.push(text(value).to_owned());
        }
    });
    for url in urls {
        let Some((uid, query)) = url.strip_prefix("/d/").and_then(|rest| rest.split_once('?')) else {
            examined.find(format!("{url} does not lead to a dashboard"));
            continue;
        };
        let Some((_, theirs)) = examined.all.iter().find(|(known, _)| known == uid) else {
            examined.find(format!("there is no dashboard {uid} to link to"));
            continue;
        };
        examined.demand(query.contains("${__url_time_range}"), format!("{url} forgets the time range"));
        let ours = examined.variables();
        for part in query.split('&') {
            let handed = part.strip_prefix("${").and_then(|rest| rest.strip_suffix(":queryparam}"));
            if let Some(name) = handed {
                let known = ours.iter().any(|own| own == name) && theirs.iter().any(|own| own == name);
                examined.demand(known, format!("{url} hands over {name}, which one side does not have"));
            } else if let Some((name, _)) = part.strip_prefix("var-").and_then(|rest| rest.split_once('=')) {
                examined
                    .demand(theirs.iter().any(|own| own == name), format!("{uid} has no variable {name}"));
            } else {
                examined.demand(part == "${__url_time_range}", format!("{url}: {part} is not understood"));
            }
        }
    }
}
