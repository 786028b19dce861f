//! Checks of the dashboards: rules of Grafana's dashboard-linter and pint, and our own.
//!
//! Checks read the generated files, not the generator, and need no server.

mod promql;
mod queries;
mod shape;
mod variables;
mod vocabulary;

use serde_json::Value;

/// A dashboard file, and what was found in it.
#[derive(Debug)]
pub(crate) struct Examined<'a> {
    pub(crate) file: &'a Value,
    /// The UIDs of all dashboards, with the names of their variables.
    pub(crate) all: &'a [(String, Vec<String>)],
    pub(crate) found: Vec<String>,
}

impl Examined<'_> {
    fn find(&mut self, what: impl Into<String>) {
        self.found.push(what.into());
    }

    /// Notes `what` unless it `holds`.
    fn demand(&mut self, holds: bool, what: impl Into<String>) {
        if !holds {
            self.find(what);
        }
    }

    /// All panels with the title that names them in findings: those of closed rows too, rows themselves not.
    fn panels(&self) -> Vec<(String, Value)> {
        let top = list(&self.file["panels"]);
        let inside = top.iter().flat_map(|panel| list(&panel["panels"]));
        let panels = top.iter().chain(inside).filter(|panel| panel["type"] != "row");
        panels
            .map(|panel| (format!("panel {} '{}'", panel["id"], text(&panel["title"])), panel.clone()))
            .collect()
    }

    /// The names of the variables.
    fn variables(&self) -> Vec<String> {
        names_of_variables(self.file)
    }
}

/// The names of a dashboard's variables.
pub(crate) fn names_of_variables(file: &Value) -> Vec<String> {
    list(&file["templating"]["list"]).iter().map(|variable| text(&variable["name"]).to_owned()).collect()
}

/// Everything that is wrong with these dashboard files, each with the UID in front.
pub(crate) fn findings(files: &[Value]) -> Vec<String> {
    let all: Vec<_> =
        files.iter().map(|file| (text(&file["uid"]).to_owned(), names_of_variables(file))).collect();
    let mut found = shape::between(files);
    for file in files {
        let mut examined = Examined { file, all: &all, found: Vec::new() };
        shape::check(&mut examined);
        variables::check(&mut examined);
        queries::check(&mut examined);
        found.extend(examined.found.into_iter().map(|what| format!("{}: {what}", text(&file["uid"]))));
    }
    found
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Calls `visit` with every key and value in `value`, at any depth.
fn walk<'a>(value: &'a Value, visit: &mut impl FnMut(&'a str, &'a Value)) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                visit(key, value);
                walk(value, visit);
            }
        }
        Value::Array(values) => values.iter().for_each(|value| walk(value, visit)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
