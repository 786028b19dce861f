//! The simulated API and the daemon that polls it, in one runtime and in virtual time.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use polyai_domain::clock::Clock;
use polyai_domain::target::{ApiVersion, ClientEnv, LatencyUnit, TargetKey};
use polyai_exporter::app::{App, ReloadHandle, ReloadTrigger, ShutdownOutcome};
use polyai_exporter::config::{
    self, ConfigErrors, ConfigInput, LoadedConfig, Metrics, Polling, Secret, Server, Settings, Storage,
    Target, TrackedFiles,
};
use polyai_simulator::{Control, Project, Simulator, SimulatorHandle, World};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::log::Log;
use super::scrape::Scrape;
use super::start_time;

/// A scenario that has not started: projects, all of which are polled, and the settings of the daemon.
pub(crate) struct ScenarioBuilder {
    projects: Vec<Project>,
    settings: Settings,
}

/// A running scenario: the API responds, and the daemon polls.
pub(crate) struct Scenario {
    pub(crate) simulator: SimulatorHandle,
    pub(crate) exporter: Exporter,
    pub(crate) settings: Settings,
    pub(crate) log: Log,
    projects: Vec<Project>,
}

/// A running daemon.
pub(crate) struct Exporter {
    pub(crate) clock: Clock,
    address: SocketAddr,
    stop: CancellationToken,
    running: JoinHandle<ShutdownOutcome>,
    reloads: ReloadHandle,
    /// The configuration at the next reload.
    source: Arc<Mutex<Source>>,
}

/// The configuration that a reload reads.
enum Source {
    Settings(Box<Settings>),
    /// YAML.
    Text(&'static str),
}

impl Source {
    fn load(&self) -> Result<LoadedConfig, ConfigErrors> {
        match self {
            Self::Settings(settings) => Ok(LoadedConfig {
                settings: (**settings).clone(),
                warnings: Vec::new(),
                origin: "the scenario".to_owned(),
                sources: TrackedFiles::default(),
            }),
            Self::Text(text) => {
                let file = tempfile::NamedTempFile::with_suffix(".yaml").unwrap();
                std::fs::write(file.path(), text).unwrap();
                config::load(&ConfigInput {
                    file: Some(file.path()),
                    env: &Default::default(),
                    listen: &[],
                    web_config_file: None,
                    now: start_time(),
                })
            }
        }
    }
}

/// Continuous scrapes in the background.
pub(crate) struct Scraping(CancellationToken, JoinHandle<usize>);

impl Scraping {
    /// Stops them, and returns their number. Each must have succeeded.
    pub(crate) async fn stop(self) -> usize {
        self.0.cancel();
        self.1.await.unwrap()
    }
}

/// These projects, polled every 30 s and counted from [`start_time`] on, with request budgets that are never exhausted.
pub(crate) fn scenario(projects: impl IntoIterator<Item = Project>) -> ScenarioBuilder {
    let polling = Polling {
        anchor: Some(start_time()),
        requests_per_minute: 6000.try_into().unwrap(),
        max_concurrent_requests: 100.try_into().unwrap(),
        ..Polling::default()
    };
    let settings = Settings {
        server: Server { listen: vec!["127.0.0.1:0".parse().unwrap()], web_config_file: None },
        storage: Storage::Ephemeral,
        polling,
        metrics: Metrics::default(),
        targets: Vec::new(),
    };
    let projects: Vec<Project> = projects.into_iter().collect();
    ScenarioBuilder { projects, settings }.with_targets()
}

impl ScenarioBuilder {
    fn with_targets(mut self) -> Self {
        let targets = self.projects.iter().map(|project| Target {
            key: project.target(ClientEnv::Live),
            account_id: project.account_id.clone(),
            project_id: project.project_id.clone(),
            api_version: ApiVersion::V3,
            latency_unit: LatencyUnit::Seconds,
            api_key: Secret::new(&project.keys[0]),
            base_url: String::new(),
            ca_file: None,
            channels: vec!["VOICE-SIP".to_owned()],
        });
        self.settings.targets = targets.collect();
        self.settings.targets.sort_by(|a, b| a.key.cmp(&b.key));
        self
    }

    /// Changes the section `polling`.
    pub(crate) fn with_polling(mut self, change: impl FnOnce(&mut Polling)) -> Self {
        change(&mut self.settings.polling);
        self
    }

    /// Sets the version of the API for `project`.
    pub(crate) fn with_api_version(mut self, project: &str, version: ApiVersion) -> Self {
        let target = self.settings.targets.iter_mut().find(|target| target.key.project == project);
        target.unwrap().api_version = version;
        self
    }

    /// The settings of the daemon. The base URLs of the targets are set on start.
    pub(crate) fn settings_mut(&mut self) -> &mut Settings {
        &mut self.settings
    }

    /// Stores the state in `directory`.
    pub(crate) fn with_storage(mut self, directory: &Path) -> Self {
        self.settings.storage = Storage::Directory(directory.to_owned());
        self
    }

    /// Starts the API, and then the daemon.
    pub(crate) async fn start(self) -> Scenario {
        self.start_with(|_| {}).await
    }

    /// The same, with `prepare` called before the first poll.
    pub(crate) async fn start_with(self, prepare: impl FnOnce(&Control)) -> Scenario {
        self.start_after(async |api| {
            prepare(api);
            start_time()
        })
        .await
    }

    /// Starts the API, and the daemon `later`, with a local clock that is ahead by `step`.
    pub(crate) async fn start_at(self, later: Duration, step: TimeDelta) -> Scenario {
        self.start_after(async |api| {
            wait(later).await;
            api.now() + step
        })
        .await
    }

    /// Starts the API, and the daemon after `prepare`, which returns the time of the local clock.
    async fn start_after(self, prepare: impl AsyncFnOnce(&Control) -> DateTime<Utc>) -> Scenario {
        let log = Log::capture();
        let Self { projects, mut settings } = self;
        let world = World::new(projects.iter().cloned());
        let simulator = Simulator::on_loopback(world, Clock::virtual_from(start_time())).await.unwrap();
        for target in &mut settings.targets {
            target.base_url = simulator.base_url(target.key.region);
        }
        let shown = prepare(&simulator.control).await;
        let exporter = Exporter::start(&settings, Clock::virtual_from(shown)).await;
        Scenario { simulator, exporter, settings, log, projects }
    }
}

impl Scenario {
    /// Controls the API.
    pub(crate) fn api(&self) -> &Control {
        &self.simulator.control
    }

    /// The target of `project`.
    pub(crate) fn target(&self, project: &str) -> TargetKey {
        let found = self.projects.iter().find(|known| known.name == project);
        found.unwrap_or_else(|| panic!("no project is called {project}")).target(ClientEnv::Live)
    }

    /// The names of all projects.
    pub(crate) fn projects(&self) -> Vec<String> {
        self.projects.iter().map(|project| project.name.clone()).collect()
    }

    /// The time of the API.
    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.api().now()
    }

    /// Scrapes the daemon.
    pub(crate) async fn scrape(&self) -> Scrape {
        self.exporter.scrape().await
    }

    /// Stops the daemon, waits for `pause`, and starts it again with the same settings.
    pub(crate) async fn restart_after(mut self, pause: Duration) -> Self {
        let clock = self.exporter.clock.clone();
        assert_eq!(self.exporter.stop().await, ShutdownOutcome::Orderly, "the stop");
        wait(pause).await;
        self.exporter = Exporter::start(&self.settings, clock).await;
        self
    }

    /// Simulates `kill -9`: copies the files of the state as they are at this moment, and starts a daemon on the copy.
    pub(crate) async fn kill_and_restart(mut self, survivors: &Path) -> Self {
        let Storage::Directory(state) = &self.settings.storage else {
            panic!("the scenario has no state directory")
        };
        for file in std::fs::read_dir(state).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), survivors.join(file.file_name())).unwrap();
        }
        self.settings.storage = Storage::Directory(survivors.to_owned());
        let clock = self.exporter.clock.clone();
        // The old one may stop in order, because its files are not read again.
        self.exporter.stop().await;
        self.exporter = Exporter::start(&self.settings, clock).await;
        self
    }
}

impl Exporter {
    /// Starts a daemon.
    pub(crate) async fn start(settings: &Settings, clock: Clock) -> Self {
        Self::running(App::build(settings, clock.clone()).await.unwrap(), clock, settings)
    }

    /// Runs a daemon that was built with `clock`.
    pub(crate) fn running(app: App, clock: Clock, settings: &Settings) -> Self {
        let source = Arc::new(Mutex::new(Source::Settings(Box::new(settings.clone()))));
        let loaded = source.lock().unwrap().load().unwrap();
        let again = source.clone();
        let app = app.with_reload(&loaded, Arc::new(move || again.lock().unwrap().load()), None);
        let (address, reloads, stop) = (app.address().unwrap(), app.reloads(), CancellationToken::new());
        let running = tokio::spawn(app.run(stop.clone()));
        Self { clock, address, stop, running, reloads, source }
    }

    /// Sets the configuration for the next reload.
    pub(crate) fn configure(&self, settings: Settings) {
        *self.source.lock().unwrap() = Source::Settings(Box::new(settings));
    }

    /// Reloads with these settings. Returns what changed, or why nothing did.
    pub(crate) async fn reload(&self, settings: Settings) -> Result<String, String> {
        self.configure(settings);
        self.reloads.reload(ReloadTrigger::Signal).await
    }

    /// Sends `POST /-/reload`, and returns at once. The task returns status and body.
    pub(crate) fn post_reload(&self) -> JoinHandle<(u16, String)> {
        let url = format!("http://{}/-/reload", self.address);
        tokio::spawn(async move {
            let client = reqwest::Client::builder().no_proxy().build().unwrap();
            let answer = client.post(url).send().await.unwrap();
            (answer.status().as_u16(), answer.text().await.unwrap())
        })
    }

    /// Reloads with a file that must be refused, and returns the reason.
    pub(crate) async fn failed_reload(&self, yaml: &'static str) -> String {
        *self.source.lock().unwrap() = Source::Text(yaml);
        self.reloads.reload(ReloadTrigger::Signal).await.expect_err(yaml)
    }

    /// Scrapes it continuously, with these pauses.
    pub(crate) fn scrape_continuously(&self, pause: Duration) -> Scraping {
        let (stop, url) = (CancellationToken::new(), format!("http://{}/metrics", self.address));
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let stopped = stop.clone();
        let scraping = tokio::spawn(async move {
            let mut scrapes = 0;
            while !stopped.is_cancelled() {
                let answer = client.get(&url).send().await.unwrap();
                assert_eq!(answer.status(), 200, "scrape {scrapes}");
                assert!(answer.text().await.unwrap().contains("polyai_target_up{"), "scrape {scrapes}");
                scrapes += 1;
                tokio::time::sleep(pause).await;
            }
            scrapes
        });
        Scraping(stop, scraping)
    }

    /// Status and body of a path.
    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let answer = client.get(format!("http://{}{path}", self.address)).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// The body of a path, with this `Accept` header.
    pub(crate) async fn get_as(&self, path: &str, accept: &str) -> String {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = client.get(format!("http://{}{path}", self.address)).header("accept", accept);
        request.send().await.unwrap().text().await.unwrap()
    }

    /// Scrapes it.
    pub(crate) async fn scrape(&self) -> Scrape {
        let (status, body) = self.get("/metrics").await;
        assert_eq!(status, 200, "/metrics: {body}");
        Scrape::read(&body)
    }

    /// Stops it.
    pub(crate) async fn stop(self) -> ShutdownOutcome {
        self.stop.cancel();
        self.running.await.unwrap()
    }
}

/// Waits in virtual time.
pub(crate) async fn wait(time: Duration) {
    tokio::time::sleep(time).await;
}
