//! Environment variables over the configuration file, merged by the `config` crate.

use std::collections::{BTreeMap, BTreeSet};

use config::{Config, Map, Source, ValueKind};
use exporter_schema::{
    Diagnostic, KeyKind, Location, Node, Value, display_key, escape, join_list, join_path,
};

use super::base_url::base_url;
use super::keys::{KEYS, PREFIX, SCHEMA, variable_of};
use polyai_domain::target::Region;

/// The variables of the vendor's quickstart, and the keys of the one target that they configure.
const QUICKSTART: [(&str, &str); 4] = [
    ("POLYAI_API_KEY", "api_key"),
    ("POLYAI_BASE_URL", "base_url"),
    ("POLYAI_ACCOUNT_ID", "account_id"),
    ("POLYAI_PROJECT_ID", "project_id"),
];

/// The keys that give a target its API key.
pub(super) const API_KEY_SOURCES: [&str; 3] = ["api_key_env", "api_key_file", "api_key"];

/// A variable and the key that it sets.
struct Assignment<'e> {
    variable: &'e str,
    value: &'e str,
    key: KeyPath,
}

/// `section.name`, or `section[index].name`.
#[derive(Default)]
struct KeyPath {
    section: String,
    index: Option<usize>,
    name: String,
}

impl KeyPath {
    fn section(&self) -> String {
        self.index.map_or_else(|| self.section.clone(), |index| format!("{}[{index}]", self.section))
    }

    /// Whether the file has something else in place of the section, which is an error of its own.
    fn is_blocked(&self, file: &Node) -> bool {
        let Some(section) = file.get(&self.section).filter(|node| node.value != Value::Null) else {
            return false;
        };
        let Some(index) = self.index else { return section.entries().is_none() };
        section.items().is_none_or(|items| {
            items.get(index).is_some_and(|item| item.value != Value::Null && item.entries().is_none())
        })
    }
}

/// `file` with the variables of `env` over it. Each variable that cannot be used is an error.
pub(super) fn merge(file: Node, env: &BTreeMap<String, String>, errors: &mut Vec<Diagnostic>) -> Node {
    let mut assignments = Vec::new();
    for (variable, value) in env {
        let Some(rest) = variable.strip_prefix(PREFIX) else {
            if let Some(meant) = misspelt_prefix(&variable.to_ascii_uppercase()) {
                let text = format!(
                    "is not read; in capitals, with two underscores between section and key, it is {meant}"
                );
                errors.push(Diagnostic::new(&Location::Variable(variable.clone()), "", text));
            }
            continue;
        };
        match key_path(variable, rest) {
            Ok(key) => assignments.push(Assignment { variable, value, key }),
            Err((key, text)) => {
                errors.push(Diagnostic::new(&Location::Variable(escape(variable)), &key, text))
            }
        }
    }
    // Entries without gaps, because a list has none.
    let in_file = file.get("targets").and_then(Node::items).map_or(0, <[Node]>::len);
    let indexes: BTreeSet<usize> = assignments.iter().filter_map(|assignment| assignment.key.index).collect();
    let next = (in_file..).find(|index| !indexes.contains(index)).unwrap_or(usize::MAX);
    assignments.retain(|Assignment { variable, key, .. }| {
        let has_gap = key.index.is_some_and(|index| index > next);
        if has_gap {
            let text = format!("entry {next} is missing; entries are numbered from 0 without gaps");
            let location = Location::Variable((*variable).to_owned());
            errors.push(Diagnostic::new(&location, &key.section(), text));
        }
        !has_gap && !key.is_blocked(&file)
    });
    if assignments.is_empty() {
        return file;
    }
    let location = file.location.clone();
    // The `config` crate reads the names of the top level as paths, which unknown ones are not.
    let (known, unknown): (BTreeMap<_, _>, BTreeMap<_, _>) = file
        .entries()
        .cloned()
        .unwrap_or_default()
        .into_iter()
        .partition(|(name, _)| matches!(SCHEMA.classify(name), KeyKind::Section | KeyKind::Sections));
    let file = Node { location: location.clone(), value: Value::Table(known) };
    let layers =
        assignments.iter().try_fold(Config::builder().add_source(FileLayer(file)), |layers, assignment| {
            let Assignment { variable, value, key } = assignment;
            let origin = (*variable).to_owned();
            layers
                .set_override(join_path(&key.section(), &key.name), config::Value::new(Some(&origin), *value))
        });
    match layers.and_then(|layers| layers.build()) {
        Ok(merged) => {
            let mut root = Node { location: location.clone(), ..from_layer(merged.cache, &location) };
            if let Value::Table(entries) = &mut root.value {
                entries.extend(unknown);
            }
            root
        }
        Err(error) => {
            errors.push(Diagnostic::new(&Location::Environment, "", format!("cannot be merged: {error}")));
            Node::table(location)
        }
    }
}

/// The file as the lowest layer. Each value carries its location as its origin.
#[derive(Debug, Clone)]
struct FileLayer(Node);

impl Source for FileLayer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, config::Value>, config::ConfigError> {
        to_layer(&self.0).into_table()
    }
}

fn to_layer(node: &Node) -> config::Value {
    let origin = match &node.location {
        Location::Line(_, line, column) => Some(format!("{line}:{column}")),
        Location::Variable(name) => Some(name.clone()),
        Location::File(_) | Location::Flag(_) | Location::Environment | Location::Program => None,
    };
    let kind = match &node.value {
        Value::Null => ValueKind::Nil,
        Value::Bool(on) => ValueKind::Boolean(*on),
        Value::Integer(number) => ValueKind::I64(*number),
        Value::Float(number) => ValueKind::Float(*number),
        Value::Text(text) => ValueKind::String(text.clone()),
        Value::List(items) => ValueKind::Array(items.iter().map(to_layer).collect()),
        Value::Table(entries) => {
            ValueKind::Table(entries.iter().map(|(name, node)| (name.clone(), to_layer(node))).collect())
        }
    };
    config::Value::new(origin.as_ref(), kind)
}

fn from_layer(value: config::Value, file: &Location) -> Node {
    let location = match (value.origin().map(|origin| (origin, origin.split_once(':'))), file) {
        (None, _) => Location::Environment,
        (Some((_, Some((line, column)))), Location::File(file)) => {
            Location::Line(file.clone(), line.parse().unwrap_or(1), column.parse().unwrap_or(1))
        }
        (Some((variable, _)), _) => Location::Variable(variable.to_owned()),
    };
    let value = match value.kind {
        ValueKind::Nil => Value::Null,
        ValueKind::Boolean(on) => Value::Bool(on),
        ValueKind::I64(number) => Value::Integer(number),
        ValueKind::Float(number) => Value::Float(number),
        ValueKind::String(text) => Value::Text(text),
        ValueKind::Array(items) => {
            Value::List(items.into_iter().map(|item| from_layer(item, file)).collect())
        }
        ValueKind::Table(entries) => {
            Value::Table(entries.into_iter().map(|(name, entry)| (name, from_layer(entry, file))).collect())
        }
        // Neither layer has any.
        ValueKind::U64(_) | ValueKind::I128(_) | ValueKind::U128(_) => Value::Null,
    };
    Node { location, value }
}

/// The key that `PREFIX` + `rest`, the variable `name`, sets; or the key of an error and its text.
fn key_path(name: &str, rest: &str) -> Result<KeyPath, (String, String)> {
    let unknown =
        || (String::new(), format!("no key has this variable; the nearest is {}", nearest_variable(name)));
    if rest.chars().any(|letter| letter.is_ascii_lowercase()) {
        return Err(unknown());
    }
    let mut pattern = String::new();
    let mut path = KeyPath::default();
    let mut pieces = rest.split("__");
    while let Some(piece) = pieces.next() {
        if !pattern.is_empty() && matches!(SCHEMA.classify(&pattern), KeyKind::Sections) {
            let index = piece.parse().ok().filter(|index: &usize| index.to_string() == piece);
            path.index = Some(index.ok_or_else(unknown)?);
            pattern.push_str("[]");
            continue;
        }
        path.name = piece.to_ascii_lowercase();
        pattern = join_path(&pattern, &path.name);
        match SCHEMA.classify(&pattern) {
            KeyKind::Key(_) if pieces.next().is_some() => {
                let variable = variable_of(&pattern);
                return Err((pattern, format!("set the whole list as comma separated text, in {variable}")));
            }
            KeyKind::Key(_) => return Ok(path),
            KeyKind::Unsupported => {
                return Err((pattern, "not supported by this version; remove the variable".to_owned()));
            }
            KeyKind::Section | KeyKind::Sections => path.section = std::mem::take(&mut path.name),
            KeyKind::Unknown => return Err(unknown()),
        }
    }
    let example = KEYS.iter().find(|key| key.path.starts_with(pattern.trim_end_matches("[]")));
    let example = example.map(|key| variable_of(&key.path)).unwrap_or_default();
    Err((path.section(), format!("this is a section; set one of its keys, such as {example}")))
}

/// The variable that `name` is but for the number of its underscores. Kubernetes sets others with this beginning.
fn misspelt_prefix(name: &str) -> Option<String> {
    let prefix = PREFIX.trim_end_matches('_');
    let words = |name: &str| -> Vec<String> {
        let words = name.split('_').filter(|word| !word.is_empty());
        // The number of a target.
        words.map(|word| if word.parse::<u32>().is_ok() { "0".to_owned() } else { word.to_owned() }).collect()
    };
    let rest = name.strip_prefix(prefix).filter(|rest| rest.starts_with('_'))?;
    let same = |variable: &String| words(variable.trim_start_matches(prefix)) == words(rest);
    KEYS.iter().map(|key| variable_of(&key.path)).find(same)
}

/// The variable whose last name is that of `name`, or else the one that is spelt most like it.
fn nearest_variable(name: &str) -> String {
    let last = name.rsplit("__").next().unwrap_or_default().to_ascii_lowercase();
    let exact = KEYS.iter().find(|key| key.path.rsplit('.').next() == Some(&last));
    let near = KEYS.iter().min_by_key(|key| strsim::osa_distance(&variable_of(&key.path), name));
    exact.or(near).map(|key| variable_of(&key.path)).unwrap_or_default()
}

/// Completes the first target from the quickstart's variables, and regions from base URLs; only for a start without a file.
pub(super) fn add_quickstart(root: &mut Node, env: &BTreeMap<String, String>) -> Result<(), Diagnostic> {
    let Value::Table(top) = &mut root.value else { return Ok(()) };
    let empty_list = || Node { location: Location::Environment, value: Value::List(Vec::new()) };
    let Value::List(targets) = &mut top.entry("targets".to_owned()).or_insert_with(empty_list).value else {
        return Ok(());
    };
    if targets.is_empty() {
        targets.push(Node::table(Location::Environment));
    }
    let mut missing = Vec::new();
    for (index, target) in targets.iter_mut().enumerate() {
        let Value::Table(target) = &mut target.value else { continue };
        for (variable, key) in QUICKSTART.into_iter().filter(|_| index == 0) {
            let is_set = match key {
                "api_key" => API_KEY_SOURCES.iter().any(|name| target.contains_key(*name)),
                _ => target.contains_key(key),
            };
            match env.get(variable).map(|value| value.trim()).filter(|value| !value.is_empty()) {
                _ if is_set => {}
                Some(value) => {
                    let location = Location::Variable(variable.to_owned());
                    target.insert(key.to_owned(), Node::text(location, value));
                }
                // The region has a host.
                None if key == "base_url" && target.contains_key("region") => {}
                None => missing.push(variable),
            }
        }
        if !target.contains_key("region")
            && let Some(Node { location, value: Value::Text(url) }) = target.get("base_url").cloned()
        {
            let region = base_url(&url).ok().and_then(|url| url.region).unwrap_or(Region::Us1);
            target.insert("region".to_owned(), Node::text(location, region.as_str()));
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    // Incomplete, so that nothing else said about it would help.
    top.remove("targets");
    let text = format!(
        "{} {} not set or empty; without a file, {} configure the one target. Or name a file with --config FILE",
        join_list(missing.iter().copied(), "and"),
        if missing.len() == 1 { "is" } else { "are" },
        join_list(QUICKSTART.map(|(variable, _)| variable), "and"),
    );
    Err(Diagnostic::new(&Location::Environment, "targets", text))
}

/// Refuses values such as `${NAME}`, which other programs or people replace. Messages omit the value: it may be
/// secret.
pub(super) fn check_placeholders(node: &Node, path: &str, errors: &mut Vec<Diagnostic>) {
    match &node.value {
        Value::Text(text) if has_placeholder(text) => {
            let advice = match path.rsplit('.').next() {
                _ if node.is_from_environment() => "set the value".to_owned(),
                Some("api_key") => {
                    format!("name the variable with api_key_env, or set {}", variable_of(path))
                }
                Some("api_key_env") => "write the name of the variable alone".to_owned(),
                _ => format!("write the value, or set {}", variable_of(path)),
            };
            let text = format!("found a placeholder, which is not replaced here; {advice}");
            errors.retain(|error| error.key() != path);
            errors.push(Diagnostic::new(&node.location, path, text));
        }
        Value::List(items) => {
            for (index, item) in items.iter().enumerate() {
                // One variable sets a whole list of values.
                let is_section = item.entries().is_some();
                let path = if is_section { format!("{path}[{index}]") } else { path.to_owned() };
                check_placeholders(item, &path, errors);
            }
        }
        Value::Table(entries) => {
            for (name, entry) in entries {
                check_placeholders(entry, &join_path(path, &display_key(name)), errors);
            }
        }
        Value::Null | Value::Bool(_) | Value::Integer(_) | Value::Float(_) | Value::Text(_) => {}
    }
}

fn has_placeholder(text: &str) -> bool {
    let is_letter = |letter: char| letter.is_ascii_uppercase() || letter == '_';
    let is_name = |name: &str| {
        name.starts_with(is_letter) && name.chars().all(|letter| is_letter(letter) || letter.is_ascii_digit())
    };
    let text = text.trim();
    let has = |open: &str, close: &str| text.split_once(open).is_some_and(|(_, rest)| rest.contains(close));
    let is_within = |open, close| text.strip_prefix(open).and_then(|rest| rest.strip_suffix(close));
    has("${", "}")
        || has("$(", ")")
        || has("{{", "}}")
        || is_within('<', '>').is_some()
        || is_within('%', '%').is_some_and(is_name)
        || text.strip_prefix('$').is_some_and(is_name)
        || text.starts_with("YOUR_")
        || text.starts_with("YOUR-")
}

/// Whether any of the quickstart's variables is set.
pub(super) fn has_quickstart(env: &BTreeMap<String, String>) -> bool {
    QUICKSTART.iter().any(|(variable, _)| env.contains_key(*variable))
}

/// How many variables of this program are set.
pub(super) fn count(env: &BTreeMap<String, String>) -> usize {
    env.keys().filter(|name| name.starts_with(PREFIX)).count()
}
