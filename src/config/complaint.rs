//! What is wrong with a configuration, in words: where it stands, which key, what was found and what would be right.
//!
//! Owns: the list of complaints and how values are quoted in them. Never: the checks, and never the value of a secret.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::sources::TrackedFiles;

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Location {
    /// A place in the file that cannot be told more closely.
    File(Arc<str>),
    /// Line and column (in characters), both from 1.
    Line(Arc<str>, usize, usize),
    /// The environment variable of this name.
    Variable(String),
    /// An option of the command line, as it was written.
    Flag(String),
    /// Several environment variables together.
    Environment,
    /// The program itself: a default, or a value derived from others.
    Program,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.write_str(path),
            Self::Line(path, line, column) => write!(f, "{path}:{line}:{column}"),
            Self::Variable(name) => write!(f, "environment variable {name}"),
            Self::Flag(flag) => f.write_str(flag),
            Self::Environment => f.write_str("environment"),
            Self::Program => f.write_str("configuration"),
        }
    }
}

/// One thing that is wrong, or worth a warning. Reads as `file:line:column: key: found ...; what would be right`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    place: Location,
    key: String,
    text: String,
}

impl Diagnostic {
    pub(crate) fn new(place: &Location, key: &str, text: impl Into<String>) -> Self {
        Self { place: place.clone(), key: key.to_owned(), text: text.into() }
    }

    /// Where the offending value stands.
    pub fn place(&self) -> &Location {
        &self.place
    }

    /// The full path of the key, such as `targets[0].region`; empty if it is about the file as a whole.
    pub fn key(&self) -> &str {
        &self.key
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.text)
    }
}

/// Everything that is wrong with a configuration: at least one complaint, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors {
    complaints: Vec<Diagnostic>,
    sources: TrackedFiles,
    web_config_file: Option<PathBuf>,
}

impl ConfigErrors {
    /// None if there is nothing to complain about.
    pub(crate) fn from_complaints(mut complaints: Vec<Diagnostic>) -> Option<Self> {
        complaints.sort_by(|a, b| a.place.cmp(&b.place));
        (!complaints.is_empty()).then_some(Self {
            complaints,
            sources: TrackedFiles::default(),
            web_config_file: None,
        })
    }

    /// Of one complaint.
    pub(crate) fn of(complaint: Diagnostic) -> Self {
        Self { complaints: vec![complaint], sources: TrackedFiles::default(), web_config_file: None }
    }

    /// Found while these were read, among others.
    pub(crate) fn with_sources(self, sources: TrackedFiles) -> Self {
        Self { sources: self.sources.and(sources), ..self }
    }

    /// Of a configuration that names this web configuration.
    pub(super) fn with_web_config_file(self, web_config_file: Option<PathBuf>) -> Self {
        Self { web_config_file, ..self }
    }

    /// These, and then those.
    pub(crate) fn merge(mut self, others: Self) -> Self {
        self.complaints.extend(others.complaints);
        self.with_sources(others.sources)
    }

    /// What was read, or looked for: another content of one of these files may mend it all.
    pub(crate) fn sources(&self) -> &TrackedFiles {
        &self.sources
    }

    /// The web configuration that is named beside all that, if so much could be read.
    pub fn web_config_file(&self) -> Option<&Path> {
        self.web_config_file.as_deref()
    }

    /// The complaints, at least one.
    pub fn complaints(&self) -> &[Diagnostic] {
        &self.complaints
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, complaint) in self.complaints.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            complaint.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// The most characters of a value or key that a message repeats.
const MAX_QUOTED_CHARS: usize = 60;

/// `text` in quotes, cut to 60 characters, with whatever a terminal would not print plainly escaped.
pub(crate) fn quoted(text: &str) -> String {
    format!("\"{}\"", escape(text))
}

/// `text` without quotes, cut and escaped in the same way.
pub(super) fn escape(text: &str) -> String {
    let mut shown = String::new();
    for (count, letter) in text.chars().enumerate() {
        if count == MAX_QUOTED_CHARS {
            shown.push_str("...");
            break;
        }
        if letter == '\'' {
            shown.push(letter);
        } else {
            shown.extend(letter.escape_debug());
        }
    }
    shown
}

/// The name of a key that is not known. A value that slipped into it (`{api_key:abc}` has no blank after the colon) is not
/// repeated: names have a form.
pub(crate) fn display_key(name: &str) -> String {
    let formed = name.chars().all(|letter| letter.is_ascii_alphanumeric() || "_-.".contains(letter));
    if formed && (1..=32).contains(&name.len()) {
        name.to_owned()
    } else {
        "(a name that is not shown)".to_owned()
    }
}

/// Whether values of `key` may be secret, so that they are never repeated: its name says so.
pub(super) fn is_sensitive(key: &str) -> bool {
    let name = key.rsplit('.').next().unwrap_or(key).to_ascii_lowercase();
    ["key", "secret", "password", "token"].iter().any(|word| name.contains(word))
}

/// `first`, `second` and `third`.
pub(crate) fn join_list<'a>(items: impl IntoIterator<Item = &'a str>, last: &str) -> String {
    let items: Vec<_> = items.into_iter().collect();
    match items.as_slice() {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [head @ .., tail] => format!("{} {last} {tail}", head.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_value_is_short_and_plain() {
        assert_eq!(quoted("us-1"), "\"us-1\"");
        assert_eq!(quoted("a\u{1b}[31m\n\"'"), "\"a\\u{1b}[31m\\n\\\"'\"");
        assert_eq!(quoted("\u{202e}"), "\"\\u{202e}\"", "no direction override reaches the terminal");
        assert_eq!(quoted(&"x".repeat(1000)), format!("\"{}...\"", "x".repeat(60)));
    }

    #[test]
    fn the_name_of_a_key_tells_whether_its_value_is_secret() {
        for key in
            ["targets[0].api_key", "targets[12].api_key_file", "webhook.secret_env", "a.Password", "token"]
        {
            assert!(is_sensitive(key), "{key}");
        }
        for key in ["targets[0].region", "polling.interval", "keys.region"] {
            assert!(!is_sensitive(key), "{key}");
        }
    }
}
