//! Whether the file says anything that nobody reads.
//!
//! Owns: unknown keys, keys of later versions, and sections that are no sections. Never: values of known keys.

use super::keys::{KeyKind, classify, join};
use super::nearest::advice;
use exporter_schema::{Diagnostic, display_key};
use exporter_schema::{Node, Value};

/// Complains about whatever in `root` is not in the table of keys.
pub(super) fn unknown_keys(root: &Node) -> Vec<Diagnostic> {
    let mut complaints = Vec::new();
    section(root, "", "", &mut complaints);
    complaints
}

fn section(node: &Node, path: &str, pattern: &str, complaints: &mut Vec<Diagnostic>) {
    let Some(entries) = node.entries() else { return };
    for (name, entry) in entries {
        let here = join(path, &display_key(name));
        let inner = join(pattern, name);
        // A name with a dot in it is not the path that it looks like.
        let standing = if name.contains(['.', '[']) { KeyKind::Unknown } else { classify(&inner) };
        match (standing, &entry.value) {
            (KeyKind::Key, _) | (KeyKind::Section | KeyKind::Sections, Value::Null) => {}
            (KeyKind::NotYet, _) => {
                complaints.push(Diagnostic::new(
                    &entry.location,
                    &here,
                    "not in this version yet; remove the key",
                ));
            }
            (KeyKind::Unknown, _) => {
                complaints.push(Diagnostic::new(&entry.location, &here, advice(pattern, name)));
            }
            (KeyKind::Section, Value::Table(_)) => section(entry, &here, &inner, complaints),
            (KeyKind::Sections, Value::List(items)) => {
                for (index, item) in items.iter().enumerate() {
                    let here = format!("{here}[{index}]");
                    match item.value {
                        Value::Table(_) => section(item, &here, &format!("{inner}[]"), complaints),
                        Value::Null
                        | Value::Bool(_)
                        | Value::Integer(_)
                        | Value::Float(_)
                        | Value::Text(_)
                        | Value::List(_) => complaints.push(wrong_type(item, &here, "a section with keys")),
                    }
                }
            }
            (KeyKind::Section, _) => complaints.push(wrong_type(entry, &here, "a section with keys")),
            (KeyKind::Sections, _) => complaints.push(wrong_type(entry, &here, "a list of sections")),
        }
    }
}

/// The value is not repeated: what stands in the wrong place may be anything.
fn wrong_type(node: &Node, path: &str, right: &str) -> Diagnostic {
    let found = match &node.value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Integer(_) | Value::Float(_) => "a number",
        Value::Text(_) => "text",
        Value::List(_) => "a list",
        Value::Table(_) => "a section",
    };
    Diagnostic::new(&node.location, path, format!("found {found}; write {right}"))
}
