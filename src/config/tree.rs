//! The raw shape of a configuration: values as they were written, each with its place.
//!
//! Owns: the tree that file and environment are merged into. Never: what a value means, and no conversion: a number
//! stays a number and text stays text.

use std::collections::BTreeMap;
use std::fmt;

use super::complaint::{Location, display_key, is_sensitive, quoted};

/// A value and where it was written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub(crate) place: Location,
    pub(crate) value: Value,
}

/// The value of a key, as written. Which keys are secret a tree does not know, so debug output shows the kind of a value and
/// never the value.
#[derive(Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Integer(i128),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Table(BTreeMap<String, Node>),
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("Null"),
            Self::Bool(_) => f.write_str("Bool(hidden)"),
            Self::Integer(_) => f.write_str("Integer(hidden)"),
            Self::Float(_) => f.write_str("Float(hidden)"),
            Self::Text(_) => f.write_str("Text(hidden)"),
            Self::List(items) => f.debug_list().entries(items).finish(),
            Self::Table(entries) => {
                f.debug_map().entries(entries.iter().map(|(name, node)| (display_key(name), node))).finish()
            }
        }
    }
}

impl Node {
    pub(crate) fn text(place: Location, text: &str) -> Self {
        Self { place, value: Value::Text(text.to_owned()) }
    }

    pub(crate) fn table(place: Location) -> Self {
        Self { place, value: Value::Table(BTreeMap::new()) }
    }

    /// Values from the environment are text, whatever they mean; those of files have types.
    pub(super) fn is_from_environment(&self) -> bool {
        matches!(self.place, Location::Variable(_))
    }

    /// The text of an environment variable, from which numbers are parsed; text of a file stays text.
    pub(super) fn variable_text(&self) -> Option<&str> {
        let Value::Text(text) = &self.value else { return None };
        self.is_from_environment().then_some(text.trim())
    }

    /// Nothing, or a list of nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.value == Value::Null || self.items().is_some_and(<[Node]>::is_empty)
    }

    pub(crate) fn entries(&self) -> Option<&BTreeMap<String, Node>> {
        if let Value::Table(entries) = &self.value { Some(entries) } else { None }
    }

    pub(crate) fn items(&self) -> Option<&[Node]> {
        if let Value::List(items) = &self.value { Some(items) } else { None }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Node> {
        self.entries()?.get(name)
    }

    /// What was found, for a message about `key`; only the kind of it where the value may be secret.
    pub(crate) fn describe(&self, key: &str) -> String {
        let secret = is_sensitive(key);
        match &self.value {
            Value::Null => "nothing".to_owned(),
            Value::List(_) => "a list".to_owned(),
            Value::Table(_) => "a section".to_owned(),
            Value::Bool(_) | Value::Integer(_) | Value::Float(_) if secret => {
                "something that is not text".to_owned()
            }
            Value::Text(text) if secret => {
                if text.trim().is_empty() { "empty text" } else { "text (not shown)" }.to_owned()
            }
            Value::Bool(on) => on.to_string(),
            Value::Integer(number) => number.to_string(),
            Value::Float(number) => number.to_string(),
            Value::Text(text) => quoted(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_tells_the_kinds_of_values_and_nothing_of_them() {
        let leaf = |value| Node { place: Location::Environment, value };
        let pasted = "sk-hunter2 pasted".to_owned();
        let entries = [
            ("api_key".to_owned(), leaf(Value::Text("sk-hunter2".into()))),
            ("api_key_env".to_owned(), leaf(Value::List(vec![leaf(Value::Integer(271_828))]))),
            (pasted, leaf(Value::Float(3.25))),
        ];
        let shown = format!("{:?}", leaf(Value::Table(BTreeMap::from(entries))));
        for secret in ["hunter2", "271828", "3.25"] {
            assert!(!shown.contains(secret), "{shown}");
        }
        assert!(shown.contains("\"api_key\": Node { place: Environment, value: Text(hidden) }"), "{shown}");
    }
}
