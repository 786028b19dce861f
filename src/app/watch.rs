//! Whether the files of the configuration have changed.
//!
//! Owns: their checksum, taken anew every so often. By content and not by notification, because that survives the symlink swaps of
//! mounted ConfigMaps, network file systems, and editors that write another file and rename it. Never: what is in the files.

use std::collections::hash_map::DefaultHasher;
use std::fs::File;
use std::hash::{Hash, Hasher};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::sleep;

/// No file of a configuration is longer.
const MOST_BYTES: u64 = 4 << 20;
/// A file that has just changed may still be being written.
const SETTLE: Duration = Duration::from_millis(500);

/// The watch over some files.
#[derive(Debug, Default)]
pub(super) struct Watch {
    every: Option<Duration>,
    files: Vec<PathBuf>,
    seen: Option<u64>,
}

impl Watch {
    /// Looks so often; never if that is none.
    pub(super) fn every(every: Option<Duration>) -> Self {
        Self { every, ..Self::default() }
    }

    /// Whether it ever looks.
    pub(super) const fn is_on(&self) -> bool {
        self.every.is_some()
    }

    /// From now on over these files.
    pub(super) fn over(&mut self, files: Vec<PathBuf>) {
        if files != self.files {
            self.files = files;
            // What they hold has just been read, and is looked at as soon as changes are waited for.
            self.seen = None;
        }
    }

    /// From now on over these files as well.
    pub(super) fn also_over(&mut self, files: &[PathBuf]) {
        let new = files.iter().filter(|file| !self.files.contains(file));
        self.over(self.files.iter().chain(new).cloned().collect());
    }

    /// Takes what the files hold now for known: they are about to be read.
    pub(super) async fn look(&mut self) {
        if self.every.is_some() {
            self.seen = self.checksum().await;
        }
    }

    /// Returns when the files hold something else than was known, and have stopped changing. May be dropped at any time.
    pub(super) async fn changed(&mut self) {
        let Some(every) = self.every else { return std::future::pending().await };
        if self.seen.is_none() {
            self.seen = self.checksum().await;
        }
        loop {
            sleep(every).await;
            let mut now = self.checksum().await;
            if now == self.seen {
                continue;
            }
            loop {
                sleep(SETTLE.min(every)).await;
                let later = self.checksum().await;
                if later == now {
                    break;
                }
                now = later;
            }
            self.seen = now;
            return;
        }
    }

    async fn checksum(&self) -> Option<u64> {
        let files = self.files.clone();
        tokio::task::spawn_blocking(move || checksum(&files)).await.ok()
    }
}

fn checksum(files: &[PathBuf]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for file in files {
        // One that cannot be read is a content of its own.
        content(file).ok().hash(&mut hasher);
    }
    hasher.finish()
}

fn content(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MOST_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use tokio::time::{Instant, timeout};

    use super::*;

    const EVERY: Duration = Duration::from_secs(30);

    async fn over(file: &Path) -> Watch {
        let mut watch = Watch::every(Some(EVERY));
        watch.over(vec![file.to_owned()]);
        watch.look().await;
        watch
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_is_touched_but_not_changed_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("polyai.yaml");
        std::fs::write(&file, "a").unwrap();
        let mut watch = over(&file).await;
        std::fs::write(&file, "a").unwrap();
        assert!(timeout(EVERY * 5, watch.changed()).await.is_err());
        std::fs::write(&file, "b").unwrap();
        timeout(EVERY * 2, watch.changed()).await.expect("another content is noticed at the next look");
        assert!(timeout(EVERY * 5, watch.changed()).await.is_err(), "and only once");
    }

    /// How the kubelet updates a mounted ConfigMap: `polyai.yaml` points into `..data`, which is replaced as a whole.
    #[tokio::test(start_paused = true)]
    async fn a_swap_of_symlinks_is_a_change() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for (version, content) in [("..1", "a"), ("..2", "b")] {
            std::fs::create_dir(at(version)).unwrap();
            std::fs::write(at(version).join("polyai.yaml"), content).unwrap();
        }
        symlink("..1", at("..data")).unwrap();
        symlink("..data/polyai.yaml", at("polyai.yaml")).unwrap();
        let mut watch = over(&at("polyai.yaml")).await;
        assert!(timeout(EVERY * 3, watch.changed()).await.is_err());
        symlink("..2", at("..data_tmp")).unwrap();
        std::fs::rename(at("..data_tmp"), at("..data")).unwrap();
        timeout(EVERY * 2, watch.changed()).await.expect("noticed");
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_is_still_being_written_is_let_finish() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("polyai.yaml");
        std::fs::write(&file, "a").unwrap();
        let mut watch = over(&file).await;
        let slow = async {
            for length in 1..20 {
                std::fs::write(&file, "b".repeat(length)).unwrap();
                sleep(SETTLE / 2).await;
            }
            sleep(EVERY * 2).await;
        };
        sleep(EVERY - SETTLE).await;
        let begun = Instant::now();
        tokio::select! {
            () = watch.changed() => {}
            () = slow => panic!("not noticed"),
        }
        assert!(begun.elapsed() > SETTLE * 9, "{:?}", begun.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn without_an_interval_nothing_is_looked_at() {
        assert!(timeout(EVERY * 100, Watch::every(None).changed()).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_is_looked_for_and_comes_later_is_a_change() {
        let folder = tempfile::tempdir().unwrap();
        let (file, late) = (folder.path().join("polyai.yaml"), folder.path().join("key"));
        std::fs::write(&file, "a").unwrap();
        let mut watch = over(&file).await;
        watch.also_over(&[file, late.clone()]);
        assert!(timeout(EVERY * 5, watch.changed()).await.is_err());
        std::fs::write(&late, "k").unwrap();
        timeout(EVERY * 2, watch.changed()).await.expect("noticed");
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_is_gone_is_a_change() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        std::fs::write(&file, "a").unwrap();
        let mut watch = over(&file).await;
        std::fs::remove_file(&file).unwrap();
        timeout(EVERY * 2, watch.changed()).await.expect("noticed");
    }
}
