//! Configuration changes during polling.

use std::io::{Error, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use polyai_domain::clock::Clock;
use polyai_engine::ledger::store::Store;
use polyai_exporter::app::{App, ShutdownOutcome};
use polyai_exporter::config::{Dimension, Secret, Settings};
use redb::StorageBackend;
use redb::backends::InMemoryBackend;

use crate::support::calls::{call, mixed_calls, project};
use crate::support::scenario::{Exporter, Scenario, scenario, wait};
use crate::support::scrape::Scrape;
use crate::support::{hours, minutes, seconds, start_time};

const CALLS: &str = "polyai_conversations_total";
const SUCCESSFUL: &str = "polyai_exporter_config_last_reload_successful";

fn hotel<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [&[("project", "hotel")], more].concat()
}

/// A hotel, and a bank that is not configured at first.
pub(super) async fn hotel_beside_a_bank() -> (Scenario, Settings) {
    let calls = || mixed_calls(minutes(1), hours(2), seconds(40));
    let mut scenario = scenario([project("bank").with_calls(calls()), project("hotel").with_calls(calls())]);
    let both = scenario.settings_mut().targets.clone();
    scenario.settings_mut().targets.retain(|target| target.key.project == "hotel");
    let scenario = scenario.start().await;
    let mut settings = scenario.settings.clone();
    settings.targets = both;
    for target in &mut settings.targets {
        target.base_url = scenario.simulator.base_url(target.key.region);
    }
    (scenario, settings)
}

#[tokio::test(start_paused = true)]
async fn added_target_counts_from_anchor() {
    let (scenario, both) = hotel_beside_a_bank().await;
    wait(minutes(30)).await;
    let before = scenario.scrape().await;
    before.assert_absent("polyai_target_up", &[("project", "bank")]);
    let changes = scenario.exporter.reload(both).await.unwrap();
    assert_eq!(changes, "1 target added (bank/us-1/live)");
    let at_once = scenario.scrape().await;
    at_once.assert_absent(CALLS, &[("project", "bank")]);
    at_once.assert_metric("polyai_target_catching_up", &[("project", "bank")], 1.0);
    at_once.assert_metric(
        "polyai_target_last_success_timestamp_seconds",
        &hotel(&[]),
        before.value("polyai_target_last_success_timestamp_seconds", &hotel(&[])),
    );
    let (status, _) = scenario.exporter.get("/-/ready").await;
    assert_eq!(status, 200, "what was ready stays so");
    wait(hours(26)).await;
    let after = scenario.scrape().await;
    scenario.assert_totals("bank", &after);
    scenario.assert_totals("hotel", &after);
}

#[tokio::test(start_paused = true)]
async fn removed_target_returns_with_its_totals() {
    let (scenario, both) = hotel_beside_a_bank().await;
    let alone = scenario.settings.clone();
    scenario.exporter.reload(both.clone()).await.unwrap();
    wait(minutes(30)).await;
    let counted = scenario.scrape().await.total(CALLS, &[("project", "bank")]);
    assert!(counted > 10.0);
    assert_eq!(scenario.exporter.reload(alone).await.unwrap(), "1 target removed (bank/us-1/live)");
    let without = scenario.scrape().await;
    for metric in [CALLS, "polyai_target_up", "polyai_target_info", "polyai_turn_latency_seconds_count"] {
        without.assert_absent(metric, &[("project", "bank")]);
    }
    wait(minutes(30)).await;
    scenario.exporter.reload(both).await.unwrap();
    let back = scenario.scrape().await.total(CALLS, &[("project", "bank")]);
    assert_eq!(back, counted, "its totals go on where they were");
    wait(hours(26)).await;
    let after = scenario.scrape().await;
    scenario.assert_totals("bank", &after);
    scenario.assert_totals("hotel", &after);
}

#[tokio::test(start_paused = true)]
async fn new_key_is_used_immediately() {
    let mut project = project("hotel").with_calls(mixed_calls(minutes(1), hours(1), seconds(40)));
    project.keys.push("a-new-key".to_owned());
    let scenario = scenario([project]).start_with(|api| api.revoke_key("key-of-hotel")).await;
    wait(minutes(8)).await;
    assert_eq!(scenario.scrape().await.problems("hotel"), ["unauthorized"]);
    let mut settings = scenario.settings.clone();
    settings.targets[0].api_key = Secret::new("a-new-key");
    scenario.exporter.reload(settings).await.unwrap();
    wait(seconds(2)).await;
    let scrape = scenario.scrape().await;
    assert!(scrape.problems("hotel").is_empty(), "{:?}", scrape.problems("hotel"));
    scrape.assert_metric("polyai_target_up", &hotel(&[]), 1.0);
    wait(hours(26)).await;
    scenario.assert_totals("hotel", &scenario.scrape().await);
}

#[tokio::test(start_paused = true)]
async fn invalid_config_changes_nothing() {
    let scenario = scenario([project("hotel").with_calls([call("CA01", minutes(1))])]).start().await;
    wait(minutes(1)).await;
    scenario.scrape().await.assert_metric(SUCCESSFUL, &[], 1.0);
    let reason = scenario.exporter.failed_reload("polling:\n  intervall: 5s\n").await;
    assert!(reason.contains("did you mean `interval`?"), "{reason}");
    assert!(reason.contains(".yaml:2:3: polling.intervall"), "{reason}");
    // The exporter's own metrics are at most a second old.
    wait(seconds(1)).await;
    let scrape = scenario.scrape().await;
    scrape.assert_metric(SUCCESSFUL, &[], 0.0);
    let loaded_at = start_time().timestamp() as f64;
    scrape.assert_metric("polyai_exporter_config_last_reload_success_timestamp_seconds", &[], loaded_at);
    scrape.assert_metric("polyai_exporter_events_total", &[("event", "config_reload_failed")], 1.0);
    wait(minutes(5)).await;
    scenario.assert_totals("hotel", &scenario.scrape().await);

    let mut elsewhere = scenario.settings.clone();
    elsewhere.storage = polyai_exporter::config::Storage::Directory("elsewhere".into());
    let reason = scenario.exporter.reload(elsewhere).await.unwrap_err();
    assert!(reason.starts_with("storage changed, which needs a restart"), "{reason}");

    assert_eq!(scenario.exporter.reload(scenario.settings.clone()).await.unwrap(), "nothing changed");
    wait(seconds(1)).await;
    scenario.scrape().await.assert_metric(SUCCESSFUL, &[], 1.0);
}

#[tokio::test(start_paused = true)]
async fn reload_applies_interval_and_formats() {
    let scenario = scenario([project("hotel").with_calls([call("CA01", minutes(1))])]).start().await;
    wait(minutes(3)).await;
    let mut settings = scenario.settings.clone();
    settings.polling.interval = seconds(5);
    settings.metrics.openmetrics_created = true;
    scenario.exporter.reload(settings).await.unwrap();
    let polls = |scrape: &Scrape| scrape.value("polyai_exporter_poll_duration_seconds_count", &[]);
    let before = polls(&scenario.scrape().await);
    wait(minutes(1)).await;
    let more = polls(&scenario.scrape().await) - before;
    assert!((11.0..=13.0).contains(&more), "{more} polls in a minute");
    let text = scenario.exporter.get_as("/metrics", "application/openmetrics-text; version=1.0.0").await;
    assert!(text.contains("polyai_conversations_created{"), "the pages of before are given up");
}

#[tokio::test(start_paused = true)]
async fn reload_replaces_label_in_all_series() {
    let (scenario, both) = hotel_beside_a_bank().await;
    scenario.exporter.reload(both.clone()).await.unwrap();
    wait(minutes(30)).await;
    for (labels, shown) in [(vec![], ""), (vec![Dimension::Variant], "variant=\"")] {
        let mut settings = both.clone();
        settings.metrics.labels = labels;
        assert_eq!(scenario.exporter.reload(settings).await.unwrap(), "metrics changed");
        wait(minutes(10)).await;
        let (_, page) = scenario.exporter.get("/metrics").await;
        assert!(!page.contains("channel=\""), "{page}");
        let lines = page.lines().filter(|line| line.starts_with(&format!("{CALLS}{{")));
        let lines: Vec<&str> = lines.collect();
        assert!(lines.len() >= 2 && lines.iter().all(|line| line.contains(shown)), "{lines:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn restarted_pollers_share_one_key_budget() {
    let scenario = scenario([project("hotel")])
        .with_polling(|polling| polling.requests_per_minute = 6.try_into().unwrap())
        .start()
        .await;
    for round in 0..120u32 {
        let mut settings = scenario.settings.clone();
        settings.targets[0].channels = vec![format!("CHANNEL-{}", round % 2)];
        settings.polling.requests_per_minute = (6 + round / 2 % 2).try_into().unwrap();
        scenario.exporter.reload(settings).await.unwrap();
        wait(seconds(5)).await;
    }
    let requests = scenario.api().traffic(&scenario.target("hotel")).requests;
    // Six at once, and then six or seven a minute; a request that a reload cuts off has been paid for.
    assert!((40..=6 + 70).contains(&requests), "{requests} requests in ten minutes");
}

/// Five hundred reloads over two hours of calls, of every kind, some of them refused; between them scrapes.
#[tokio::test(start_paused = true)]
async fn five_hundred_reloads_lose_and_leak_nothing() {
    let (scenario, both) = hotel_beside_a_bank().await;
    let alone = scenario.settings.clone();
    scenario.exporter.reload(both.clone()).await.unwrap();
    wait(minutes(2)).await;
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let (idle, begun) = (tasks(), scenario.now());
    let api = scenario.exporter.scrape_continuously(seconds(3));
    for round in 0..100u64 {
        let mut other_key = both.clone();
        other_key.targets[0].channels = vec![format!("CHANNEL-{}", round % 2)];
        let mut other_pace = both.clone();
        other_pace.polling.interval = seconds(20 + round % 7);
        let mut other_window = both.clone();
        other_window.metrics.recent_window = minutes(10 + round % 3);
        for settings in [alone.clone(), other_key, other_pace, other_window] {
            scenario.exporter.reload(settings).await.unwrap();
            wait(Duration::from_millis(11_000 + round * 37 % 9_000)).await;
        }
        scenario.exporter.failed_reload("targets: 7\n").await;
    }
    assert!(scenario.now() - begun > chrono::TimeDelta::hours(1), "the calls came meanwhile");
    scenario.exporter.reload(both).await.unwrap();
    let scrapes = api.stop().await;
    assert!(scrapes > 1000, "only {scrapes} scrapes");
    wait(minutes(2)).await;
    let left = tasks();
    assert!(left <= idle + 4, "{left} tasks where {idle} were; connections aside, they should be as many");
    wait(hours(26)).await;
    let after = scenario.scrape().await;
    scenario.assert_totals("bank", &after);
    scenario.assert_totals("hotel", &after);
}

/// A disk in memory that takes nothing while it is full.
#[derive(Debug, Default, Clone)]
pub(super) struct Disk {
    memory: Arc<InMemoryBackend>,
    is_full: Arc<AtomicBool>,
}

impl Disk {
    pub(super) fn set_full(&self, is_full: bool) {
        self.is_full.store(is_full, Ordering::SeqCst);
    }

    pub(super) fn store(&self) -> Store {
        let mounted = self.clone();
        Store::with_backend(move || mounted.clone()).unwrap()
    }

    fn takes(&self) -> Result<(), Error> {
        if self.is_full.load(Ordering::SeqCst) { Err(ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> Result<u64, Error> {
        self.memory.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), Error> {
        self.memory.read(offset, out)
    }

    fn set_len(&self, length: u64) -> Result<(), Error> {
        self.takes().and_then(|()| self.memory.set_len(length))
    }

    fn sync_data(&self) -> Result<(), Error> {
        self.takes().and_then(|()| self.memory.sync_data())
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        self.takes().and_then(|()| self.memory.write(offset, bytes))
    }
}

/// Another daemon beside that of `scenario`, with its state on `disk`.
async fn on_a_disk(scenario: &Scenario, disk: &Disk) -> Exporter {
    let clock = Clock::virtual_from(scenario.now());
    let store = disk.store();
    let app = App::build_on(&scenario.settings, clock.clone(), || Ok(store)).await.unwrap();
    Exporter::running(app, clock, &scenario.settings)
}

#[tokio::test(start_paused = true)]
async fn reload_on_full_disk_waits_and_completes() {
    let (scenario, both) = hotel_beside_a_bank().await;
    let disk = Disk::default();
    let exporter = on_a_disk(&scenario, &disk).await;
    wait(minutes(30)).await;
    disk.set_full(true);
    exporter.configure(both);
    let reload = exporter.post_reload();
    wait(seconds(5)).await;
    assert!(!reload.is_finished());
    let meanwhile = exporter.scrape().await;
    assert_eq!(meanwhile.problems("hotel"), ["storage"]);
    meanwhile.assert_absent("polyai_target_up", &[("project", "bank")]);
    disk.set_full(false);
    let (status, text) = reload.await.unwrap();
    assert_eq!((status, text.as_str()), (200, "reloaded: 1 target added (bank/us-1/live)\n"));
    wait(hours(26)).await;
    let after = exporter.scrape().await;
    scenario.assert_totals("bank", &after);
    scenario.assert_totals("hotel", &after);
    assert_eq!(exporter.stop().await, ShutdownOutcome::Orderly);
}

#[tokio::test(start_paused = true)]
async fn slow_reload_responds_early_and_continues() {
    let (scenario, both) = hotel_beside_a_bank().await;
    let disk = Disk::default();
    let exporter = on_a_disk(&scenario, &disk).await;
    let attempts =
        |scrape: &Scrape| scrape.value("polyai_exporter_events_total", &[("event", "config_reloaded")]);
    wait(minutes(1)).await;
    let before = attempts(&exporter.scrape().await);
    disk.set_full(true);
    let mut alone = scenario.settings.clone();
    alone.polling.interval = seconds(25);
    exporter.configure(alone);
    let mut asking = vec![exporter.post_reload()];
    wait(seconds(1)).await;
    exporter.configure(both);
    asking.extend((0..30).map(|_| exporter.post_reload()));
    for asked in asking {
        let (status, text) = asked.await.unwrap();
        assert_eq!(status, 503, "{text}");
        assert!(text.contains("reload still in progress"), "{text}");
    }
    // More than a connection may wait for any answer.
    wait(minutes(5)).await;
    disk.set_full(false);
    wait(minutes(2)).await;
    let after = exporter.scrape().await;
    after.assert_metric("polyai_target_up", &[("project", "bank")], 1.0);
    assert_eq!(attempts(&after) - before, 2.0, "those who asked during the first share the second");
    assert_eq!(exporter.stop().await, ShutdownOutcome::Orderly);
}

#[tokio::test(start_paused = true)]
async fn shutdown_answers_waiting_reload() {
    let (scenario, both) = hotel_beside_a_bank().await;
    let disk = Disk::default();
    let exporter = on_a_disk(&scenario, &disk).await;
    wait(minutes(1)).await;
    disk.set_full(true);
    exporter.configure(both);
    let (under_way, queued) = (exporter.post_reload(), exporter.post_reload());
    wait(seconds(30)).await;
    assert!(!under_way.is_finished() && !queued.is_finished());
    assert_eq!(exporter.stop().await, ShutdownOutcome::Cut, "the last commit has failed");
    for waiting in [under_way, queued] {
        let (status, text) = waiting.await.unwrap();
        assert_eq!(status, 500, "{text}");
        assert!(text.ends_with("the program is stopping\n"), "{text}");
    }
}
