//! The configuration file: read with care, parsed by its extension, each value with its line.
//!
//! Owns: encoding, format, syntax errors and the raw tree. Never: what a key means.

mod json;
mod marks;
mod toml;
mod yaml;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use config::{FileFormat, Source, ValueKind};

use super::complaint::{Diagnostic, Location};
use super::sources::TrackedFiles;
use super::tree::{Node, Value};
use marks::{Locations, SyntaxError};

/// A configuration of a thousand targets has some 300 KiB.
const MOST_BYTES: u64 = 1 << 20;

/// How deep values may nest; the deepest that means anything is 3.
const MAX_DEPTH: usize = 32;

/// Reads the file at `path` into its raw tree.
pub(super) fn read(path: &Path, sources: &mut TrackedFiles) -> Result<Node, Vec<Diagnostic>> {
    let name: Arc<str> = path.display().to_string().into();
    let text = text_of(path, sources)
        .map_err(|sentence| vec![Diagnostic::new(&Location::File(name.clone()), "", sentence)])?;
    let root = parse(&name, &text, Format::of(path))?;
    if root.entries().is_none_or(|entries| entries.is_empty()) {
        let sentence = "the file is empty; it needs at least `targets`";
        return Err(vec![Diagnostic::new(&root.place, "", sentence)]);
    }
    Ok(root)
}

/// The folder that relative paths in the file start from.
pub(super) fn folder_of(path: &Path) -> PathBuf {
    path.parent().map(Path::to_path_buf).unwrap_or_default()
}

fn text_of(path: &Path, sources: &mut TrackedFiles) -> Result<String, String> {
    let bytes = sources.read(path, MOST_BYTES)?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let line = 1 + error.as_bytes().iter().take(good).filter(|byte| **byte == b'\n').count();
        format!("the file is not UTF-8 text (line {line} has other bytes); save it as UTF-8")
    })?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

/// Parses the YAML `text`, which complaints call `name`; a document of nothing is an empty table.
pub(crate) fn parse_yaml(name: &str, text: &str) -> Result<Node, Vec<Diagnostic>> {
    parse(&name.into(), text, Format::Yaml)
}

#[derive(Debug, Clone, Copy)]
enum Format {
    Yaml,
    Toml,
    Json,
}

impl Format {
    fn of(path: &Path) -> Self {
        let extension = path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
        match extension.as_deref() {
            Some("toml") => Self::Toml,
            Some("json") => Self::Json,
            _ => Self::Yaml,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Yaml => "YAML",
            Self::Toml => "TOML",
            Self::Json => "JSON",
        }
    }

    const fn of_crate(self) -> FileFormat {
        match self {
            Self::Yaml => FileFormat::Yaml,
            Self::Toml => FileFormat::Toml,
            Self::Json => FileFormat::Json,
        }
    }
}

/// Parses twice: once for the places, which also finds what the other parser would accept in silence (a key given
/// twice, a value that nests without end), and once for the values.
fn parse(name: &Arc<str>, text: &str, format: Format) -> Result<Node, Vec<Diagnostic>> {
    let marks = match format {
        Format::Yaml => yaml::marks(text),
        Format::Toml => toml::marks(text),
        Format::Json => json::marks(text),
    };
    let marks = marks.map_err(|slips| {
        slips
            .into_iter()
            .map(|SyntaxError { line, column, key, text }| {
                Diagnostic::new(&Location::Line(name.clone(), line, column), &key, text)
            })
            .collect::<Vec<_>>()
    })?;
    let whole = Location::File(name.clone());
    if marks.is_empty() {
        return Ok(Node::table(whole));
    }
    // Errors of this parser quote values, so its own words are left out.
    let values = config::File::from_str(text, format.of_crate()).collect().map_err(|_| {
        let sentence =
            format!("a value cannot be read as {}: a number that is too large, or an odd key", format.name());
        vec![Diagnostic::new(&whole, "", sentence)]
    })?;
    let origin = Origin { name: name.clone(), marks };
    let entries = values.into_iter().map(|(key, value)| {
        let node = origin.node(&key, value.kind);
        (key, node)
    });
    Ok(Node { place: whole, value: Value::Table(entries.collect()) })
}

struct Origin {
    name: Arc<str>,
    marks: Locations,
}

impl Origin {
    fn node(&self, path: &str, kind: ValueKind) -> Node {
        let value = match kind {
            ValueKind::Nil => Value::Null,
            ValueKind::Boolean(on) => Value::Bool(on),
            ValueKind::I64(number) => Value::Integer(number.into()),
            ValueKind::U64(number) => Value::Integer(number.into()),
            ValueKind::I128(number) => Value::Integer(number),
            ValueKind::U128(number) => {
                i128::try_from(number).map_or(Value::Integer(i128::MAX), Value::Integer)
            }
            ValueKind::Float(number) => Value::Float(number),
            ValueKind::String(text) => Value::Text(text),
            ValueKind::Array(items) => Value::List(
                items
                    .into_iter()
                    .enumerate()
                    .map(|(index, item)| self.node(&format!("{path}[{index}]"), item.kind))
                    .collect(),
            ),
            ValueKind::Table(entries) => Value::Table(
                entries
                    .into_iter()
                    .map(|(key, entry)| {
                        let node = self.node(&format!("{path}.{key}"), entry.kind);
                        (key, node)
                    })
                    .collect(),
            ),
        };
        let place = match self.marks.at(path) {
            Some((line, column)) => Location::Line(self.name.clone(), line, column),
            None => Location::File(self.name.clone()),
        };
        Node { place, value }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place_of(text: &str, format: Format, key: &str) -> String {
        let root = parse(&"file".into(), text, format).unwrap();
        let node = key.split('.').fold(&root, |node, name| match name.parse::<usize>() {
            Ok(index) => &node.items().unwrap()[index],
            Err(_) => node.get(name).unwrap(),
        });
        node.place.to_string()
    }

    #[test]
    fn values_keep_their_line_in_every_format() {
        let yaml = "polling:\n  interval: 30s\ntargets:\n  - region: us-1\n    channels: [A,\n      B]\n";
        assert_eq!(place_of(yaml, Format::Yaml, "polling.interval"), "file:2:3");
        assert_eq!(place_of(yaml, Format::Yaml, "targets.0.region"), "file:4:5");
        assert_eq!(place_of(yaml, Format::Yaml, "targets.0.channels.1"), "file:6:7");
        let toml =
            "[polling]\ninterval = \"30s\"\n[[targets]]\nregion = \"us-1\"\nchannels = [\"A\",\n \"B\"]\n";
        assert_eq!(place_of(toml, Format::Toml, "polling.interval"), "file:2:1");
        assert_eq!(place_of(toml, Format::Toml, "targets.0.region"), "file:4:1");
        assert_eq!(place_of(toml, Format::Toml, "targets.0.channels.1"), "file:6:2");
        let json = "{\"polling\":\n\t{\"interval\": \"30s\"},\n \"tar\\u0067ets\": [\n{\"region\": \"{\\\"\",\n\"channels\": [\"A\",\n \"B\"]}]}";
        assert_eq!(place_of(json, Format::Json, "polling.interval"), "file:2:3");
        assert_eq!(place_of(json, Format::Json, "targets.0.region"), "file:4:2");
        assert_eq!(place_of(json, Format::Json, "targets.0.channels.1"), "file:6:2");
    }

    #[test]
    fn endless_nesting_is_refused_before_it_exhausts_the_stack() {
        for (text, format) in [
            ("[".repeat(100_000), Format::Yaml),
            ("- ".repeat(100_000), Format::Yaml),
            ("? ".repeat(100_000), Format::Yaml),
            (format!("a: {}", "{a: ".repeat(100_000)), Format::Yaml),
            ("[".repeat(100_000), Format::Json),
            ("{\"a\":".repeat(100_000), Format::Json),
            (format!("a = {}", "[".repeat(100_000)), Format::Toml),
            (format!("[a{}]", ".a".repeat(400_000)), Format::Toml),
            (format!("a{} = 1", ". \"=\"".repeat(100_000)), Format::Toml),
            (format!("a = {{a{} = 1}}", ".a".repeat(400_000)), Format::Toml),
        ] {
            let complaints = parse(&"file".into(), &text, format).unwrap_err();
            assert!(complaints.len() == 1, "{complaints:?}");
        }
    }
}
