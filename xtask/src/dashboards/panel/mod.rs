//! One panel: its queries, its display, and its description.
//!
//! Owns: the panel types in use and their options. Never: places, which the dashboard gives.

mod heatmap;

use std::fmt;

use serde::Serialize;
use serde_json::{Value, json};

use crate::dashboards::field::Field;

/// The data source that the reader chose.
pub(crate) fn chosen_source() -> Value {
    json!({"type": "prometheus", "uid": "${datasource}"})
}

/// A query of a panel, as Grafana's Prometheus data source takes it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Query {
    pub(crate) ref_id: String,
    pub(crate) expr: String,
    pub(crate) legend_format: String,
    pub(crate) format: &'static str,
    pub(crate) instant: bool,
    pub(crate) range: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) exemplar: bool,
    pub(crate) editor_mode: &'static str,
    pub(crate) datasource: Value,
}

#[derive(Debug, Clone, Copy, Serialize, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) x: u32,
    pub(crate) y: u32,
    pub(crate) w: u32,
    pub(crate) h: u32,
}

/// A panel as it is in the file.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Panel {
    pub(crate) id: u32,
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    pub(crate) title: String,
    pub(crate) description: String,
    pub(crate) grid_pos: Place,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) transparent: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    datasource: Option<Value>,
    /// The shortest step of a range query.
    #[serde(skip_serializing_if = "Option::is_none")]
    interval: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_data_points: Option<u32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    targets: Vec<Query>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) transformations: Vec<Value>,
    field_config: FieldConfig,
    options: Value,
}

#[derive(Debug, Clone, Serialize)]
struct FieldConfig {
    defaults: Value,
    overrides: Vec<Value>,
}

impl Panel {
    fn new(kind: &'static str, title: &str, description: &str, field: &Field, options: Value) -> Self {
        assert!(kind == "text" || field.is_set("unit") || field.is_set("mappings"), "{title} has no unit");
        Self {
            id: 0,
            kind,
            title: title.to_owned(),
            description: description.to_owned(),
            grid_pos: Place { x: 0, y: 0, w: 0, h: 0 },
            transparent: false,
            datasource: (kind != "text").then(chosen_source),
            interval: None,
            max_data_points: None,
            targets: Vec::new(),
            transformations: Vec::new(),
            field_config: FieldConfig { defaults: field.defaults(), overrides: Vec::new() },
            options,
        }
    }

    /// A few lines of Markdown without a frame.
    pub(crate) fn text(content: &str) -> Self {
        let options = json!({"mode": "markdown", "content": content});
        let description = "What this dashboard answers, and how late its data is.";
        Self { transparent: true, ..Self::new("text", "", description, &Field::default(), options) }
    }

    /// One number, taken now: an old one is never shown as the present.
    pub(crate) fn stat(title: &str, description: &str, field: &Field, expr: impl fmt::Display) -> Self {
        let options = json!({
            "colorMode": "value",
            "graphMode": "none",
            "justifyMode": "center",
            "orientation": "auto",
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": false},
            "textMode": "auto",
            "wideLayout": true,
        });
        Self::new("stat", title, description, field, options).now(expr, "")
    }

    /// Bars, one per series, taken now; the longest first.
    pub(crate) fn bars(
        title: &str,
        description: &str,
        field: &Field,
        expr: impl fmt::Display,
        legend: &str,
    ) -> Self {
        let options = json!({
            "displayMode": "basic",
            "maxVizHeight": 48,
            "minVizHeight": 36,
            "minVizWidth": 8,
            "namePlacement": "top",
            "orientation": "horizontal",
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": false},
            "showUnfilled": true,
            "sizing": "auto",
            "text": {"titleSize": 13, "valueSize": 15},
            "valueMode": "color",
        });
        let sorted = format!("sort_desc({expr})");
        Self::new("bargauge", title, description, field, options).now(sorted, legend)
    }

    /// Lines over time; gaps stay gaps.
    pub(crate) fn lines(title: &str, description: &str, field: Field) -> Self {
        let field = if field.is_set("color") {
            field
        } else {
            field.set("color", json!({"mode": "palette-classic"}))
        };
        let field = field
            .custom("lineWidth", 2)
            .custom("fillOpacity", 0)
            .custom("showPoints", "never")
            .custom("spanNulls", false);
        let options = json!({
            "legend": {"calcs": [], "displayMode": "list", "placement": "bottom", "showLegend": true},
            "tooltip": {"mode": "multi", "sort": "desc"},
        });
        Self::new("timeseries", title, description, &field, options)
    }

    /// Stacked areas: parts of a whole over time.
    pub(crate) fn stack(title: &str, description: &str, field: Field) -> Self {
        let field =
            field.custom("stacking", json!({"mode": "normal", "group": "A"})).custom("gradientMode", "none");
        let mut panel = Self::lines(title, description, field);
        panel.field_config.defaults["custom"]["fillOpacity"] = json!(40);
        panel.field_config.defaults["custom"]["lineWidth"] = json!(1);
        panel
    }

    /// States over time, one line per series, in words.
    pub(crate) fn states(
        title: &str,
        description: &str,
        field: Field,
        expr: impl fmt::Display,
        legend: &str,
    ) -> Self {
        let field = field.custom("fillOpacity", 80).custom("lineWidth", 0).custom("spanNulls", false);
        let options = json!({
            "alignValue": "left",
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": true},
            "mergeValues": true,
            "rowHeight": 0.8,
            "showValue": "auto",
            "tooltip": {"mode": "single", "sort": "none"},
        });
        let mut panel =
            Self::new("state-timeline", title, description, &field, options).over_time(expr, legend);
        panel.max_data_points = Some(200);
        panel
    }

    /// A table of labels and numbers taken now. Its columns are `table.rs`'s business.
    pub(crate) fn table(title: &str, description: &str, field: &Field, sort_by: &str) -> Self {
        let options = json!({
            "cellHeight": "sm",
            "showHeader": true,
            "sortBy": [{"displayName": sort_by, "desc": true}],
        });
        Self::new("table", title, description, field, options)
    }

    /// A table with the smallest first.
    pub(crate) fn ascending(mut self) -> Self {
        self.options["sortBy"][0]["desc"] = json!(false);
        self
    }

    /// A step of at least so long, for what moves in coarse units.
    pub(crate) fn every(mut self, step: &'static str) -> Self {
        self.interval = Some(step);
        self
    }

    /// Adds a query that is asked once, for the end of the time range.
    pub(crate) fn now(self, expr: impl fmt::Display, legend: &str) -> Self {
        self.query(expr, legend, "time_series", true)
    }

    /// Adds a query over the time range.
    pub(crate) fn over_time(self, expr: impl fmt::Display, legend: &str) -> Self {
        self.query(expr, legend, "time_series", false)
    }

    pub(crate) fn query(
        mut self,
        expr: impl fmt::Display,
        legend: &str,
        format: &'static str,
        instant: bool,
    ) -> Self {
        let letter = char::from(b'A' + u8::try_from(self.targets.len()).unwrap());
        self.targets.push(Query {
            ref_id: letter.to_string(),
            expr: expr.to_string(),
            legend_format: legend.to_owned(),
            format,
            instant,
            range: !instant,
            exemplar: false,
            editor_mode: "code",
            datasource: chosen_source(),
        });
        self
    }

    /// Shows exemplars of the queries so far: dots that are calls.
    pub(crate) fn with_exemplars(mut self) -> Self {
        self.targets.iter_mut().for_each(|query| query.exemplar = true);
        self
    }

    /// Draws the thresholds as dashed lines.
    pub(crate) fn with_limit_lines(mut self) -> Self {
        self.field_config.defaults["custom"]["thresholdsStyle"] = json!({"mode": "dashed"});
        self
    }

    /// The text of the panel when there is nothing to show, with the reason.
    pub(crate) fn missing(mut self, text: &str) -> Self {
        self.field_config.defaults["noValue"] = json!(text);
        self
    }

    /// Changes the options of one field.
    pub(crate) fn with(mut self, change: Value) -> Self {
        self.field_config.overrides.push(change);
        self
    }

    /// Gives the queries these colours, in order.
    pub(crate) fn in_colours(self, colours: &[&str]) -> Self {
        let letters = 'A'..='Z';
        colours.iter().zip(letters).fold(self, |panel, (colour, letter)| {
            let fixed = Field::default().set("color", json!({"mode": "fixed", "fixedColor": colour}));
            panel.with(fixed.for_query(&letter.to_string()))
        })
    }

    /// Changes an option of the panel.
    pub(crate) fn option(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.options[name] = value.into();
        self
    }
}
