//! `values.yaml` with its comments, as a tree of keys.
//!
//! Owns: reading it. Never: what is made of it (`schema`, `table`).

use serde_json::{Map, Value};
use yaml_rust2::Yaml;

use super::chart::{file, yaml};

/// A key of the values.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    /// From the top, such as `image.tag`.
    pub(crate) path: String,
    /// What people read of it; sections may have none.
    pub(crate) about: String,
    /// What the schema says besides what the default shows.
    pub(crate) schema: Map<String, Value>,
    pub(crate) default: Yaml,
    /// The keys below, unless it is free what stands there.
    pub(crate) keys: Vec<Key>,
}

impl Key {
    /// The last part of its path.
    pub(crate) fn name(&self) -> &str {
        self.path.rsplit('.').next().unwrap()
    }

    /// Whether any keys may stand below it.
    fn is_open(&self) -> bool {
        self.schema.contains_key("additionalProperties")
    }
}

/// The keys at the top, each with those below it.
pub(crate) fn keys() -> Vec<Key> {
    let text = file("values.yaml");
    let document = yaml(&text);
    let mut lines = annotated(&text).into_iter().peekable();
    let top = below(&mut lines, 0, "", &document);
    assert!(lines.next().is_none());
    top
}

/// A line with a key, and the comments before it.
#[derive(Debug)]
struct Line {
    indent: usize,
    name: String,
    about: String,
    schema: Map<String, Value>,
}

fn annotated(text: &str) -> Vec<Line> {
    let (mut lines, mut about, mut schema) = (Vec::new(), String::new(), Map::new());
    for line in text.lines() {
        let trimmed = line.trim_start();
        if let Some(first) = trimmed.strip_prefix("# -- ") {
            first.clone_into(&mut about);
        } else if let Some(fragment) = trimmed.strip_prefix("# @schema ") {
            schema = serde_json::from_str(fragment).unwrap_or_else(|error| panic!("{error}: {fragment}"));
        } else if let Some(more) = trimmed.strip_prefix("# ") {
            if !about.is_empty() {
                about = format!("{about} {more}");
            }
        } else if let Some((name, _)) = trimmed.split_once(':') {
            lines.push(Line {
                indent: line.len() - trimmed.len(),
                name: name.to_owned(),
                about: std::mem::take(&mut about),
                schema: std::mem::take(&mut schema),
            });
        } else {
            assert!(trimmed.is_empty(), "not read: {line}");
        }
    }
    lines
}

fn below(
    lines: &mut std::iter::Peekable<std::vec::IntoIter<Line>>,
    indent: usize,
    path: &str,
    section: &Yaml,
) -> Vec<Key> {
    let mut keys = Vec::new();
    while let Some(line) = lines.next_if(|line| line.indent == indent) {
        let path = if path.is_empty() { line.name.clone() } else { format!("{path}.{}", line.name) };
        let default = section[line.name.as_str()].clone();
        assert!(!default.is_badvalue(), "{path}");
        let mut key = Key { path, about: line.about, schema: line.schema, default, keys: Vec::new() };
        let inner = below(lines, indent + 2, &key.path, &key.default);
        if !key.is_open() {
            key.keys = inner;
        }
        keys.push(key);
    }
    keys
}

/// A value as JSON.
pub(crate) fn json(value: &Yaml) -> Value {
    match value {
        Yaml::Null => Value::Null,
        Yaml::Boolean(switch) => Value::from(*switch),
        Yaml::Integer(whole) => Value::from(*whole),
        Yaml::String(text) => Value::from(text.as_str()),
        Yaml::Array(list) => list.iter().map(json).collect(),
        Yaml::Hash(table) => Value::Object(
            table.iter().map(|(name, value)| (name.as_str().unwrap().to_owned(), json(value))).collect(),
        ),
        Yaml::Real(_) | Yaml::Alias(_) | Yaml::BadValue => panic!("{value:?}"),
    }
}
