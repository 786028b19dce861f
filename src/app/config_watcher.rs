//! Detects changes of the configuration files, by content.
//!
//! File system notifications would miss the symlink swaps of mounted ConfigMaps and changes on network file systems.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::config::TrackedFiles;

/// A change must be stable for this long, since the file may still be being written.
const STABLE_FOR: Duration = Duration::from_millis(500);

/// Watches the files that the last attempt has read, whether it succeeded or not.
#[derive(Debug)]
pub(super) struct Watch {
    interval: Option<Duration>,
    read: TrackedFiles,
    /// A change that may not be stable yet.
    pending: Option<TrackedFiles>,
    next_check: Instant,
}

impl Watch {
    /// Checks immediately and then at `interval`; never without one.
    pub(super) fn new(interval: Option<Duration>) -> Self {
        Self { interval, read: TrackedFiles::default(), pending: None, next_check: Instant::now() }
    }

    /// Watches these files from now on.
    pub(super) fn reset(&mut self, read: TrackedFiles) {
        self.read = read;
        self.pending = None;
    }

    /// Waits for a stable change. Cancel safe; returns again until [`reset`](Self::reset).
    pub(super) async fn changed(&mut self) {
        let Some(interval) = self.interval else { return std::future::pending().await };
        loop {
            sleep_until(self.next_check).await;
            let read = self.read.clone();
            let current = tokio::task::spawn_blocking(move || read.now()).await;
            self.next_check = Instant::now() + interval;
            // Fails only at shutdown.
            let Ok(current) = current else { continue };
            if current == self.read {
                self.pending = None;
            } else if self.pending.as_ref() == Some(&current) {
                return;
            } else {
                self.pending = Some(current);
                self.next_check = Instant::now() + STABLE_FOR.min(interval);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tokio::time::{sleep, timeout};

    use super::*;

    const INTERVAL: Duration = Duration::from_secs(30);

    fn read(file: &Path) -> TrackedFiles {
        let mut sources = TrackedFiles::default();
        let _ = sources.read(file, 100);
        sources
    }

    fn watch_file(file: &Path) -> Watch {
        let mut watch = Watch::new(Some(INTERVAL));
        watch.reset(read(file));
        watch
    }

    #[tokio::test(start_paused = true)]
    async fn touched_file_is_no_change() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("polyai.yaml");
        std::fs::write(&file, "a").unwrap();
        let mut watch = watch_file(&file);
        std::fs::write(&file, "a").unwrap();
        assert!(timeout(INTERVAL * 5, watch.changed()).await.is_err());
        std::fs::write(&file, "b").unwrap();
        timeout(INTERVAL * 2, watch.changed()).await.expect("the change is detected at the next check");
        watch.reset(read(&file));
        assert!(timeout(INTERVAL * 5, watch.changed()).await.is_err(), "and only once");
    }

    #[tokio::test(start_paused = true)]
    async fn change_before_the_watch_is_detected() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("polyai.yaml");
        std::fs::write(&file, "a").unwrap();
        let mut watch = watch_file(&file);
        std::fs::write(&file, "b").unwrap();
        timeout(STABLE_FOR * 2, watch.changed()).await.expect("detected");
    }

    #[tokio::test(start_paused = true)]
    async fn file_is_loaded_once_it_is_stable() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("polyai.yaml");
        std::fs::write(&file, "a").unwrap();
        let mut watch = watch_file(&file);
        let started = Instant::now();
        let slow = async {
            // At no time at which a check runs, so that no write coincides with one.
            for length in 1..27 {
                std::fs::write(&file, "b".repeat(length)).unwrap();
                sleep(Duration::from_millis(170)).await;
            }
            sleep(INTERVAL * 2).await;
        };
        tokio::select! {
            () = watch.changed() => {}
            () = slow => panic!("not detected"),
        }
        assert!(started.elapsed() > STABLE_FOR * 8, "{:?}", started.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn busy_watcher_detects_changes_in_time() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("polyai.yaml");
        std::fs::write(&file, "a").unwrap();
        let mut watch = watch_file(&file);
        assert!(timeout(INTERVAL / 2, watch.changed()).await.is_err());
        std::fs::write(&file, "b").unwrap();
        let started = Instant::now();
        // As in the reload loop, which drops the future whenever another branch completes first.
        while timeout(STABLE_FOR / 2, watch.changed()).await.is_err() {
            assert!(started.elapsed() < INTERVAL, "starved");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn disabled_watch_reads_no_file() {
        assert!(timeout(INTERVAL * 100, Watch::new(None).changed()).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn created_file_is_a_change() {
        let directory = tempfile::tempdir().unwrap();
        let late = directory.path().join("key");
        let mut watch = watch_file(&late);
        assert!(timeout(INTERVAL * 5, watch.changed()).await.is_err());
        std::fs::write(&late, "k").unwrap();
        timeout(INTERVAL * 2, watch.changed()).await.expect("detected");
    }
}
