//! API keys, which must never be printed.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::path::PathBuf;

/// An API key. Hidden in debug output and without `Display`. Equal values are equal, whatever their origin.
#[derive(Clone)]
pub struct Secret {
    value: String,
    origin: Origin,
}

/// The source of an API key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Origin {
    /// The configuration itself.
    Configuration,
    /// The environment variable of this name.
    Variable(String),
    /// This file.
    File(PathBuf),
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl Eq for Secret {}

impl Hash for Secret {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.value.hash(state);
    }
}

impl Secret {
    /// Wraps `value` without surrounding whitespace, such as the newline at the end of a file.
    pub fn new(value: &str) -> Self {
        Self { value: value.trim().to_owned(), origin: Origin::Configuration }
    }

    /// The same key with another origin.
    pub(super) fn with_origin(self, origin: Origin) -> Self {
        Self { origin, ..self }
    }

    /// The value itself, for sending it.
    pub fn expose_secret(&self) -> &str {
        &self.value
    }

    /// Its source.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Configuration => f.write_str("the configuration"),
            Self::Variable(name) => write!(f, "the environment variable {name}"),
            Self::File(path) => write!(f, "the file {}", path.display()),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(hidden)")
    }
}
