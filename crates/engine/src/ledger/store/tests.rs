//! The store keeps its content, and refuses other files without modifying them.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use super::*;
use crate::ledger::Observed;
use crate::ledger::{Amounts, Counted};
use polyai_domain::conversation::Amount;
use polyai_domain::timestamp::Timestamp;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(1_787_217_300_000 + seconds * 1000)
}

fn id(number: u32) -> ConversationId {
    ConversationId::new(&format!("CA{number:04}")).unwrap()
}

fn target_of(store: &Store, name: &str) -> TargetId {
    store.target_ids(&[name]).unwrap()[0]
}

fn counted(number: u32) -> LedgerEntry {
    let amounts =
        Amounts { turns: Some(number), duration: Some(Amount::from_count(number)), ..Amounts::default() };
    LedgerEntry::Counted(Counted {
        started_at: at(i64::from(number)),
        ended_at: at(i64::from(number) + 60),
        counted: amounts,
        last_seen: amounts,
        dimensions: vec![(crate::dimension::Dimension::Channel, "VOICE-SIP".into())],
        observed: Observed::nothing(),
    })
}

fn watermarks() -> Watermarks {
    Watermarks::initial(at(0), &[Duration::from_secs(300)])
}

/// The first `entries` entries from `CA0000` on, one series and the watermarks of one target.
fn some_changes(target: TargetId, entries: u32) -> Changes {
    Changes {
        entries: (0..entries).map(|number| ((target, id(number)), Some(counted(number)))).collect(),
        series: BTreeMap::from([((target, b"total".to_vec()), Some(vec![7]))]),
        watermarks: BTreeMap::from([(target, watermarks())]),
        ..Changes::default()
    }
}

/// A directory with a closed store of some entries.
fn closed_store(entries: u32) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open_dir(directory.path()).unwrap();
    let target = target_of(&store, "reservations/us-1/live");
    store.commit(&some_changes(target, entries)).unwrap();
    directory
}

fn all_entries(store: &Store, target: TargetId) -> Result<Vec<(String, LedgerEntry)>, StoreError> {
    let mut entries = Vec::new();
    store.for_each_entry(target, |id, entry| entries.push((id.to_owned(), entry)))?;
    Ok(entries)
}

/// Asserts that opening `directory` fails with `expected` in the message and leaves the state file unchanged.
fn is_refused(directory: &Path, expected: &str) -> StoreError {
    let file = directory.join(FILE);
    let before = fs::read(&file).unwrap();
    let error = Store::open_dir(directory).expect_err("it should be refused");
    let sentence = error.to_string();
    assert!(sentence.contains(expected), "{sentence}");
    assert!(sentence.contains(&file.display().to_string()), "{sentence}");
    assert!(fs::read(&file).unwrap() == before, "{sentence}: but the file has changed");
    error
}

#[test]
fn reopened_store_keeps_everything() {
    let directory = closed_store(50);
    let store = Store::open_dir(directory.path()).unwrap();
    let target = target_of(&store, "reservations/us-1/live");
    let entries = all_entries(&store, target).unwrap();
    assert_eq!(entries.len(), 50);
    assert_eq!(entries[7], ("CA0007".to_owned(), counted(7)));
    assert_eq!(store.entries().unwrap().get(target, &id(7)).unwrap(), Some(counted(7)));
    assert_eq!(store.entries().unwrap().get(target, &id(50)).unwrap(), None);
    assert_eq!(store.series(target).unwrap(), [(b"total".to_vec(), vec![7])]);
    assert_eq!(store.watermarks(target).unwrap(), Some(watermarks()));
    assert!(store.bytes() > 0);
}

#[test]
fn target_ids_are_stable_and_isolate_targets() {
    let directory = closed_store(3);
    let store = Store::open_dir(directory.path()).unwrap();
    let neighbour = target_of(&store, "reservations/us-1/sandbox");
    let first = target_of(&store, "reservations/us-1/live");
    assert_ne!(first, neighbour);
    assert_eq!(target_of(&store, "reservations/us-1/sandbox"), neighbour);
    let several = store.target_ids(&["a", "reservations/us-1/sandbox", "b"]).unwrap();
    assert_eq!((several[1], several.iter().collect::<BTreeSet<_>>().len()), (neighbour, 3));
    assert_eq!(store.target_ids(&["b", "a"]).unwrap(), [several[2], several[0]]);
    store
        .commit(&Changes { entries: BTreeMap::from([((neighbour, id(1)), None)]), ..Changes::default() })
        .unwrap();
    assert_eq!(all_entries(&store, first).unwrap().len(), 3);
    assert_eq!(all_entries(&store, neighbour).unwrap(), []);
    assert_eq!((store.series(neighbour).unwrap(), store.watermarks(neighbour).unwrap()), (vec![], None));
}

#[test]
fn entry_can_be_replaced_and_removed() {
    let store = Store::in_memory().unwrap();
    let target = target_of(&store, "t");
    store.commit(&some_changes(target, 3)).unwrap();
    let open = LedgerEntry::Open { started_at: at(5), late: true };
    let entries = BTreeMap::from([((target, id(0)), Some(open.clone())), ((target, id(1)), None)]);
    store.commit(&Changes { entries, ..Changes::default() }).unwrap();
    assert_eq!(
        all_entries(&store, target).unwrap(),
        [("CA0000".to_owned(), open), ("CA0002".to_owned(), counted(2))]
    );
    assert_eq!(store.bytes(), 0, "in memory there is no file");
}

#[test]
fn entries_view_ignores_later_commits() {
    let store = Store::in_memory().unwrap();
    let target = target_of(&store, "t");
    let before = store.entries().unwrap();
    store.commit(&some_changes(target, 3)).unwrap();
    assert_eq!(before.get(target, &id(0)).unwrap(), None);
    assert_eq!(store.entries().unwrap().get(target, &id(0)).unwrap(), Some(counted(0)));
}

/// A backend in memory whose disk is full from some point on.
#[derive(Debug, Clone)]
struct FillingDisk {
    memory: std::sync::Arc<redb::backends::InMemoryBackend>,
    writes_left: std::sync::Arc<std::sync::atomic::AtomicUsize>,
}

impl FillingDisk {
    fn write_one(&self) -> std::io::Result<()> {
        use std::sync::atomic::Ordering::SeqCst;
        let left = self.writes_left.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1));
        left.map(|_| ()).map_err(|_| std::io::Error::from(std::io::ErrorKind::StorageFull))
    }
}

impl StorageBackend for FillingDisk {
    fn len(&self) -> std::io::Result<u64> {
        self.memory.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> std::io::Result<()> {
        self.memory.read(offset, out)
    }
    fn set_len(&self, len: u64) -> std::io::Result<()> {
        self.write_one()?;
        self.memory.set_len(len)
    }
    fn sync_data(&self) -> std::io::Result<()> {
        self.write_one()?;
        self.memory.sync_data()
    }
    fn write(&self, offset: u64, data: &[u8]) -> std::io::Result<()> {
        self.write_one()?;
        self.memory.write(offset, data)
    }
}

#[test]
fn commit_is_atomic_wherever_the_disk_fails() {
    use std::sync::atomic::Ordering::SeqCst;
    let disk = FillingDisk {
        memory: std::sync::Arc::default(),
        writes_left: std::sync::Arc::new(usize::MAX.into()),
    };
    let open = || {
        let disk = disk.clone();
        Store::with_backend(move || disk.clone()).unwrap()
    };
    let target = {
        let store = open();
        let target = target_of(&store, "t");
        store.commit(&some_changes(target, 10)).unwrap();
        target
    };
    let (mut refused, mut more) = (0, 0);
    for writes in 0..200 {
        disk.writes_left.store(usize::MAX, SeqCst);
        let store = open();
        let before = all_entries(&store, target).unwrap().len();
        disk.writes_left.store(writes, SeqCst);
        let number = 1000 + u32::try_from(writes).unwrap();
        let entries = [number, number + 1000].map(|number| ((target, id(number)), Some(counted(number))));
        let outcome = store.commit(&Changes { entries: BTreeMap::from(entries), ..Changes::default() });
        drop(store);
        disk.writes_left.store(usize::MAX, SeqCst);
        let now = all_entries(&open(), target).unwrap().len();
        // A commit that is reported as failed may still have reached the disk: both or neither, in any case.
        assert!(now == before || now == before + 2, "{before} entries became {now} after {writes} writes");
        match outcome {
            Ok(()) => {
                assert_eq!(now, before + 2);
                more += 1;
            }
            Err(error) => {
                assert!(error.to_string().starts_with("the state cannot be read or written"), "{error}");
                refused += 1;
            }
        }
    }
    assert!(refused > 3 && more > 3, "{refused} refused, {more} written");
}

#[test]
fn newer_format_is_refused() {
    let directory = closed_store(3);
    let database = open_file(&directory.path().join(FILE)).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(META).unwrap().insert("format", FORMAT + 1).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let error = is_refused(directory.path(), "has format 3, but this version supports formats up to 2");
    assert!(matches!(error, StoreError::Newer { found: 3, .. }));
}

#[test]
fn database_of_another_program_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let database = Database::create(directory.path().join(FILE)).unwrap();
    let transaction = database.begin_write().unwrap();
    let table: TableDefinition<'_, u64, u64> = TableDefinition::new("meters");
    transaction.open_table(table).unwrap().insert(1, 1).unwrap();
    transaction.commit().unwrap();
    drop(database);
    is_refused(directory.path(), "it is not a state of this program");
}

#[test]
fn database_with_other_table_types_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let database = Database::create(directory.path().join(FILE)).unwrap();
    let transaction = database.begin_write().unwrap();
    let table: TableDefinition<'_, u64, u64> = TableDefinition::new("meta");
    transaction.open_table(table).unwrap().insert(1, 1).unwrap();
    transaction.commit().unwrap();
    drop(database);
    is_refused(directory.path(), "cannot be read");
}

#[test]
fn file_that_is_no_database_is_refused() {
    for (what, content) in [
        ("text", b"# my notes\n".repeat(100)),
        ("zeros", vec![0; 64 * 1024]),
        ("noise", (0..100_000u32).map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect()),
        ("one byte", vec![b'r']),
        ("nothing at all", Vec::new()),
    ] {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(FILE), content).unwrap();
        let error = is_refused(directory.path(), "The file was not modified");
        assert!(matches!(error, StoreError::Damaged { .. }), "{what}: {error:?}");
    }
}

#[test]
fn truncated_file_is_refused() {
    let whole = closed_store(2000);
    let bytes = fs::read(whole.path().join(FILE)).unwrap();
    for (what, length) in [
        ("half", bytes.len() / 2),
        ("a tenth", bytes.len() / 10),
        ("the first page", 4096),
        ("100 bytes", 100),
    ] {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(FILE), &bytes[..length]).unwrap();
        let error = is_refused(directory.path(), "The file was not modified");
        assert!(matches!(error, StoreError::Damaged { .. }), "{what}: {error:?}");
    }
}

#[test]
fn flipped_bytes_are_refused_unless_unused() {
    let whole = closed_store(2000);
    let bytes = fs::read(whole.path().join(FILE)).unwrap();
    let (mut refused, mut harmless) = (0, 0);
    for start in (0..bytes.len()).step_by(bytes.len() / 40) {
        let mut damaged = bytes.clone();
        damaged[start..].iter_mut().take(64).for_each(|byte| *byte ^= 0xff);
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(FILE), &damaged).unwrap();
        match Store::open_dir(directory.path()) {
            Ok(store) => {
                harmless += 1;
                let target = target_of(&store, "reservations/us-1/live");
                let entries = all_entries(&store, target).unwrap();
                assert_eq!(entries.len(), 2000, "at {start}");
                for (number, entry) in (0..).zip(entries) {
                    assert_eq!(entry, (id(number).to_string(), counted(number)), "at {start}");
                }
            }
            Err(error) => {
                refused += 1;
                assert!(matches!(error, StoreError::Damaged { .. }), "at {start}: {error:?}");
                assert!(fs::read(directory.path().join(FILE)).unwrap() == damaged, "changed at {start}");
            }
        }
    }
    assert!(refused > 3 && harmless > 3, "{refused} refused, {harmless} harmless");
}

#[test]
fn state_of_a_killed_process_is_recovered() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open_dir(directory.path()).unwrap();
    let target = target_of(&store, "t");
    store.commit(&some_changes(target, 500)).unwrap();
    // A killed process leaves the file as it is while it is open.
    let killed = tempfile::tempdir().unwrap();
    fs::copy(directory.path().join(FILE), killed.path().join(FILE)).unwrap();
    drop(store);
    let store = Store::open_dir(killed.path()).unwrap();
    assert_eq!(all_entries(&store, target).unwrap().len(), 500);
}

#[test]
fn second_instance_is_refused_with_advice() {
    let directory = tempfile::tempdir().unwrap();
    let first = Store::open_dir(directory.path()).unwrap();
    let error = is_refused(
        directory.path(),
        "is in use by another instance; stop that instance, or give this one its own storage.path",
    );
    assert!(matches!(error, StoreError::InUse(_)));
    drop(first);
    Store::open_dir(directory.path()).unwrap();
}

#[test]
fn directory_that_cannot_be_created_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("a-file");
    fs::write(&file, "in the way").unwrap();
    let sentence = Store::open_dir(&file.join("data")).unwrap_err().to_string();
    assert!(
        sentence.starts_with(&format!("the state at {} cannot be opened: ", file.join("data").display())),
        "{sentence}"
    );
}

#[test]
fn directory_in_place_of_the_file_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join(FILE);
    fs::create_dir(&file).unwrap();
    let error = Store::open_dir(directory.path()).unwrap_err();
    assert!(matches!(error, StoreError::Inaccessible(..)), "{error:?}");
    assert!(error.to_string().contains(&file.display().to_string()), "{error}");
}

#[test]
fn interrupted_creation_is_started_over() {
    let directory = tempfile::tempdir().unwrap();
    let unfinished = directory.path().join("state.redb.new");
    fs::write(&unfinished, "partial").unwrap();
    let store = Store::open_dir(directory.path()).unwrap();
    let target = target_of(&store, "t");
    store.commit(&some_changes(target, 3)).unwrap();
    assert!(!unfinished.exists());
    drop(store);

    // Beside a complete state, an unfinished file is kept.
    fs::write(&unfinished, "partial").unwrap();
    let store = Store::open_dir(directory.path()).unwrap();
    assert_eq!(all_entries(&store, target).unwrap().len(), 3);
}

#[test]
fn invalid_stored_value_is_named_by_its_kind() {
    let directory = closed_store(3);
    let database = open_file(&directory.path().join(FILE)).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(ENTRIES).unwrap().insert((0, "CA0001"), &[9u8, 9, 9][..]).unwrap();
    transaction.open_table(WATERMARKS).unwrap().insert(0, &[1u8][..]).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let store = Store::open_dir(directory.path()).unwrap();
    let target = target_of(&store, "reservations/us-1/live");
    assert_eq!(
        all_entries(&store, target).unwrap_err().to_string(),
        "the state holds an invalid ledger entry; restore a backup, or move it away to start over (counters reset)"
    );
    assert!(store.watermarks(target).unwrap_err().to_string().contains("holds an invalid watermark"));
}

#[test]
fn store_can_be_reopened_after_a_failure() {
    let directory = closed_store(3);
    let mut store = Store::open_dir(directory.path()).unwrap();
    store.reopen();
    let target = target_of(&store, "reservations/us-1/live");
    assert_eq!(all_entries(&store, target).unwrap().len(), 3);

    // A file that is away is not closed, and continues once it is back.
    let file = directory.path().join(FILE);
    fs::rename(&file, directory.path().join("away")).unwrap();
    assert!(matches!(store.check_file(), Err(StoreError::Removed(_))));
    fs::rename(directory.path().join("away"), &file).unwrap();
    store.check_file().unwrap();
    store.reopen();
    assert_eq!(all_entries(&store, target).unwrap().len(), 3);
}

#[test]
fn file_that_is_no_longer_ours_is_noticed() {
    let gone = |change: fn(&Path)| {
        let directory = closed_store(3);
        let mut store = Store::open_dir(directory.path()).unwrap();
        store.check_file().unwrap();
        change(&directory.path().join(FILE));
        store.reopen();
        let error = store.check_file().unwrap_err();
        assert!(matches!(error, StoreError::Removed(_)), "{error}");
    };
    gone(|file| fs::remove_file(file).unwrap());
    gone(|file| fs::remove_dir_all(file.parent().unwrap()).unwrap());
    gone(|file| fs::write(file, "").unwrap());
    gone(|file| {
        let other = file.with_extension("other");
        fs::copy(file, &other).unwrap();
        fs::rename(other, file).unwrap();
    });
}

#[test]
fn compacting_a_small_file_loses_nothing() {
    let directory = closed_store(100);
    let mut store = Store::open_dir(directory.path()).unwrap();
    store.compact().unwrap();
    let target = target_of(&store, "reservations/us-1/live");
    assert_eq!(all_entries(&store, target).unwrap().len(), 100);
}
