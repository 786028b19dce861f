//! What a fleet does with its pollers, beside a recorder that runs and an API that nobody answers for.

use super::*;
use crate::config::{Metrics, Server, Storage};
use crate::ledger::store::Store;
use crate::recorder::Recorder;
use crate::recorder::task::Task;
use crate::selfstats::BuildInfo;
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
fn running(settings: &Arc<Settings>) -> Fleet {
    let clock = Clock::system();
    let now = Moment::from(clock.now());
    let store = Store::open(&Storage::Ephemeral).unwrap();
    let (recorder, resumes) =
        Recorder::load(store, &derive::setups(settings), derive::counting(settings), now).unwrap();
    let stats = SelfStats::new(BuildInfo::CURRENT, now);
    let events = Events::new(stats.clone());
    let (task, recorder, _) = Task::new(recorder, events.clone(), stats.clone());
    tokio::spawn(task.run(CancellationToken::new()));
    let around = Surroundings { clock, stats, events, recorder, journals: Journals::default() };
    let mut fleet = Fleet::equip(settings.clone(), around).unwrap();
    fleet.start(resumes);
    fleet
}

#[tokio::test]
async fn pollers_that_are_ended_send_nothing_more_once_that_is_said() {
    let settings = settings(&["a", "b", "c"]);
    let mut fleet = running(&settings);
    tokio::task::yield_now().await;
    fleet.end(&[settings.targets[0].key.clone(), settings.targets[2].key.clone()]).await;
    // Whoever is told the roster after this is told it after the last word of these two.
    assert_eq!(fleet.tracker.len(), 1, "no task is left of those that were ended");
    assert_eq!(fleet.running.keys().collect::<Vec<_>>(), [&settings.targets[1].key]);
    assert_eq!(fleet.stop(Duration::from_secs(5)).await.left, 0);
}
