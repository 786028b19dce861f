//! The active web configuration and its reload while the port is open.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use chrono::{DateTime, Utc};
use exporter_schema::{ConfigErrors, Diagnostic, Report, TrackedFiles, join_list};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::server_state::{WebState, file_diagnostic};
use super::tls::Loader;
use crate::observer::Observer;

/// A web configuration that can be installed.
#[derive(Debug)]
pub struct LoadedWebConfig {
    file: Option<PathBuf>,
    /// When reading began.
    read_at: Instant,
    state: WebState,
    files: TrackedFiles,
    warnings: Vec<Diagnostic>,
}

impl LoadedWebConfig {
    /// Reads `file` and all files that it names; without one, plain HTTP for everyone. Blocks on the file system.
    ///
    /// # Errors
    /// All errors at once, each with its location and advice.
    pub fn read(file: Option<&Path>, now: DateTime<Utc>) -> Result<Self, ConfigErrors> {
        let read_at = Instant::now();
        let mut loader = Loader { now, files: TrackedFiles::default(), report: Report::default() };
        let state = match file {
            Some(path) => WebState::load(path, &mut loader),
            None => Some(WebState::default()),
        };
        let Loader { files, report, .. } = loader;
        match (ConfigErrors::from_diagnostics(report.errors), state) {
            (None, Some(state)) => {
                let (file, warnings) = (file.map(Path::to_path_buf), report.warnings);
                Ok(Self { file, read_at, state, files, warnings })
            }
            (errors, _) => Err(errors
                .unwrap_or_else(|| file_diagnostic(file, "cannot be used").into())
                .with_files(files)),
        }
    }

    /// Valid settings that deserve attention.
    pub fn warnings(&self) -> &[Diagnostic] {
        &self.warnings
    }

    /// A one-line summary without secrets.
    pub fn summary(&self) -> String {
        self.state.summary()
    }
}

/// The result of installing a web configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InstallOutcome {
    /// It is active and differs from the previous one.
    Changed,
    /// It is active and equals the previous one.
    Same,
    /// Ignored: a later reading of the same file is active already.
    Stale,
}

/// The active web configuration. Clones share it.
#[derive(Debug, Clone)]
pub struct WebConfig(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    active: ArcSwap<WebState>,
    watch: Mutex<WatchState>,
    installed: Notify,
}

/// What was read last, whether it was installed or not.
#[derive(Debug)]
struct WatchState {
    file: Option<PathBuf>,
    /// When reading of the active configuration began.
    read_at: Instant,
    files: TrackedFiles,
    /// Consecutive reads that found these files without a decision about them.
    stable_reads: u32,
    /// Whether these files were rejected.
    is_rejected: bool,
}

impl WatchState {
    fn installed(file: Option<PathBuf>, read_at: Instant, files: TrackedFiles) -> Self {
        Self { file, read_at, files, stable_reads: 0, is_rejected: false }
    }
}

/// How often the files are read.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Consecutive equal reads before a change counts. Certificate and key are two files, and no file is written at once: what is read
/// in between may be invalid or, worse, valid. A file that is truncated before it is written means plain HTTP for everyone.
const STABLE_READS: u32 = 3;

impl WebConfig {
    /// Starts with `loaded`.
    pub fn new(loaded: LoadedWebConfig) -> Self {
        let LoadedWebConfig { file, read_at, state, files, .. } = loaded;
        let watch = Mutex::new(WatchState::installed(file, read_at, files));
        Self(Arc::new(Shared { active: ArcSwap::from_pointee(state), watch, installed: Notify::new() }))
    }

    /// Makes `loaded` active for every request and connection that begins from now on, unless the watch has installed a later
    /// reading of the same file: a user removed since must not get in again.
    pub fn install(&self, loaded: LoadedWebConfig) -> InstallOutcome {
        let LoadedWebConfig { file, read_at, state, files, .. } = loaded;
        let mut watch = self.watch_state();
        if watch.file == file && watch.read_at > read_at {
            return InstallOutcome::Stale;
        }
        *watch = WatchState::installed(file, read_at, files);
        self.0.installed.notify_one();
        if self.swap(state) { InstallOutcome::Changed } else { InstallOutcome::Same }
    }

    /// A warning if `loaded` would remove TLS, client certificates, allowed names, users or the rate limit, which only an explicitly requested
    /// reload may do: an emptied file is valid.
    pub fn removed_protections(&self, loaded: &LoadedWebConfig) -> Option<Diagnostic> {
        let removed = loaded.state.removed_protections(&self.active());
        (!removed.is_empty()).then(|| {
            let removed = join_list(removed, "and");
            let text =
                format!("removes {removed} of the active configuration; only a requested reload does that");
            file_diagnostic(loaded.file.as_deref(), text)
        })
    }

    /// Replaces the active configuration; returns whether they differ. Callers hold the lock of the watch state.
    fn swap(&self, mut state: WebState) -> bool {
        let is_changed = state.reuse_from(&self.active());
        self.0.active.store(Arc::new(state));
        is_changed
    }

    /// When the active server certificate expires; `None` without one.
    pub fn certificate_expiry(&self) -> Option<DateTime<Utc>> {
        self.active().certificate_expiry()
    }

    pub(crate) fn active(&self) -> Arc<WebState> {
        self.0.active.load_full()
    }

    /// Polls the files until `stop` and installs changes. An invalid change is reported once, and the active configuration stays.
    pub async fn watch(
        self,
        observer: Arc<dyn Observer>,
        now: impl Fn() -> DateTime<Utc>,
        stop: CancellationToken,
    ) {
        while stop.run_until_cancelled(self.until_next_poll()).await.is_some() {
            let (config, now) = (self.clone(), now());
            let polled = tokio::task::spawn_blocking(move || config.poll_files(now)).await;
            match polled.unwrap_or(PollOutcome::Unchanged) {
                PollOutcome::Unchanged => {}
                PollOutcome::Reloaded(warnings) => {
                    observer.on_config_reloaded(self.certificate_expiry(), &warnings);
                }
                PollOutcome::Rejected(errors) => observer.on_config_rejected(&errors),
            }
        }
    }

    async fn until_next_poll(&self) {
        // Without a file there is nothing to poll.
        while self.watch_state().file.is_none() {
            self.0.installed.notified().await;
        }
        sleep(POLL_INTERVAL).await;
    }

    fn poll_files(&self, now: DateTime<Utc>) -> PollOutcome {
        let (file, files, stable_reads) = {
            let watch = self.watch_state();
            (watch.file.clone(), watch.files.clone(), watch.stable_reads)
        };
        if stable_reads == 0 && !files.have_changed() {
            return PollOutcome::Unchanged;
        }
        let outcome = LoadedWebConfig::read(file.as_deref(), now);
        let read = outcome.as_ref().map_or_else(ConfigErrors::files, |loaded| &loaded.files).clone();
        let mut watch = self.watch_state();
        if watch.file != file || watch.files != files {
            // Another configuration was installed meanwhile.
            return PollOutcome::Unchanged;
        }
        let stable_reads = if read == files { stable_reads + 1 } else { 1 };
        watch.files = read;
        if stable_reads < STABLE_READS {
            watch.stable_reads = stable_reads;
            return PollOutcome::Unchanged;
        }
        watch.stable_reads = 0;
        let loaded = outcome.and_then(|loaded| {
            self.removed_protections(&loaded).map_or(Ok(loaded), |removed| Err(removed.into()))
        });
        match loaded {
            Ok(LoadedWebConfig { read_at, state, warnings, .. }) => {
                watch.read_at = read_at;
                let was_rejected = std::mem::take(&mut watch.is_rejected);
                if self.swap(state) || was_rejected {
                    PollOutcome::Reloaded(warnings)
                } else {
                    PollOutcome::Unchanged
                }
            }
            Err(errors) => {
                watch.is_rejected = true;
                PollOutcome::Rejected(errors)
            }
        }
    }

    fn watch_state(&self) -> std::sync::MutexGuard<'_, WatchState> {
        self.0.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
enum PollOutcome {
    /// Nothing new, or nothing stable yet.
    Unchanged,
    Reloaded(Vec<Diagnostic>),
    Rejected(ConfigErrors),
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: DateTime<Utc> = DateTime::UNIX_EPOCH;

    fn users(names: &[&str]) -> String {
        let hash = bcrypt::hash("secret", 4).unwrap();
        let lines: String = names.iter().map(|name| format!("  {name}: {hash}\n")).collect();
        format!("basic_auth_users:\n{lines}")
    }

    #[test]
    fn truncated_file_is_not_installed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.yml");
        std::fs::write(&path, users(&["alice"])).unwrap();
        let config = WebConfig::new(LoadedWebConfig::read(Some(&path), NOW).unwrap());
        let count = || config.active().users.as_ref().map_or(0, |users| users.hashes().len());

        for half in ["", "# users\n", "http_server_config: {http2: true}\n"] {
            std::fs::write(&path, half).unwrap();
            for _ in 1..STABLE_READS {
                assert!(matches!(config.poll_files(NOW), PollOutcome::Unchanged), "{half:?}");
            }
        }
        std::fs::write(&path, users(&["alice", "bob"])).unwrap();
        for _ in 1..STABLE_READS {
            assert!(matches!(config.poll_files(NOW), PollOutcome::Unchanged));
            assert_eq!(count(), 1, "the one before stays in force");
        }
        assert!(matches!(config.poll_files(NOW), PollOutcome::Reloaded(_)));
        assert_eq!(count(), 2);
        assert!(matches!(config.poll_files(NOW), PollOutcome::Unchanged));

        std::fs::write(&path, "").unwrap();
        let outcomes: Vec<_> = (0..STABLE_READS).map(|_| config.poll_files(NOW)).collect();
        assert!(
            matches!(
                outcomes[..],
                [PollOutcome::Unchanged, PollOutcome::Unchanged, PollOutcome::Rejected(_)]
            ),
            "{outcomes:?}"
        );
        assert_eq!(count(), 2, "the watch does not remove all users");
        assert!(matches!(config.poll_files(NOW), PollOutcome::Unchanged), "reported once");

        std::fs::write(&path, "basic_auth_users:\n").unwrap();
        let last = (0..STABLE_READS).fold(PollOutcome::Unchanged, |_, _| config.poll_files(NOW));
        let PollOutcome::Rejected(errors) = last else { panic!("{last:?}") };
        assert!(errors.to_string().contains("removes users"), "{errors}");
        assert_eq!(count(), 2);

        let loaded = LoadedWebConfig::read(Some(&path), NOW).unwrap();
        assert!(config.removed_protections(&loaded).is_some());
        assert_eq!(config.install(loaded), InstallOutcome::Changed, "it is asked for");
        assert_eq!(count(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn reading_older_than_the_active_one_is_stale() {
        let dir = tempfile::tempdir().unwrap();
        let (path, other) = (dir.path().join("config.yml"), dir.path().join("other.yml"));
        std::fs::write(&path, users(&["alice", "mallory"])).unwrap();
        let read = |path: &Path| LoadedWebConfig::read(Some(path), NOW).unwrap();
        let config = WebConfig::new(read(&path));
        let count = || config.active().users.as_ref().map_or(0, |users| users.hashes().len());
        let poll = || {
            for _ in 0..STABLE_READS {
                config.poll_files(NOW);
            }
        };
        let (early, late) = (read(&path), read(&path));
        std::fs::write(&other, users(&["alice", "bob", "carol"])).unwrap();
        let elsewhere = read(&other);

        tokio::time::advance(POLL_INTERVAL).await;
        std::fs::write(&path, "basic_auth_user: {}").unwrap();
        poll();
        assert_eq!(config.install(early), InstallOutcome::Same);
        assert_eq!(count(), 2, "a later content that is of no use leaves the last good one");

        std::fs::write(&path, users(&["alice"])).unwrap();
        poll();
        assert_eq!(count(), 1);
        assert_eq!(config.install(late), InstallOutcome::Stale);
        assert_eq!(count(), 1, "mallory stays out");
        assert_eq!(config.install(elsewhere), InstallOutcome::Changed, "another file is another matter");
        assert_eq!(count(), 3);
    }

    #[test]
    fn installed_configuration_leaves_nothing_to_poll() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.yml");
        std::fs::write(&path, users(&["alice"])).unwrap();
        let config = WebConfig::new(LoadedWebConfig::read(Some(&path), NOW).unwrap());
        std::fs::write(&path, "basic_auth_user: {}").unwrap();
        let outcomes: Vec<_> = (0..=STABLE_READS).map(|_| config.poll_files(NOW)).collect();
        assert!(
            matches!(
                outcomes[..],
                [
                    PollOutcome::Unchanged,
                    PollOutcome::Unchanged,
                    PollOutcome::Rejected(_),
                    PollOutcome::Unchanged
                ]
            ),
            "reported once: {outcomes:?}"
        );
        std::fs::write(&path, users(&["alice"])).unwrap();
        assert!(matches!(config.poll_files(NOW), PollOutcome::Unchanged));
        config.install(LoadedWebConfig::read(Some(&path), NOW).unwrap());
        assert!(matches!(config.poll_files(NOW), PollOutcome::Unchanged), "there is nothing left to decide");
    }
}
