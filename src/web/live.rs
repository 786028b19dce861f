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
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::file;
use super::material::Sources;
use super::reader::Reader;
use super::served::Served;
use super::tls;
use crate::clock::Clock;
use crate::config::{Complaint, Place, Problems};
use crate::events::Events;

/// A web configuration that can be put in force.
#[derive(Debug)]
pub struct Prepared {
    file: Option<PathBuf>,
    served: Served,
    sources: Sources,
    warnings: Vec<Complaint>,
}

impl Prepared {
    /// Reads `file` and all that it names; without one, plain HTTP for everyone. Changes nothing. May take a while: call it
    /// where blocking is allowed.
    ///
    /// # Errors
    /// All that is wrong at once, each with its place and what would be right.
    pub fn read(file: Option<&Path>, now: DateTime<Utc>) -> Result<Self, Problems> {
        let (outcome, sources) = attempt(file, now);
        outcome.map(|(served, warnings)| Self {
            file: file.map(Path::to_path_buf),
            served,
            sources,
            warnings,
        })
    }

    /// What works and still deserves a look.
    pub fn warnings(&self) -> &[Complaint] {
        &self.warnings
    }

    /// What it is, in words, for people.
    pub fn summary(&self) -> String {
        self.served.summary()
    }
}

type Outcome = Result<(Served, Vec<Complaint>), Problems>;

fn attempt(file: Option<&Path>, now: DateTime<Utc>) -> (Outcome, Sources) {
    let mut sources = Sources::default();
    let Some(path) = file else { return (Ok((Served::default(), Vec::new())), sources) };
    let mut reader = Reader::default();
    let name = path.display().to_string();
    let whole = Place::File(name.as_str().into());
    let text = match sources.read(path).and_then(|bytes| {
        String::from_utf8(bytes).map_err(|_| "the file is not UTF-8 text; save it as UTF-8".to_owned())
    }) {
        Ok(text) => text,
        Err(sentence) => {
            reader.complaints.push(Complaint::new(&whole, "", sentence));
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
        Served::new(file, built)
            .map_err(|sentence| reader.complaints.push(Complaint::new(&whole, "", sentence)))
            .ok()
    });
    let outcome = match (Problems::from_complaints(reader.complaints), served) {
        (Some(problems), _) => Err(problems),
        (None, Some(served)) => Ok((served, reader.warnings)),
        (None, None) => Err(Problems::of(Complaint::new(&whole, "", "cannot be used"))),
    };
    (outcome, sources)
}

/// The web configuration in force. Clones share it.
#[derive(Debug, Clone)]
pub struct Web(Arc<Live>);

#[derive(Debug)]
struct Live {
    served: ArcSwap<Served>,
    watched: Mutex<Watched>,
    /// Told when something has been put in force.
    installed: Notify,
}

/// What was read last, whether it was put in force or not.
#[derive(Debug)]
struct Watched {
    file: Option<PathBuf>,
    sources: Sources,
    /// Looks in a row that have found this, and nothing was made of it yet.
    undecided: u32,
    /// Whether this was told to be of no use.
    is_bad: bool,
}

impl Watched {
    /// Of what is in force.
    fn decided(file: Option<PathBuf>, sources: Sources) -> Self {
        Self { file, sources, undecided: 0, is_bad: false }
    }
}

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Certificate and key are two files, and a file is not written in one go: what a look finds may just not be done. That may be
/// bad, or worse: one that is emptied before it is written says "plain HTTP for everyone". What so many looks in a row have
/// found is meant.
const LOOKS: u32 = 3;

impl Web {
    /// Begins with `prepared`.
    pub fn new(prepared: Prepared) -> Self {
        let Prepared { file, served, sources, .. } = prepared;
        let watched = Mutex::new(Watched::decided(file, sources));
        Self(Arc::new(Live { served: ArcSwap::from_pointee(served), watched, installed: Notify::new() }))
    }

    /// Puts `prepared` in force, for every request and connection that begins from now on; answers whether anything changed
    /// by that.
    pub fn install(&self, prepared: Prepared) -> bool {
        let Prepared { file, served, sources, .. } = prepared;
        let mut watched = self.watched();
        *watched = Watched::decided(file, sources);
        self.0.installed.notify_one();
        self.put(served)
    }

    /// Only while `watched` is locked.
    fn put(&self, served: Served) -> bool {
        let before = self.0.served.load_full();
        let served = served.after(&before);
        let has_changed = !served.is_same(&before);
        self.0.served.store(Arc::new(served));
        has_changed
    }

    /// Reads the file anew and puts it in force; answers with the warnings. Blocks for as long as reading takes.
    ///
    /// # Errors
    /// As [`Prepared::read`]; then all stays as it is.
    pub fn reload(&self, now: DateTime<Utc>) -> Result<Vec<Complaint>, Problems> {
        let file = self.watched().file.clone();
        let prepared = Prepared::read(file.as_deref(), now)?;
        let warnings = prepared.warnings.clone();
        self.install(prepared);
        Ok(warnings)
    }

    /// When the certificate in force ends to be valid; none without one.
    pub fn certificate_expiry(&self) -> Option<DateTime<Utc>> {
        self.served().certificate_expiry()
    }

    /// What is in force now.
    pub(crate) fn served(&self) -> Arc<Served> {
        self.0.served.load_full()
    }

    /// Looks at the files until `stop`, and puts in force what has changed. What cannot be used is told once, and the last
    /// good one stays.
    pub async fn watch(self, events: Events, clock: Clock, stop: CancellationToken) {
        while stop.run_until_cancelled(self.until_next_look()).await.is_some() {
            let (web, now) = (self.clone(), clock.now());
            let looked = tokio::task::spawn_blocking(move || web.look(now)).await;
            match looked.unwrap_or(Look::Nothing) {
                Look::Nothing => {}
                Look::Exchanged(warnings) => {
                    events.web_config_exchanged(self.certificate_expiry(), &warnings)
                }
                Look::Bad(problems) => events.web_config_rejected(&problems),
            }
        }
    }

    /// Without a file there is nothing to look at.
    async fn until_next_look(&self) {
        while self.watched().file.is_none() {
            self.0.installed.notified().await;
        }
        sleep(LOOK).await;
    }

    fn look(&self, now: DateTime<Utc>) -> Look {
        let (file, sources, undecided) = {
            let watched = self.watched();
            (watched.file.clone(), watched.sources.clone(), watched.undecided)
        };
        if undecided == 0 && !sources.have_changed() {
            return Look::Nothing;
        }
        let (outcome, read) = attempt(file.as_deref(), now);
        let mut watched = self.watched();
        if watched.file != file || watched.sources != sources {
            // Somebody has put another one in force meanwhile.
            return Look::Nothing;
        }
        let looks = if read == sources { undecided + 1 } else { 1 };
        watched.sources = read;
        watched.undecided = if looks < LOOKS { looks } else { 0 };
        match outcome {
            _ if looks < LOOKS => Look::Nothing,
            Ok((served, warnings)) => {
                let was_bad = std::mem::take(&mut watched.is_bad);
                if self.put(served) || was_bad { Look::Exchanged(warnings) } else { Look::Nothing }
            }
            Err(problems) => {
                watched.is_bad = true;
                Look::Bad(problems)
            }
        }
    }

    fn watched(&self) -> std::sync::MutexGuard<'_, Watched> {
        self.0.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a look at the files has found.
#[derive(Debug)]
enum Look {
    /// Nothing new, or nothing that is sure to be done.
    Nothing,
    Exchanged(Vec<Complaint>),
    Bad(Problems),
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
        let web = Web::new(Prepared::read(Some(&path), NOW).unwrap());
        let count = || web.served().users.as_ref().map_or(0, |users| users.hashes().len());

        for half in ["", "# users\n", "http_server_config: {http2: true}\n"] {
            std::fs::write(&path, half).unwrap();
            for _ in 1..LOOKS {
                assert!(matches!(web.look(NOW), Look::Nothing), "{half:?}");
            }
        }
        std::fs::write(&path, users(&["alice", "bob"])).unwrap();
        for _ in 1..LOOKS {
            assert!(matches!(web.look(NOW), Look::Nothing));
            assert_eq!(count(), 1, "the one before stays in force");
        }
        assert!(matches!(web.look(NOW), Look::Exchanged(_)));
        assert_eq!(count(), 2);
        assert!(matches!(web.look(NOW), Look::Nothing));

        std::fs::write(&path, "").unwrap();
        let looks: Vec<_> = (0..LOOKS).map(|_| web.look(NOW)).collect();
        assert!(
            matches!(looks[..], [Look::Nothing, Look::Nothing, Look::Exchanged(_)]),
            "it is meant: {looks:?}"
        );
        assert_eq!(count(), 0);
    }

    #[test]
    fn what_is_put_in_force_by_hand_waits_for_no_look() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("web.yml");
        std::fs::write(&path, users(&["alice"])).unwrap();
        let web = Web::new(Prepared::read(Some(&path), NOW).unwrap());
        std::fs::write(&path, "basic_auth_user: {}").unwrap();
        let looks: Vec<_> = (0..=LOOKS).map(|_| web.look(NOW)).collect();
        assert!(
            matches!(looks[..], [Look::Nothing, Look::Nothing, Look::Bad(_), Look::Nothing]),
            "told once: {looks:?}"
        );
        std::fs::write(&path, users(&["alice"])).unwrap();
        assert!(matches!(web.look(NOW), Look::Nothing));
        web.reload(NOW).unwrap();
        assert!(matches!(web.look(NOW), Look::Nothing), "there is nothing left to decide");
    }
}
