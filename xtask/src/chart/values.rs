//! Reads `values.yaml` with its comments, as a tree of keys.

use serde_json::{Map, Value};
use yaml_rust2::{Yaml, YamlLoader};

use crate::repository::read;

/// A key of the values.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    /// From the top, such as `image.tag`.
    pub(crate) path: String,
    /// The comment above it that starts with `--`; empty for some sections.
    pub(crate) description: String,
    /// The comment above it that starts with `@schema`: constraints that do not follow from the default.
    pub(crate) schema: Map<String, Value>,
    pub(crate) default: Yaml,
    /// The keys below it; empty if any key is allowed there.
    pub(crate) keys: Vec<Key>,
}

impl Key {
    /// The last part of its path.
    pub(crate) fn name(&self) -> &str {
        self.path.rsplit('.').next().unwrap()
    }

    /// Whether it accepts arbitrary keys.
    fn is_open(&self) -> bool {
        self.schema.contains_key("additionalProperties")
    }
}

/// The keys at the top, each with those below it.
pub(crate) fn keys() -> Vec<Key> {
    let text = read("deploy/helm/polyai-exporter/values.yaml");
    let document = parse(&text);
    let mut lines = annotated_lines(&text).into_iter().peekable();
    let top = keys_at(&mut lines, 0, "", &document);
    assert!(lines.next().is_none());
    top
}

fn parse(text: &str) -> Yaml {
    YamlLoader::load_from_str(text).unwrap().remove(0)
}

/// A line with a key, and the comments above it.
#[derive(Debug)]
struct Line {
    indent: usize,
    name: String,
    description: String,
    schema: Map<String, Value>,
}

fn annotated_lines(text: &str) -> Vec<Line> {
    let (mut lines, mut description, mut schema) = (Vec::new(), String::new(), Map::new());
    for line in text.lines() {
        let trimmed = line.trim_start();
        if let Some(first) = trimmed.strip_prefix("# -- ") {
            first.clone_into(&mut description);
        } else if let Some(fragment) = trimmed.strip_prefix("# @schema ") {
            schema = serde_json::from_str(fragment).unwrap_or_else(|error| panic!("{error}: {fragment}"));
        } else if let Some(more) = trimmed.strip_prefix("# ") {
            if !description.is_empty() {
                description = format!("{description} {more}");
            }
        } else if let Some((name, _)) = trimmed.split_once(':') {
            lines.push(Line {
                indent: line.len() - trimmed.len(),
                name: name.to_owned(),
                description: std::mem::take(&mut description),
                schema: std::mem::take(&mut schema),
            });
        } else {
            assert!(trimmed.is_empty(), "unexpected line: {line}");
        }
    }
    lines
}

fn keys_at(
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
        let mut key =
            Key { path, description: line.description, schema: line.schema, default, keys: Vec::new() };
        let inner = keys_at(lines, indent + 2, &key.path, &key.default);
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::repository::root;

    fn leaves(keys: &[Key]) -> Vec<&Key> {
        keys.iter().flat_map(|key| if key.keys.is_empty() { vec![key] } else { leaves(&key.keys) }).collect()
    }

    #[test]
    fn each_value_is_described() {
        let keys = keys();
        for key in leaves(&keys) {
            assert!(key.description.ends_with(['.', '`']), "{}: {:?}", key.path, key.description);
        }
        assert!(keys.len() > 40, "{}", keys.len());
    }

    /// A value that no template reads would have no effect, and one that no scenario sets would be untested.
    #[test]
    fn each_value_is_used_and_tested() {
        let chart = root().join("deploy/helm/polyai-exporter");
        let templates = text_of_directory(&chart.join("templates"));
        let scenarios: Vec<Yaml> = std::fs::read_dir(chart.join("ci"))
            .unwrap()
            .map(|entry| parse(&std::fs::read_to_string(entry.unwrap().path()).unwrap()))
            .collect();
        let keys = keys();
        let mut untested = Vec::new();
        for key in leaves(&keys).into_iter().filter(|key| key.path != "global") {
            assert!(templates.contains(&format!(".{}", key.name())), "no template reads {}", key.path);
            let tested = scenarios.iter().any(|values| {
                let mut place = values;
                key.path.split('.').all(|part| {
                    place = &place[part];
                    !place.is_badvalue()
                })
            });
            if !tested {
                untested.push(key.path.as_str());
            }
        }
        assert!(untested.is_empty(), "no scenario in ci/ sets {untested:?}");
    }

    fn text_of_directory(directory: &Path) -> String {
        let mut text = String::new();
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            text.push_str(&if path.is_dir() {
                text_of_directory(&path)
            } else {
                std::fs::read_to_string(&path).unwrap()
            });
        }
        text
    }
}
