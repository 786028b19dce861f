//! Whether the files of the configuration have changed since they were last read.
//!
//! Owns: when they are looked at, and that a change has settled. By content and not by notification, because that survives the symlink
//! swaps of mounted ConfigMaps, network file systems, and editors that write another file and rename it. Never: what is in the
//! files.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::config::TrackedFiles;

/// A file that has just changed may still be being written.
const STABLE_FOR: Duration = Duration::from_millis(500);

/// The watch over what the last attempt has read, whatever came of it: as long as that stays, so does the outcome.
#[derive(Debug)]
pub(super) struct Watch {
    every: Option<Duration>,
    read: TrackedFiles,
    /// Another content, seen by the last look alone.
    pending: Option<TrackedFiles>,
    next_look: Instant,
}

impl Watch {
    /// Looks so often, at first at once; never if that is none.
    pub(super) fn new(every: Option<Duration>) -> Self {
        Self { every, read: TrackedFiles::default(), pending: None, next_look: Instant::now() }
    }

    /// From now on over these.
    pub(super) fn reset(&mut self, read: TrackedFiles) {
        self.read = read;
        self.pending = None;
    }

    /// Returns when the files hold something else than was read, and have stopped changing; and again, until they are read. May
    /// be dropped at any time, and comes no later for it.
    pub(super) async fn changed(&mut self) {
        let Some(every) = self.every else { return std::future::pending().await };
        loop {
            sleep_until(self.next_look).await;
            let read = self.read.clone();
            let looking = tokio::task::spawn_blocking(move || read.now()).await;
            self.next_look = Instant::now() + every;
            // It fails only when the program stops.
            let Ok(now) = looking else { continue };
            if now == self.read {
                self.pending = None;
            } else if self.pending.as_ref() == Some(&now) {
                return;
            } else {
                self.pending = Some(now);
                self.next_look = Instant::now() + STABLE_FOR.min(every);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tokio::time::{sleep, timeout};

    use super::*;

    const EVERY: Duration = Duration::from_secs(30);

    fn read(file: &Path) -> TrackedFiles {
        let mut sources = TrackedFiles::default();
        let _ = sources.read(file, 100);
        sources
    }

    fn over(file: &Path) -> Watch {
        let mut watch = Watch::new(Some(EVERY));
        watch.reset(read(file));
        watch
    }

    #[tokio::test(start_paused = true)]
    async fn touched_file_is_no_change() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("polyai.yaml");
        std::fs::write(&file, "a").unwrap();
        let mut watch = over(&file);
        std::fs::write(&file, "a").unwrap();
        assert!(timeout(EVERY * 5, watch.changed()).await.is_err());
        std::fs::write(&file, "b").unwrap();
        timeout(EVERY * 2, watch.changed()).await.expect("another content is noticed at the next look");
        watch.reset(read(&file));
        assert!(timeout(EVERY * 5, watch.changed()).await.is_err(), "and only once");
    }

    #[tokio::test(start_paused = true)]
    async fn change_before_the_watch_is_detected() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("polyai.yaml");
        std::fs::write(&file, "a").unwrap();
        let mut watch = over(&file);
        std::fs::write(&file, "b").unwrap();
        timeout(STABLE_FOR * 2, watch.changed()).await.expect("noticed");
    }

    #[tokio::test(start_paused = true)]
    async fn file_is_loaded_once_it_is_stable() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("polyai.yaml");
        std::fs::write(&file, "a").unwrap();
        let mut watch = over(&file);
        let begun = Instant::now();
        let slow = async {
            // At no time at which a look is taken, so that no write is in the middle of one.
            for length in 1..27 {
                std::fs::write(&file, "b".repeat(length)).unwrap();
                sleep(Duration::from_millis(170)).await;
            }
            sleep(EVERY * 2).await;
        };
        tokio::select! {
            () = watch.changed() => {}
            () = slow => panic!("not noticed"),
        }
        assert!(begun.elapsed() > STABLE_FOR * 8, "{:?}", begun.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn busy_watcher_detects_changes_in_time() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("polyai.yaml");
        std::fs::write(&file, "a").unwrap();
        let mut watch = over(&file);
        assert!(timeout(EVERY / 2, watch.changed()).await.is_err());
        std::fs::write(&file, "b").unwrap();
        let begun = Instant::now();
        // As the loop does that attends to other things besides, each of them sooner than the next look.
        while timeout(STABLE_FOR / 2, watch.changed()).await.is_err() {
            assert!(begun.elapsed() < EVERY, "starved");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn disabled_watch_reads_no_file() {
        assert!(timeout(EVERY * 100, Watch::new(None).changed()).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn created_file_is_a_change() {
        let folder = tempfile::tempdir().unwrap();
        let late = folder.path().join("key");
        let mut watch = over(&late);
        assert!(timeout(EVERY * 5, watch.changed()).await.is_err());
        std::fs::write(&late, "k").unwrap();
        timeout(EVERY * 2, watch.changed()).await.expect("noticed");
    }
}
