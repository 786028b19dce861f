//! What can be wrong with the state, in sentences for people.
//!
//! Owns: the words, and which failure of the database means what. Never: a decision on what to do about it.

use std::path::{Path, PathBuf};

use super::FORMAT;

/// Why the state cannot be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has it.
    #[error(
        "the state in {} is in use by another instance; stop it, or give this one a storage.path of its own",
        path.display()
    )]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// A newer version wrote it.
    #[error(
        "the state in {} has format {found}, but this version knows formats up to {FORMAT}; it was left as it is. Use the newer version, or another storage.path",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// It cannot be read.
    #[error(
        "the state in {} cannot be read ({detail}); it was left as it is. Restore a copy, or move it away to start anew (counters then begin at a new start time)",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        detail: String,
    },
    /// The directory or file cannot be made or opened.
    #[error(
        "the state in {} cannot be opened: {source}; storage.path must be a folder in which this process may create and write files",
        path.display()
    )]
    Inaccessible {
        /// The file or directory.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A read or write failed; nothing of the transaction took effect.
    #[error("the state cannot be read or written: {0}")]
    Transaction(#[source] Box<redb::Error>),
    /// A stored value is not one that this program writes.
    #[error("the state holds a {what} that cannot be read; restore a copy, or move it away to start anew")]
    Unreadable {
        /// Which kind of value.
        what: &'static str,
    },
}

impl StoreError {
    pub(super) fn transaction(error: impl Into<redb::Error>) -> Self {
        Self::Transaction(Box::new(error.into()))
    }
}

/// What to say about a database that does not open.
pub(super) fn map_open_error(path: &Path, error: redb::DatabaseError) -> StoreError {
    use redb::{DatabaseError, StorageError};
    let path = path.to_owned();
    match error {
        DatabaseError::DatabaseAlreadyOpen => StoreError::InUse { path },
        DatabaseError::Storage(StorageError::Io(source))
            if !matches!(
                source.kind(),
                std::io::ErrorKind::InvalidData | std::io::ErrorKind::UnexpectedEof
            ) =>
        {
            StoreError::Inaccessible { path, source }
        }
        DatabaseError::Storage(_)
        | DatabaseError::RepairAborted
        | DatabaseError::UpgradeRequired(_)
        | DatabaseError::TransactionInProgress
        | _ => StoreError::Damaged { path, detail: error.to_string() },
    }
}
