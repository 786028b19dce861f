//! YAML text to a tree of values with locations.

use std::collections::BTreeMap;
use std::sync::Arc;

use yaml_rust2::Yaml;
use yaml_rust2::parser::{Event, Parser, Tag};
use yaml_rust2::scanner::{Marker, TScalarStyle};

use crate::{Diagnostic, Location, Node, Value, display_key, join_path};

/// How deep values may nest; no schema needs more than a few levels.
const MAX_DEPTH: usize = 32;
/// The handle of the tags that YAML itself defines, such as `!!str`.
const CORE_TAGS: &str = "tag:yaml.org,2002:";

/// Parses the YAML document `text`, which diagnostics call `name`. An empty document is an empty mapping.
///
/// # Errors
/// Syntax errors, keys that are given twice, and the parts of YAML that are refused here: anchors and aliases (a few lines of
/// them expand without end), tags of other programs, several documents, keys that are not text, infinity and NaN.
pub fn parse_yaml(name: &str, text: &str) -> Result<Node, Vec<Diagnostic>> {
    let mut tree = TreeBuilder { file: name.into(), root: None, open: Vec::new(), errors: Vec::new() };
    let mut parser = Parser::new_from_str(text);
    let mut documents = 0;
    loop {
        // Event by event, because the parser's own loop recurses with the depth of the text.
        let (event, mark) = parser.next_token().map_err(|error| {
            let location = tree.location(error.marker());
            vec![Diagnostic::new(&location, "", format!("not valid YAML: {}", error.info()))]
        })?;
        let location = tree.location(&mark);
        documents += u32::from(matches!(event, Event::DocumentStart));
        if matches!(event, Event::StreamEnd) {
            return tree.finish();
        }
        if let Some(error) = tree.refusal(&event, documents) {
            return Err(vec![Diagnostic::new(&location, "", error)]);
        }
        tree.add(event, location);
    }
}

/// Builds the tree from the events of the parser, without recursion.
struct TreeBuilder {
    file: Arc<str>,
    root: Option<Node>,
    /// The mappings and lists that have begun and not ended.
    open: Vec<Open>,
    errors: Vec<Diagnostic>,
}

/// A mapping or a list that has begun.
struct Open {
    location: Location,
    value: Value,
    /// The key of a mapping whose value comes next.
    key: Option<(String, Location)>,
}

impl TreeBuilder {
    /// The parser counts lines from 1 and columns from 0.
    fn location(&self, mark: &Marker) -> Location {
        Location::Line(self.file.clone(), mark.line(), mark.col() + 1)
    }

    fn expects_key(&self) -> bool {
        matches!(self.open.last(), Some(Open { value: Value::Table(_), key: None, .. }))
    }

    /// Why `event` makes everything after it meaningless, if it does.
    fn refusal(&self, event: &Event, documents: u32) -> Option<&'static str> {
        let top = self.open.is_empty();
        let is_collection = matches!(event, Event::SequenceStart(..) | Event::MappingStart(..));
        match (event, self.expects_key()) {
            (Event::Alias(_), _) => Some("aliases (*name) are not read here; write the value out"),
            (Event::Scalar(.., 1.., _) | Event::SequenceStart(1.., _) | Event::MappingStart(1.., _), _) => {
                Some("anchors (&name) are not read here; write the value out where it is needed")
            }
            (
                Event::Scalar(.., Some(tag))
                | Event::SequenceStart(_, Some(tag))
                | Event::MappingStart(_, Some(tag)),
                _,
            ) if tag.handle != CORE_TAGS => Some("tags (!name) are not read here; write the value out"),
            (Event::DocumentStart, _) if documents > 1 => {
                Some("a second YAML document begins here; the file must be one document")
            }
            (Event::SequenceStart(..), _) if top => {
                Some("found a list; the file begins with the names of its sections")
            }
            (Event::Scalar(text, style, ..), _) if top && !is_null(text, *style) => {
                Some("found a single value; the file begins with the names of its sections")
            }
            _ if is_collection && self.open.len() >= MAX_DEPTH => Some("nested too deeply"),
            (_, true) if is_collection => {
                Some("a key must be text; put { } or [ ] in quotes if they belong to a value")
            }
            (Event::Scalar(text, style, ..), true) if is_null(text, *style) => {
                Some("a key is missing before the colon")
            }
            _ => None,
        }
    }

    fn add(&mut self, event: Event, location: Location) {
        match (event, self.expects_key()) {
            (Event::Scalar(name, ..), true) => self.add_key(name, location),
            (Event::Scalar(text, style, _, tag), false) => {
                let value = scalar(text, style, tag.as_ref());
                if let Value::Float(number) = value
                    && !number.is_finite()
                {
                    let error = "infinity and NaN are not supported; write a plain number";
                    self.errors.push(Diagnostic::new(&location, "", error));
                }
                self.add_value(value, location);
            }
            (Event::SequenceStart(..), _) => self.begin(Value::List(Vec::new()), location),
            (Event::MappingStart(..), _) => self.begin(Value::Table(BTreeMap::new()), location),
            (Event::SequenceEnd | Event::MappingEnd, _) => {
                let Some(Open { location, value, .. }) = self.open.pop() else { return };
                self.add_value(value, location);
            }
            _ => {}
        }
    }

    fn add_key(&mut self, name: String, location: Location) {
        let path = self.path();
        let Some(Open { value: Value::Table(entries), key, .. }) = self.open.last_mut() else { return };
        if let Some(Node { location: Location::Line(_, first, _), .. }) = entries.get(&name) {
            let error = format!("given twice, first on line {first}; keep one");
            self.errors.push(Diagnostic::new(&location, &join_path(&path, &display_key(&name)), error));
        }
        *key = Some((name, location));
    }

    fn begin(&mut self, value: Value, location: Location) {
        self.open.push(Open { location, value, key: None });
    }

    /// The path of the innermost mapping or list.
    fn path(&self) -> String {
        let outer = self.open.split_last().map_or(&[][..], |(_, outer)| outer);
        outer.iter().fold(String::new(), |path, open| match (&open.value, &open.key) {
            (Value::List(items), _) => format!("{path}[{}]", items.len()),
            (_, Some((name, _))) => join_path(&path, &display_key(name)),
            (_, None) => path,
        })
    }

    /// Puts a complete value where it belongs. An entry of a mapping is located at its key.
    fn add_value(&mut self, value: Value, location: Location) {
        let Some(open) = self.open.last_mut() else {
            self.root = Some(Node { location, value });
            return;
        };
        if let Value::List(items) = &mut open.value {
            items.push(Node { location, value });
        } else if let (Value::Table(entries), Some((name, location))) = (&mut open.value, open.key.take()) {
            entries.entry(name).or_insert(Node { location, value });
        }
    }

    fn finish(self) -> Result<Node, Vec<Diagnostic>> {
        if !self.errors.is_empty() {
            return Err(self.errors);
        }
        let file = Location::File(self.file);
        Ok(match self.root {
            Some(root) if root.value != Value::Null => Node { location: file, ..root },
            _ => Node::table(file),
        })
    }
}

fn scalar(text: String, style: TScalarStyle, tag: Option<&Tag>) -> Value {
    if style != TScalarStyle::Plain || tag.is_some_and(|tag| tag.suffix == "str") {
        return Value::Text(text);
    }
    let value = Yaml::from_str(&text);
    if let Yaml::Boolean(on) = value {
        Value::Bool(on)
    } else if let Yaml::Integer(number) = value {
        Value::Integer(number)
    } else if value.is_null() {
        Value::Null
    } else {
        value.as_f64().map_or(Value::Text(text), Value::Float)
    }
}

fn is_null(text: &str, style: TScalarStyle) -> bool {
    style == TScalarStyle::Plain && matches!(text, "" | "~" | "null")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn location_of(text: &str, key: &str) -> String {
        let root = parse_yaml("file", text).unwrap();
        let node = key.split('.').fold(&root, |node, name| match name.parse::<usize>() {
            Ok(index) => &node.items().unwrap()[index],
            Err(_) => node.get(name).unwrap(),
        });
        node.location.to_string()
    }

    #[test]
    fn values_have_the_location_of_their_key_or_item() {
        let yaml = "polling:\n  interval: 30s\ntargets:\n  - region: us-1\n    channels: [A,\n      B]\n";
        assert_eq!(location_of(yaml, "polling.interval"), "file:2:3");
        assert_eq!(location_of(yaml, "targets.0.region"), "file:4:5");
        assert_eq!(location_of(yaml, "targets.0.channels.1"), "file:6:7");
        let json = "{\"polling\":\n\t{\"interval\": \"30s\"},\n \"tar\\u0067ets\": [\n{\"region\": \"{\\\"\",\n\"channels\": [\"A\",\n \"B\"]}]}";
        assert_eq!(location_of(json, "polling.interval"), "file:2:3");
        assert_eq!(location_of(json, "targets.0.region"), "file:4:2");
        assert_eq!(location_of(json, "targets.0.channels.1"), "file:6:2");
    }

    #[test]
    fn repeated_key_is_named_with_its_path() {
        let errors = parse_yaml("file", "a: [x, {b: [[{c: 1, c: 2}]]}]\nd: {e: 1, e: 2}").unwrap_err();
        let shown: Vec<String> = errors.iter().map(Diagnostic::to_string).collect();
        let expected = [
            "file:1:21: a[1].b[0][0].c: given twice, first on line 1; keep one",
            "file:2:11: d.e: given twice, first on line 2; keep one",
        ];
        assert_eq!(shown, expected);
    }

    #[test]
    fn scalars_have_the_types_of_yaml() {
        let root = parse_yaml("file", "a: [1, 1.5, 1e5, true, ~, x, '1', !!str 2, 0x1F, yes, '']").unwrap();
        let values: Vec<Value> =
            root.get("a").unwrap().items().unwrap().iter().map(|node| node.value.clone()).collect();
        let text = |text: &str| Value::Text(text.to_owned());
        let expected = [
            Value::Integer(1),
            Value::Float(1.5),
            Value::Float(100_000.0),
            Value::Bool(true),
            Value::Null,
            text("x"),
            text("1"),
            text("2"),
            Value::Integer(31),
            text("yes"),
            text(""),
        ];
        assert!(values == expected, "{values:?}");
    }

    #[test]
    fn deep_nesting_is_refused_without_recursion() {
        for text in [
            "[".repeat(100_000),
            "- ".repeat(100_000),
            "? ".repeat(100_000),
            format!("a: {}", "{a: ".repeat(100_000)),
            "{\"a\":".repeat(100_000),
        ] {
            let errors = parse_yaml("file", &text).unwrap_err();
            assert!(errors.len() == 1, "{errors:?}");
        }
    }
}
