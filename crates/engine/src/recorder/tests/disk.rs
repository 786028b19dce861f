//! The recorder's task on a disk that fails for a while: what its observer learns.

use std::sync::Mutex;

use tokio_util::sync::CancellationToken;

use super::*;
use crate::ledger::store::StoreError;
use crate::recorder::task::{RecorderHandle, RecorderObserver, RecorderTask};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Report {
    Committed,
    Failed,
    Recovered,
}

#[derive(Clone, Default)]
struct Reports(Arc<Mutex<Vec<Report>>>);

impl Reports {
    fn push(&self, report: Report) {
        self.0.lock().unwrap().push(report);
    }

    /// Everything since the last call.
    fn take(&self) -> Vec<Report> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl RecorderObserver for Reports {
    fn on_commit(&self, _: Duration) {
        self.push(Report::Committed);
    }

    fn on_commit_failed(&self, _: Duration, _: &StoreError, _: Duration) {
        self.push(Report::Failed);
    }

    fn on_recovery(&self) {
        self.push(Report::Recovered);
    }

    fn on_exposed(&self, _: &TargetKey, _: u64) {}

    fn on_label_limit(&self, _: &TargetKey, _: &'static str) {}
}

/// A batch after which a call from the beginning is remembered by no pass.
fn long_after(now: i64, conversations: &[Conversation]) -> Batch {
    let mut watermarks = Watermarks { fresh: at(now), ..Watermarks::initial(at(0), &AGES) };
    for recheck in &mut watermarks.rechecks {
        recheck.read_to = at(now) - recheck.age;
    }
    Batch { watermarks: Some(watermarks), ..walk(now, conversations) }
}

/// A recorder task on a disk that can be broken.
struct Fixture {
    handle: RecorderHandle,
    disk_fails: Arc<std::sync::atomic::AtomicBool>,
    reports: Reports,
}

impl Fixture {
    fn new() -> Self {
        let disk = BrokenDisk::default();
        let disk_fails = disk.1.clone();
        let store = Store::with_backend(move || disk.clone()).unwrap();
        let recorder = Recorder::load(store, &[setup()], counting(), at(0)).unwrap().0;
        let reports = Reports::default();
        let (task, handle, _) = RecorderTask::new(recorder, reports.clone());
        tokio::spawn(task.run(CancellationToken::new()));
        Self { handle, disk_fails, reports }
    }

    async fn record(&self, batch: Batch) {
        self.handle.record(batch).await.unwrap().wait_committed().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn failed_prune_is_over_with_the_next_commit() {
    use Report::{Committed, Failed};
    let fixture = Fixture::new();
    fixture.record(walk(400, &[finished("CA01", 10, 45)])).await;
    fixture.record(long_after(19_000, &[finished("CA02", 18_600, 45)])).await;
    assert_eq!(fixture.reports.take(), [Committed, Committed]);

    // There is nothing to commit: it is the pruning that fails.
    fixture.disk_fails.store(true, SeqCst);
    tokio::time::sleep(Duration::from_secs(61)).await;
    fixture.handle.set_poll_status(poll_went_well(19_061)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(fixture.reports.take(), [Failed]);

    fixture.disk_fails.store(false, SeqCst);
    fixture.record(long_after(19_091, &[finished("CA03", 19_040, 45)])).await;
    assert_eq!(fixture.reports.take().last(), Some(&Committed));
}

#[tokio::test(start_paused = true)]
async fn failed_commit_is_retried_until_it_succeeds() {
    use Report::{Committed, Failed};
    let fixture = Fixture::new();
    fixture.disk_fails.store(true, SeqCst);
    let pending = fixture.handle.record(walk(400, &[finished("CA01", 10, 45)])).await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let failures = fixture.reports.take();
    assert!(failures.len() > 1 && failures.iter().all(|report| *report == Failed), "{failures:?}");
    fixture.disk_fails.store(false, SeqCst);
    assert_eq!(pending.wait_committed().await.unwrap().counted, 1);
    assert_eq!(fixture.reports.take().last(), Some(&Committed));
}

#[tokio::test]
async fn deleted_state_is_reported_at_once_and_at_the_stop() {
    let state = State::new();
    let recorder = state.start(counting(), 0).0;
    let reports = Reports::default();
    let (task, handle, published) = RecorderTask::new(recorder, reports.clone());
    let abort = CancellationToken::new();
    let running = tokio::spawn(task.run(abort.clone()));
    handle.record(walk(400, &[finished("CA01", 10, 45)])).await.unwrap().wait_committed().await.unwrap();
    assert_eq!(reports.take(), [Report::Committed]);

    // Nothing is sent from here on.
    std::fs::remove_file(state.0.path().join("state.redb")).unwrap();
    let problem = |snapshot: &Snapshot| snapshot.gauge(Metric::TargetProblem, &["storage"]);
    tokio::time::timeout(Duration::from_secs(30), async {
        while problem(&published.load()) != Some(1.0) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .expect("problem storage");
    assert_eq!(reports.take()[0], Report::Failed);
    drop(handle);
    abort.cancel();
    assert!(matches!(running.await.unwrap(), Err(StoreError::Removed(_))));
}

#[tokio::test]
async fn state_deleted_just_before_the_stop_is_not_claimed() {
    let state = State::new();
    let (task, handle, _) = RecorderTask::new(state.start(counting(), 0).0, Reports::default());
    std::fs::remove_dir_all(state.0.path()).unwrap();
    drop(handle);
    assert!(matches!(task.run(CancellationToken::new()).await, Err(StoreError::Removed(_))));
}
