//! Typed values from the raw tree: each is checked against the format and range of the table of keys.
//!
//! Owns: the one way in which a value is read and complained about. Never: rules over several keys, and no generous
//! conversion: only values from the environment, which are text by nature, are parsed from text.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::keys::{DefaultValue, Key, UNSUPPORTED, find, join};
use super::listen::ListenAddress;
use super::shape::{MIN_BOUND, MOST_BOUNDS, ValueType};
use crate::conversation::Amount;
use exporter_schema::TrackedFiles;
use exporter_schema::{Diagnostic, Location, quoted};
use exporter_schema::{Node, Value};

/// Collects what is wrong while values are read.
#[derive(Debug, Default)]
pub(super) struct Reader {
    pub(super) complaints: Vec<Diagnostic>,
    pub(super) warnings: Vec<Diagnostic>,
    /// The files that values are taken from.
    pub(super) sources: TrackedFiles,
}

/// A section of the tree; absent ones read as empty.
#[derive(Debug)]
pub(super) struct Section<'n> {
    node: Option<&'n Node>,
    /// As people write it: `targets[0]`.
    pub(super) path: String,
    /// As the table of keys writes it: `targets[]`.
    pattern: &'static str,
}

/// A key that is present.
#[derive(Debug)]
pub(super) struct Entry<'n> {
    pub(super) node: &'n Node,
    pub(super) path: String,
    key: &'static Key,
}

impl<'n> Section<'n> {
    pub(super) fn top(root: &'n Node, name: &'static str) -> Self {
        Self { node: root.get(name), path: name.to_owned(), pattern: name }
    }

    pub(super) fn target(node: &'n Node, index: usize) -> Self {
        Self { node: Some(node), path: format!("targets[{index}]"), pattern: "targets[]" }
    }

    pub(super) fn place(&self) -> Location {
        self.node.map_or(Location::Program, |node| node.location.clone())
    }

    /// The key `name`, if it is present.
    pub(super) fn entry(&self, name: &str) -> Option<Entry<'n>> {
        let key = find(&join(self.pattern, name)).expect("only keys of the table are asked for");
        let node = self.node?.get(name)?;
        // `anchor: null` says the same as no anchor at all.
        let said_nothing = node.value == Value::Null && key.default == DefaultValue::Value("null");
        (!said_nothing).then(|| Entry { node, path: join(&self.path, name), key })
    }
}

impl Entry<'_> {
    fn list(&self) -> Option<Vec<Node>> {
        match &self.node.value {
            Value::List(items) => Some(items.clone()),
            Value::Text(text) if self.node.is_from_environment() => {
                let pieces = text.split(',').filter(|_| !text.trim().is_empty());
                Some(pieces.map(|piece| Node::text(self.node.location.clone(), piece.trim())).collect())
            }
            // A list of one may be written as that one.
            Value::Text(_) | Value::Integer(_) | Value::Float(_) => Some(vec![self.node.clone()]),
            Value::Null | Value::Bool(_) | Value::Table(_) => None,
        }
    }

    fn item_path(&self, index: usize) -> String {
        // Several values of one variable, or a single one instead of a list, have no index to be found by.
        if self.node.items().is_some() { format!("{}[{index}]", self.path) } else { self.path.clone() }
    }
}

impl Reader {
    pub(super) fn complain(&mut self, place: &Location, path: &str, sentence: impl Into<String>) {
        self.complaints.push(Diagnostic::new(place, path, sentence));
    }

    pub(super) fn warn(&mut self, place: &Location, path: &str, sentence: impl Into<String>) {
        self.warnings.push(Diagnostic::new(place, path, sentence));
    }

    /// Found this, write what the table says.
    pub(super) fn type_error(&mut self, entry: &Entry<'_>) {
        let right = advice(entry.node, entry.key.shape);
        self.error(entry, &right);
    }

    /// Found this, write that.
    pub(super) fn error(&mut self, entry: &Entry<'_>, right: &str) {
        self.wrong_at(entry.node, &entry.path, right);
    }

    fn wrong_at(&mut self, node: &Node, path: &str, right: &str) {
        self.complain(&node.location, path, format!("found {}; {right}", node.describe(path)));
    }

    fn read<T>(
        &mut self,
        section: &Section<'_>,
        name: &str,
        parse: impl Fn(&Node, ValueType) -> Option<T>,
    ) -> Option<T> {
        let entry = section.entry(name)?;
        let value = parse(entry.node, entry.key.shape);
        if value.is_none() {
            self.type_error(&entry);
        }
        value
    }

    /// Reads each entry of a list; none if the key is absent or any entry is wrong.
    fn read_list<T>(
        &mut self,
        section: &Section<'_>,
        name: &str,
        parse: impl Fn(&Node, ValueType) -> Option<T>,
    ) -> Option<Vec<(Node, String, T)>> {
        let entry = section.entry(name)?;
        let Some(items) = entry.list() else {
            let or_not = if entry.node.value == Value::Null { ", or remove the key" } else { "" };
            let right = format!("write {}{or_not}", entry.key.shape);
            self.error(&entry, &right);
            return None;
        };
        let count = items.len();
        let mut values = Vec::new();
        for (index, item) in items.into_iter().enumerate() {
            let path = entry.item_path(index);
            match parse(&item, entry.key.shape) {
                Some(value) => values.push((item, path, value)),
                None => self.wrong_at(&item, &path, &advice(&item, entry.key.shape)),
            }
        }
        (values.len() == count).then_some(values)
    }

    pub(super) fn bool(&mut self, section: &Section<'_>, name: &str) -> Option<bool> {
        self.read(section, name, |node, _| {
            if let Value::Bool(on) = node.value { Some(on) } else { node.variable_text()?.parse().ok() }
        })
    }

    pub(super) fn text(&mut self, section: &Section<'_>, name: &str) -> Option<String> {
        self.read(section, name, |node, shape| {
            text_of(node)
                .filter(|text| shape != ValueType::Id || !text.contains('/') && text.trim() == *text)
                .map(str::to_owned)
        })
    }

    pub(super) fn texts(&mut self, section: &Section<'_>, name: &str) -> Option<Vec<String>> {
        let items = self.read_list(section, name, |node, _| text_of(node).map(str::to_owned))?;
        self.distinct(items)
    }

    /// At least one, without repeats.
    pub(super) fn addresses(&mut self, section: &Section<'_>, name: &str) -> Option<Vec<ListenAddress>> {
        let items = self.read_list(section, name, |node, _| text_of(node)?.parse().ok())?;
        if items.is_empty()
            && let Some(entry) = section.entry(name)
        {
            let sentence = format!("found no address; write {}", entry.key.shape);
            self.complain(&entry.node.location, &entry.path, sentence);
            return None;
        }
        self.distinct(items)
    }

    pub(super) fn time(&mut self, section: &Section<'_>, name: &str) -> Option<DateTime<Utc>> {
        self.read(section, name, |node, _| {
            DateTime::parse_from_rfc3339(text_of(node)?).ok().map(|time| time.with_timezone(&Utc))
        })
    }

    pub(super) fn duration(&mut self, section: &Section<'_>, name: &str) -> Option<Duration> {
        self.read(section, name, duration_of)
    }

    /// Ascending and without repeats.
    pub(super) fn durations(&mut self, section: &Section<'_>, name: &str) -> Option<Vec<Duration>> {
        let items = self.read_list(section, name, duration_of)?;
        self.ascending(items, "durations must ascend, each greater")
    }

    /// 1 to 50, ascending and without repeats as they are kept, in whole millionths.
    pub(super) fn bounds(&mut self, section: &Section<'_>, name: &str) -> Option<Vec<f64>> {
        let items = self.read_list(section, name, |node, _| {
            number_of(node).and_then(Amount::from_units).filter(|bound| *bound > Amount(0))
        })?;
        let count = items.len();
        if !(1..=MOST_BOUNDS).contains(&count)
            && let Some(entry) = section.entry(name)
        {
            let sentence = format!("found {count} numbers; write {}", entry.key.shape);
            self.complain(&entry.node.location, &entry.path, sentence);
            return None;
        }
        let bounds = self.ascending(items, "numbers must ascend, each at least 0.000001 greater")?;
        Some(bounds.into_iter().map(Amount::units).collect())
    }

    pub(super) fn count(&mut self, section: &Section<'_>, name: &str) -> Option<u32> {
        self.read(section, name, |node, shape| {
            let ValueType::Count { min, max } = shape else { return None };
            let number = if let Value::Integer(number) = node.value {
                u32::try_from(number).ok()
            } else {
                node.variable_text()?.parse().ok()
            };
            number.filter(|number| (min..=max).contains(number))
        })
    }

    pub(super) fn one_of<T>(
        &mut self,
        section: &Section<'_>,
        name: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        self.read(section, name, |node, _| parse(text_of(node)?))
    }

    /// Without repeats.
    pub(super) fn some_of<T: Ord + Clone>(
        &mut self,
        section: &Section<'_>,
        name: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<Vec<T>> {
        let full = join(section.pattern, name);
        let later = |text: &str| UNSUPPORTED.iter().any(|key| key.split_once('=') == Some((&full, text)));
        if let Some(entry) = section.entry(name)
            && let Some(item) =
                entry.list().unwrap_or_default().iter().find(|item| text_of(item).is_some_and(later))
        {
            let sentence = format!("{} is not in this version yet; remove it", item.describe(&entry.path));
            self.complain(&item.location, &entry.path, sentence);
            return None;
        }
        let items = self.read_list(section, name, |node, _| parse(text_of(node)?))?;
        self.distinct(items)
    }

    fn distinct<T: Ord + Clone>(&mut self, items: Vec<(Node, String, T)>) -> Option<Vec<T>> {
        let mut seen = BTreeSet::new();
        let before = self.complaints.len();
        for (node, path, value) in &items {
            if !seen.insert(value.clone()) {
                self.wrong_at(node, path, "it is in the list already; remove it");
            }
        }
        (self.complaints.len() == before).then(|| items.into_iter().map(|(.., value)| value).collect())
    }

    fn ascending<T: PartialOrd + Copy>(
        &mut self,
        items: Vec<(Node, String, T)>,
        must: &str,
    ) -> Option<Vec<T>> {
        let before = self.complaints.len();
        for pair in items.windows(2) {
            if let [(.., low), (node, path, high)] = pair
                && high <= low
            {
                self.wrong_at(node, path, &format!("the {must} than the one before"));
            }
        }
        (self.complaints.len() == before).then(|| items.into_iter().map(|(.., value)| value).collect())
    }
}

/// What would be right, with the nearest cure where the mistake is a common one.
fn advice(node: &Node, shape: ValueType) -> String {
    let textual = matches!(
        shape,
        ValueType::Text
            | ValueType::Id
            | ValueType::Credential
            | ValueType::Path
            | ValueType::Url
            | ValueType::Texts
    );
    let spanning = matches!(shape, ValueType::Duration { .. } | ValueType::Durations { .. });
    let bare = match &node.value {
        Value::Integer(number) => Some(number.to_string()),
        Value::Float(number) => Some(number.to_string()),
        Value::Text(text) => Some(text.trim().to_owned()).filter(|text| text.parse::<f64>().is_ok()),
        Value::Null | Value::Bool(_) | Value::List(_) | Value::Table(_) => None,
    };
    match (&node.value, bare) {
        (_, Some(number)) if spanning && !number.starts_with('-') => {
            format!("a duration needs a unit: write {}", quoted(&format!("{number}s")))
        }
        (Value::Bool(_) | Value::Integer(_) | Value::Float(_), _) if textual => {
            "this is read as text: put it in quotes".to_owned()
        }
        (Value::Text(_), Some(_))
            if matches!(shape, ValueType::Count { .. }) && !node.is_from_environment() =>
        {
            format!("write {shape}, without quotes")
        }
        (Value::Null, _) => format!("write {shape}, or remove the key"),
        (Value::Text(text), _) if shape == ValueType::Addresses => {
            text.parse::<ListenAddress>().err().map_or_else(|| format!("write {shape}"), |no| no.to_string())
        }
        _ if shape == ValueType::Bounds => {
            format!("write a number from {} to {}", MIN_BOUND, Amount::MAX.units())
        }
        _ => format!("write {}", shape_of_entry(shape)),
    }
}

/// What one entry of a list must be.
fn shape_of_entry(shape: ValueType) -> ValueType {
    if let ValueType::Durations { min, max } = shape {
        ValueType::Duration { min, max }
    } else if let ValueType::SomeOf(names) = shape {
        ValueType::OneOf(names)
    } else if shape == ValueType::Texts {
        ValueType::Text
    } else {
        shape
    }
}

/// Text that says something and could stand in a log line.
pub(super) fn text_of(node: &Node) -> Option<&str> {
    let Value::Text(text) = &node.value else { return None };
    (!text.trim().is_empty() && !text.contains(char::is_control)).then_some(text)
}

fn number_of(node: &Node) -> Option<f64> {
    if let Value::Float(number) = node.value {
        Some(number)
    } else if let Value::Integer(number) = node.value {
        // Through text, because there is no exact conversion; a bucket bound beyond 2^53 is not one anybody means.
        number.to_string().parse().ok()
    } else {
        node.variable_text()?.parse().ok()
    }
}

fn duration_of(node: &Node, shape: ValueType) -> Option<Duration> {
    let (ValueType::Duration { min, max } | ValueType::Durations { min, max }) = shape else { return None };
    let text = text_of(node)?;
    // `humantime` takes a bare 0.
    if text.trim().parse::<f64>().is_ok() {
        return None;
    }
    humantime::parse_duration(text.trim()).ok().filter(|span| (min..=max).contains(span))
}
