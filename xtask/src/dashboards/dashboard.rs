//! A dashboard file: classic JSON, variables, links, annotations, and the positions of panels.
//!
//! Owns: what all dashboards have in common. Never: panels of one of them.

use serde::Serialize;
use serde_json::{Value, json};

use crate::dashboards::panel::{Panel, Place, chosen_source};
use crate::dashboards::query::own;
use crate::dashboards::variables::Variables;

/// Columns of Grafana's grid.
pub(crate) const COLUMNS: u32 = 24;
/// Links to its siblings find a dashboard by this.
const TAG: &str = "polyai";

/// A dashboard as it is in the file. Classic JSON of Grafana 11.0: later versions raise it as they load it, and the
/// file provisioning of 13 refuses the newer form.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Dashboard {
    id: Option<u32>,
    pub(crate) uid: &'static str,
    title: String,
    description: &'static str,
    tags: [&'static str; 1],
    schema_version: u32,
    version: u32,
    editable: bool,
    graph_tooltip: u32,
    refresh: &'static str,
    time: Value,
    timezone: &'static str,
    week_start: &'static str,
    fiscal_year_start_month: u32,
    timepicker: Value,
    live_now: bool,
    links: Vec<Value>,
    annotations: Value,
    templating: Value,
    panels: Vec<Value>,
    #[serde(skip)]
    grid: Grid,
}

/// The position of the next panel.
#[derive(Debug, Clone, Copy, Default)]
struct Grid {
    x: u32,
    y: u32,
    /// The height of the line of panels that is being filled.
    line: u32,
    last_id: u32,
}

impl Grid {
    fn place(&mut self, w: u32, h: u32) -> Place {
        assert!(w <= COLUMNS, "a panel is wider than the grid");
        if self.x + w > COLUMNS {
            self.end_line();
        }
        let place = Place { x: self.x, y: self.y, w, h };
        self.x += w;
        self.line = self.line.max(h);
        place
    }

    fn end_line(&mut self) {
        *self = Self { x: 0, y: self.y + self.line, line: 0, ..*self };
    }

    fn id(&mut self) -> u32 {
        self.last_id += 1;
        self.last_id
    }
}

impl Dashboard {
    pub(crate) fn new(
        uid: &'static str,
        title: &str,
        description: &'static str,
        since: &str,
        variables: Variables,
    ) -> Self {
        Self {
            id: None,
            uid,
            title: format!("PolyAI / {title}"),
            description,
            tags: [TAG],
            schema_version: 39,
            version: 1,
            editable: false,
            graph_tooltip: 1,
            refresh: "1m",
            time: json!({"from": since, "to": "now"}),
            timezone: "browser",
            week_start: "",
            fiscal_year_start_month: 0,
            timepicker: json!({"refresh_intervals": ["30s", "1m", "5m", "15m", "1h"]}),
            live_now: false,
            links: vec![siblings()],
            annotations: json!({"list": [alerts(variables.has_targets()), restarts()]}),
            templating: json!({"list": variables.into_list()}),
            panels: Vec::new(),
            grid: Grid::default(),
        }
    }

    /// Adds a panel of this size beside the one before, or on a new line where it does not fit.
    pub(crate) fn panel(mut self, w: u32, h: u32, mut panel: Panel) -> Self {
        panel.grid_pos = self.grid.place(w, h);
        panel.id = self.grid.id();
        self.panels.push(serde_json::to_value(panel).unwrap());
        self
    }

    /// Adds a row heading for the panels that follow.
    pub(crate) fn row(mut self, title: &str) -> Self {
        let row = self.headline(title, false, None, Vec::new());
        self.panels.push(row);
        self
    }

    /// Adds a closed row; its panels cost no query until it is opened. With `repeat` there is one for each value of that
    /// variable.
    pub(crate) fn closed_row(
        mut self,
        title: &str,
        repeat: Option<&str>,
        panels: Vec<(u32, u32, Panel)>,
    ) -> Self {
        self.grid.end_line();
        let headline = self.grid;
        self.grid.y += 1;
        let inside: Vec<Value> = panels
            .into_iter()
            .map(|(w, h, mut panel)| {
                panel.grid_pos = self.grid.place(w, h);
                panel.id = self.grid.id();
                serde_json::to_value(panel).unwrap()
            })
            .collect();
        // The next row starts directly below the collapsed one.
        self.grid = Grid { last_id: self.grid.last_id, ..headline };
        let row = self.headline(title, true, repeat, inside);
        self.panels.push(row);
        self
    }

    fn headline(&mut self, title: &str, collapsed: bool, repeat: Option<&str>, inside: Vec<Value>) -> Value {
        self.grid.end_line();
        let place = self.grid.place(COLUMNS, 1);
        let id = self.grid.id();
        let mut row = json!({
            "type": "row", "id": id, "title": title, "collapsed": collapsed, "gridPos": place, "panels": inside,
        });
        if let Some(variable) = repeat {
            row["repeat"] = json!(variable);
        }
        row
    }

    /// As the file has it.
    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap() + "\n"
    }
}

/// A menu of the other dashboards that keeps the time range and what was chosen.
fn siblings() -> Value {
    json!({
        "asDropdown": false,
        "icon": "external link",
        "includeVars": true,
        "keepTime": true,
        "tags": [TAG],
        "targetBlank": false,
        "title": "PolyAI",
        "tooltip": "The other PolyAI dashboards, with the same time range and selection",
        "type": "dashboards",
        "url": "",
    })
}

/// Firing alerts, where the alert rules of this project are loaded. Alerts without a project concern all of them.
fn alerts(has_targets: bool) -> Value {
    let selection = if has_targets { ",project=~\"$project|\",region=~\"$region|\"" } else { "" };
    json!({
        "datasource": chosen_source(),
        "enable": true,
        "expr": format!("ALERTS{{alertname=~\"PolyAI.*\",alertstate=\"firing\"{selection}}}"),
        "hide": false,
        "iconColor": "red",
        "name": "Firing alerts",
        "step": "60s",
        "tagKeys": "severity,project,region",
        "textFormat": "{{severity}} {{project}} {{region}}",
        "titleFormat": "{{alertname}}",
    })
}

/// Starts of the exporter; off until somebody asks.
fn restarts() -> Value {
    let started = own("process_start_time_seconds").only(&["cluster", "job"]);
    json!({
        "datasource": chosen_source(),
        "enable": false,
        "expr": format!("{started} * 1000"),
        "hide": false,
        "iconColor": "blue",
        "name": "Exporter starts",
        "step": "60s",
        "tagKeys": "instance",
        "textFormat": "{{instance}}",
        "titleFormat": "Exporter started",
        "useValueForTime": "on",
    })
}
