//! Errors and warnings about a configuration, each with its location and key.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::TrackedFiles;

/// The source of a value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Location {
    /// A file, without a line.
    File(Arc<str>),
    /// A file, with line and column (in characters), both from 1.
    Line(Arc<str>, usize, usize),
    /// The environment variable of this name.
    Variable(String),
    /// A command-line option, as it was written.
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

/// One error or warning, displayed as `file:line:column: key: found ...; what would be right`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    location: Location,
    key: String,
    text: String,
}

impl Diagnostic {
    /// A diagnostic about `key` (empty: the file as a whole) at `location`.
    pub fn new(location: &Location, key: &str, text: impl Into<String>) -> Self {
        Self { location: location.clone(), key: key.to_owned(), text: text.into() }
    }

    /// The location of the value.
    pub fn location(&self) -> &Location {
        &self.location
    }

    /// The full path of the key, such as `targets[0].region`; empty if the diagnostic is about the file as a whole.
    pub fn key(&self) -> &str {
        &self.key
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let separator = if self.key.is_empty() { "" } else { ": " };
        write!(f, "{}: {}{separator}{}", self.location, self.key, self.text)
    }
}

/// Errors and warnings, as they are found.
#[derive(Debug, Default)]
pub struct Report {
    /// Problems that make the document unusable.
    pub errors: Vec<Diagnostic>,
    /// Problems that do not.
    pub warnings: Vec<Diagnostic>,
}

impl Report {
    /// Whether there are errors about the key or section at `path`.
    pub fn has_errors_in(&self, path: &str) -> bool {
        let is_within = |key: &str| {
            key.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        self.errors.iter().any(|error| is_within(&error.key))
    }
}

/// Everything that is wrong with a configuration: at least one diagnostic, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors {
    diagnostics: Vec<Diagnostic>,
    files: TrackedFiles,
    web_config_file: Option<PathBuf>,
}

impl ConfigErrors {
    /// The errors in `diagnostics`, sorted by location; `None` if there are none.
    pub fn from_diagnostics(mut diagnostics: Vec<Diagnostic>) -> Option<Self> {
        diagnostics.sort_by(|a, b| a.location.cmp(&b.location));
        let (files, web_config_file) = (TrackedFiles::default(), None);
        (!diagnostics.is_empty()).then_some(Self { diagnostics, files, web_config_file })
    }

    /// Adds the files that were read, or looked for, when the errors were found.
    pub fn with_files(self, files: TrackedFiles) -> Self {
        Self { files: self.files.merge(files), ..self }
    }

    /// Adds the web configuration that the refused configuration names.
    pub fn with_web_config_file(self, web_config_file: Option<PathBuf>) -> Self {
        Self { web_config_file, ..self }
    }

    /// These errors followed by `others`.
    pub fn merge(mut self, others: Self) -> Self {
        self.diagnostics.extend(others.diagnostics);
        self.with_files(others.files)
    }

    /// The files that were read or looked for: a change of any of them may resolve the errors.
    pub fn files(&self) -> &TrackedFiles {
        &self.files
    }

    /// The web configuration that the refused configuration names, if that much could be read.
    pub fn web_config_file(&self) -> Option<&Path> {
        self.web_config_file.as_deref()
    }

    /// The diagnostics, at least one.
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.diagnostics
    }
}

impl From<Diagnostic> for ConfigErrors {
    fn from(diagnostic: Diagnostic) -> Self {
        Self { diagnostics: vec![diagnostic], files: TrackedFiles::default(), web_config_file: None }
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.diagnostics.iter().map(Diagnostic::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for ConfigErrors {}
