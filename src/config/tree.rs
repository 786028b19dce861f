//! The raw shape of a configuration: values as they were written, each with its place.
//!
//! Owns: the tree that file and environment are merged into. Never: what a value means, and no conversion: a number
//! stays a number and text stays text.

use std::collections::BTreeMap;
use std::fmt;

use super::complaint::{Place, is_sensitive, name_shown, quoted};

/// A value and where it was written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub(crate) place: Place,
    pub(crate) value: Value,
}

/// The value of a key, as written. Which keys are secret a tree does not know, so debug output shows the kind of a value and
/// never the value.
#[derive(Clone, PartialEq)]
pub(crate) enum Value {
    Nothing,
    Switch(bool),
    Whole(i128),
    Fraction(f64),
    Text(String),
    List(Vec<Node>),
    Table(BTreeMap<String, Node>),
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("Nothing"),
            Self::Switch(_) => f.write_str("Switch(hidden)"),
            Self::Whole(_) => f.write_str("Whole(hidden)"),
            Self::Fraction(_) => f.write_str("Fraction(hidden)"),
            Self::Text(_) => f.write_str("Text(hidden)"),
            Self::List(items) => f.debug_list().entries(items).finish(),
            Self::Table(entries) => {
                f.debug_map().entries(entries.iter().map(|(name, node)| (name_shown(name), node))).finish()
            }
        }
    }
}

impl Node {
    pub(crate) fn text(place: Place, text: &str) -> Self {
        Self { place, value: Value::Text(text.to_owned()) }
    }

    pub(crate) fn table(place: Place) -> Self {
        Self { place, value: Value::Table(BTreeMap::new()) }
    }

    /// Values from the environment are text, whatever they mean; those of files have types.
    pub(super) fn is_from_environment(&self) -> bool {
        matches!(self.place, Place::Variable(_))
    }

    /// The text of an environment variable, from which numbers are parsed; text of a file stays text.
    pub(super) fn variable_text(&self) -> Option<&str> {
        let Value::Text(text) = &self.value else { return None };
        self.is_from_environment().then_some(text.trim())
    }

    /// Nothing, or a list of nothing.
    pub(super) fn is_blank(&self) -> bool {
        self.value == Value::Nothing || self.items().is_some_and(<[Node]>::is_empty)
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
    pub(crate) fn found(&self, key: &str) -> String {
        let secret = is_sensitive(key);
        match &self.value {
            Value::Nothing => "nothing".to_owned(),
            Value::List(_) => "a list".to_owned(),
            Value::Table(_) => "a section".to_owned(),
            Value::Switch(_) | Value::Whole(_) | Value::Fraction(_) if secret => {
                "something that is not text".to_owned()
            }
            Value::Text(text) if secret => {
                if text.trim().is_empty() { "empty text" } else { "text (not shown)" }.to_owned()
            }
            Value::Switch(on) => on.to_string(),
            Value::Whole(number) => number.to_string(),
            Value::Fraction(number) => number.to_string(),
            Value::Text(text) => quoted(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_tells_the_kinds_of_values_and_nothing_of_them() {
        let leaf = |value| Node { place: Place::Environment, value };
        let pasted = "sk-hunter2 pasted".to_owned();
        let entries = [
            ("api_key".to_owned(), leaf(Value::Text("sk-hunter2".into()))),
            ("api_key_env".to_owned(), leaf(Value::List(vec![leaf(Value::Whole(271_828))]))),
            (pasted, leaf(Value::Fraction(3.25))),
        ];
        let shown = format!("{:?}", leaf(Value::Table(BTreeMap::from(entries))));
        for secret in ["hunter2", "271828", "3.25"] {
            assert!(!shown.contains(secret), "{shown}");
        }
        assert!(shown.contains("\"api_key\": Node { place: Environment, value: Text(hidden) }"), "{shown}");
    }
}
