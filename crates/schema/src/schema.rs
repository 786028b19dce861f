//! Declared keys, and the check of a document against them.

use std::borrow::Cow;

use crate::{
    Diagnostic, Location, Node, Value, ValueType, closest, display_key, join_list, join_path, normalize_name,
    parse_yaml,
};

/// A key that a document may have.
#[derive(Debug, Clone)]
pub struct Key {
    /// The full path: `[]` is any index of a list of sections, and `*` any name.
    pub path: Cow<'static, str>,
    /// The accepted values.
    pub value_type: ValueType,
    /// The default.
    pub default: DefaultValue,
    /// The meaning, in a sentence.
    pub description: &'static str,
}

/// The default of an absent key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DefaultValue {
    /// This value, as written in YAML. The value of a key with the default `null` may be left out.
    Value(&'static str),
    /// A value that depends on other keys, in words.
    Derived(&'static str),
    /// Nothing: the key must be present.
    Required,
}

/// The keys of a kind of document.
#[derive(Debug, Clone, Copy)]
pub struct Schema<'s> {
    /// The keys, in the order of the documentation.
    pub keys: &'s [Key],
    /// Keys and sections that are known and refused; after `=` a value of a key.
    pub unsupported: &'s [&'s str],
    /// The environment variable that sets the key at a path, for documents that are read from the environment, too.
    pub variable: Option<fn(&str) -> String>,
}

/// The declaration at a path.
#[derive(Debug, Clone, Copy)]
pub enum KeyKind<'s> {
    /// A key with a value.
    Key(&'s Key),
    /// A section with keys of its own.
    Section,
    /// A list of sections.
    Sections,
    /// A key, value or section that this version refuses.
    Unsupported,
    /// Nothing.
    Unknown,
}

/// The most names that a message about an unknown key lists.
const MAX_LISTED: usize = 20;

impl<'s> Schema<'s> {
    /// Everything in `root` that is not as declared: unknown and missing keys, values of wrong types or out of range.
    pub fn check(&self, root: &Node) -> Vec<Diagnostic> {
        let mut errors = Vec::new();
        self.check_section(root, "", "", &mut errors);
        errors
    }

    /// The declaration at `pattern`, in which `[]` is any index.
    pub fn classify(&self, pattern: &str) -> KeyKind<'s> {
        if self.unsupported.contains(&pattern) {
            return KeyKind::Unsupported;
        }
        let mut kind = KeyKind::Unknown;
        for key in self.keys {
            match key.path.strip_prefix(pattern) {
                Some("") => return KeyKind::Key(key),
                Some(rest) if rest.starts_with('.') => kind = KeyKind::Section,
                Some(rest) if rest.starts_with("[]") => kind = KeyKind::Sections,
                _ => {}
            }
        }
        kind
    }

    /// The default of the key at `path`; absent unless it is a [`DefaultValue::Value`].
    pub fn default_of(&self, path: &str) -> Option<Node> {
        let DefaultValue::Value(text) = self.keys.iter().find(|key| key.path == path)?.default else {
            return None;
        };
        parse_yaml(path, &format!("default: {text}")).ok()?.get("default").cloned()
    }

    fn check_section(&self, node: &Node, path: &str, pattern: &str, errors: &mut Vec<Diagnostic>) {
        for (name, entry) in node.entries().into_iter().flatten() {
            let path = join_path(path, &display_key(name));
            let mut inner = join_path(pattern, name);
            // A name with a dot in it is not the path that it looks like.
            let is_path = name.contains(['.', '[']);
            let mut kind = if is_path { KeyKind::Unknown } else { self.classify(&inner) };
            if let KeyKind::Unknown = kind {
                inner = join_path(pattern, "*");
                kind = self.classify(&inner);
            }
            let mut error = |text: String| errors.push(Diagnostic::new(&entry.location, &path, text));
            match (kind, &entry.value) {
                (KeyKind::Key(Key { default: DefaultValue::Value("null"), .. }), Value::Null)
                | (KeyKind::Section | KeyKind::Sections, Value::Null) => {}
                (KeyKind::Key(key), _) => self.check_key(key, entry, &path, errors),
                (KeyKind::Unsupported, _) => {
                    error("not supported by this version; remove the key".to_owned())
                }
                (KeyKind::Unknown, _) => error(self.advice(pattern, name)),
                (KeyKind::Section, Value::Table(_)) => self.check_section(entry, &path, &inner, errors),
                (KeyKind::Sections, Value::List(items)) => {
                    for (index, item) in items.iter().enumerate() {
                        let path = format!("{path}[{index}]");
                        match item.entries() {
                            Some(_) => self.check_section(item, &path, &format!("{inner}[]"), errors),
                            None => errors.push(wrong_type(item, &path, "a section with keys")),
                        }
                    }
                }
                (KeyKind::Section, _) => errors.push(wrong_type(entry, &path, "a section with keys")),
                (KeyKind::Sections, _) => {
                    errors.push(wrong_type(entry, &path, "a list of sections, each after a dash"))
                }
            }
        }
        self.check_required(node, path, pattern, errors);
    }

    fn check_key(&self, key: &Key, node: &Node, path: &str, errors: &mut Vec<Diagnostic>) {
        let unsupported = |item: &&Node| {
            let value = item.as_text().map(|text| format!("{}={text}", key.path));
            value.is_some_and(|value| self.unsupported.contains(&value.as_str()))
        };
        let items = node.list_items().unwrap_or_default();
        match items.iter().find(unsupported) {
            Some(item) => {
                let text = format!("{} is not supported by this version; remove it", item.describe(path));
                errors.push(Diagnostic::new(&item.location, path, text));
            }
            None => key.value_type.check(node, path, key.default == DefaultValue::Required, errors),
        }
    }

    fn check_required(&self, node: &Node, path: &str, pattern: &str, errors: &mut Vec<Diagnostic>) {
        for key in self.keys.iter().filter(|key| key.default == DefaultValue::Required) {
            let Some((section, name)) = key.path.rsplit_once('.') else { continue };
            if section == pattern && node.get(name).is_none() {
                let path = join_path(path, name);
                let text = match self.variable {
                    Some(variable) if node.location == Location::Environment => {
                        format!("is missing; set {}", variable(&path))
                    }
                    _ => format!("is missing; every entry of `{}` needs it", section.trim_end_matches("[]")),
                };
                errors.push(Diagnostic::new(&node.location, &path, text));
            }
        }
    }

    /// Advice about the unknown `name` in the section at `pattern` (empty for the top level).
    fn advice(&self, pattern: &str, name: &str) -> String {
        let here = self.names_in(pattern);
        let wanted = normalize_name(name);
        if let Some(same) = here.iter().find(|known| normalize_name(known) == wanted) {
            return format!("unknown key; write `{same}`");
        }
        let elsewhere = |name: &str| {
            let mut keys = self.keys.iter().filter(|key| last_name(&key.path) == name);
            keys.next().filter(|_| keys.next().is_none()).map(|key| parent_of(&key.path))
        };
        if let Some(parent) = elsewhere(&wanted) {
            return format!("unknown key here; `{wanted}` belongs under {parent}");
        }
        if let Some(near) = closest(name, here.iter().copied()) {
            return format!("unknown key; did you mean `{near}`?");
        }
        if let Some(near) = closest(name, self.keys.iter().map(|key| last_name(&key.path)))
            && let Some(parent) = elsewhere(near)
        {
            return format!("unknown key here; did you mean `{near}`, which belongs under {parent}?");
        }
        if here.len() > MAX_LISTED {
            return format!("unknown key; {} has no such key", place_of(pattern));
        }
        format!("unknown key; {} has {}", place_of(pattern), join_list(here, "and"))
    }

    /// The names that the section at `pattern` may have, without repeats, in the order of the declaration.
    fn names_in(&self, pattern: &str) -> Vec<&'s str> {
        let mut names = Vec::new();
        for key in self.keys {
            let rest = match pattern {
                "" => Some(&*key.path),
                _ => key.path.strip_prefix(pattern).and_then(|rest| rest.strip_prefix('.')),
            };
            if let Some(name) = rest.and_then(|rest| rest.split(['.', '[']).next())
                && !names.contains(&name)
            {
                names.push(name);
            }
        }
        names
    }
}

/// The value is not repeated: it may be anything.
fn wrong_type(node: &Node, path: &str, expected: &str) -> Diagnostic {
    Diagnostic::new(&node.location, path, format!("found {}; write {expected}", node.type_name()))
}

fn parent_of(path: &str) -> String {
    place_of(path.rsplit_once('.').map_or("", |(section, _)| section))
}

fn place_of(pattern: &str) -> String {
    match pattern.strip_suffix("[]") {
        Some(list) => format!("an entry of `{list}`"),
        None if pattern.is_empty() => "the top level".to_owned(),
        None => format!("`{pattern}`"),
    }
}

fn last_name(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or(path)
}
