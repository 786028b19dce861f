//! The variables of the dashboards, in the order in which they narrow each other down.
//!
//! Owns: their names, defaults and queries. Never: who uses them.

use polyai_engine::aggregate::catalogue::Metric;
use serde_json::{Value, json};

use crate::dashboards::panel::chosen_source;
use crate::dashboards::query::own;

/// The variables of a dashboard.
#[derive(Debug, Clone, Default)]
pub(crate) struct Variables {
    list: Vec<Value>,
    has_targets: bool,
}

impl Variables {
    /// Data source, cluster and job: what every dashboard starts with.
    pub(crate) fn common() -> Self {
        let builds = own("polyai_exporter_build_info");
        let source = json!({
            "current": {},
            "hide": 0,
            "includeAll": false,
            "label": "Data source",
            "multi": false,
            "name": "datasource",
            "options": [],
            "query": "prometheus",
            "refresh": 1,
            "regex": "",
            "skipUrlSync": false,
            "type": "datasource",
        });
        // A Prometheus without a label `cluster` has no value to offer; All matches its series all the same.
        let cluster = query("cluster", "Cluster", &builds.clone().only(&[]).to_string(), ".*");
        let job = query("job", "Job", &builds.only(&["cluster"]).to_string(), ".+");
        Self { list: vec![source, cluster, job], has_targets: false }
    }

    /// Project, region and environment.
    pub(crate) fn targets(mut self) -> Self {
        let up = |labels: &str| {
            let name = Metric::TargetUp.definition().name;
            format!("{name}{{{labels}}}")
        };
        let at_job = "cluster=~\"$cluster\",job=~\"$job\"";
        let in_project = format!("{at_job},project=~\"$project\"");
        let in_region = format!("{in_project},region=~\"$region\"");
        self.list.push(query("project", "Project", &up(at_job), ".+"));
        self.list.push(query("region", "Region", &up(&in_project), ".+"));
        let mut environment = query("client_env", "Environment", &up(&in_region), ".+");
        // Calls of testers would blur what callers meet.
        environment["current"] = json!({"selected": true, "text": ["live"], "value": ["live"]});
        self.list.push(environment);
        self.has_targets = true;
        self
    }

    /// The channel; All matches also where the label is switched off.
    pub(crate) fn channel(mut self) -> Self {
        let name = Metric::Conversations.definition().name;
        let of = format!(
            "{name}{{cluster=~\"$cluster\",job=~\"$job\",project=~\"$project\",region=~\"$region\",client_env=~\"$client_env\"}}"
        );
        self.list.push(query("channel", "Channel", &of, ".*"));
        self
    }

    /// The window of rates.
    pub(crate) fn window(mut self) -> Self {
        let windows = ["15m", "30m", "1h", "6h", "1d"];
        self.list.push(json!({
            "auto": false,
            "current": {"selected": true, "text": "1h", "value": "1h"},
            "hide": 0,
            "label": "Window",
            "name": "window",
            "options": windows.map(|text| json!({"selected": text == "1h", "text": text, "value": text})),
            "query": windows.join(","),
            "refresh": 2,
            "skipUrlSync": false,
            "type": "interval",
        }));
        self
    }

    /// The number of conversations that the window must hold before a rate is shown.
    pub(crate) fn floor(mut self) -> Self {
        let floors = ["1", "10", "20", "50", "100"];
        self.list.push(number("min_conversations", "Least conversations", &floors, "20"));
        self
    }

    /// The number of replies that a window must hold before its burn rate is shown.
    pub(crate) fn events(mut self) -> Self {
        self.list.push(number("min_events", "Least replies", &["1", "50", "200", "500", "1000"], "200"));
        self
    }

    /// All environments at first, where it is not callers that are looked at.
    pub(crate) fn of_all_environments(mut self) -> Self {
        let environment = self.list.iter_mut().find(|variable| variable["name"] == "client_env");
        environment.unwrap()["current"] = json!({"selected": true, "text": ["All"], "value": ["$__all"]});
        self
    }

    /// The process, where it is the exporter itself that is looked at.
    pub(crate) fn instance(mut self) -> Self {
        let of = own("polyai_exporter_build_info").only(&["cluster", "job"]).to_string();
        self.list.push(query("instance", "Instance", &of, ".+"));
        self
    }

    pub(crate) fn has_targets(&self) -> bool {
        self.has_targets
    }

    pub(crate) fn into_list(self) -> Vec<Value> {
        self.list
    }
}

/// A choice of numbers.
fn number(name: &str, label: &str, choices: &[&str], chosen: &str) -> Value {
    let options: Vec<Value> = choices
        .iter()
        .map(|text| json!({"selected": *text == chosen, "text": text, "value": text}))
        .collect();
    json!({
        "current": {"selected": true, "text": chosen, "value": chosen},
        "hide": 0,
        "includeAll": false,
        "label": label,
        "multi": false,
        "name": name,
        "options": options,
        "query": choices.join(","),
        "skipUrlSync": false,
        "type": "custom",
    })
}

fn query(name: &str, label: &str, of: &str, all: &str) -> Value {
    let query = format!("label_values({of}, {name})");
    json!({
        "allValue": all,
        "current": {"selected": true, "text": ["All"], "value": ["$__all"]},
        "datasource": chosen_source(),
        "definition": query,
        "hide": 0,
        "includeAll": true,
        "label": label,
        "multi": true,
        "name": name,
        "options": [],
        "query": {"qryType": 1, "query": query, "refId": "PrometheusVariableQueryEditor-VariableQuery"},
        "refresh": 2,
        "regex": "",
        "skipUrlSync": false,
        "sort": 1,
        "type": "query",
    })
}
