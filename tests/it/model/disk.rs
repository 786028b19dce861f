//! A disk that can lose power and fill up.
//!
//! Synced data is separate from data that was only written. A kill keeps the synced state and either everything written
//! since, as when only the process dies, or any part of it, torn at sectors, as when the power fails.

use std::io::{Error, ErrorKind};
use std::sync::{Arc, Mutex, MutexGuard};

use super::rng::Rng;

const SECTOR: usize = 512;

#[derive(Debug, Clone, Default)]
pub(super) struct Disk(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    synced: Vec<u8>,
    written: Vec<u8>,
    unsynced: Vec<Change>,
    /// Incremented by every crash; handles from before it no longer work.
    boots: u32,
    dies_after: Option<u32>,
    is_dead: bool,
    is_full: bool,
}

#[derive(Debug)]
enum Change {
    Length(usize),
    Bytes(usize, Vec<u8>),
}

/// The disk as seen by one process.
#[derive(Debug)]
pub(super) struct Mounted {
    disk: Disk,
    boot: u32,
}

impl Change {
    fn apply(&self, image: &mut Vec<u8>) {
        match self {
            Self::Length(length) => image.resize(*length, 0),
            Self::Bytes(offset, bytes) => {
                let end = offset + bytes.len();
                if image.len() < end {
                    image.resize(end, 0);
                }
                image[*offset..end].copy_from_slice(bytes);
            }
        }
    }
}

impl Disk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(super) fn mount(&self) -> Mounted {
        Mounted { disk: self.clone(), boot: self.state().boots }
    }

    /// The process is killed at its `operations`-th write, sync or change of length from now.
    pub(super) fn dies_after(&self, operations: u32) {
        self.state().dies_after = Some(operations);
    }

    pub(super) fn lives_on(&self) {
        self.state().dies_after = None;
    }

    pub(super) fn is_dead(&self) -> bool {
        self.state().is_dead
    }

    pub(super) fn set_full(&self, is_full: bool) {
        self.state().is_full = is_full;
    }

    pub(super) fn is_full(&self) -> bool {
        self.state().is_full
    }

    /// A sound disk with what is written on this one now.
    pub(super) fn copy(&self) -> Self {
        let written = self.state().written.clone();
        Self(Arc::new(Mutex::new(State { written, ..State::default() })))
    }

    /// The process is gone. What it had not synced survives if only it died, and in part if the power failed.
    pub(super) fn crash(&self, power_fails: bool, rng: &mut Rng) {
        let mut state = self.state();
        let unsynced = std::mem::take(&mut state.unsynced);
        if power_fails {
            let mut image = std::mem::take(&mut state.synced);
            for change in &unsynced {
                match change {
                    Change::Bytes(offset, bytes) => {
                        for (piece, start) in bytes.chunks(SECTOR).zip((*offset..).step_by(SECTOR)) {
                            if rng.percent(50) {
                                Change::Bytes(start, piece.to_vec()).apply(&mut image);
                            }
                        }
                    }
                    Change::Length(_) if rng.percent(50) => change.apply(&mut image),
                    Change::Length(_) => {}
                }
            }
            state.written = image;
        }
        state.synced = state.written.clone();
        state.boots += 1;
        state.is_dead = false;
        state.dies_after = None;
    }
}

impl Mounted {
    fn alive(&self) -> Result<MutexGuard<'_, State>, Error> {
        let state = self.disk.state();
        if state.is_dead || state.boots != self.boot {
            return Err(Error::other("the process was killed"));
        }
        Ok(state)
    }

    fn changing(&self) -> Result<MutexGuard<'_, State>, Error> {
        let mut state = self.alive()?;
        match state.dies_after {
            Some(0) => {
                state.is_dead = true;
                Err(Error::other("the process was killed"))
            }
            left => {
                state.dies_after = left.map(|left| left - 1);
                if state.is_full {
                    return Err(Error::from(ErrorKind::StorageFull));
                }
                Ok(state)
            }
        }
    }
}

impl redb::StorageBackend for Mounted {
    fn len(&self) -> Result<u64, Error> {
        Ok(u64::try_from(self.alive()?.written.len()).unwrap())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), Error> {
        let state = self.alive()?;
        let offset = usize::try_from(offset).unwrap();
        let bytes = state.written.get(offset..offset + out.len());
        out.copy_from_slice(bytes.ok_or_else(|| Error::from(ErrorKind::UnexpectedEof))?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<(), Error> {
        let mut state = self.changing()?;
        let change = Change::Length(usize::try_from(len).unwrap());
        change.apply(&mut state.written);
        state.unsynced.push(change);
        Ok(())
    }

    fn sync_data(&self) -> Result<(), Error> {
        let mut state = self.changing()?;
        let State { synced, unsynced, .. } = &mut *state;
        unsynced.drain(..).for_each(|change| change.apply(synced));
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), Error> {
        let mut state = self.changing()?;
        let change = Change::Bytes(usize::try_from(offset).unwrap(), data.to_vec());
        change.apply(&mut state.written);
        state.unsynced.push(change);
        Ok(())
    }
}

#[test]
fn only_synced_writes_survive_power_failure() {
    use redb::StorageBackend as _;
    let mut outcomes = std::collections::BTreeSet::new();
    for seed in 0..20 {
        let disk = Disk::default();
        let mounted = disk.mount();
        mounted.set_len(2).unwrap();
        mounted.write(0, b"a").unwrap();
        mounted.sync_data().unwrap();
        mounted.write(1, b"b").unwrap();
        disk.crash(true, &mut Rng::new(seed));
        assert!(mounted.write(0, b"x").is_err(), "the killed process writes on");
        let mut bytes = [0; 2];
        disk.mount().read(0, &mut bytes).unwrap();
        outcomes.insert(bytes);
    }
    assert_eq!(outcomes, [*b"a\0", *b"ab"].into());
}
