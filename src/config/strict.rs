//! Whether the file says anything that nobody reads.
//!
//! Owns: unknown keys, keys of later versions, and sections that are no sections. Never: values of known keys.

use super::complaint::{Complaint, name_shown};
use super::keys::{Standing, join, standing};
use super::nearest::advice;
use super::tree::{Node, Value};

/// Complains about whatever in `root` is not in the table of keys.
pub(super) fn unread(root: &Node) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    section(root, "", "", &mut complaints);
    complaints
}

fn section(node: &Node, path: &str, pattern: &str, complaints: &mut Vec<Complaint>) {
    let Some(entries) = node.entries() else { return };
    for (name, entry) in entries {
        let here = join(path, &name_shown(name));
        let inner = join(pattern, name);
        // A name with a dot in it is not the path that it looks like.
        let standing = if name.contains(['.', '[']) { Standing::Unknown } else { standing(&inner) };
        match (standing, &entry.value) {
            (Standing::Key, _) | (Standing::Section | Standing::Sections, Value::Nothing) => {}
            (Standing::NotYet, _) => {
                complaints.push(Complaint::new(
                    &entry.place,
                    &here,
                    "not in this version yet; remove the key",
                ));
            }
            (Standing::Unknown, _) => {
                complaints.push(Complaint::new(&entry.place, &here, advice(pattern, name)));
            }
            (Standing::Section, Value::Table(_)) => section(entry, &here, &inner, complaints),
            (Standing::Sections, Value::List(items)) => {
                for (index, item) in items.iter().enumerate() {
                    let here = format!("{here}[{index}]");
                    match item.value {
                        Value::Table(_) => section(item, &here, &format!("{inner}[]"), complaints),
                        Value::Nothing
                        | Value::Switch(_)
                        | Value::Whole(_)
                        | Value::Fraction(_)
                        | Value::Text(_)
                        | Value::List(_) => complaints.push(misplaced(item, &here, "a section with keys")),
                    }
                }
            }
            (Standing::Section, _) => complaints.push(misplaced(entry, &here, "a section with keys")),
            (Standing::Sections, _) => complaints.push(misplaced(entry, &here, "a list of sections")),
        }
    }
}

/// The value is not repeated: what stands in the wrong place may be anything.
fn misplaced(node: &Node, path: &str, right: &str) -> Complaint {
    let found = match &node.value {
        Value::Nothing => "nothing",
        Value::Switch(_) => "true or false",
        Value::Whole(_) | Value::Fraction(_) => "a number",
        Value::Text(_) => "text",
        Value::List(_) => "a list",
        Value::Table(_) => "a section",
    };
    Complaint::new(&node.place, path, format!("found {found}; write {right}"))
}
