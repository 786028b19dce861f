//! Looking into a state file without leaving a trace in it.
//!
//! Owns: a backend that reads the file and keeps every write in memory, and the examination that runs on it. An embedded
//! database writes to its file as soon as it is opened, and repairs what it takes for a crash; a file that is then refused
//! would no longer be what it was. Never: the verdict on what was found.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{Error, ErrorKind};
use std::ops::Bound;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use redb::backends::FileBackend;
use redb::{BackendError, Database, DatabaseError, StorageBackend};

const BLOCK: usize = 4096;

/// Opens the file at `path` so that nothing of it changes. It is locked meanwhile, as if it were opened for good.
///
/// # Errors
/// Those of opening a database.
pub(super) fn open(path: &Path) -> Result<Database, DatabaseError> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    let file = FileBackend::new(file)?;
    let length = file.len()?;
    let written = Overlay { length, visible_len: length, blocks: BTreeMap::new() };
    super::builder().create_with_backend(OverlayBackend { file, written: Mutex::new(written) })
}

/// A file under a layer of what would have been written to it.
#[derive(Debug)]
struct OverlayBackend {
    file: FileBackend,
    written: Mutex<Overlay>,
}

#[derive(Debug)]
struct Overlay {
    /// How long the file would be.
    length: u64,
    /// How much of the true file still shows through, where nothing was written.
    visible_len: u64,
    /// By number; each whole.
    blocks: BTreeMap<u64, Box<[u8]>>,
}

impl OverlayBackend {
    fn written(&self) -> MutexGuard<'_, Overlay> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the file says from `offset` on; zeros where it says nothing.
    fn read_through(&self, written: &Overlay, offset: u64, out: &mut [u8]) -> Result<(), Error> {
        let available = usize::try_from(written.visible_len.saturating_sub(offset)).unwrap_or(usize::MAX);
        let (there, beyond) = out.split_at_mut(available.min(out.len()));
        beyond.fill(0);
        if there.is_empty() { Ok(()) } else { self.file.read(offset, there) }
    }
}

/// The parts of `length` bytes from `offset` on: the number of the block, where the part starts in it and in the bytes, and
/// how long it is.
fn parts(offset: u64, length: usize) -> impl Iterator<Item = (u64, usize, usize, usize)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let at = offset + done as u64;
        let in_block = usize::try_from(at % BLOCK as u64).unwrap_or(0);
        let take = (BLOCK - in_block).min(length - done);
        let part = (at / BLOCK as u64, in_block, done, take);
        done += take;
        (take > 0).then_some(part)
    })
}

impl StorageBackend for OverlayBackend {
    fn len(&self) -> Result<u64, Error> {
        Ok(self.written().length)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), Error> {
        let written = self.written();
        if offset.saturating_add(out.len() as u64) > written.length {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        self.read_through(&written, offset, out)?;
        for (number, in_block, in_out, length) in parts(offset, out.len()) {
            let block = written.blocks.get(&number).and_then(|block| block.get(in_block..in_block + length));
            if let (Some(block), Some(out)) = (block, out.get_mut(in_out..in_out + length)) {
                out.copy_from_slice(block);
            }
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), Error> {
        let mut written = self.written();
        written.length = written.length.max(offset.saturating_add(data.len() as u64));
        for (number, in_block, in_data, length) in parts(offset, data.len()) {
            let mut block = match written.blocks.remove(&number) {
                Some(block) => block,
                None => {
                    let mut block = vec![0; BLOCK].into_boxed_slice();
                    self.read_through(&written, number * BLOCK as u64, &mut block)?;
                    block
                }
            };
            if let (Some(block), Some(data)) =
                (block.get_mut(in_block..in_block + length), data.get(in_data..in_data + length))
            {
                block.copy_from_slice(data);
            }
            written.blocks.insert(number, block);
        }
        Ok(())
    }

    fn set_len(&self, length: u64) -> Result<(), Error> {
        let mut written = self.written();
        if length < written.length {
            let (last, in_last) =
                (length / BLOCK as u64, usize::try_from(length % BLOCK as u64).unwrap_or(0));
            written.blocks.split_off(&(last + 1));
            if let Some(cut) = written.blocks.get_mut(&last).and_then(|block| block.get_mut(in_last..)) {
                cut.fill(0);
            }
        }
        written.visible_len = written.visible_len.min(length);
        written.length = length;
        Ok(())
    }

    fn sync_data(&self) -> Result<(), Error> {
        Ok(())
    }

    fn close(&self) -> Result<(), Error> {
        self.file.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.query_lock_range(start, end)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        Write { offset: u64, data: Vec<u8> },
        SetLen(u64),
        Read { offset: u64, length: usize },
    }

    fn any_step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0u64..20_000, prop::collection::vec(any::<u8>(), 0..9000))
                .prop_map(|(offset, data)| Step::Write { offset, data }),
            (0u64..30_000).prop_map(Step::SetLen),
            (0u64..30_000, 0usize..9000).prop_map(|(offset, length)| Step::Read { offset, length }),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn it_reads_back_what_a_file_would_and_the_file_stays_as_it_was(
            content in prop::collection::vec(any::<u8>(), 0..15_000),
            steps in prop::collection::vec(any_step(), 1..12),
        ) {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("file");
            std::fs::write(&path, &content).unwrap();
            let file = FileBackend::new(OpenOptions::new().read(true).write(true).open(&path).unwrap()).unwrap();
            let length = content.len() as u64;
            let written = Overlay { length, visible_len: length, blocks: BTreeMap::new() };
            let untouched = OverlayBackend { file, written: Mutex::new(written) };
            let mut expected = content.clone();
            for step in steps {
                match step {
                    Step::Write { offset, data } => {
                        let offset = offset.min(expected.len() as u64);
                        untouched.write(offset, &data).unwrap();
                        let start = usize::try_from(offset).unwrap();
                        expected.resize(expected.len().max(start + data.len()), 0);
                        expected[start..start + data.len()].copy_from_slice(&data);
                    }
                    Step::SetLen(length) => {
                        untouched.set_len(length).unwrap();
                        expected.resize(usize::try_from(length).unwrap(), 0);
                    }
                    Step::Read { offset, length } => {
                        let mut out = vec![7; length];
                        let start = usize::try_from(offset).unwrap();
                        match expected.get(start..start + length) {
                            Some(expected) => {
                                untouched.read(offset, &mut out).unwrap();
                                prop_assert!(out == expected);
                            }
                            None => prop_assert!(untouched.read(offset, &mut out).is_err()),
                        }
                    }
                }
                prop_assert_eq!(untouched.len().unwrap(), expected.len() as u64);
            }
            prop_assert!(std::fs::read(&path).unwrap() == content);
        }
    }
}
