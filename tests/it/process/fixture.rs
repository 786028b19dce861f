//! A simulated API in this process, and a configuration for it.

use std::path::{Path, PathBuf};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use polyai_domain::clock::Clock;
use polyai_domain::target::TargetKey;
use polyai_simulator::{Control, Project, Simulator, SimulatorHandle, World};
use tempfile::TempDir;

use super::scrape::{Scrape, comparable};

/// The API key of every test; no output may contain it.
pub(super) const SECRET: &str = "k-3f9b1c7de05a48f2-never-shown";

/// A simulated API on the real clock, and a temporary directory.
#[derive(Debug)]
pub(super) struct Fixture {
    api: SimulatorHandle,
    dir: TempDir,
    /// Conversations that ended since then count.
    pub(super) anchor: DateTime<Utc>,
}

impl Fixture {
    /// An API with these projects. Conversations that ended up to `lookback` ago count.
    pub(super) async fn new(projects: impl IntoIterator<Item = Project>, lookback: TimeDelta) -> Self {
        let projects = projects.into_iter().map(|project| project.with_key(SECRET));
        let api = Simulator::on_loopback(World::new(projects), Clock::system()).await.unwrap();
        let anchor = api.control.now() - lookback;
        // As the configuration writes it.
        let anchor = DateTime::from_timestamp(anchor.timestamp(), 0).unwrap();
        Self { api, dir: tempfile::tempdir().unwrap(), anchor }
    }

    /// Controls the API.
    pub(super) fn control(&self) -> &Control {
        &self.api.control
    }

    /// All targets.
    pub(super) fn targets(&self) -> Vec<TargetKey> {
        self.control().projects().iter().flat_map(|project| project.targets().collect::<Vec<_>>()).collect()
    }

    /// A path in the directory.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A configuration with the state in `state`, with the shortest intervals that are allowed.
    pub(super) fn config(&self, name: &str, state: &Path) -> PathBuf {
        let anchor = self.anchor.to_rfc3339_opts(SecondsFormat::Secs, true);
        let state = state.display();
        let targets = self.api.targets_yaml();
        self.write(
            name,
            &format!(
                "storage: {{path: {state}}}\npolling:\n  interval: 1s\n  settle: 1s\n  recheck: [1m, 2m]\n  \
                 anchor: \"{anchor}\"\n  requests_per_minute: 60000\n{targets}"
            ),
        )
    }

    /// Writes a file into the directory.
    pub(super) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Compares `scrape` with the API's own recount. `Err` describes the first difference.
    pub(super) fn compare_totals(&self, scrape: &Scrape) -> Result<(), String> {
        for target in self.targets() {
            let truth = comparable(self.control().expected_totals(&target, self.anchor));
            let counted = scrape.counted(&target);
            if counted != truth {
                return Err(format!("{target}:\n  counted {counted:?}\n  truth   {truth:?}"));
            }
        }
        Ok(())
    }
}
