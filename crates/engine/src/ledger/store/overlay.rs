//! A backend that reads a file and keeps every write in memory.
//!
//! A database writes to its file as soon as it is opened, and repairs what it takes for a crash. redb's read-only mode does
//! neither, but it cannot open a file that was not closed, nor verify a checksum. So a file is opened for good only once it
//! has been opened, repaired and verified behind this backend: one that is refused stays as it is, to the byte.

use std::fs::OpenOptions;
use std::io::{Error, ErrorKind};
use std::ops::Bound;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use redb::backends::FileBackend;
use redb::{BackendError, DatabaseError, StorageBackend};

/// The file at `path` behind an overlay. It is locked as long as a database uses it.
pub(super) fn open(path: &Path) -> Result<OverlayBackend, DatabaseError> {
    let file = FileBackend::new(OpenOptions::new().read(true).write(true).open(path)?)?;
    let len = file.len()?;
    Ok(OverlayBackend { file, overlay: Mutex::new(Overlay { len, visible_len: len, writes: Vec::new() }) })
}

/// A file, and what would have been written to it.
#[derive(Debug)]
pub(super) struct OverlayBackend {
    file: FileBackend,
    overlay: Mutex<Overlay>,
}

#[derive(Debug)]
struct Overlay {
    /// The length that the file would have.
    len: u64,
    /// How much of the file is visible where nothing was written: it may have been cut and extended again.
    visible_len: u64,
    /// Offset and data, in the order of writing. An open and a check write a few dozen times.
    writes: Vec<(u64, Vec<u8>)>,
}

impl OverlayBackend {
    fn overlay(&self) -> MutexGuard<'_, Overlay> {
        self.overlay.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn to_index(len: u64) -> usize {
    usize::try_from(len).unwrap_or(usize::MAX)
}

impl StorageBackend for OverlayBackend {
    fn len(&self) -> Result<u64, Error> {
        Ok(self.overlay().len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), Error> {
        let overlay = self.overlay();
        let end = offset.saturating_add(out.len() as u64);
        if end > overlay.len {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let visible = to_index(overlay.visible_len.saturating_sub(offset)).min(out.len());
        let (from_file, beyond) = out.split_at_mut(visible);
        beyond.fill(0);
        if !from_file.is_empty() {
            self.file.read(offset, from_file)?;
        }
        for (start, data) in &overlay.writes {
            let (from, to) = (offset.max(*start), end.min(start + data.len() as u64));
            if from < to
                && let Some(out) = out.get_mut(to_index(from - offset)..to_index(to - offset))
                && let Some(data) = data.get(to_index(from - start)..to_index(to - start))
            {
                out.copy_from_slice(data);
            }
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), Error> {
        let mut overlay = self.overlay();
        overlay.len = overlay.len.max(offset.saturating_add(data.len() as u64));
        overlay.writes.push((offset, data.to_vec()));
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<(), Error> {
        let mut overlay = self.overlay();
        overlay
            .writes
            .iter_mut()
            .for_each(|(start, data)| data.truncate(to_index(len.saturating_sub(*start))));
        overlay.visible_len = overlay.visible_len.min(len);
        overlay.len = len;
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
        fn overlay_behaves_like_file_and_keeps_it_unchanged(
            content in prop::collection::vec(any::<u8>(), 0..15_000),
            steps in prop::collection::vec(any_step(), 1..12),
        ) {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("file");
            std::fs::write(&path, &content).unwrap();
            let overlay = open(&path).unwrap();
            let mut expected = content.clone();
            for step in steps {
                match step {
                    Step::Write { offset, data } => {
                        let offset = offset.min(expected.len() as u64);
                        overlay.write(offset, &data).unwrap();
                        let start = usize::try_from(offset).unwrap();
                        expected.resize(expected.len().max(start + data.len()), 0);
                        expected[start..start + data.len()].copy_from_slice(&data);
                    }
                    Step::SetLen(length) => {
                        overlay.set_len(length).unwrap();
                        expected.resize(usize::try_from(length).unwrap(), 0);
                    }
                    Step::Read { offset, length } => {
                        let mut out = vec![7; length];
                        let start = usize::try_from(offset).unwrap();
                        match expected.get(start..start + length) {
                            Some(expected) => {
                                overlay.read(offset, &mut out).unwrap();
                                prop_assert!(out == expected);
                            }
                            None => prop_assert!(overlay.read(offset, &mut out).is_err()),
                        }
                    }
                }
                prop_assert_eq!(overlay.len().unwrap(), expected.len() as u64);
            }
            prop_assert!(std::fs::read(&path).unwrap() == content);
        }
    }
}
