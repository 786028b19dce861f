//! Typed values out of a tree that has been checked.

use std::time::Duration;

use crate::{Diagnostic, Location, Node, Value, join_path};

/// A value with its location and key, for diagnostics about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located<T> {
    /// The value.
    pub value: T,
    /// The location of the value.
    pub location: Location,
    /// The full path of its key.
    pub key: String,
}

impl<T> Located<T> {
    /// A diagnostic about the value.
    pub fn diagnostic(&self, text: impl Into<String>) -> Diagnostic {
        Diagnostic::new(&self.location, &self.key, text)
    }

    /// The same with another value.
    pub fn map<U>(self, map: impl FnOnce(T) -> U) -> Located<U> {
        Located { value: map(self.value), location: self.location, key: self.key }
    }
}

/// Types that are read from a single value. Text from the environment is parsed; values of files are not converted.
pub trait FromNode: Sized {
    /// The value of `node`; `None` if it is of another type.
    fn from_node(node: &Node) -> Option<Self>;
}

impl FromNode for bool {
    fn from_node(node: &Node) -> Option<Self> {
        if let Value::Bool(on) = node.value { Some(on) } else { node.variable_text()?.parse().ok() }
    }
}

impl FromNode for u32 {
    fn from_node(node: &Node) -> Option<Self> {
        if let Value::Integer(number) = node.value {
            number.try_into().ok()
        } else {
            node.variable_text()?.parse().ok()
        }
    }
}

impl FromNode for f64 {
    fn from_node(node: &Node) -> Option<Self> {
        let number = node.as_number().or_else(|| node.variable_text()?.parse().ok());
        number.filter(|number| number.is_finite())
    }
}

impl FromNode for Duration {
    /// A number needs a unit, except for 0.
    fn from_node(node: &Node) -> Option<Self> {
        if node.value == Value::Integer(0) {
            return Some(Self::ZERO);
        }
        let text = node.as_text()?.trim();
        if text != "0" && text.parse::<f64>().is_ok() {
            return None;
        }
        humantime::parse_duration(text).ok()
    }
}

impl FromNode for String {
    fn from_node(node: &Node) -> Option<Self> {
        node.as_text().map(str::to_owned)
    }
}

impl<T: FromNode> FromNode for Vec<T> {
    fn from_node(node: &Node) -> Option<Self> {
        node.list_items()?.iter().map(T::from_node).collect()
    }
}

/// A mapping of the tree; an absent one reads as empty.
#[derive(Debug, Clone)]
pub struct Section<'n> {
    node: Option<&'n Node>,
    path: String,
}

impl<'n> Section<'n> {
    /// The whole document.
    pub fn root(node: &'n Node) -> Self {
        Self { node: Some(node), path: String::new() }
    }

    /// The section `name`.
    pub fn section(&self, name: &str) -> Self {
        Self { node: self.node.and_then(|node| node.get(name)), path: join_path(&self.path, name) }
    }

    /// The sections in the list `name`.
    pub fn sections(&self, name: &str) -> Vec<Self> {
        let items = self.node.and_then(|node| node.get(name)?.items()).unwrap_or_default();
        let path = join_path(&self.path, name);
        let sections = items.iter().enumerate().filter(|(_, item)| item.entries().is_some());
        sections.map(|(index, node)| Self { node: Some(node), path: format!("{path}[{index}]") }).collect()
    }

    /// The full path of the section, such as `targets[0]`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The location of the section.
    pub fn location(&self) -> Location {
        self.node.map_or(Location::Program, |node| node.location.clone())
    }

    /// The value of the key `name`; `null` is the same as an absent key.
    pub fn entry(&self, name: &str) -> Option<Located<&'n Node>> {
        let node = self.node?.get(name).filter(|node| node.value != Value::Null)?;
        Some(Located { value: node, location: node.location.clone(), key: join_path(&self.path, name) })
    }

    /// Whether the key `name` is present, even without a value.
    pub fn contains(&self, name: &str) -> bool {
        self.node.is_some_and(|node| node.get(name).is_some())
    }

    /// A diagnostic about the section as a whole.
    pub fn error(&self, text: impl Into<String>) -> Diagnostic {
        Diagnostic::new(&self.location(), &self.path, text)
    }

    /// All keys with their values.
    pub fn entries(&self) -> impl Iterator<Item = (&'n str, &'n Node)> + use<'n> {
        let entries = self.node.and_then(Node::entries).into_iter().flatten();
        entries.map(|(name, node)| (name.as_str(), node))
    }

    /// The value of the key `name`, if it is present and of this type.
    pub fn get<T: FromNode>(&self, name: &str) -> Option<T> {
        T::from_node(self.entry(name)?.value)
    }

    /// As [`get`](Self::get), with location and key.
    pub fn located<T: FromNode>(&self, name: &str) -> Option<Located<T>> {
        let entry = self.entry(name)?;
        let value = T::from_node(entry.value)?;
        Some(entry.map(|_| value))
    }

    /// A diagnostic about the key `name`, at the key if it is present and else at the section.
    pub fn diagnostic(&self, name: &str, text: impl Into<String>) -> Diagnostic {
        let location = self.entry(name).map_or_else(|| self.location(), |entry| entry.location);
        Diagnostic::new(&location, &join_path(&self.path, name), text)
    }
}
