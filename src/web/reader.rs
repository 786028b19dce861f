//! Typed values from the tree of the file, each with its place.
//!
//! Owns: which keys exist, the one way in which a value is read and complained about. Never: what a value leads to.

use crate::config::{Diagnostic, Location, Node, Value, closest, display_key, join_list};

/// The sections and their keys; a section without keys has names of the user's own.
const SECTIONS: [(&str, &[&str]); 4] = [
    (
        "tls_server_config",
        &[
            "cert",
            "key",
            "client_ca",
            "cert_file",
            "key_file",
            "client_auth_type",
            "client_ca_file",
            "client_allowed_sans",
            "min_version",
            "max_version",
            "cipher_suites",
            "prefer_server_cipher_suites",
            "curve_preferences",
        ],
    ),
    ("http_server_config", &["http2", "headers"]),
    ("basic_auth_users", &[]),
    ("rate_limit", &["interval", "burst"]),
];

/// Collects what is wrong while values are read.
#[derive(Debug, Default)]
pub(super) struct Reader {
    pub(super) complaints: Vec<Diagnostic>,
    pub(super) warnings: Vec<Diagnostic>,
}

/// A section of the file; absent ones read as empty.
#[derive(Debug, Clone)]
pub(super) struct Section<'n> {
    node: Option<&'n Node>,
    pub(super) path: String,
}

/// A value with where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Spanned<T> {
    pub(super) value: T,
    pub(super) location: Location,
    pub(super) key: String,
}

impl<T> Spanned<T> {
    pub(super) fn complaint(&self, sentence: impl Into<String>) -> Diagnostic {
        Diagnostic::new(&self.location, &self.key, sentence)
    }
}

impl<'n> Section<'n> {
    pub(super) fn new(node: Option<&'n Node>, path: impl Into<String>) -> Self {
        Self { node, path: path.into() }
    }

    pub(super) fn section(&self, name: &str) -> Self {
        Self::new(self.get(name), self.key(name))
    }

    /// The value of `name`; nothing says the same as an absent key.
    pub(super) fn get(&self, name: &str) -> Option<&'n Node> {
        self.node?.get(name).filter(|node| node.value != Value::Null)
    }

    pub(super) fn key(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// The first key that is given and says something, for complaints about the section.
    pub(super) fn first_set_key(&self) -> Option<Spanned<()>> {
        let entries = self.node?.entries()?;
        let is_non_empty = |node: &Node| match &node.value {
            Value::Null => false,
            Value::Text(text) => !text.trim().is_empty(),
            Value::Bool(_) | Value::Integer(_) | Value::Float(_) | Value::List(_) | Value::Table(_) => true,
        };
        let (name, node) = entries.iter().find(|(_, node)| is_non_empty(node))?;
        Some(Spanned { value: (), location: node.location.clone(), key: self.key(&display_key(name)) })
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = (&'n str, &'n Node)> + use<'n> {
        let entries = self.node.and_then(Node::entries).into_iter().flatten();
        entries.map(|(name, node)| (name.as_str(), node))
    }
}

impl Reader {
    pub(super) fn complain(&mut self, node: &Node, key: &str, sentence: impl Into<String>) {
        self.complaints.push(Diagnostic::new(&node.location, key, sentence));
    }

    /// Complains about keys that do not exist and about sections that are none.
    pub(super) fn unknown(&mut self, root: &Node) {
        for (name, node) in root.entries().into_iter().flatten() {
            match SECTIONS.iter().find(|(section, _)| section == name) {
                Some((section, keys)) => self.unknown_in(node, section, keys),
                None => {
                    let advice = advice(name, "the file", &SECTIONS.map(|(section, _)| section));
                    self.complain(node, &display_key(name), advice);
                }
            }
        }
    }

    fn unknown_in(&mut self, node: &Node, section: &str, keys: &[&str]) {
        match &node.value {
            Value::Null => {}
            Value::Table(entries) => {
                for (name, entry) in entries {
                    if !keys.is_empty() && !keys.contains(&name.as_str()) {
                        let key = format!("{section}.{}", display_key(name));
                        self.complain(entry, &key, advice(name, &format!("`{section}`"), keys));
                    }
                }
            }
            // Not repeated: what stands in the wrong place may be anything.
            Value::Bool(_) | Value::Integer(_) | Value::Float(_) | Value::Text(_) | Value::List(_) => {
                self.complain(node, section, "this is a section; write keys with values under it");
            }
        }
    }

    pub(super) fn switch(&mut self, section: &Section<'_>, name: &str, default: bool) -> bool {
        match section.get(name) {
            None => default,
            Some(Node { value: Value::Bool(on), .. }) => *on,
            Some(node) => {
                self.misfit(node, &section.key(name), "true or false");
                default
            }
        }
    }

    /// Text that says something; empty text is the same as an absent key, as in the original.
    pub(super) fn text(&mut self, section: &Section<'_>, name: &str) -> Option<Spanned<String>> {
        let node = section.get(name)?;
        let key = section.key(name);
        match &node.value {
            Value::Text(text) if text.trim().is_empty() => None,
            Value::Text(text) => Some(Spanned { value: text.clone(), location: node.location.clone(), key }),
            Value::Null
            | Value::Bool(_)
            | Value::Integer(_)
            | Value::Float(_)
            | Value::List(_)
            | Value::Table(_) => {
                self.misfit(node, &key, "text");
                None
            }
        }
    }

    /// A list of text with the list itself, if there is one; none of it if any entry is wrong.
    pub(super) fn texts(
        &mut self,
        section: &Section<'_>,
        name: &str,
    ) -> Option<Spanned<Vec<Spanned<String>>>> {
        let node = section.get(name)?;
        let key = section.key(name);
        let Some(items) = node.items() else {
            self.misfit(node, &key, "a list of text");
            return None;
        };
        let mut texts = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let key = format!("{key}[{index}]");
            let text = if let Value::Text(text) = &item.value { Some(text) } else { None };
            match text.filter(|text| !text.trim().is_empty()) {
                Some(text) => {
                    texts.push(Spanned { value: text.clone(), location: item.location.clone(), key })
                }
                None => self.misfit(item, &key, "text that is not empty"),
            }
        }
        (texts.len() == items.len()).then(|| Spanned { value: texts, location: node.location.clone(), key })
    }

    /// One of `choices`, by its name.
    pub(super) fn one_of<T: Copy>(
        &mut self,
        section: &Section<'_>,
        name: &str,
        choices: &[(&str, T)],
    ) -> Option<Spanned<T>> {
        let text = self.text(section, name)?;
        self.choice(&text, choices)
    }

    /// What `text` names among `choices`.
    pub(super) fn choice<T: Copy>(
        &mut self,
        text: &Spanned<String>,
        choices: &[(&str, T)],
    ) -> Option<Spanned<T>> {
        let found = choices.iter().find(|(choice, _)| *choice == text.value);
        let Some((_, value)) = found else {
            self.complaints.push(text.complaint(unknown_name(&text.value, choices)));
            return None;
        };
        Some(Spanned { value: *value, location: text.location.clone(), key: text.key.clone() })
    }

    /// Found this, write that.
    pub(super) fn misfit(&mut self, node: &Node, key: &str, right: &str) {
        self.complain(node, key, format!("found {}; write {right}", node.describe(key)));
    }
}

fn unknown_name<T>(found: &str, choices: &[(&str, T)]) -> String {
    let names = || choices.iter().map(|(name, _)| *name);
    let shown = crate::config::quoted(found);
    match near(found, names()) {
        Some(near) => format!("found {shown}; did you mean `{near}`?"),
        None => format!("found {shown}; write {}", join_list(names(), "or")),
    }
}

/// Advice about the unknown `name`; `names` are those that stand in `place`.
pub(super) fn advice(name: &str, place: &str, names: &[&str]) -> String {
    if let Some(near) = near(name, names.iter().copied()) {
        return format!("unknown key; did you mean `{near}`?");
    }
    let home = SECTIONS.iter().find(|(section, keys)| keys.contains(&name) && !place.contains(section));
    match home {
        Some((section, _)) => format!("unknown key here; `{name}` belongs under `{section}`"),
        None => format!("unknown key; {place} has {}", join_list(names.iter().copied(), "and")),
    }
}

/// The nearest of `names`, whatever the case of either.
fn near<'a>(wanted: &str, names: impl Iterator<Item = &'a str> + Clone) -> Option<&'a str> {
    let lower = |text: &str| text.chars().take(60).collect::<String>().to_ascii_lowercase();
    let same = names.clone().find(|name| lower(name) == lower(wanted));
    same.or_else(|| closest(&wanted.chars().take(60).collect::<String>(), names))
}
