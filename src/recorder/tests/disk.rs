//! The recorder's task on a disk that fails for a while: what it says of that.

use serde_json::Value as Json;
use tokio_util::sync::CancellationToken;

use super::super::task::{RecorderHandle, RecorderTask};
use super::*;
use crate::events::Events;
use crate::exposition::{Labels, Value};
use crate::logging::{Captured, Format, LevelFilterSpec, subscriber};
use crate::selfstats::{BuildInfo, ExporterMetrics};

/// A task at work, its disk, and what it says.
struct Scene {
    handle: RecorderHandle,
    disk_fails: Arc<std::sync::atomic::AtomicBool>,
    stats: ExporterMetrics,
    log: Captured,
    _until_dropped: tracing::subscriber::DefaultGuard,
}

impl Scene {
    fn set() -> Self {
        let log = Captured::default();
        let filter = LevelFilterSpec::parse("debug,polyai_exporter=debug").unwrap();
        let guard = tracing::subscriber::set_default(subscriber(Format::Json, &filter, false, log.clone()));
        let disk = BrokenDisk::default();
        let disk_fails = disk.1.clone();
        let store = Store::with_backend(move || disk.clone()).unwrap();
        let recorder = Recorder::load(store, &[setup()], counting(), at(0)).unwrap().0;
        let stats = ExporterMetrics::new(BuildInfo::CURRENT, at(0));
        let (task, handle, _) = RecorderTask::new(recorder, Events::new(stats.clone()), stats.clone());
        tokio::spawn(task.run(CancellationToken::new()));
        Self { handle, disk_fails, stats, log, _until_dropped: guard }
    }

    async fn takes(&self, batch: Batch) {
        let underway = self.handle.record(batch).await.unwrap();
        underway.wait_committed().await.unwrap();
    }

    /// Level and message of what it said since the last call, without repeats of a failure that lasts.
    fn said(&self) -> Vec<String> {
        let text = self.log.take();
        let lines = text.lines().map(|line| serde_json::from_str::<Json>(line).unwrap());
        let gist =
            |line: Json| format!("{} {}", line["level"].as_str().unwrap(), line["message"].as_str().unwrap());
        lines.map(gist).filter(|gist| !gist.starts_with("DEBUG")).collect()
    }

    fn transactions(&self, outcome: &str) -> Value {
        let families = self.stats.gather();
        let family = families.iter().find(|one| one.meta.name == "polyai_exporter_commits_total").unwrap();
        let labels = Labels::new([("outcome", outcome)]);
        family.series.iter().find(|series| series.labels == labels).unwrap().value.clone()
    }
}

const NOT_WRITTEN: &str = "ERROR state not written; the last committed numbers are served";
const AGAIN: &str = "INFO state written again";

/// A batch after which a call from the beginning is remembered by no pass.
fn long_after(now: i64, conversations: &[Conversation]) -> Batch {
    let mut marks = Watermarks { fresh: at(now), ..Watermarks::initial(at(0), &AGES) };
    for mark in &mut marks.rechecks {
        mark.read_to = at(now) - mark.age;
    }
    Batch { marks: Some(marks), ..walk(now, conversations) }
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_fails_once_while_rows_are_forgotten_is_well_with_the_next_commit() {
    let scene = Scene::set();
    scene.takes(walk(400, &[finished("CA01", 10, 45)])).await;
    scene.takes(long_after(19_000, &[finished("CA02", 18_600, 45)])).await;
    assert_eq!(scene.said(), Vec::<String>::new());

    // Nothing waits to be written: it is the forgetting that fails.
    scene.disk_fails.store(true, SeqCst);
    tokio::time::sleep(Duration::from_secs(61)).await;
    scene.handle.note(poll_went_well(19_061)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(scene.said(), [NOT_WRITTEN]);
    assert_eq!(scene.transactions("failed"), Value::total(1));

    scene.disk_fails.store(false, SeqCst);
    scene.takes(long_after(19_091, &[finished("CA03", 19_040, 45)])).await;
    assert_eq!(scene.said(), [AGAIN]);

    // Ten days later it is news again.
    tokio::time::sleep(Duration::from_secs(10 * 86_400)).await;
    scene.disk_fails.store(true, SeqCst);
    let underway = scene.handle.record(long_after(19_151, &[finished("CA04", 19_100, 45)])).await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(scene.said(), [NOT_WRITTEN]);
    scene.disk_fails.store(false, SeqCst);
    underway.wait_committed().await.unwrap();
    assert_eq!(scene.said(), [AGAIN]);
}
