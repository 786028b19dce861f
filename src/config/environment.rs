//! Values from environment variables, laid over those of the file.
//!
//! Owns: the names of variables, the index of list entries, and the four variables of the vendor's quickstart. Never:
//! what a value means, and never the process: the variables are handed in.

use std::collections::{BTreeMap, BTreeSet};

use super::keys::{KEYS, KeyKind, classify, join};
use super::nearest;
use exporter_schema::{Diagnostic, Location, escape, join_list};
use exporter_schema::{Node, Value};

/// What every variable of this program begins with. Two underscores, because for a service named polyai-exporter
/// Kubernetes injects variables of its own that begin with `POLYAI_EXPORTER_`.
const PREFIX: &str = "POLYAI_EXPORTER__";

/// The variables of the vendor's quickstart, and the keys of the one target that they give.
const QUICKSTART: [(&str, &str); 4] = [
    ("POLYAI_API_KEY", "api_key"),
    ("POLYAI_BASE_URL", "base_url"),
    ("POLYAI_ACCOUNT_ID", "account_id"),
    ("POLYAI_PROJECT_ID", "project_id"),
];

/// The keys that give a target its API key.
pub(super) const CREDENTIALS: [&str; 3] = ["api_key_env", "api_key_file", "api_key"];

/// The variable that sets the key at `pattern`; of a list, its first entry.
pub(super) fn variable_of(pattern: &str) -> String {
    format!("{PREFIX}{}", pattern.replace("[]", ".0").replace('.', "__").to_ascii_uppercase())
}

/// Lays the variables over `root`. Each one that cannot be used is a complaint.
pub(super) fn apply_env(root: &mut Node, env: &BTreeMap<String, String>) -> Vec<Diagnostic> {
    let mut complaints = Vec::new();
    let mut assignments = Vec::new();
    for (name, value) in env {
        let Some(rest) = name.strip_prefix(PREFIX) else { continue };
        match path_of(name, rest) {
            Ok(path) => assignments.push((path, name, value)),
            Err((key, sentence)) => {
                let place = Location::Variable(escape(name));
                complaints.push(Diagnostic::new(&place, &key, sentence));
            }
        }
    }
    let known = root.get("targets").and_then(Node::items).map_or(0, <[Node]>::len);
    let named: BTreeSet<usize> = assignments.iter().filter_map(|(path, ..)| path.index).collect();
    let next = (known..).find(|index| !named.contains(index)).unwrap_or(usize::MAX);
    for (path, name, value) in assignments {
        if path.index.is_some_and(|index| index > next) {
            let sentence = format!("entry {next} is missing; entries are numbered from 0 without gaps");
            complaints.push(Diagnostic::new(&Location::Variable(name.clone()), &path.section(), sentence));
            continue;
        }
        if let Some(entries) = path.table(root) {
            entries.insert(path.name, Node::text(Location::Variable(name.clone()), value));
        }
    }
    complaints
}

/// A key that a variable sets: `list` with its index, or a section, then the name.
struct KeyPath {
    home: String,
    index: Option<usize>,
    name: String,
}

impl KeyPath {
    fn section(&self) -> String {
        self.index.map_or_else(|| self.home.clone(), |index| format!("{}[{index}]", self.home))
    }

    /// The table to put the value into, made if need be; none if the file has something else in its place, which is a
    /// complaint of its own.
    fn table<'n>(&self, root: &'n mut Node) -> Option<&'n mut BTreeMap<String, Node>> {
        let Value::Table(top) = &mut root.value else { return None };
        let home = top
            .entry(self.home.clone())
            .or_insert_with(|| Node { location: Location::Environment, value: Value::Null });
        let section = match self.index {
            None => home,
            Some(index) => {
                if home.value == Value::Null {
                    home.value = Value::List(Vec::new());
                }
                let Value::List(items) = &mut home.value else { return None };
                while items.len() <= index {
                    items.push(Node::table(Location::Environment));
                }
                items.get_mut(index)?
            }
        };
        if section.value == Value::Null {
            section.value = Value::Table(BTreeMap::new());
        }
        if let Value::Table(entries) = &mut section.value { Some(entries) } else { None }
    }
}

/// The key that the variable `name` sets, whose part after the prefix is `rest`; or which key it is about and what is
/// wrong with it.
fn path_of(name: &str, rest: &str) -> Result<KeyPath, (String, String)> {
    let unknown =
        || (String::new(), format!("no key has this variable; the nearest is {}", nearest::variable(name)));
    if rest.chars().any(|letter| letter.is_ascii_lowercase()) {
        return Err(unknown());
    }
    let mut pattern = String::new();
    let mut path = KeyPath { home: String::new(), index: None, name: String::new() };
    let mut pieces = rest.split("__");
    while let Some(piece) = pieces.next() {
        if classify(&pattern) == KeyKind::Sections && !pattern.is_empty() {
            let index = piece.parse().ok().filter(|index: &usize| index.to_string() == piece);
            path.index = Some(index.ok_or_else(unknown)?);
            pattern.push_str("[]");
            continue;
        }
        path.name = piece.to_ascii_lowercase();
        pattern = join(&pattern, &path.name);
        match classify(&pattern) {
            KeyKind::Key if pieces.next().is_some() => {
                let sentence =
                    format!("set the whole list as comma separated text, in {}", variable_of(&pattern));
                return Err((pattern, sentence));
            }
            KeyKind::Key => return Ok(path),
            KeyKind::NotYet => {
                return Err((pattern, "not in this version yet; remove the variable".to_owned()));
            }
            KeyKind::Section | KeyKind::Sections => path.home = std::mem::take(&mut path.name),
            KeyKind::Unknown => return Err(unknown()),
        }
    }
    let example = KEYS.iter().find(|key| key.path.starts_with(pattern.trim_end_matches("[]")));
    let example = example.map(|key| variable_of(key.path)).unwrap_or_default();
    Err((path.section(), format!("this is a section; set one of its keys, such as {example}")))
}

/// Fills the first target from the quickstart's variables, where this program's own do not. For a start without a file
/// only: beside a file they would be a second, silent source.
pub(super) fn quickstart(root: &mut Node, env: &BTreeMap<String, String>) -> Result<(), Diagnostic> {
    let first = KeyPath { home: "targets".to_owned(), index: Some(0), name: String::new() };
    let Some(target) = first.table(root) else { return Ok(()) };
    let mut missing = Vec::new();
    for (variable, key) in QUICKSTART {
        let given = match key {
            "api_key" => CREDENTIALS.iter().any(|name| target.contains_key(*name)),
            _ => target.contains_key(key),
        };
        if given {
            continue;
        }
        match env.get(variable).filter(|value| !value.trim().is_empty()) {
            Some(value) => {
                let place = Location::Variable(variable.to_owned());
                target.insert(key.to_owned(), Node::text(place, value.trim()));
            }
            // The region tells the host.
            None if key == "base_url" && target.contains_key("region") => {}
            None => missing.push(variable),
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let sentence = format!(
        "{} {} not set or empty; without a file, {} give the one target. Or name a file with --config FILE",
        join_list(missing.iter().copied(), "and"),
        if missing.len() == 1 { "is" } else { "are" },
        join_list(QUICKSTART.map(|(variable, _)| variable), "and"),
    );
    Err(Diagnostic::new(&Location::Environment, "targets", sentence))
}

/// Whether any of the quickstart's variables is set.
pub(super) fn has_quickstart(env: &BTreeMap<String, String>) -> bool {
    QUICKSTART.iter().any(|(variable, _)| env.contains_key(*variable))
}

/// How many variables of this program are set.
pub(super) fn count(env: &BTreeMap<String, String>) -> usize {
    env.keys().filter(|name| name.starts_with(PREFIX)).count()
}
