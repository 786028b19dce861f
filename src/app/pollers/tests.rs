//! Tests of the poller tasks, with a running recorder and an unreachable API.

use super::*;
use crate::config::{Metrics, Server, Storage};
use crate::exporter_metrics::BuildInfo;
use polyai_domain::problem::Problem;
use polyai_domain::target::{ApiVersion, ClientEnv, LatencyUnit, Region};
use polyai_engine::aggregate::{Metric, Value};
use polyai_engine::ledger::store::Store;
use polyai_engine::recorder::Recorder;
use polyai_engine::recorder::task::{RecorderTask, SnapshotCell};

fn settings(projects: &[&str]) -> Arc<Settings> {
    let target = |project: &&str| Target {
        key: TargetKey { project: (*project).into(), region: Region::Us1, client_env: ClientEnv::Live },
        account_id: "ws-1".into(),
        project_id: format!("PROJECT-{project}"),
        api_version: ApiVersion::V3,
        latency_unit: LatencyUnit::Seconds,
        api_key: Secret::new("key"),
        // Discards what it is sent.
        base_url: "http://127.0.0.1:9".into(),
        ca_file: None,
        channels: vec![],
    };
    Arc::new(Settings {
        server: Server::default(),
        storage: Storage::Ephemeral,
        polling: Polling::default(),
        metrics: Metrics::default(),
        targets: projects.iter().map(target).collect(),
    })
}

/// Started pollers; their recorder runs until they are dropped.
fn running(settings: &Arc<Settings>) -> (PollerSet, SnapshotCell) {
    let clock = Clock::system();
    let now = Timestamp::from(clock.now());
    let store = Store::in_memory().unwrap();
    let (recorder, checkpoints) =
        Recorder::load(store, &settings_mapping::setups(settings), settings_mapping::counting(settings), now)
            .unwrap();
    let stats = ExporterMetrics::new(BuildInfo::CURRENT, now);
    let events = Events::new(stats.clone());
    let (task, recorder, published) = RecorderTask::new(recorder, events.clone());
    tokio::spawn(task.run(CancellationToken::new()));
    let ctx = PollerContext { clock, stats, events, recorder, histories: PollHistories::default() };
    let mut pollers = PollerSet::new(settings.clone(), ctx).unwrap();
    pollers.start(checkpoints);
    (pollers, published)
}

#[tokio::test]
async fn stopped_poller_sends_no_batch() {
    let settings = settings(&["a", "b", "c"]);
    let (mut pollers, _) = running(&settings);
    tokio::task::yield_now().await;
    pollers.stop_and_wait(&[settings.targets[0].key.clone(), settings.targets[2].key.clone()]).await;
    // A reconfiguration after this follows their last message.
    assert_eq!(pollers.tracker.len(), 1, "the stopped tasks have ended");
    assert_eq!(pollers.running.keys().collect::<Vec<_>>(), [&settings.targets[1].key]);
    assert_eq!(pollers.stop(Duration::from_secs(5)).await.remaining, 0);
}

#[tokio::test(start_paused = true)]
async fn panicked_poller_restarts_after_a_minute() {
    let sane = settings(&["a", "b"]);
    let mut absurd = Settings::clone(&sane);
    // The time of the second tick overflows, which panics. Configurations cannot have such an interval.
    absurd.polling.interval = Duration::MAX;
    let (mut pollers, published) = running(&Arc::new(absurd));
    let has_panicked = |pollers: &PollerSet, key: &TargetKey| {
        let history = pollers.ctx.histories.get_or_create(key);
        history.read(|entries| {
            entries.problems().any(|episode| episode.problem == Problem::InternalError)
                && entries.polls.back().and_then(|poll| poll.failure) == Some(Problem::InternalError)
        })
    };
    let started = tokio::time::Instant::now();
    let (first, second) = (pollers.next_panicked().await, pollers.next_panicked().await);
    assert!(started.elapsed() >= Duration::from_secs(60), "restarted after {:?}", started.elapsed());
    for target in &sane.targets {
        assert!(has_panicked(&pollers, &target.key), "{}", target.key);
        let snapshot = published.load();
        let (_, series) = snapshot.targets.iter().find(|(key, _)| **key == target.key).unwrap();
        let problems: Vec<_> =
            series.of(Metric::TargetProblem).map(|(key, one)| (&*key.values[0], &one.value)).collect();
        assert!(problems.contains(&("internal_error", &Value::Gauge(1.0))), "{problems:?}");
    }
    assert!(pollers.running.values().all(|one| one.first_poll.is_set()), "readiness does not wait for them");

    pollers.settings = sane.clone();
    pollers.restart(&first).await.unwrap();
    let restarted = pollers.running[&first.target].task.id();
    pollers.restart(&first).await.unwrap();
    assert_eq!(pollers.running[&first.target].task.id(), restarted, "a second message has no effect");
    assert_eq!(pollers.tracker.len(), 1, "only the poller of {}", first.target);
    tokio::time::sleep(Duration::from_secs(90)).await;
    assert!(!has_panicked(&pollers, &first.target), "its own polls fail now");
    assert!(has_panicked(&pollers, &second.target), "the other has not been restarted");
    assert_eq!(pollers.stop(Duration::from_secs(5)).await.remaining, 0);
}
