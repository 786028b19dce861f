//! Values as they were written, each with its location.

use std::collections::BTreeMap;
use std::fmt;

use crate::{Location, display_key, is_sensitive, quoted};

/// A value and where it was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// The location; for an entry of a mapping, that of its key.
    pub location: Location,
    /// The value.
    pub value: Value,
}

/// The value of a key, without conversion. Any value may be secret, so debug output has only its type.
#[derive(Clone, PartialEq)]
pub enum Value {
    /// No value, `~` or `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// Any other number.
    Float(f64),
    /// Text.
    Text(String),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping.
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
    /// `text` at `location`.
    pub fn text(location: Location, text: &str) -> Self {
        Self { location, value: Value::Text(text.to_owned()) }
    }

    /// An empty mapping at `location`.
    pub fn table(location: Location) -> Self {
        Self { location, value: Value::Table(BTreeMap::new()) }
    }

    /// Whether the value comes from an environment variable, where everything is text; values of files have types.
    pub fn is_from_environment(&self) -> bool {
        matches!(self.location, Location::Variable(_))
    }

    /// The text of an environment variable, from which numbers are parsed; text of a file stays text.
    pub fn variable_text(&self) -> Option<&str> {
        self.as_text().filter(|_| self.is_from_environment()).map(str::trim)
    }

    /// Whether there is no value, or an empty list.
    pub fn is_empty(&self) -> bool {
        self.value == Value::Null || self.items().is_some_and(<[Node]>::is_empty)
    }

    /// The text, if it is text.
    pub fn as_text(&self) -> Option<&str> {
        if let Value::Text(text) = &self.value { Some(text) } else { None }
    }

    /// The number, if it is one.
    pub fn as_number(&self) -> Option<f64> {
        let is_number = matches!(self.value, Value::Integer(_) | Value::Float(_));
        // Through text, because there is no exact conversion of an integer.
        self.scalar().filter(|_| is_number)?.parse().ok()
    }

    /// The entries, if it is a mapping.
    pub fn entries(&self) -> Option<&BTreeMap<String, Node>> {
        if let Value::Table(entries) = &self.value { Some(entries) } else { None }
    }

    /// The items, if it is a list.
    pub fn items(&self) -> Option<&[Node]> {
        if let Value::List(items) = &self.value { Some(items) } else { None }
    }

    /// The items of a list; a single value is a list of one, and text of the environment is separated by commas.
    pub fn list_items(&self) -> Option<Vec<Node>> {
        match &self.value {
            Value::List(items) => Some(items.clone()),
            Value::Text(text) if self.is_from_environment() => {
                let items = text.split(',').filter(|_| !text.trim().is_empty());
                Some(items.map(|item| Self::text(self.location.clone(), item.trim())).collect())
            }
            Value::Text(_) | Value::Integer(_) | Value::Float(_) => Some(vec![self.clone()]),
            Value::Null | Value::Bool(_) | Value::Table(_) => None,
        }
    }

    /// A value that is not a list or a mapping, as text.
    pub fn scalar(&self) -> Option<String> {
        match &self.value {
            Value::Bool(on) => Some(on.to_string()),
            Value::Integer(number) => Some(number.to_string()),
            Value::Float(number) => Some(number.to_string()),
            Value::Text(text) => Some(text.clone()),
            Value::Null | Value::List(_) | Value::Table(_) => None,
        }
    }

    /// The value of the key `name`, if it is a mapping that has it.
    pub fn get(&self, name: &str) -> Option<&Node> {
        self.entries()?.get(name)
    }

    /// The type of the value, for messages.
    pub(crate) fn type_name(&self) -> &'static str {
        match self.value {
            Value::Null => "nothing",
            Value::Bool(_) => "true or false",
            Value::Integer(_) | Value::Float(_) => "a number",
            Value::Text(_) => "text",
            Value::List(_) => "a list",
            Value::Table(_) => "a section",
        }
    }

    /// Describes the value, for a message about `key`; only its type where the value may be secret.
    pub fn describe(&self, key: &str) -> String {
        match (self.as_text(), self.scalar()) {
            (_, None) => self.type_name().to_owned(),
            (Some(text), _) if !is_sensitive(key) => quoted(text),
            (Some(text), _) => {
                if text.trim().is_empty() { "empty text" } else { "text (not shown)" }.to_owned()
            }
            (None, Some(scalar)) if !is_sensitive(key) => scalar,
            (None, Some(_)) => "something that is not text".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_has_types_and_no_values() {
        let leaf = |value| Node { location: Location::Environment, value };
        let pasted = "sk-hunter2 pasted".to_owned();
        let entries = [
            ("api_key".to_owned(), leaf(Value::Text("sk-hunter2".into()))),
            ("api_key_env".to_owned(), leaf(Value::List(vec![leaf(Value::Integer(271_828))]))),
            (pasted, leaf(Value::Float(3.25))),
        ];
        let debug = format!("{:?}", leaf(Value::Table(BTreeMap::from(entries))));
        for secret in ["hunter2", "271828", "3.25"] {
            assert!(!debug.contains(secret), "{debug}");
        }
        assert!(
            debug.contains("\"api_key\": Node { location: Environment, value: Text(hidden) }"),
            "{debug}"
        );
    }
}
