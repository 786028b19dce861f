//! A user's values laid over the defaults.
//!
//! Owns: the refusal of keys that do not exist and of values that do not fit, and the values of single projects. Never: where
//! values come from.

use super::kind::Kind;
use super::values::default_alerts;
use exporter_schema::{Diagnostic, Node, Value, closest, display_key, join_list};

/// Lays `overrides` over `base`; `known` has every key that there is at `path`.
pub(super) fn merge(
    ours: &mut Node,
    known: &Node,
    theirs: &Node,
    path: &str,
    complaints: &mut Vec<Diagnostic>,
) {
    let (Value::Table(base), Some(overrides)) = (&mut ours.value, theirs.entries()) else {
        let sentence = format!("found {}; write a section with keys", theirs.describe(path));
        complaints.push(Diagnostic::new(&theirs.location, path, sentence));
        return;
    };
    for (name, value) in overrides {
        let here = join(path, &display_key(name));
        let Some(default) = known.get(name) else {
            complaints.push(Diagnostic::new(&value.location, &here, unknown(known, path, name)));
            continue;
        };
        let Some(kind) = Kind::of(&here) else {
            if let Some(node) = base.get_mut(name) {
                merge(node, default, value, &here, complaints);
            }
            continue;
        };
        if let Err(right) = kind.check(value) {
            let sentence = format!("found {}; {right}", value.describe(&here));
            complaints.push(Diagnostic::new(&value.location, &here, sentence));
            continue;
        }
        let before = complaints.len();
        let value =
            if kind == Kind::Projects { projects(base.get(name), value, complaints) } else { value.clone() };
        if complaints.len() == before {
            base.insert(name.clone(), value);
        }
    }
}

/// The values of single projects: those there are, with `overrides` over them.
fn projects(ours: Option<&Node>, theirs: &Node, complaints: &mut Vec<Diagnostic>) -> Node {
    let mut all = ours.cloned().unwrap_or_else(|| Node::table(theirs.location.clone()));
    let Some(known) = default_alerts() else { return all };
    for (project, alerts) in theirs.entries().into_iter().flatten() {
        // The same checks as for the alerts themselves, laid over a copy of them.
        let path = format!("projects.{}", display_key(project));
        let mut copy = known.clone();
        merge(&mut copy, &known, alerts, &path, complaints);
        let Value::Table(entries) = &mut all.value else { continue };
        let mine = entries.entry(project.clone()).or_insert_with(|| Node::table(alerts.location.clone()));
        for (alert, values) in alerts.entries().into_iter().flatten() {
            let Value::Table(mine) = &mut mine.value else { continue };
            let own = mine.entry(alert.clone()).or_insert_with(|| Node::table(values.location.clone()));
            if let Value::Table(own) = &mut own.value {
                own.extend(
                    values.entries().into_iter().flatten().map(|(name, value)| (name.clone(), value.clone())),
                );
            }
        }
    }
    all
}

pub(super) fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// Advice about a key that is not there.
fn unknown(known: &Node, path: &str, name: &str) -> String {
    let names = || known.entries().into_iter().flatten().map(|(name, _)| name.as_str());
    let place = if path.is_empty() { "the top level" } else { path };
    if let Some(near) = closest(name, names()) {
        return format!("unknown key; did you mean `{near}`?");
    }
    let names: Vec<&str> = names().collect();
    if names.len() > 20 {
        return "unknown alert; `polyai-exporter rules` prints them all".to_owned();
    }
    format!("unknown key; {place} has {}", join_list(names, "and"))
}
