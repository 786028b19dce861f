//! A log writer that survives failed writes and counts them.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tracing_subscriber::fmt::MakeWriter;

/// Log lines of this process that could not be written, since its start.
static LOST_LINES: AtomicU64 = AtomicU64::new(0);

/// Log lines of this process that could not be written: the log disk is full, the pipe closed or the terminal gone.
pub fn lost_lines() -> u64 {
    LOST_LINES.load(Ordering::Relaxed)
}

/// Writes whole lines to `inner`. A line that cannot be written is counted and dropped, because no log line is worth the
/// daemon; the first line that can be written again is followed by one that states how many were lost.
#[derive(Debug)]
pub(super) struct LossyWriter<W>(Arc<Shared<W>>);

#[derive(Debug)]
struct Shared<W> {
    state: Mutex<State<W>>,
    total: &'static AtomicU64,
}

#[derive(Debug)]
struct State<W> {
    inner: W,
    /// Lines lost since the last one that was written.
    lost: u64,
    /// A part of the last line was written before the failure, so the next line starts with a line end.
    mid_line: bool,
}

impl<W> Clone for LossyWriter<W> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<W: Write> LossyWriter<W> {
    /// Counts lost lines in the total of the process.
    pub(super) fn new(inner: W) -> Self {
        Self::with_total(inner, &LOST_LINES)
    }

    fn with_total(inner: W, total: &'static AtomicU64) -> Self {
        Self(Arc::new(Shared { state: Mutex::new(State { inner, lost: 0, mid_line: false }), total }))
    }

    /// Writes `line`, and returns how many were lost before it if it is the first that succeeded.
    fn write_line(&self, line: &[u8]) -> Option<u64> {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.write(line).is_ok() {
            Some(std::mem::take(&mut state.lost)).filter(|&lost| lost > 0)
        } else {
            state.lost += 1;
            self.0.total.fetch_add(1, Ordering::Relaxed);
            None
        }
    }
}

impl<W: Write> State<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        if self.mid_line {
            self.inner.write_all(b"\n")?;
            self.mid_line = false;
        }
        let mut rest = line;
        while !rest.is_empty() {
            match self.inner.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    rest = rest.get(written..).unwrap_or_default();
                    self.mid_line = !rest.is_empty();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl<W: Write> Write for LossyWriter<W> {
    /// The subscriber hands over each event as one line in one call. Never fails.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        // Outside of the lock, because the event comes back here as another line.
        if let Some(lost) = self.write_line(line) {
            tracing::warn!(lost, "log lines were lost because they could not be written");
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<W: Write> MakeWriter<'_> for LossyWriter<W> {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk with room for some bytes.
    struct Disk {
        written: Vec<u8>,
        room: usize,
    }

    struct Shared(Arc<Mutex<Disk>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut disk = self.0.lock().unwrap();
            let fits = bytes.len().min(disk.room);
            if fits == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            disk.room -= fits;
            disk.written.extend(&bytes[..fits]);
            Ok(fits)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn writer_on_a_full_disk_counts_lines_and_resumes() {
        static TOTAL: AtomicU64 = AtomicU64::new(0);
        let disk = Arc::new(Mutex::new(Disk { written: Vec::new(), room: 8 }));
        let writer = LossyWriter::with_total(Shared(disk.clone()), &TOTAL);
        assert_eq!(writer.write_line(b"first\n"), None);
        for _ in 0..3 {
            assert_eq!(writer.write_line(b"lost\n"), None, "no room");
        }
        assert_eq!(TOTAL.load(Ordering::Relaxed), 3);
        disk.lock().unwrap().room = 1000;
        assert_eq!(writer.write_line(b"again\n"), Some(3), "the first line that was written");
        assert_eq!(writer.write_line(b"more\n"), None, "said once");
        let written = String::from_utf8(disk.lock().unwrap().written.clone()).unwrap();
        assert_eq!(written, "first\nlo\nagain\nmore\n", "a cut line ends before the next one starts");
    }
}
