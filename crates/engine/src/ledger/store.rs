//! The store: entries, series and watermarks in one embedded database, written in one transaction.
//!
//! Series are opaque bytes here; the recorder encodes them. A file that is damaged, or that a newer version wrote, is
//! refused and not modified.

mod error;
mod format_1;
mod overlay;

use std::collections::BTreeMap;
use std::fmt;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use polyai_domain::conversation::ConversationId;
use redb::{
    Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, StorageBackend, TableDefinition,
    TableError,
};

pub use error::StoreError;
use error::map_open_error;

use super::entry::LedgerEntry;
use super::watermarks::Watermarks;

/// The number of a target within one store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetId(u32);

/// The format that this program reads and writes. Raised by every change that an older program would misread.
const FORMAT: u32 = 2;
const FILE: &str = "state.redb";

/// Entries are looked up in random order; beyond this the system's page cache serves as well.
const CACHE_BYTES: usize = 8 << 20;

/// Below this a file is not worth compacting.
const COMPACT_ABOVE_BYTES: u64 = 32 << 20;

const META: TableDefinition<'_, &str, u32> = TableDefinition::new("meta");
const TARGETS: TableDefinition<'_, &str, u32> = TableDefinition::new("targets");
const WATERMARKS: TableDefinition<'_, u32, &[u8]> = TableDefinition::new("marks");
const ENTRIES: TableDefinition<'_, (u32, &str), &[u8]> = TableDefinition::new("rows");
const SERIES: TableDefinition<'_, (u32, &[u8]), &[u8]> = TableDefinition::new("series");

/// The key and the value of a stored series.
type EncodedSeries = (Vec<u8>, Vec<u8>);

/// Everything that one transaction writes, in key order, which is the cheapest order to write in. `None` deletes.
#[derive(Debug, Default, Clone)]
pub(crate) struct Changes {
    pub(crate) entries: BTreeMap<(TargetId, ConversationId), Option<LedgerEntry>>,
    /// By target and encoded key.
    pub(crate) series: BTreeMap<(TargetId, Vec<u8>), Option<Vec<u8>>>,
    pub(crate) watermarks: BTreeMap<TargetId, Watermarks>,
    /// Whether watermarks are among them that must not be lost.
    pub(crate) watermarks_must_flush: bool,
}

impl Changes {
    /// Whether there is anything that must be durable. Watermarks alone need not be: losing them means reading again.
    pub(crate) fn is_urgent(&self) -> bool {
        self.watermarks_must_flush || !self.entries.is_empty() || !self.series.is_empty()
    }
}

type Opener = Box<dyn FnMut() -> Result<Database, StoreError> + Send>;

/// The open store. Dropping closes it.
pub struct Store {
    /// Absent while it cannot be reopened after a failure.
    database: Option<Database>,
    file: Option<StateFile>,
    /// Absent in memory, which does not fail, and is gone once it is closed.
    reopen: Option<Opener>,
    converted_from: Option<u32>,
}

/// The open file.
#[derive(Debug)]
struct StateFile {
    path: PathBuf,
    /// Device and inode.
    identity: (u64, u64),
}

/// Device and inode of a file, and its length.
fn identity(path: &Path) -> std::io::Result<((u64, u64), u64)> {
    let metadata = std::fs::metadata(path)?;
    Ok(((metadata.dev(), metadata.ino()), metadata.len()))
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("file", &self.file).finish_non_exhaustive()
    }
}

impl Store {
    /// A store that is gone with the process.
    pub fn in_memory() -> Result<Self, StoreError> {
        let database = open_backend(redb::backends::InMemoryBackend::new())?;
        Ok(Self { database: Some(database), file: None, reopen: None, converted_from: None })
    }

    /// Opens or creates the store in `directory`.
    pub fn open_dir(directory: &Path) -> Result<Self, StoreError> {
        let inaccessible = |path: &Path| {
            let path = path.to_owned();
            move |source| StoreError::Inaccessible(path, source)
        };
        std::fs::create_dir_all(directory).map_err(inaccessible(directory))?;
        let path = directory.join(FILE);
        if !path.try_exists().map_err(inaccessible(&path))? {
            // Written under another name and renamed when it is whole: a kill in between leaves no partial state.
            let unfinished = directory.join(format!("{FILE}.new"));
            if unfinished.try_exists().map_err(inaccessible(&unfinished))? {
                std::fs::remove_file(&unfinished).map_err(inaccessible(&unfinished))?;
            }
            let database =
                builder().create(&unfinished).map_err(|error| map_open_error(&unfinished, error))?;
            initialise(&database)?;
            drop(database);
            std::fs::rename(&unfinished, &path).map_err(inaccessible(&path))?;
        }
        verify_file(&path)?;
        let database = open_file(&path)?;
        let converted_from = migrate(&database)?;
        let identity = identity(&path).map_err(inaccessible(&path))?.0;
        let reopen = path.clone();
        Ok(Self {
            database: Some(database),
            file: Some(StateFile { path, identity }),
            reopen: Some(Box::new(move || open_file(&reopen))),
            converted_from,
        })
    }

    /// Opens or creates a store on the caller's own storage. `backend` gives access to it, each time that the store is
    /// reopened after a failure.
    pub fn with_backend<B: StorageBackend>(
        mut backend: impl FnMut() -> B + Send + 'static,
    ) -> Result<Self, StoreError> {
        let mut open = move || open_backend(backend());
        let database = open()?;
        Ok(Self { database: Some(database), file: None, reopen: Some(Box::new(open)), converted_from: None })
    }

    /// The former format of a file that was converted when it was opened.
    pub fn converted_from(&self) -> Option<u32> {
        self.converted_from
    }

    fn database(&self) -> Result<&Database, StoreError> {
        self.database.as_ref().ok_or_else(|| redb::Error::DatabaseClosed.into())
    }

    /// The numbers of the targets with these names, assigned on first use; new ones in one transaction, since each waits
    /// for the disk.
    pub fn target_ids<N: AsRef<str>>(&self, names: &[N]) -> Result<Vec<TargetId>, StoreError> {
        let transaction = self.database()?.begin_write()?;
        let mut ids = Vec::with_capacity(names.len());
        let mut all_known = true;
        {
            let mut targets = transaction.open_table(TARGETS)?;
            for name in names {
                let known = targets.get(name.as_ref())?.map(|id| id.value());
                ids.push(TargetId(match known {
                    Some(id) => id,
                    None => {
                        all_known = false;
                        let next = u32::try_from(targets.len()?).unwrap_or(u32::MAX);
                        targets.insert(name.as_ref(), next)?;
                        next
                    }
                }));
            }
        }
        if all_known {
            transaction.abort()?;
        } else {
            transaction.commit()?;
        }
        Ok(ids)
    }

    pub(crate) fn watermarks(&self, target: TargetId) -> Result<Option<Watermarks>, StoreError> {
        let table = self.database()?.begin_read()?.open_table(WATERMARKS)?;
        table.get(target.0)?.map(|bytes| decode(bytes.value(), "watermark")).transpose()
    }

    /// The stored series of a target, as they were encoded.
    pub(crate) fn series(&self, target: TargetId) -> Result<Vec<EncodedSeries>, StoreError> {
        let table = self.database()?.begin_read()?.open_table(SERIES)?;
        let mut all = Vec::new();
        for entry in table.range((target.0, &[][..])..(target.0.saturating_add(1), &[][..]))? {
            let (key, value) = entry?;
            all.push((key.value().1.to_vec(), value.value().to_vec()));
        }
        Ok(all)
    }

    /// Passes every entry of a target to `visit`, in the order of ids.
    pub fn for_each_entry(
        &self,
        target: TargetId,
        mut visit: impl FnMut(&str, LedgerEntry),
    ) -> Result<(), StoreError> {
        let table = self.database()?.begin_read()?.open_table(ENTRIES)?;
        for entry in table.range((target.0, "")..(target.0.saturating_add(1), ""))? {
            let (key, value) = entry?;
            visit(key.value().1, decode(value.value(), "ledger entry")?);
        }
        Ok(())
    }

    /// The entries as they are committed now.
    pub(crate) fn entries(&self) -> Result<Entries, StoreError> {
        Ok(Entries(self.database()?.begin_read()?.open_table(ENTRIES)?))
    }

    /// Reopens the file after a failure: redb refuses further work on a handle that has seen an I/O error. If it cannot be
    /// opened now, every use fails until the next call. A file that was deleted stays open: closing it would discard it.
    pub(crate) fn reopen(&mut self) {
        if self.check_file().is_ok()
            && let Some(open) = &mut self.reopen
        {
            // Closed first: the file is locked.
            self.database = None;
            self.database = open().ok();
        }
    }

    /// Fails if the open file is no longer the one at its path: what is written to it would be lost.
    pub(crate) fn check_file(&self) -> Result<(), StoreError> {
        use std::io::ErrorKind::{NotADirectory, NotFound};
        let Some(StateFile { path, identity: opened }) = &self.file else { return Ok(()) };
        let path = path.clone();
        match identity(&path) {
            Ok((found, 1..)) if found == *opened => Ok(()),
            Err(source) if !matches!(source.kind(), NotFound | NotADirectory) => {
                Err(StoreError::Inaccessible(path, source))
            }
            Ok(_) | Err(_) => Err(StoreError::Removed(path)),
        }
    }

    /// Writes all of `changes`, or nothing. Durable when it returns.
    pub(crate) fn commit(&self, changes: &Changes) -> Result<(), StoreError> {
        let transaction = self.database()?.begin_write()?;
        {
            let mut entries = transaction.open_table(ENTRIES)?;
            for ((target, id), entry) in &changes.entries {
                let key = (target.0, id.as_str());
                match entry {
                    Some(entry) => entries.insert(key, encode(entry, "ledger entry")?.as_slice())?,
                    None => entries.remove(key)?,
                };
            }
            let mut series = transaction.open_table(SERIES)?;
            for ((target, key), value) in &changes.series {
                let key = (target.0, key.as_slice());
                match value {
                    Some(value) => series.insert(key, value.as_slice())?,
                    None => series.remove(key)?,
                };
            }
            let mut table = transaction.open_table(WATERMARKS)?;
            for (target, watermarks) in &changes.watermarks {
                table.insert(target.0, encode(watermarks, "watermark")?.as_slice())?;
            }
        }
        Ok(transaction.commit()?)
    }

    /// Returns unused pages of the file to the system, if that is worth the time; for the start, when nothing else uses the
    /// store.
    pub(crate) fn compact(&mut self) -> Result<(), StoreError> {
        let Some(database) = &mut self.database else { return Ok(()) };
        let transaction = database.begin_write()?;
        let stats = transaction.stats()?;
        transaction.abort()?;
        let used = stats.stored_bytes() + stats.metadata_bytes();
        let allocated = stats.allocated_pages() * u64::try_from(stats.page_size()).unwrap_or(4096);
        if allocated > COMPACT_ABOVE_BYTES && used * 3 < allocated {
            database.compact()?;
        }
        Ok(())
    }

    /// The size of the file; zero in memory.
    pub(crate) fn bytes(&self) -> u64 {
        let metadata = self.file.as_ref().and_then(|file| std::fs::metadata(&file.path).ok());
        metadata.map_or(0, |metadata| metadata.len())
    }
}

/// The entries as they were committed at one moment.
pub(crate) struct Entries(redb::ReadOnlyTable<(u32, &'static str), &'static [u8]>);

impl Entries {
    pub(crate) fn get(
        &self,
        target: TargetId,
        id: &ConversationId,
    ) -> Result<Option<LedgerEntry>, StoreError> {
        let stored = self.0.get((target.0, id.as_str()))?;
        stored.map(|bytes| decode(bytes.value(), "ledger entry")).transpose()
    }
}

fn builder() -> redb::Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    builder
}

fn open_backend(backend: impl StorageBackend) -> Result<Database, StoreError> {
    let path = Path::new("memory");
    let database = builder().create_with_backend(backend).map_err(|error| map_open_error(path, error))?;
    if format(&database)?.is_none() {
        initialise(&database)?;
    }
    check_format(&database, path)?;
    migrate(&database)?;
    Ok(database)
}

/// Converts a store in a former format, which has been checked; returns that format.
fn migrate(database: &Database) -> Result<Option<u32>, StoreError> {
    let former = format(database)?.filter(|&format| format == format_1::FORMAT);
    if former.is_some() {
        format_1::migrate(database)?;
    }
    Ok(former)
}

fn format(database: &Database) -> Result<Option<u32>, StoreError> {
    match database.begin_read()?.open_table(META) {
        Ok(meta) => Ok(meta.get("format")?.map(|format| format.value())),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn check_format(database: &Database, path: &Path) -> Result<(), StoreError> {
    let path = path.to_owned();
    let detail = match format(database) {
        Ok(Some(FORMAT | format_1::FORMAT)) => return Ok(()),
        Ok(Some(found)) => return Err(StoreError::Newer { path, found, known: FORMAT }),
        Ok(None) => "it is not a state of this program".into(),
        Err(error) => error.to_string(),
    };
    Err(StoreError::Damaged { path, detail })
}

/// Checks a file before it is opened for good: its format, and every checksum. The file is not modified.
fn verify_file(path: &Path) -> Result<(), StoreError> {
    catch_redb_panic(path, || {
        let backend = overlay::open(path).map_err(|error| map_open_error(path, error))?;
        let opened = builder().create_with_backend(backend);
        let mut database = opened.map_err(|error| map_open_error(path, error))?;
        check_format(&database, path)?;
        if database.check_integrity().map_err(|error| map_open_error(path, error))? {
            return Ok(());
        }
        Err(StoreError::Damaged { path: path.to_owned(), detail: "its checksums do not match".into() })
    })
}

fn open_file(path: &Path) -> Result<Database, StoreError> {
    catch_redb_panic(path, || builder().open(path).map_err(|error| map_open_error(path, error)))
}

/// The database trusts its file, and may panic on a torn one.
fn catch_redb_panic<T>(
    path: &Path,
    open: impl FnOnce() -> Result<T, StoreError> + std::panic::UnwindSafe,
) -> Result<T, StoreError> {
    std::panic::catch_unwind(open).unwrap_or_else(|_| {
        Err(StoreError::Damaged { path: path.to_owned(), detail: "its structure is broken".into() })
    })
}

fn initialise(database: &Database) -> Result<(), StoreError> {
    let transaction = database.begin_write()?;
    transaction.open_table(META)?.insert("format", FORMAT)?;
    transaction.open_table(TARGETS)?;
    transaction.open_table(WATERMARKS)?;
    transaction.open_table(ENTRIES)?;
    transaction.open_table(SERIES)?;
    Ok(transaction.commit()?)
}

fn encode<T: serde::Serialize>(value: &T, what: &'static str) -> Result<Vec<u8>, StoreError> {
    postcard::to_stdvec(value).map_err(|_| StoreError::Unreadable(what))
}

fn decode<'a, T: serde::Deserialize<'a>>(bytes: &'a [u8], what: &'static str) -> Result<T, StoreError> {
    postcard::from_bytes(bytes).map_err(|_| StoreError::Unreadable(what))
}

#[cfg(test)]
mod tests;
