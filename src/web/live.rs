//! The web configuration in force, and its exchange.
//!
//! Owns: reading a file with all that it names in one go, and putting it in force only if it is whole and valid. Never: a
//! half of one and a half of another.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use chrono::{DateTime, Utc};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::file;
use super::reader::Reader;
use super::served::WebState;
use super::tls;
use crate::clock::Clock;
use crate::config::{ConfigErrors, Diagnostic, Location, TrackedFiles};
use crate::events::Events;

/// No file of a web configuration has more; a bundle of all public roots has some 200 KiB.
pub(super) const MAX_FILE_BYTES: u64 = 1 << 20;

/// A web configuration that can be put in force.
#[derive(Debug)]
pub struct LoadedWebConfig {
    file: Option<PathBuf>,
    /// When its reading began.
    read_at: Instant,
    served: WebState,
    sources: TrackedFiles,
    warnings: Vec<Diagnostic>,
}

impl LoadedWebConfig {
    /// Reads `file` and all that it names; without one, plain HTTP for everyone. Changes nothing. May take a while: call it
    /// where blocking is allowed.
    ///
    /// # Errors
    /// All that is wrong at once, each with its place and what would be right.
    pub fn read(file: Option<&Path>, now: DateTime<Utc>) -> Result<Self, ConfigErrors> {
        let read_at = Instant::now();
        let (outcome, sources) = load(file, now);
        match outcome {
            Ok((served, warnings)) => {
                Ok(Self { file: file.map(Path::to_path_buf), read_at, served, sources, warnings })
            }
            Err(problems) => Err(problems.with_files(sources)),
        }
    }

    /// What works and still deserves a look.
    pub fn warnings(&self) -> &[Diagnostic] {
        &self.warnings
    }

    /// What it is, in words, for people.
    pub fn summary(&self) -> String {
        self.served.summary()
    }
}

/// What became of a web configuration that was prepared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InstallOutcome {
    /// It is in force.
    Changed,
    /// It is in force, and nothing else than was before.
    Same,
    /// A later one of the same file was in force already, and stays.
    Stale,
}

type Outcome = Result<(WebState, Vec<Diagnostic>), ConfigErrors>;

fn load(file: Option<&Path>, now: DateTime<Utc>) -> (Outcome, TrackedFiles) {
    let mut sources = TrackedFiles::default();
    let Some(path) = file else { return (Ok((WebState::default(), Vec::new())), sources) };
    let mut reader = Reader::default();
    let name = path.display().to_string();
    let whole = Location::File(name.as_str().into());
    let text = match sources.read(path, MAX_FILE_BYTES).and_then(|bytes| {
        String::from_utf8(bytes).map_err(|_| "the file is not UTF-8 text; save it as UTF-8".to_owned())
    }) {
        Ok(text) => text,
        Err(sentence) => {
            reader.complaints.push(Diagnostic::new(&whole, "", sentence));
            String::new()
        }
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let folder = path.parent().unwrap_or(Path::new(""));
    let served = file::read(&name, text, folder, &mut reader).and_then(|file| {
        let built = match &file.tls {
            Some(tls) => Some(tls::build(tls, file.http2, now, &mut sources, &mut reader)?),
            None => None,
        };
        WebState::new(file, built)
            .map_err(|sentence| reader.complaints.push(Diagnostic::new(&whole, "", sentence)))
            .ok()
    });
    let outcome = match (ConfigErrors::from_diagnostics(reader.complaints), served) {
        (Some(problems), _) => Err(problems),
        (None, Some(served)) => Ok((served, reader.warnings)),
        (None, None) => Err(Diagnostic::new(&whole, "", "cannot be used").into()),
    };
    (outcome, sources)
}

/// The web configuration in force. Clones share it.
#[derive(Debug, Clone)]
pub struct WebConfig(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    served: ArcSwap<WebState>,
    watched: Mutex<WatchState>,
    /// Told when something has been put in force.
    installed: Notify,
}

/// What was read last, whether it was put in force or not.
#[derive(Debug)]
struct WatchState {
    file: Option<PathBuf>,
    /// When the reading began of what is in force.
    read_at: Instant,
    sources: TrackedFiles,
    /// Looks in a row that have found this, and nothing was made of it yet.
    stable_reads: u32,
    /// Whether this was told to be of no use.
    is_bad: bool,
}

impl WatchState {
    /// Of what is in force.
    fn committed(file: Option<PathBuf>, read_at: Instant, sources: TrackedFiles) -> Self {
        Self { file, read_at, sources, stable_reads: 0, is_bad: false }
    }
}

/// How often the files are looked at.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Certificate and key are two files, and a file is not written in one go: what a look finds may just not be done. That may be
/// bad, or worse: one that is emptied before it is written says "plain HTTP for everyone". What so many looks in a row have
/// found is meant.
const STABLE_READS: u32 = 3;

impl WebConfig {
    /// Begins with `prepared`.
    pub fn new(prepared: LoadedWebConfig) -> Self {
        let LoadedWebConfig { file, read_at, served, sources, .. } = prepared;
        let watched = Mutex::new(WatchState::committed(file, read_at, sources));
        Self(Arc::new(Shared { served: ArcSwap::from_pointee(served), watched, installed: Notify::new() }))
    }

    /// Puts `prepared` in force, for every request and connection that begins from now on. Where the watch has put another
    /// content of the same file in force that was read later, that stays: whoever was struck from the file meanwhile must not be
    /// let in again. A later content that is not decided yet, or that is of no use, does not hinder `prepared`; the watch then
    /// goes on from it.
    pub fn install(&self, prepared: LoadedWebConfig) -> InstallOutcome {
        let LoadedWebConfig { file, read_at, served, sources, .. } = prepared;
        let mut watched = self.watched();
        if watched.file == file && watched.read_at > read_at {
            return InstallOutcome::Stale;
        }
        *watched = WatchState::committed(file, read_at, sources);
        self.0.installed.notify_one();
        if self.swap(served) { InstallOutcome::Changed } else { InstallOutcome::Same }
    }

    /// Only while `watched` is locked.
    fn swap(&self, served: WebState) -> bool {
        let before = self.0.served.load_full();
        let served = served.reuse_from(&before);
        let has_changed = !served.is_same(&before);
        self.0.served.store(Arc::new(served));
        has_changed
    }

    /// When the certificate in force ends to be valid; none without one.
    pub fn certificate_expiry(&self) -> Option<DateTime<Utc>> {
        self.served().certificate_expiry()
    }

    /// What is in force now.
    pub(crate) fn served(&self) -> Arc<WebState> {
        self.0.served.load_full()
    }

    /// Looks at the files until `stop`, and puts in force what has changed. What cannot be used is told once, and the last
    /// good one stays.
    pub async fn watch(self, events: Events, clock: Clock, stop: CancellationToken) {
        while stop.run_until_cancelled(self.until_next_look()).await.is_some() {
            let (web, now) = (self.clone(), clock.now());
            let looked = tokio::task::spawn_blocking(move || web.poll_files(now)).await;
            match looked.unwrap_or(PollOutcome::Nothing) {
                PollOutcome::Nothing => {}
                PollOutcome::Exchanged(warnings) => {
                    events.web_config_reloaded(self.certificate_expiry(), &warnings)
                }
                PollOutcome::Bad(problems) => events.web_config_reload_failed(&problems),
            }
        }
    }

    /// Without a file there is nothing to look at.
    async fn until_next_look(&self) {
        while self.watched().file.is_none() {
            self.0.installed.notified().await;
        }
        sleep(POLL_INTERVAL).await;
    }

    fn poll_files(&self, now: DateTime<Utc>) -> PollOutcome {
        let (file, sources, undecided) = {
            let watched = self.watched();
            (watched.file.clone(), watched.sources.clone(), watched.stable_reads)
        };
        if undecided == 0 && !sources.have_changed() {
            return PollOutcome::Nothing;
        }
        let read_at = Instant::now();
        let (outcome, read) = load(file.as_deref(), now);
        let mut watched = self.watched();
        if watched.file != file || watched.sources != sources {
            // Somebody has put another one in force meanwhile.
            return PollOutcome::Nothing;
        }
        let looks = if read == sources { undecided + 1 } else { 1 };
        watched.sources = read;
        watched.stable_reads = if looks < STABLE_READS { looks } else { 0 };
        match outcome {
            _ if looks < STABLE_READS => PollOutcome::Nothing,
            Ok((served, warnings)) => {
                watched.read_at = read_at;
                let was_bad = std::mem::take(&mut watched.is_bad);
                if self.swap(served) || was_bad {
                    PollOutcome::Exchanged(warnings)
                } else {
                    PollOutcome::Nothing
                }
            }
            Err(problems) => {
                watched.is_bad = true;
                PollOutcome::Bad(problems)
            }
        }
    }

    fn watched(&self) -> std::sync::MutexGuard<'_, WatchState> {
        self.0.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a look at the files has found.
#[derive(Debug)]
enum PollOutcome {
    /// Nothing new, or nothing that is sure to be done.
    Nothing,
    Exchanged(Vec<Diagnostic>),
    Bad(ConfigErrors),
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
    fn a_file_that_is_emptied_before_it_is_written_lets_nobody_in() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("web.yml");
        std::fs::write(&path, users(&["alice"])).unwrap();
        let web = WebConfig::new(LoadedWebConfig::read(Some(&path), NOW).unwrap());
        let count = || web.served().users.as_ref().map_or(0, |users| users.hashes().len());

        for half in ["", "# users\n", "http_server_config: {http2: true}\n"] {
            std::fs::write(&path, half).unwrap();
            for _ in 1..STABLE_READS {
                assert!(matches!(web.poll_files(NOW), PollOutcome::Nothing), "{half:?}");
            }
        }
        std::fs::write(&path, users(&["alice", "bob"])).unwrap();
        for _ in 1..STABLE_READS {
            assert!(matches!(web.poll_files(NOW), PollOutcome::Nothing));
            assert_eq!(count(), 1, "the one before stays in force");
        }
        assert!(matches!(web.poll_files(NOW), PollOutcome::Exchanged(_)));
        assert_eq!(count(), 2);
        assert!(matches!(web.poll_files(NOW), PollOutcome::Nothing));

        std::fs::write(&path, "").unwrap();
        let looks: Vec<_> = (0..STABLE_READS).map(|_| web.poll_files(NOW)).collect();
        assert!(
            matches!(looks[..], [PollOutcome::Nothing, PollOutcome::Nothing, PollOutcome::Exchanged(_)]),
            "it is meant: {looks:?}"
        );
        assert_eq!(count(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_prepared_before_the_watch_exchanged_the_file_is_not_put_in_force_after_it() {
        let folder = tempfile::tempdir().unwrap();
        let (path, other) = (folder.path().join("web.yml"), folder.path().join("other.yml"));
        std::fs::write(&path, users(&["alice", "mallory"])).unwrap();
        let read = |path: &Path| LoadedWebConfig::read(Some(path), NOW).unwrap();
        let web = WebConfig::new(read(&path));
        let count = || web.served().users.as_ref().map_or(0, |users| users.hashes().len());
        let looks = || {
            for _ in 0..STABLE_READS {
                web.poll_files(NOW);
            }
        };
        let (early, late) = (read(&path), read(&path));
        std::fs::write(&other, users(&["alice", "bob", "carol"])).unwrap();
        let elsewhere = read(&other);

        tokio::time::advance(POLL_INTERVAL).await;
        std::fs::write(&path, "basic_auth_user: {}").unwrap();
        looks();
        assert_eq!(web.install(early), InstallOutcome::Same);
        assert_eq!(count(), 2, "a later content that is of no use leaves the last good one");

        std::fs::write(&path, users(&["alice"])).unwrap();
        looks();
        assert_eq!(count(), 1);
        assert_eq!(web.install(late), InstallOutcome::Stale);
        assert_eq!(count(), 1, "mallory stays out");
        assert_eq!(web.install(elsewhere), InstallOutcome::Changed, "another file is another matter");
        assert_eq!(count(), 3);
    }

    #[test]
    fn what_is_put_in_force_by_hand_waits_for_no_look() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("web.yml");
        std::fs::write(&path, users(&["alice"])).unwrap();
        let web = WebConfig::new(LoadedWebConfig::read(Some(&path), NOW).unwrap());
        std::fs::write(&path, "basic_auth_user: {}").unwrap();
        let looks: Vec<_> = (0..=STABLE_READS).map(|_| web.poll_files(NOW)).collect();
        assert!(
            matches!(
                looks[..],
                [PollOutcome::Nothing, PollOutcome::Nothing, PollOutcome::Bad(_), PollOutcome::Nothing]
            ),
            "told once: {looks:?}"
        );
        std::fs::write(&path, users(&["alice"])).unwrap();
        assert!(matches!(web.poll_files(NOW), PollOutcome::Nothing));
        web.install(LoadedWebConfig::read(Some(&path), NOW).unwrap());
        assert!(matches!(web.poll_files(NOW), PollOutcome::Nothing), "there is nothing left to decide");
    }
}
