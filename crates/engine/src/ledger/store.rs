//! The store: rows, series and marks in one embedded database, written in one transaction.
//!
//! Owns: the file and its format version. Never: what a row means. Series are opaque bytes here; their owner encodes them.
//!
//! A file that is damaged, or that a newer version wrote, is refused with a sentence and left as it is.

mod error;
mod untouched;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use redb::{
    Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, StorageBackend, TableDefinition,
    TableError,
};

pub use error::StoreError;
use error::map_open_error;

use super::{LedgerEntry, Watermarks};
use polyai_domain::conversation::ConversationId;

/// The number that a target has within one store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetId(u32);

/// The format that this program reads and writes. Raised by every change that an older program would misread.
const FORMAT: u32 = 1;
const FILE: &str = "state.redb";

/// Rows are found by look-ups in random order; beyond this the system's page cache serves as well.
const CACHE_BYTES: usize = 8 << 20;

const META: TableDefinition<'_, &str, u32> = TableDefinition::new("meta");
const TARGETS: TableDefinition<'_, &str, u32> = TableDefinition::new("targets");
const MARKS: TableDefinition<'_, u32, &[u8]> = TableDefinition::new("marks");
const ROWS: TableDefinition<'_, (u32, &str), &[u8]> = TableDefinition::new("rows");
const SERIES: TableDefinition<'_, (u32, &[u8]), &[u8]> = TableDefinition::new("series");

/// The key and the value of a stored series.
pub type EncodedSeries = (Vec<u8>, Vec<u8>);

/// Everything that one transaction writes.
#[derive(Debug, Default, Clone)]
pub struct Changes {
    /// New rows; none deletes. In key order, which is the cheapest order to write in.
    pub rows: BTreeMap<(TargetId, ConversationId), Option<LedgerEntry>>,
    /// New values of series, by target and encoded key; none deletes.
    pub series: BTreeMap<(TargetId, Vec<u8>), Option<Vec<u8>>>,
    /// New marks.
    pub marks: BTreeMap<TargetId, Watermarks>,
    /// Whether marks are among them that must not be lost.
    pub watermarks_must_flush: bool,
}

impl Changes {
    /// Whether there is anything that must be durable. Marks alone need not be: losing them means reading again.
    pub fn is_urgent(&self) -> bool {
        self.watermarks_must_flush || !self.rows.is_empty() || !self.series.is_empty()
    }
}

/// The open store. Closing is dropping.
#[derive(Debug)]
pub struct Store {
    database: Option<Database>,
    place: Location,
}

enum Location {
    File(PathBuf),
    Memory,
    Backend(Box<dyn FnMut() -> Result<Database, redb::DatabaseError> + Send>),
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Memory => f.write_str("Memory"),
            Self::Backend(_) => f.write_str("Backend"),
        }
    }
}

impl Location {
    /// How messages name it.
    fn path(&self) -> &Path {
        match self {
            Self::File(path) => path,
            Self::Memory | Self::Backend(_) => Path::new("memory"),
        }
    }
}

impl Store {
    /// A store that is gone with the process.
    ///
    /// # Errors
    /// Never in practice; memory does not fail.
    pub fn in_memory() -> Result<Self, StoreError> {
        let memory = redb::backends::InMemoryBackend::new();
        Self::over(builder().create_with_backend(memory), Location::Memory)
    }

    /// Opens or creates the store in `directory`.
    ///
    /// # Errors
    /// When the state is in use, newer than this program, damaged or inaccessible.
    pub fn open_dir(directory: &Path) -> Result<Self, StoreError> {
        let inaccessible = |path: &Path| {
            let path = path.to_owned();
            move |source| StoreError::Inaccessible { path, source }
        };
        std::fs::create_dir_all(directory).map_err(inaccessible(directory))?;
        let path = directory.join(FILE);
        if !path.try_exists().map_err(inaccessible(&path))? {
            // Made beside its place and moved there when it is whole, so that being killed in between leaves no torso.
            let unfinished = directory.join(format!("{FILE}.new"));
            match std::fs::remove_file(&unfinished) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(inaccessible(&unfinished)(error));
                }
                Ok(()) | Err(_) => {}
            }
            let database =
                builder().create(&unfinished).map_err(|error| map_open_error(&unfinished, error))?;
            initialise(&database)?;
            drop(database);
            std::fs::rename(&unfinished, &path).map_err(inaccessible(&path))?;
        }
        verify_file(&path)?;
        let database = open_file(&path)?;
        Ok(Self { database: Some(database), place: Location::File(path) })
    }

    /// Opens or makes a store on the caller's own storage. `backend` gives access to it, anew each time that the store is
    /// opened again after a failure.
    ///
    /// # Errors
    /// As [`open_dir`](Self::open_dir).
    pub fn with_backend<B: StorageBackend>(
        mut backend: impl FnMut() -> B + Send + 'static,
    ) -> Result<Self, StoreError> {
        let mut open = move || builder().create_with_backend(backend());
        Self::over(open(), Location::Backend(Box::new(open)))
    }

    fn over(opened: Result<Database, redb::DatabaseError>, place: Location) -> Result<Self, StoreError> {
        let database = opened.map_err(|error| map_open_error(place.path(), error))?;
        let store = Self { database: Some(database), place };
        if store.format()?.is_none() {
            initialise(store.database()?)?;
        }
        store.check_format()?;
        Ok(store)
    }

    fn database(&self) -> Result<&Database, StoreError> {
        self.database.as_ref().ok_or_else(|| StoreError::transaction(redb::Error::DatabaseClosed))
    }

    fn format(&self) -> Result<Option<u32>, StoreError> {
        let transaction = self.database()?.begin_read().map_err(StoreError::transaction)?;
        match transaction.open_table(META) {
            Ok(meta) => Ok(meta.get("format").map_err(StoreError::transaction)?.map(|format| format.value())),
            Err(TableError::TableDoesNotExist(_)) => Ok(None),
            Err(error) => Err(StoreError::transaction(error)),
        }
    }

    fn check_format(&self) -> Result<(), StoreError> {
        let path = self.place.path().to_owned();
        match self.format() {
            Ok(Some(FORMAT)) => Ok(()),
            Ok(Some(found)) => Err(StoreError::Newer { path, found }),
            Ok(None) => Err(StoreError::Damaged { path, detail: "it is not a state of this program".into() }),
            Err(error) => Err(StoreError::Damaged { path, detail: error.to_string() }),
        }
    }

    /// The numbers of the targets whose keys read so, given out on first use; new ones in one transaction, since each waits for
    /// the disk.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn target_ids<N: AsRef<str>>(&self, names: &[N]) -> Result<Vec<TargetId>, StoreError> {
        let transaction = self.database()?.begin_write().map_err(StoreError::transaction)?;
        let mut ids = Vec::with_capacity(names.len());
        let mut are_known = true;
        {
            let mut targets = transaction.open_table(TARGETS).map_err(StoreError::transaction)?;
            for name in names {
                let known = targets.get(name.as_ref()).map_err(StoreError::transaction)?.map(|id| id.value());
                let id = match known {
                    Some(id) => id,
                    None => {
                        are_known = false;
                        let given = targets.len().map_err(StoreError::transaction)?;
                        let next = u32::try_from(given).unwrap_or(u32::MAX);
                        targets.insert(name.as_ref(), next).map_err(StoreError::transaction)?;
                        next
                    }
                };
                ids.push(TargetId(id));
            }
        }
        if are_known {
            transaction.abort().map_err(StoreError::transaction)?;
        } else {
            transaction.commit().map_err(StoreError::transaction)?;
        }
        Ok(ids)
    }

    /// The marks of a target.
    ///
    /// # Errors
    /// When the store cannot be read, or holds what this program does not write.
    pub fn marks(&self, target: TargetId) -> Result<Option<Watermarks>, StoreError> {
        let transaction = self.database()?.begin_read().map_err(StoreError::transaction)?;
        let table = transaction.open_table(MARKS).map_err(StoreError::transaction)?;
        let stored = table.get(target.0).map_err(StoreError::transaction)?;
        stored.map(|bytes| decode(bytes.value(), "watermark")).transpose()
    }

    /// The stored series of a target, as encoded by their owner.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn series(&self, target: TargetId) -> Result<Vec<EncodedSeries>, StoreError> {
        let transaction = self.database()?.begin_read().map_err(StoreError::transaction)?;
        let table = transaction.open_table(SERIES).map_err(StoreError::transaction)?;
        let mut all = Vec::new();
        for entry in table
            .range((target.0, &[][..])..(target.0.saturating_add(1), &[][..]))
            .map_err(StoreError::transaction)?
        {
            let (key, value) = entry.map_err(StoreError::transaction)?;
            all.push((key.value().1.to_vec(), value.value().to_vec()));
        }
        Ok(all)
    }

    /// Shows every row of a target to `visit`, in the order of ids.
    ///
    /// # Errors
    /// When the store cannot be read, or holds what this program does not write.
    pub fn for_each_row(
        &self,
        target: TargetId,
        mut visit: impl FnMut(&str, LedgerEntry),
    ) -> Result<(), StoreError> {
        let transaction = self.database()?.begin_read().map_err(StoreError::transaction)?;
        let table = transaction.open_table(ROWS).map_err(StoreError::transaction)?;
        for entry in
            table.range((target.0, "")..(target.0.saturating_add(1), "")).map_err(StoreError::transaction)?
        {
            let (key, value) = entry.map_err(StoreError::transaction)?;
            visit(key.value().1, decode(value.value(), "row")?);
        }
        Ok(())
    }

    /// A view of the rows as they are committed now.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn rows(&self) -> Result<Rows, StoreError> {
        let transaction = self.database()?.begin_read().map_err(StoreError::transaction)?;
        Ok(Rows(transaction.open_table(ROWS).map_err(StoreError::transaction)?))
    }

    /// Opens the file anew after a failure: redb refuses further work on a handle that has seen an I/O error. If it cannot be
    /// opened now, the next use tries again.
    pub fn reopen(&mut self) {
        match &mut self.place {
            Location::File(path) => {
                self.database = None;
                self.database = open_file(path).ok();
            }
            Location::Backend(open) => {
                self.database = None;
                self.database = open().ok();
            }
            // What is in memory is gone once it is closed; and it does not fail.
            Location::Memory => {}
        }
    }

    /// Writes all of `changes`, or nothing. Durable when it returns.
    ///
    /// # Errors
    /// When the store cannot be written; then nothing has changed.
    pub fn commit(&self, changes: &Changes) -> Result<(), StoreError> {
        let transaction = self.database()?.begin_write().map_err(StoreError::transaction)?;
        {
            let mut rows = transaction.open_table(ROWS).map_err(StoreError::transaction)?;
            let mut buffer = Vec::with_capacity(256);
            for ((target, id), row) in &changes.rows {
                let key = (target.0, id.as_str());
                match row {
                    Some(row) => {
                        buffer.clear();
                        buffer = encode(row, buffer, "row")?;
                        rows.insert(key, buffer.as_slice()).map_err(StoreError::transaction)?;
                    }
                    None => {
                        rows.remove(key).map_err(StoreError::transaction)?;
                    }
                }
            }
            let mut series = transaction.open_table(SERIES).map_err(StoreError::transaction)?;
            for ((target, key), value) in &changes.series {
                let key = (target.0, key.as_slice());
                match value {
                    Some(value) => series.insert(key, value.as_slice()),
                    None => series.remove(key),
                }
                .map_err(StoreError::transaction)?;
            }
            let mut marks = transaction.open_table(MARKS).map_err(StoreError::transaction)?;
            for (target, mark) in &changes.marks {
                let bytes = encode(mark, Vec::new(), "watermark")?;
                marks.insert(target.0, bytes.as_slice()).map_err(StoreError::transaction)?;
            }
        }
        transaction.commit().map_err(StoreError::transaction)
    }

    /// Gives unused pages of the file back, if that is worth the time; for the start, when nothing else uses the store.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn compact(&mut self) -> Result<(), StoreError> {
        let Some(database) = &mut self.database else { return Ok(()) };
        let stats = {
            let transaction = database.begin_write().map_err(StoreError::transaction)?;
            let stats = transaction.stats().map_err(StoreError::transaction)?;
            transaction.abort().map_err(StoreError::transaction)?;
            stats
        };
        let used = stats.stored_bytes() + stats.metadata_bytes();
        let allocated = stats.allocated_pages() * u64::try_from(stats.page_size()).unwrap_or(4096);
        if allocated > COMPACT_ABOVE_BYTES && used * 3 < allocated {
            database.compact().map_err(StoreError::transaction)?;
        }
        Ok(())
    }

    /// The size of the file; zero in memory.
    pub fn bytes(&self) -> u64 {
        match &self.place {
            Location::File(path) => std::fs::metadata(path).map_or(0, |metadata| metadata.len()),
            Location::Memory | Location::Backend(_) => 0,
        }
    }
}

/// Below this a file is not worth compacting.
const COMPACT_ABOVE_BYTES: u64 = 32 << 20;

/// The committed rows at one moment.
pub struct Rows(redb::ReadOnlyTable<(u32, &'static str), &'static [u8]>);

impl Rows {
    /// The row of a conversation.
    ///
    /// # Errors
    /// When the store cannot be read, or holds what this program does not write.
    pub fn get(&self, target: TargetId, id: &ConversationId) -> Result<Option<LedgerEntry>, StoreError> {
        let stored = self.0.get((target.0, id.as_str())).map_err(StoreError::transaction)?;
        stored.map(|bytes| decode(bytes.value(), "row")).transpose()
    }
}

fn builder() -> redb::Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    builder
}

/// Looks through a file before it is opened: its format, and every checksum. Nothing of the file changes.
fn verify_file(path: &Path) -> Result<(), StoreError> {
    let damaged = |detail: &str| StoreError::Damaged { path: path.to_owned(), detail: detail.into() };
    catch_redb_panic(path, || {
        let database = untouched::open(path).map_err(|error| map_open_error(path, error))?;
        let mut store = Store { database: Some(database), place: Location::File(path.to_owned()) };
        store.check_format()?;
        match store.database.as_mut().map(Database::check_integrity) {
            Some(Ok(true)) => Ok(()),
            Some(Ok(false)) | None => Err(damaged("its checksums do not match")),
            Some(Err(error)) => Err(map_open_error(path, error)),
        }
    })
}

fn open_file(path: &Path) -> Result<Database, StoreError> {
    catch_redb_panic(path, || builder().open(path).map_err(|error| map_open_error(path, error)))
}

/// The database trusts its file; a torn one can make it stop in the middle of a check.
fn catch_redb_panic<T>(
    path: &Path,
    open: impl FnOnce() -> Result<T, StoreError> + std::panic::UnwindSafe,
) -> Result<T, StoreError> {
    std::panic::catch_unwind(open).unwrap_or_else(|_| {
        Err(StoreError::Damaged { path: path.to_owned(), detail: "its structure is broken".into() })
    })
}

fn initialise(database: &Database) -> Result<(), StoreError> {
    let transaction = database.begin_write().map_err(StoreError::transaction)?;
    {
        transaction
            .open_table(META)
            .map_err(StoreError::transaction)?
            .insert("format", FORMAT)
            .map_err(StoreError::transaction)?;
        transaction.open_table(TARGETS).map_err(StoreError::transaction)?;
        transaction.open_table(MARKS).map_err(StoreError::transaction)?;
        transaction.open_table(ROWS).map_err(StoreError::transaction)?;
        transaction.open_table(SERIES).map_err(StoreError::transaction)?;
    }
    transaction.commit().map_err(StoreError::transaction)
}

fn encode<T: serde::Serialize>(
    value: &T,
    buffer: Vec<u8>,
    what: &'static str,
) -> Result<Vec<u8>, StoreError> {
    postcard::to_extend(value, buffer).map_err(|_| StoreError::Unreadable { what })
}

fn decode<'a, T: serde::Deserialize<'a>>(bytes: &'a [u8], what: &'static str) -> Result<T, StoreError> {
    postcard::from_bytes(bytes).map_err(|_| StoreError::Unreadable { what })
}

#[cfg(test)]
mod tests;
