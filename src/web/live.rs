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
    /// Looks in a row that found something that cannot be used.
    bad_looks: u32,
}

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Certificate and key are two files, and a file is not written in one go: what is bad may just not be done. So much later it
/// is meant.
const BAD_LOOKS: u32 = 3;

impl Web {
    /// Begins with `prepared`.
    pub fn new(prepared: Prepared) -> Self {
        let Prepared { file, served, sources, .. } = prepared;
        let watched = Mutex::new(Watched { file, sources, bad_looks: 0 });
        Self(Arc::new(Live { served: ArcSwap::from_pointee(served), watched, installed: Notify::new() }))
    }

    /// Puts `prepared` in force, for every request and connection that begins from now on; answers whether anything changed
    /// by that.
    pub fn install(&self, prepared: Prepared) -> bool {
        let Prepared { file, served, sources, .. } = prepared;
        let mut watched = self.watched();
        *watched = Watched { file, sources, bad_looks: 0 };
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
            match looked.unwrap_or(Look::Same) {
                Look::Same | Look::NotYet => {}
                Look::Exchanged(warnings) => events.web_config_exchanged(&warnings),
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
        let (file, sources, bad_looks) = {
            let watched = self.watched();
            (watched.file.clone(), watched.sources.clone(), watched.bad_looks)
        };
        let has_changed = sources.have_changed();
        let is_undecided = (1..BAD_LOOKS).contains(&bad_looks);
        if !has_changed && !is_undecided {
            return Look::Same;
        }
        let (outcome, read) = attempt(file.as_deref(), now);
        let mut watched = self.watched();
        if watched.file != file || watched.sources != sources {
            // Somebody has put another one in force meanwhile.
            return Look::Same;
        }
        watched.sources = read;
        match outcome {
            Ok((served, warnings)) => {
                watched.bad_looks = 0;
                let was_bad = bad_looks >= BAD_LOOKS;
                if self.put(served) || was_bad { Look::Exchanged(warnings) } else { Look::Same }
            }
            Err(problems) => {
                watched.bad_looks = if has_changed { 1 } else { bad_looks + 1 };
                if watched.bad_looks == BAD_LOOKS { Look::Bad(problems) } else { Look::NotYet }
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
    Same,
    /// Bad, but it may not be done yet.
    NotYet,
    Exchanged(Vec<Complaint>),
    Bad(Problems),
}
