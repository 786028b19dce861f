//! The errors of the store, and the mapping of the database's errors to them.

use std::path::{Path, PathBuf};

/// Why the state cannot be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has it open.
    #[error(
        "state file {} is in use by another instance; stop that instance, or give this one its own storage.path",
        .0.display()
    )]
    InUse(PathBuf),
    /// A newer version wrote it.
    #[error(
        "state file {} has format {found}, but this version supports formats up to {known}. The file was not modified. Use the newer version, or another storage.path",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest format that this program knows.
        known: u32,
    },
    /// It cannot be read.
    #[error(
        "state file {} cannot be read: {detail}. The file was not modified. Restore a backup, or move it away to start over (counters reset)",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The damage.
        detail: String,
    },
    /// The directory or file cannot be created or opened.
    #[error(
        "the state at {} cannot be opened: {}; storage.path must be a directory in which this process can create and write files",
        .0.display(),
        .1
    )]
    Inaccessible(PathBuf, #[source] std::io::Error),
    /// The file was deleted, replaced or emptied while it was open.
    #[error(
        "state file {} was deleted, replaced or emptied while it was open, and nothing can be saved. Put the original file back, or restart to continue from what is at this path (without a file, counters reset)",
        .0.display()
    )]
    Removed(PathBuf),
    /// A read or write failed; nothing of the transaction took effect.
    #[error("the state cannot be read or written: {0}")]
    Transaction(#[source] Box<redb::Error>),
    /// A stored value is not one that this program writes.
    #[error(
        "the state holds an invalid {0}; restore a backup, or move it away to start over (counters reset)"
    )]
    Unreadable(&'static str),
}

impl<E: Into<redb::Error>> From<E> for StoreError {
    fn from(error: E) -> Self {
        Self::Transaction(Box::new(error.into()))
    }
}

/// The meaning of a failure to open the database at `path`.
pub(super) fn map_open_error(path: &Path, error: redb::DatabaseError) -> StoreError {
    use std::io::ErrorKind::{InvalidData, UnexpectedEof};

    use redb::{DatabaseError, StorageError};
    let path = path.to_owned();
    match error {
        DatabaseError::DatabaseAlreadyOpen => StoreError::InUse(path),
        DatabaseError::Storage(StorageError::Io(source))
            if !matches!(source.kind(), InvalidData | UnexpectedEof) =>
        {
            StoreError::Inaccessible(path, source)
        }
        DatabaseError::Storage(_)
        | DatabaseError::RepairAborted
        | DatabaseError::UpgradeRequired(_)
        | DatabaseError::TransactionInProgress
        | _ => StoreError::Damaged { path, detail: error.to_string() },
    }
}
