//! Changes of configuration files that the daemon detects.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use polyai_domain::clock::Clock;
use polyai_exporter::app::{App, Configuration, ReloadAttempt, ReloadHandle, ReloadTrigger, ShutdownOutcome};
use polyai_exporter::config::{self, ConfigErrors, ConfigInput, LoadedConfig, Settings};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::reload::{Disk, hotel_beside_a_bank};
use crate::support::scenario::wait;
use crate::support::scrape::Scrape;
use crate::support::{minutes, seconds};

/// A directory with the files of a configuration.
struct Files(TempDir);

impl Files {
    /// With `polyai.yaml`, which says `settings`.
    fn saying(settings: &Settings) -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        files.say(settings, "");
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    /// Lets `polyai.yaml` say `settings`, and `more` of each target.
    fn say(&self, settings: &Settings, more: &str) {
        let polling = &settings.polling;
        let web = if self.path("web.yml").exists() { ", web_config_file: web.yml" } else { "" };
        let mut text = format!(
            "server: {{listen: \"127.0.0.1:0\"{web}}}\nstorage: {{ephemeral: true}}\npolling: {{anchor: \"{}\", requests_per_minute: {}}}\n\
             targets:\n",
            polling.anchor.unwrap().to_rfc3339(),
            polling.requests_per_minute
        );
        for target in &settings.targets {
            writeln!(
                text,
                "  - {{name: {}, region: {}, account_id: {}, project_id: {}, api_key: {}, base_url: \"{}\"{more}}}",
                target.key.project,
                target.key.region,
                target.account_id,
                target.project_id,
                target.api_key.expose_secret(),
                target.base_url
            )
            .unwrap();
        }
        self.write("polyai.yaml", &text);
    }

    fn load(&self) -> Result<LoadedConfig, ConfigErrors> {
        let (file, env) = (self.path("polyai.yaml"), Default::default());
        config::load_again(&ConfigInput {
            file: Some(&file),
            env: &env,
            listen: &[],
            web_config_file: None,
            now: crate::support::start_time(),
        })
    }
}

/// A daemon that looks at its files every 30 s.
struct Watching {
    address: SocketAddr,
    reloads: ReloadHandle,
    configuration: Configuration,
    stop: CancellationToken,
    running: JoinHandle<ShutdownOutcome>,
}

impl Watching {
    /// Starts one that has read what `loaded` says, with its state on `disk`.
    async fn start(files: &Arc<Files>, loaded: &LoadedConfig, disk: &Disk, clock: Clock) -> Self {
        let store = disk.store();
        let app = App::build_on(&loaded.settings, clock, || Ok(store)).await.unwrap();
        let again = files.clone();
        let app = app.with_reload(loaded, Arc::new(move || again.load()), Some(seconds(30)));
        let (address, reloads) = (app.address().unwrap(), app.reloads());
        let (configuration, stop) = (app.configuration(), CancellationToken::new());
        let running = tokio::spawn(app.run(stop.clone()));
        Self { address, reloads, configuration, stop, running }
    }

    fn targets(&self) -> usize {
        self.configuration.load().settings.targets.len()
    }

    fn last_attempt(&self) -> ReloadAttempt {
        self.configuration.load().last_attempt.clone().expect("an attempt")
    }

    async fn ask(&self, user: &str, path: &str) -> reqwest::Response {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = client.get(format!("http://{}{path}", self.address));
        request.basic_auth(user, Some("secret")).send().await.unwrap()
    }

    /// The status that a user gets.
    async fn admits(&self, user: &str) -> u16 {
        self.ask(user, "/-/healthy").await.status().as_u16()
    }

    /// The metrics that a user gets.
    async fn scrape(&self, user: &str) -> Scrape {
        Scrape::read(&self.ask(user, "/metrics").await.text().await.unwrap())
    }

    async fn stop(self) {
        self.stop.cancel();
        assert_eq!(self.running.await.unwrap(), ShutdownOutcome::Orderly);
    }
}

#[tokio::test(start_paused = true)]
async fn change_during_startup_is_detected() {
    let (scenario, both) = hotel_beside_a_bank().await;
    let files = Arc::new(Files::saying(&scenario.settings));
    let read_first = files.load().unwrap();
    files.say(&both, "");
    let clock = Clock::virtual_from(scenario.now());
    let daemon = Watching::start(&files, &read_first, &Disk::default(), clock).await;
    wait(seconds(2)).await;
    assert_eq!(daemon.targets(), 2);
    daemon.stop().await;
}

#[tokio::test(start_paused = true)]
async fn corrected_ca_file_is_loaded() {
    let (scenario, both) = hotel_beside_a_bank().await;
    let files = Arc::new(Files::saying(&scenario.settings));
    let clock = Clock::virtual_from(scenario.now());
    let daemon = Watching::start(&files, &files.load().unwrap(), &Disk::default(), clock).await;
    wait(minutes(1)).await;
    files.write("ca.pem", "-----BEGIN CERTIFICATE-----\nno base64\n-----END CERTIFICATE-----\n");
    files.say(&both, ", ca_file: ca.pem");
    wait(minutes(1)).await;
    let refused = daemon.last_attempt();
    let reason = refused.outcome.clone().unwrap_err();
    assert!(reason.contains("].ca_file: ") && reason.contains("ca.pem: "), "{reason}");
    wait(minutes(10)).await;
    assert_eq!(daemon.last_attempt(), refused, "what stays as it was is not tried again");
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    files.write("ca.pem", &own.cert.pem());
    wait(minutes(1)).await;
    assert_eq!(daemon.targets(), 2);
    daemon.stop().await;
}

#[tokio::test(start_paused = true)]
async fn edit_during_waiting_reload_is_loaded() {
    let (scenario, both) = hotel_beside_a_bank().await;
    let files = Arc::new(Files::saying(&scenario.settings));
    let (disk, clock) = (Disk::default(), Clock::virtual_from(scenario.now()));
    let daemon = Watching::start(&files, &files.load().unwrap(), &disk, clock).await;
    wait(minutes(1)).await;
    disk.set_full(true);
    files.say(&scenario.settings, ", channels: [CHAT]");
    wait(minutes(1)).await;
    assert_eq!(daemon.targets(), 1, "it waits");
    files.say(&both, "");
    wait(minutes(5)).await;
    disk.set_full(false);
    wait(minutes(3)).await;
    assert_eq!(daemon.targets(), 2);
    daemon.stop().await;
}

#[tokio::test(start_paused = true)]
async fn user_removed_during_reload_stays_removed() {
    let users = |names: &[&str]| {
        let hash = bcrypt::hash("secret", 4).unwrap();
        let lines: String = names.iter().map(|name| format!("  {name}: {hash}\n")).collect();
        format!("basic_auth_users:\n{lines}")
    };
    let (scenario, both) = hotel_beside_a_bank().await;
    let files = Arc::new(Files(tempfile::tempdir().unwrap()));
    files.write("web.yml", &users(&["alice", "mallory"]));
    files.say(&scenario.settings, "");
    let (disk, clock) = (Disk::default(), Clock::virtual_from(scenario.now()));
    let daemon = Watching::start(&files, &files.load().unwrap(), &disk, clock).await;
    wait(minutes(1)).await;
    assert_eq!((daemon.admits("alice").await, daemon.admits("mallory").await), (200, 200));

    disk.set_full(true);
    files.say(&both, "");
    let reloads = daemon.reloads.clone();
    let reload = tokio::spawn(async move { reloads.reload(ReloadTrigger::Signal).await });
    wait(seconds(1)).await;
    files.write("web.yml", &users(&["alice"]));
    wait(seconds(10)).await;
    assert!(!reload.is_finished());
    assert_eq!(daemon.admits("mallory").await, 401);

    // A later invalid one is reported.
    files.write("web.yml", "basic_auth_user: {}\n");
    wait(seconds(10)).await;
    disk.set_full(false);
    assert_eq!(reload.await.unwrap().unwrap(), "1 target added (bank/us-1/live)");
    for _ in 0..10 {
        assert_eq!((daemon.admits("alice").await, daemon.admits("mallory").await), (200, 401));
        wait(seconds(1)).await;
    }
    let scrape = daemon.scrape("alice").await;
    scrape.assert_metric("polyai_exporter_web_config_last_reload_successful", &[], 0.0);
    daemon.stop().await;
}
