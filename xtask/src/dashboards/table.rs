//! Tables: one row per label set, one column per query.
//!
//! Owns: how instant queries become named columns in one order. Never: what the columns mean.

use std::fmt;

use serde_json::{Map, Value, json};

use crate::dashboards::field::Field;
use crate::dashboards::panel::Panel;

/// A table under construction.
#[derive(Debug)]
pub(crate) struct Table {
    panel: Panel,
    columns: Vec<Column>,
    hidden: Vec<&'static str>,
}

#[derive(Debug)]
struct Column {
    title: &'static str,
    source: Source,
    field: Field,
}

#[derive(Debug)]
enum Source {
    Label(&'static str),
    Query(String),
}

impl Table {
    pub(crate) fn new(title: &str, description: &str, sort_by: &'static str) -> Self {
        let field = Field::unit("short", 0).custom("align", "left").missing("");
        Self {
            panel: Panel::table(title, description, &field, sort_by),
            columns: Vec::new(),
            hidden: vec!["Time"],
        }
    }

    /// The text of an empty table.
    pub(crate) fn empty(self, text: &str) -> Self {
        let Self { panel, columns, hidden } = self;
        Self { panel: panel.missing(text), columns, hidden }
    }

    /// A column with the values of a label.
    pub(crate) fn label(mut self, title: &'static str, label: &'static str, field: Field) -> Self {
        self.columns.push(Column { title, source: Source::Label(label), field });
        self
    }

    /// A column with the values of a query.
    pub(crate) fn value(mut self, title: &'static str, expr: impl fmt::Display, field: Field) -> Self {
        self.columns.push(Column { title, source: Source::Query(expr.to_string()), field });
        self
    }

    /// A column with one label of another query, whose values are always 1.
    pub(crate) fn label_of(
        mut self,
        title: &'static str,
        label: &'static str,
        expr: impl fmt::Display,
        field: Field,
    ) -> Self {
        self.columns.push(Column {
            title: "",
            source: Source::Query(expr.to_string()),
            field: Field::default(),
        });
        self.label(title, label, field)
    }

    /// The smallest first.
    pub(crate) fn ascending(mut self) -> Self {
        self.panel = self.panel.ascending();
        self
    }

    /// Labels that are not shown.
    pub(crate) fn without(mut self, labels: &[&'static str]) -> Self {
        self.hidden.extend(labels);
        self
    }

    pub(crate) fn build(self) -> Panel {
        let Self { mut panel, columns, hidden } = self;
        let queries = columns.iter().filter(|column| matches!(column.source, Source::Query(_))).count();
        let (mut order, mut names) = (Map::new(), Map::new());
        let mut excluded: Map<String, Value> =
            hidden.into_iter().map(|name| (name.to_owned(), json!(true))).collect();
        let mut letter = b'A';
        for (index, column) in columns.into_iter().enumerate() {
            let name = match column.source {
                Source::Label(label) => label.to_owned(),
                Source::Query(expr) => {
                    panel = panel.query(expr, "", "table", true);
                    letter += 1;
                    // Grafana distinguishes the columns only if there are several.
                    if queries == 1 {
                        "Value".to_owned()
                    } else {
                        format!("Value #{}", char::from(letter - 1))
                    }
                }
            };
            if column.title.is_empty() {
                excluded.insert(name, json!(true));
                continue;
            }
            order.insert(name.clone(), json!(index));
            names.insert(name, json!(column.title));
            panel = panel.with(column.field.for_field(column.title));
        }
        panel.transformations = vec![
            json!({"id": "merge", "options": {}}),
            json!({
                "id": "organize",
                "options": {"excludeByName": excluded, "indexByName": order, "renameByName": names},
            }),
        ];
        panel
    }
}

/// A column of words and marks.
pub(crate) fn text(width: u32) -> Field {
    words().custom("width", width)
}

/// A column of words that takes a part of the room that is left.
pub(crate) fn words() -> Field {
    Field::default().custom("align", "left")
}

/// A column of numbers, in the colour of its threshold.
pub(crate) fn judged(field: Field, width: u32) -> Field {
    let cell = json!({"type": "color-text"});
    field
        .set("color", json!({"mode": "thresholds"}))
        .custom("cellOptions", cell)
        .custom("width", width)
        .custom("align", "right")
}

/// A column of numbers that are neither good nor bad; only a mark for a missing one has a colour.
pub(crate) fn plain(field: Field, width: u32) -> Field {
    judged(field.steps(&[(None, "text")]), width)
}
