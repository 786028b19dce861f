//! Stories of a configuration that changes while calls come in.

use std::io::{Error, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use polyai_exporter::app::{App, ShutdownOutcome};
use polyai_exporter::clock::Clock;
use polyai_exporter::config::{Dimension, Secret, Settings};
use polyai_exporter::ledger::store::Store;
use redb::StorageBackend;
use redb::backends::InMemoryBackend;

use crate::support::calls::{call, mixed_calls, project};
use crate::support::scrape::Scrape;
use crate::support::story::{Exporter, Story, given, wait};
use crate::support::{dawn, hours, minutes, seconds};

const CALLS: &str = "polyai_conversations_total";
const SUCCESSFUL: &str = "polyai_exporter_config_last_reload_successful";

fn hotel<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [&[("project", "hotel")], more].concat()
}

/// A hotel, and a bank that is not configured at first.
pub(super) async fn hotel_beside_a_bank() -> (Story, Settings) {
    let calls = || mixed_calls(minutes(1), hours(2), seconds(40));
    let mut story = given([project("bank").with_calls(calls()), project("hotel").with_calls(calls())]);
    let both = story.settings_mut().targets.clone();
    story.settings_mut().targets.retain(|target| target.key.project == "hotel");
    let story = story.begin().await;
    let mut settings = story.settings.clone();
    settings.targets = both;
    for target in &mut settings.targets {
        target.base_url = story.simulator.base_url(target.key.region);
    }
    (story, settings)
}

#[tokio::test(start_paused = true)]
async fn a_target_that_is_added_counts_from_the_anchor_and_the_others_notice_nothing() {
    let (story, both) = hotel_beside_a_bank().await;
    wait(minutes(30)).await;
    let before = story.scrape().await;
    before.lacks("polyai_target_up", &[("project", "bank")]);
    let changes = story.exporter.reload(both).await.unwrap();
    assert_eq!(changes, "1 target added (bank/us-1/live)");
    let at_once = story.scrape().await;
    at_once.says(CALLS, &[("project", "bank"), ("channel", "VOICE-SIP")], 0.0);
    at_once.says(
        "polyai_target_last_success_timestamp_seconds",
        &hotel(&[]),
        before.value("polyai_target_last_success_timestamp_seconds", &hotel(&[])),
    );
    let (status, _) = story.exporter.get("/-/ready").await;
    assert_eq!(status, 200, "what was ready stays so");
    wait(hours(26)).await;
    let after = story.scrape().await;
    story.agrees("bank", &after);
    story.agrees("hotel", &after);
}

#[tokio::test(start_paused = true)]
async fn a_target_that_is_taken_out_leaves_and_comes_back_whole() {
    let (story, both) = hotel_beside_a_bank().await;
    let alone = story.settings.clone();
    story.exporter.reload(both.clone()).await.unwrap();
    wait(minutes(30)).await;
    let counted = story.scrape().await.total(CALLS, &[("project", "bank")]);
    assert!(counted > 10.0);
    assert_eq!(story.exporter.reload(alone).await.unwrap(), "1 target removed (bank/us-1/live)");
    let without = story.scrape().await;
    for metric in [CALLS, "polyai_target_up", "polyai_target_info", "polyai_turn_latency_seconds_count"] {
        without.lacks(metric, &[("project", "bank")]);
    }
    wait(minutes(30)).await;
    story.exporter.reload(both).await.unwrap();
    let back = story.scrape().await.total(CALLS, &[("project", "bank")]);
    assert_eq!(back, counted, "its totals go on where they were");
    wait(hours(26)).await;
    let after = story.scrape().await;
    story.agrees("bank", &after);
    story.agrees("hotel", &after);
}

#[tokio::test(start_paused = true)]
async fn a_new_key_acts_at_once_though_the_old_one_is_tried_every_five_minutes_only() {
    let mut project = project("hotel").with_calls(mixed_calls(minutes(1), hours(1), seconds(40)));
    project.keys.push("a-new-key".to_owned());
    let story = given([project]).begin_with(|api| api.revoke_key("key-of-hotel")).await;
    wait(minutes(8)).await;
    assert_eq!(story.scrape().await.problems("hotel"), ["unauthorized"]);
    let mut settings = story.settings.clone();
    settings.targets[0].api_key = Secret::new("a-new-key");
    story.exporter.reload(settings).await.unwrap();
    wait(seconds(2)).await;
    let scrape = story.scrape().await;
    assert!(scrape.problems("hotel").is_empty(), "{:?}", scrape.problems("hotel"));
    scrape.says("polyai_target_up", &hotel(&[]), 1.0);
    wait(hours(26)).await;
    story.agrees("hotel", &story.scrape().await);
}

#[tokio::test(start_paused = true)]
async fn a_configuration_that_cannot_be_used_changes_nothing_and_says_so() {
    let story = given([project("hotel").with_calls([call("CA01", minutes(1))])]).begin().await;
    wait(minutes(1)).await;
    story.scrape().await.says(SUCCESSFUL, &[], 1.0);
    let reason = story.exporter.reload_fails("polling:\n  intervall: 5s\n").await;
    assert!(reason.contains("did you mean `interval`?"), "{reason}");
    assert!(reason.contains(".yaml:2:3: polling.intervall"), "{reason}");
    // The exporter's own metrics are at most a second old.
    wait(seconds(1)).await;
    let scrape = story.scrape().await;
    scrape.says(SUCCESSFUL, &[], 0.0);
    let loaded_at = dawn().timestamp() as f64;
    scrape.says("polyai_exporter_config_last_reload_success_timestamp_seconds", &[], loaded_at);
    scrape.says("polyai_exporter_events_total", &[("event", "config_reload_failed")], 1.0);
    wait(minutes(5)).await;
    story.agrees("hotel", &story.scrape().await);

    let mut elsewhere = story.settings.clone();
    elsewhere.storage = polyai_exporter::config::Storage::Directory("elsewhere".into());
    let reason = story.exporter.reload(elsewhere).await.unwrap_err();
    assert!(reason.starts_with("storage changed, which needs a restart"), "{reason}");

    assert_eq!(story.exporter.reload(story.settings.clone()).await.unwrap(), "nothing changed");
    wait(seconds(1)).await;
    story.scrape().await.says(SUCCESSFUL, &[], 1.0);
}

#[tokio::test(start_paused = true)]
async fn another_interval_and_other_formats_hold_from_the_reload_on() {
    let story = given([project("hotel").with_calls([call("CA01", minutes(1))])]).begin().await;
    wait(minutes(3)).await;
    let mut settings = story.settings.clone();
    settings.polling.interval = seconds(5);
    settings.metrics.openmetrics_created = true;
    story.exporter.reload(settings).await.unwrap();
    let polls = |scrape: &Scrape| scrape.value("polyai_exporter_poll_duration_seconds_count", &[]);
    let before = polls(&story.scrape().await);
    wait(minutes(1)).await;
    let more = polls(&story.scrape().await) - before;
    assert!((11.0..=13.0).contains(&more), "{more} polls in a minute");
    let text = story.exporter.get_as("/metrics", "application/openmetrics-text; version=1.0.0").await;
    assert!(text.contains("polyai_conversations_created{"), "the pages of before are given up");
}

#[tokio::test(start_paused = true)]
async fn another_label_shows_at_once_in_every_line_and_the_old_one_in_none() {
    let (story, both) = hotel_beside_a_bank().await;
    story.exporter.reload(both.clone()).await.unwrap();
    wait(minutes(30)).await;
    for (labels, shown) in [(vec![], ""), (vec![Dimension::Variant], "variant=\"")] {
        let mut settings = both.clone();
        settings.metrics.labels = labels;
        assert_eq!(story.exporter.reload(settings).await.unwrap(), "metrics changed");
        wait(minutes(10)).await;
        let (_, page) = story.exporter.get("/metrics").await;
        assert!(!page.contains("channel=\""), "{page}");
        let lines = page.lines().filter(|line| line.starts_with(&format!("{CALLS}{{")));
        let lines: Vec<&str> = lines.collect();
        assert!(lines.len() >= 2 && lines.iter().all(|line| line.contains(shown)), "{lines:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn however_often_a_target_begins_anew_its_key_has_one_budget() {
    let story = given([project("hotel")])
        .polling(|polling| polling.requests_per_minute = 6.try_into().unwrap())
        .begin()
        .await;
    for round in 0..120u32 {
        let mut settings = story.settings.clone();
        settings.targets[0].channels = vec![format!("CHANNEL-{}", round % 2)];
        settings.polling.requests_per_minute = (6 + round / 2 % 2).try_into().unwrap();
        story.exporter.reload(settings).await.unwrap();
        wait(seconds(5)).await;
    }
    let requests = story.api().traffic(&story.target("hotel")).requests;
    // Six at once, and then six or seven a minute; a request that a reload cuts off has been paid for.
    assert!((40..=6 + 70).contains(&requests), "{requests} requests in ten minutes");
}

/// Five hundred reloads over two hours of calls, of every kind, some of them refused; between them scrapes.
#[tokio::test(start_paused = true)]
async fn after_five_hundred_reloads_nothing_is_lost_doubled_or_left_running() {
    let (story, both) = hotel_beside_a_bank().await;
    let alone = story.settings.clone();
    story.exporter.reload(both.clone()).await.unwrap();
    wait(minutes(2)).await;
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let (idle, begun) = (tasks(), story.now());
    let api = story.exporter.scraping(seconds(3));
    for round in 0..100u64 {
        let mut other_key = both.clone();
        other_key.targets[0].channels = vec![format!("CHANNEL-{}", round % 2)];
        let mut other_pace = both.clone();
        other_pace.polling.interval = seconds(20 + round % 7);
        let mut other_window = both.clone();
        other_window.metrics.recent_window = minutes(10 + round % 3);
        for settings in [alone.clone(), other_key, other_pace, other_window] {
            story.exporter.reload(settings).await.unwrap();
            wait(Duration::from_millis(11_000 + round * 37 % 9_000)).await;
        }
        story.exporter.reload_fails("targets: 7\n").await;
    }
    assert!(story.now() - begun > chrono::TimeDelta::hours(1), "the calls came meanwhile");
    story.exporter.reload(both).await.unwrap();
    let scrapes = api.stop().await;
    assert!(scrapes > 1000, "only {scrapes} scrapes");
    wait(minutes(2)).await;
    let left = tasks();
    assert!(left <= idle + 4, "{left} tasks where {idle} were; connections aside, they should be as many");
    wait(hours(26)).await;
    let after = story.scrape().await;
    story.agrees("bank", &after);
    story.agrees("hotel", &after);
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

/// Another daemon beside that of `story`, with its state on `disk`.
async fn on_a_disk(story: &Story, disk: &Disk) -> Exporter {
    let clock = Clock::virtual_from(story.now());
    let store = disk.store();
    let app = App::build_on(&story.settings, clock.clone(), || Ok(store)).await.unwrap();
    Exporter::running(app, clock, &story.settings)
}

#[tokio::test(start_paused = true)]
async fn on_a_full_disk_a_reload_waits_and_is_then_as_whole_as_any_other() {
    let (story, both) = hotel_beside_a_bank().await;
    let disk = Disk::default();
    let exporter = on_a_disk(&story, &disk).await;
    wait(minutes(30)).await;
    disk.set_full(true);
    exporter.configure(both);
    let reload = exporter.post_reload();
    wait(seconds(5)).await;
    assert!(!reload.is_finished());
    let meanwhile = exporter.scrape().await;
    assert_eq!(meanwhile.problems("hotel"), ["storage"]);
    meanwhile.lacks("polyai_target_up", &[("project", "bank")]);
    disk.set_full(false);
    let (status, text) = reload.await.unwrap();
    assert_eq!((status, text.as_str()), (200, "reloaded: 1 target added (bank/us-1/live)\n"));
    wait(hours(26)).await;
    let after = exporter.scrape().await;
    story.agrees("bank", &after);
    story.agrees("hotel", &after);
    assert_eq!(exporter.stop().await, ShutdownOutcome::Orderly);
}

#[tokio::test(start_paused = true)]
async fn who_asks_for_a_reload_that_waits_for_long_is_told_so_and_it_goes_on_by_itself() {
    let (story, both) = hotel_beside_a_bank().await;
    let disk = Disk::default();
    let exporter = on_a_disk(&story, &disk).await;
    let attempts =
        |scrape: &Scrape| scrape.value("polyai_exporter_events_total", &[("event", "config_reloaded")]);
    wait(minutes(1)).await;
    let before = attempts(&exporter.scrape().await);
    disk.set_full(true);
    let mut alone = story.settings.clone();
    alone.polling.interval = seconds(25);
    exporter.configure(alone);
    let mut asking = vec![exporter.post_reload()];
    wait(seconds(1)).await;
    exporter.configure(both);
    asking.extend((0..30).map(|_| exporter.post_reload()));
    for asked in asking {
        let (status, text) = asked.await.unwrap();
        assert_eq!(status, 503, "{text}");
        assert!(text.contains("goes on by itself"), "{text}");
    }
    // More than a connection may wait for any answer.
    wait(minutes(5)).await;
    disk.set_full(false);
    wait(minutes(2)).await;
    let after = exporter.scrape().await;
    after.says("polyai_target_up", &[("project", "bank")], 1.0);
    assert_eq!(attempts(&after) - before, 2.0, "those who asked during the first share the second");
    assert_eq!(exporter.stop().await, ShutdownOutcome::Orderly);
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_for_a_reload_when_the_program_stops_is_told_so_and_holds_nothing_up() {
    let (story, both) = hotel_beside_a_bank().await;
    let disk = Disk::default();
    let exporter = on_a_disk(&story, &disk).await;
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
