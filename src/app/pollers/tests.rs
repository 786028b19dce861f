//! What a fleet does with its pollers, beside a recorder that runs and an API that nobody answers for.

use super::*;
use crate::aggregate::{Metric, Value};
use crate::config::{Metrics, Server, Storage};
use crate::exporter_metrics::BuildInfo;
use crate::ledger::store::Store;
use crate::problem::Problem;
use crate::recorder::Recorder;
use crate::recorder::task::{RecorderTask, SnapshotCell};
use crate::target::{ApiVersion, ClientEnv, Region};

fn settings(projects: &[&str]) -> Arc<Settings> {
    let target = |project: &&str| Target {
        key: TargetKey { project: (*project).into(), region: Region::Us1, client_env: ClientEnv::Live },
        account_id: "ws-1".into(),
        project_id: format!("PROJECT-{project}"),
        api_version: ApiVersion::V3,
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

/// A fleet that has started, and whose recorder goes on until the fleet is gone.
fn running(settings: &Arc<Settings>) -> (PollerSet, SnapshotCell) {
    let clock = Clock::system();
    let now = Timestamp::from(clock.now());
    let store = Store::in_memory().unwrap();
    let (recorder, resumes) =
        Recorder::load(store, &settings_mapping::setups(settings), settings_mapping::counting(settings), now)
            .unwrap();
    let stats = ExporterMetrics::new(BuildInfo::CURRENT, now);
    let events = Events::new(stats.clone());
    let (task, recorder, published) = RecorderTask::new(recorder, events.clone());
    tokio::spawn(task.run(CancellationToken::new()));
    let around = PollerContext { clock, stats, events, recorder, histories: PollHistories::default() };
    let mut fleet = PollerSet::new(settings.clone(), around).unwrap();
    fleet.start(resumes);
    (fleet, published)
}

#[tokio::test]
async fn stopped_poller_sends_no_batch() {
    let settings = settings(&["a", "b", "c"]);
    let (mut fleet, _) = running(&settings);
    tokio::task::yield_now().await;
    fleet.stop_and_wait(&[settings.targets[0].key.clone(), settings.targets[2].key.clone()]).await;
    // Whoever is told the roster after this is told it after the last word of these two.
    assert_eq!(fleet.tracker.len(), 1, "no task is left of those that were ended");
    assert_eq!(fleet.running.keys().collect::<Vec<_>>(), [&settings.targets[1].key]);
    assert_eq!(fleet.stop(Duration::from_secs(5)).await.remaining, 0);
}

#[tokio::test(start_paused = true)]
async fn panicked_poller_restarts_after_a_minute() {
    let sane = settings(&["a", "b"]);
    let mut absurd = Settings::clone(&sane);
    // A poller cannot say when its second tick is due, and panics. No file or variable brings such an interval here.
    absurd.polling.interval = Duration::MAX;
    let (mut fleet, published) = running(&Arc::new(absurd));
    let fell = |fleet: &PollerSet, key: &TargetKey| {
        let history = fleet.ctx.histories.get_or_create(key);
        history.read(|entries| {
            entries.problems().any(|episode| episode.problem == Problem::InternalError)
                && entries.polls.back().and_then(|poll| poll.failure) == Some(Problem::InternalError)
        })
    };
    let began = tokio::time::Instant::now();
    let (first, second) = (fleet.next_panicked().await, fleet.next_panicked().await);
    assert!(began.elapsed() >= Duration::from_secs(60), "left alone for {:?}", began.elapsed());
    for target in &sane.targets {
        assert!(fell(&fleet, &target.key), "{}", target.key);
        let generation = published.load();
        let (_, series) = generation.targets.iter().find(|(key, _)| **key == target.key).unwrap();
        let shown: Vec<_> =
            series.of(Metric::TargetProblem).map(|(key, one)| (&*key.values[0], &one.value)).collect();
        assert!(shown.contains(&("internal_error", &Value::Gauge(1.0))), "{shown:?}");
    }
    assert!(fleet.running.values().all(|one| one.first_poll.is_set()), "it has been tried");

    fleet.settings = sane.clone();
    fleet.restart(&first).await.unwrap();
    let revived = fleet.running[&first.target].task.id();
    fleet.restart(&first).await.unwrap();
    assert_eq!(fleet.running[&first.target].task.id(), revived, "told twice, it goes on");
    assert_eq!(fleet.tracker.len(), 1, "the poller of {} alone", first.target);
    tokio::time::sleep(Duration::from_secs(90)).await;
    assert!(!fell(&fleet, &first.target), "its own polls fail now, for nobody answers");
    assert!(fell(&fleet, &second.target), "nobody has let the other begin anew");
    assert_eq!(fleet.stop(Duration::from_secs(5)).await.remaining, 0);
}
