//! Typed values from the YAML document, and diagnostics about them.

use exporter_schema::{Diagnostic, Location, Node, Value, closest, display_key, join_list, quoted};

/// The sections and their keys; the keys of a section without any are names chosen by the user.
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

/// Collects errors and warnings while values are read.
#[derive(Debug, Default)]
pub(super) struct Parser {
    pub(super) errors: Vec<Diagnostic>,
    pub(super) warnings: Vec<Diagnostic>,
}

/// A value with its location and the full path of its key.
#[derive(Clone)]
pub(super) struct Spanned<T> {
    pub(super) value: T,
    pub(super) location: Location,
    pub(super) key: String,
}

impl<T: std::fmt::Debug> std::fmt::Debug for Spanned<T> {
    /// The value alone: a configuration whose lines moved is still the same.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.value.fmt(f)
    }
}

impl<T> Spanned<T> {
    pub(super) fn diagnostic(&self, text: impl Into<String>) -> Diagnostic {
        Diagnostic::new(&self.location, &self.key, text)
    }

    /// `value` at the same location.
    pub(super) fn with<U>(&self, value: U) -> Spanned<U> {
        Spanned { value, location: self.location.clone(), key: self.key.clone() }
    }
}

/// A section of the file; an absent one is empty.
#[derive(Debug, Clone)]
pub(super) struct Section<'n> {
    node: Option<&'n Node>,
    path: String,
}

impl<'n> Section<'n> {
    /// The file as a whole.
    pub(super) fn root(node: &'n Node) -> Self {
        Self { node: Some(node), path: String::new() }
    }

    pub(super) fn section(&self, name: &str) -> Self {
        let node = self.get(name);
        Self { node: node.map(|node| node.value), path: self.key(name) }
    }

    pub(super) fn key(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// The value of `name`; a key without a value is the same as an absent one.
    pub(super) fn get(&self, name: &str) -> Option<Spanned<&'n Node>> {
        let node = self.node?.get(name).filter(|node| node.value != Value::Null)?;
        Some(Spanned { value: node, location: node.location.clone(), key: self.key(name) })
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = (&'n str, Spanned<&'n Node>)> {
        self.node.and_then(Node::entries).into_iter().flatten().map(|(name, node)| {
            let key = self.key(&display_key(name));
            (name.as_str(), Spanned { value: node, location: node.location.clone(), key })
        })
    }

    /// The first key with a value, for diagnostics about the section.
    pub(super) fn first_set_key(&self) -> Option<Spanned<()>> {
        let (_, first) = self.entries().find(|(_, node)| match &node.value.value {
            Value::Null => false,
            Value::Text(text) => !text.trim().is_empty(),
            Value::Bool(_) | Value::Integer(_) | Value::Float(_) | Value::List(_) | Value::Table(_) => true,
        })?;
        Some(Spanned { value: (), location: first.location, key: self.path.clone() })
    }
}

impl Parser {
    pub(super) fn error<T>(&mut self, at: &Spanned<T>, text: impl Into<String>) {
        self.errors.push(at.diagnostic(text));
    }

    pub(super) fn warning<T>(&mut self, at: &Spanned<T>, text: impl Into<String>) {
        self.warnings.push(at.diagnostic(text));
    }

    /// The value is not what the key takes.
    pub(super) fn unexpected(&mut self, node: &Spanned<&Node>, expected: &str) {
        let found = node.value.describe(&node.key);
        self.error(node, format!("found {found}; write {expected}"));
    }

    /// Reports unknown keys, and sections that are not mappings.
    pub(super) fn check_keys(&mut self, root: &Node) {
        for (name, node) in Section::root(root).entries() {
            let Some((section, keys)) = SECTIONS.iter().find(|(section, _)| *section == name) else {
                self.error(&node, unknown_key(name, "the file", &SECTIONS.map(|(section, _)| section)));
                continue;
            };
            if node.value.entries().is_none() && node.value.value != Value::Null {
                // The value is not repeated: here it may be anything.
                self.error(&node, "this is a section; write keys with values under it");
            }
            let entries = Section { node: Some(node.value), path: (*section).to_owned() };
            for (name, entry) in entries.entries() {
                if !keys.is_empty() && !keys.contains(&name) {
                    self.error(&entry, unknown_key(name, &format!("`{section}`"), keys));
                }
            }
        }
    }

    pub(super) fn bool(&mut self, section: &Section<'_>, name: &str, default: bool) -> bool {
        let Some(node) = section.get(name) else { return default };
        if let Value::Bool(on) = node.value.value {
            return on;
        }
        self.unexpected(&node, "true or false");
        default
    }

    /// Text that is not blank; blank text is the same as an absent key, as in exporter-toolkit.
    pub(super) fn text(&mut self, section: &Section<'_>, name: &str) -> Option<Spanned<String>> {
        let node = section.get(name)?;
        match node.value.as_text() {
            Some(text) => (!text.trim().is_empty()).then(|| node.with(text.to_owned())),
            None => {
                self.unexpected(&node, "text");
                None
            }
        }
    }

    /// A list of text; `None` if any item is wrong.
    pub(super) fn texts(
        &mut self,
        section: &Section<'_>,
        name: &str,
    ) -> Option<Spanned<Vec<Spanned<String>>>> {
        let node = section.get(name)?;
        let Some(items) = node.value.items() else {
            self.unexpected(&node, "a list of text");
            return None;
        };
        let mut texts = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let key = format!("{}[{index}]", node.key);
            let item = Spanned { value: item, location: item.location.clone(), key };
            match item.value.as_text().filter(|text| !text.trim().is_empty()) {
                Some(text) => texts.push(item.with(text.to_owned())),
                None => self.unexpected(&item, "text that is not empty"),
            }
        }
        (texts.len() == items.len()).then(|| node.with(texts))
    }

    /// One of `choices`, by its name.
    pub(super) fn one_of<T: Copy>(
        &mut self,
        section: &Section<'_>,
        name: &str,
        choices: &[(&str, T)],
    ) -> Option<Spanned<T>> {
        let text = self.text(section, name)?;
        self.choice(&text, choices).map(|value| text.with(value))
    }

    /// The choice that `text` names.
    pub(super) fn choice<T: Copy>(&mut self, text: &Spanned<String>, choices: &[(&str, T)]) -> Option<T> {
        if let Some((_, value)) = choices.iter().find(|(name, _)| *name == text.value) {
            return Some(*value);
        }
        let (found, names) = (quoted(&text.value), choices.iter().map(|(name, _)| *name));
        self.error(
            text,
            match similar(&text.value, names.clone()) {
                Some(similar) => format!("found {found}; did you mean `{similar}`?"),
                None => format!("found {found}; write {}", join_list(names, "or")),
            },
        );
        None
    }
}

/// Advice on the unknown key `name` in `place`, which has the keys `names`.
pub(super) fn unknown_key(name: &str, place: &str, names: &[&str]) -> String {
    if let Some(similar) = similar(name, names.iter().copied()) {
        return format!("unknown key; did you mean `{similar}`?");
    }
    let home = SECTIONS.iter().find(|(section, keys)| keys.contains(&name) && !place.contains(section));
    match home {
        Some((section, _)) => format!("unknown key here; `{name}` belongs under `{section}`"),
        None => format!("unknown key; {place} has {}", join_list(names.iter().copied(), "and")),
    }
}

/// The one of `names` that is most like `wanted`.
fn similar<'a>(wanted: &str, mut names: impl Iterator<Item = &'a str> + Clone) -> Option<&'a str> {
    let wanted: String = wanted.chars().take(60).collect();
    let same = names.clone().find(|name| name.eq_ignore_ascii_case(&wanted));
    same.or_else(|| closest(&wanted, names.by_ref()))
}
