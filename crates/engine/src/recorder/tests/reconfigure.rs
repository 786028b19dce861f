//! A configuration that changes while the recorder works.

use super::*;

fn sandbox() -> TargetSetup {
    let key = TargetKey { client_env: ClientEnv::Sandbox, ..setup().key };
    TargetSetup { key, ..setup() }
}

fn targets(setups: &[TargetSetup]) -> Vec<TargetEntry> {
    setups.iter().map(|setup| TargetEntry { setup: setup.clone(), needs_checkpoint: false }).collect()
}

fn roster(setups: &[TargetSetup]) -> TargetSet {
    TargetSet { counting: counting(), targets: targets(setups) }
}

fn shown(recorder: &Recorder, place: usize) -> Arc<TargetSeries> {
    recorder.snapshot().targets[place].1.clone()
}

#[test]
fn added_target_starts_at_zero() {
    let mut recorder = in_memory(counting());
    recorder.take(&walk(400, &[finished("CA01", 10, 45)]));
    let before = shown(&recorder, 0);
    // In the order of the settings it comes first.
    let enlisted = recorder.reconfigure(&roster(&[sandbox(), setup()]), at(500)).unwrap();
    assert_eq!(enlisted.iter().map(|one| one.index).collect::<Vec<_>>(), [TargetIndex(1), THE_TARGET]);
    assert!(Arc::ptr_eq(&before, &shown(&recorder, 1)));
    assert_eq!(recorder.snapshot().series(Metric::Conversations, PHONE), None, "it has not been read");
    assert_eq!(recorder.snapshot().gauge(Metric::TargetUp, &[]), Some(0.0));

    let batch = Batch { target: TargetIndex(1), ..walk(900, &[finished("CA01", 510, 45)]) };
    assert_eq!(recorder.take(&batch).counted, 1, "the same id in another target is another conversation");
    assert_eq!(recorder.snapshot().series(Metric::Conversations, PHONE).unwrap().start, at(0), "the anchor");
}

#[test]
fn returning_target_continues_from_its_state() {
    let mut recorder = in_memory(counting());
    recorder.take(&walk(400, &[finished("CA01", 10, 45), running("CA02", 390)]));
    recorder.reconfigure(&roster(&[sandbox()]), at(500)).unwrap();
    assert_eq!(recorder.snapshot().targets.len(), 1);
    let late = Batch { target: THE_TARGET, ..walk(900, &[finished("CA09", 10, 45)]) };
    assert_eq!(recorder.take(&late), BatchOutcome::default(), "a batch for the old index is ignored");

    let back = TargetEntry { setup: setup(), needs_checkpoint: true };
    let enlisted =
        recorder.reconfigure(&TargetSet { counting: counting(), targets: vec![back] }, at(1000)).unwrap();
    assert_eq!(enlisted[0].index, TargetIndex(2), "no number is given twice");
    let checkpoint = enlisted[0].checkpoint.as_ref().unwrap();
    assert_eq!(checkpoint.watermarks.as_ref().unwrap().fresh, at(400));
    assert_eq!(checkpoint.open.keys().map(ConversationId::as_str).collect::<Vec<_>>(), ["CA02"]);
    let series = recorder.snapshot().series(Metric::Conversations, PHONE).unwrap();
    assert_eq!((series.start, recorder.snapshot().count(Metric::Conversations, PHONE)), (at(0), Some(1)));
    let again = Batch { target: TargetIndex(2), ..walk(1030, &[finished("CA01", 10, 45)]) };
    assert_eq!(recorder.take(&again).counted, 0, "what it had counted is not counted twice");
}

#[test]
fn target_index_is_never_reused() {
    let mut recorder = in_memory(counting());
    let both = roster(&[setup(), sandbox()]);
    let mut numbers = Vec::new();
    for roster in [&both, &roster(&[setup()]), &both] {
        let enlisted = recorder.reconfigure(roster, at(500)).unwrap();
        numbers.push(enlisted.iter().map(|one| one.index.0).collect::<Vec<_>>());
    }
    assert_eq!(numbers, [vec![0, 1], vec![0], vec![0, 2]]);
}

#[test]
fn checkpoint_includes_uncommitted_batches() {
    let mut recorder = in_memory(counting());
    recorder.apply_batch(&walk(400, &[running("CA02", 390)])).unwrap();
    let place = TargetEntry { setup: setup(), needs_checkpoint: true };
    let enlisted =
        recorder.reconfigure(&TargetSet { counting: counting(), targets: vec![place] }, at(500)).unwrap();
    let checkpoint = enlisted[0].checkpoint.as_ref().unwrap();
    assert_eq!(checkpoint.watermarks.as_ref().unwrap().fresh, at(400));
    assert!(checkpoint.open.contains_key(&ConversationId::new("CA02").unwrap()));
}

#[test]
fn changed_labels_keep_the_target_gauges() {
    let mut recorder = in_memory(counting());
    recorder.take(&walk(400, &[finished("CA01", 10, 45)]));
    recorder.set_poll_status(&poll_went_well(400));
    let roster = TargetSet { counting: with_labels(&[]), targets: targets(&[setup()]) };
    recorder.reconfigure(&roster, at(500)).unwrap();
    let snapshot = recorder.snapshot();
    assert_eq!(snapshot.count(Metric::Conversations, &[]), Some(0), "a new series counts from its own start");
    assert_eq!(snapshot.series(Metric::Conversations, &[]).unwrap().start, at(500));
    assert_eq!(snapshot.count(Metric::Conversations, PHONE), None);
    assert_eq!(snapshot.gauge(Metric::TargetUp, &[]), Some(1.0), "the last poll is still the last");
    assert_eq!(snapshot.gauge(Metric::RecentConversations, &[]), Some(1.0));
    let settled = &[finished("CA01", 10, 45), finished("CA03", 20, 45)];
    assert_eq!(recorder.take(&walk(900, settled)).counted, 1, "the ledger is the same");
}

#[test]
fn changed_buckets_reset_only_their_histograms() {
    let mut recorder = in_memory(counting());
    recorder.take(&walk(400, &[finished("CA01", 10, 45)]));
    let counting = with_latency_buckets(&[1.0, 2.0]);
    recorder.reconfigure(&TargetSet { counting, targets: targets(&[setup()]) }, at(500)).unwrap();
    let snapshot = recorder.snapshot();
    assert_eq!(snapshot.count(Metric::TurnLatency, PHONE), Some(0));
    assert_eq!(snapshot.count(Metric::ConversationDuration, PHONE), Some(1));
}

/// The start of the conversations on the phone, and how many there are.
fn on_the_phone(recorder: &Recorder) -> (Timestamp, Option<u64>) {
    let snapshot = recorder.snapshot();
    (
        snapshot.series(Metric::Conversations, PHONE).unwrap().start,
        snapshot.count(Metric::Conversations, PHONE),
    )
}

#[test]
fn restored_labels_start_over() {
    let turn = |recorder: &mut Recorder, counting: CountingPolicy, now: i64| {
        recorder.reconfigure(&TargetSet { counting, targets: targets(&[setup()]) }, at(now)).unwrap();
    };
    let mut recorder = in_memory(counting());
    recorder.take(&walk(400, &[finished("CA01", 10, 45), on_channel(finished("CA02", 20, 45), "CHAT")]));
    turn(&mut recorder, with_labels(&[]), 500);
    recorder.take(&walk(900, &[finished("CA03", 510, 45)]));
    turn(&mut recorder, counting(), 1000);
    assert_eq!(on_the_phone(&recorder), (at(1000), Some(0)));
    assert_eq!(recorder.snapshot().label_sets(Metric::Conversations), ["VOICE-SIP"], "chat has not begun");
    assert_eq!(recorder.snapshot().count(Metric::IngestLag, &[]), Some(3), "without labels, it goes on");

    // The conversations that counted under the labels of then are remembered.
    recorder.take(&walk(1400, &[finished("CA01", 10, 45), finished("CA04", 1010, 45)]));
    assert_eq!(on_the_phone(&recorder), (at(1000), Some(1)));
}

#[test]
fn labels_restored_by_a_restart_start_over() {
    let state = State::new();
    let (mut recorder, _) = state.start(counting(), 0);
    recorder.take(&walk(400, &[finished("CA01", 10, 45)]));
    drop(recorder);
    let (mut recorder, _) = state.start(with_labels(&[]), 500);
    recorder.take(&walk(900, &[finished("CA02", 510, 45)]));
    drop(recorder);
    let (recorder, _) = state.start(counting(), 1000);
    assert_eq!(on_the_phone(&recorder), (at(1000), Some(0)));
    drop(recorder);
    let (recorder, _) = state.start(counting(), 1100);
    assert_eq!(on_the_phone(&recorder), (at(1000), Some(0)), "and keep their start from then on");
}

#[test]
fn restored_buckets_start_over_on_every_channel() {
    let others = || with_latency_buckets(&[1.0, 2.0]);
    let state = State::new();
    let (mut recorder, _) = state.start(counting(), 0);
    recorder.take(&walk(400, &[finished("CA01", 10, 45), on_channel(finished("CA02", 20, 45), "CHAT")]));
    drop(recorder);
    drop(state.start(others(), 500));
    let (recorder, _) = state.start(counting(), 1000);
    let snapshot = recorder.snapshot();
    assert_eq!(snapshot.series(Metric::TurnLatency, PHONE).unwrap().start, at(1000));
    assert_eq!(snapshot.count(Metric::TurnLatency, &["CHAT"]), None);
    assert_eq!(snapshot.count(Metric::ConversationDuration, &["CHAT"]), Some(1), "its buckets are the same");
    assert_eq!(on_the_phone(&recorder), (at(0), Some(1)));
}

#[test]
fn target_absent_during_other_labels_continues() {
    let mut recorder = in_memory(counting());
    recorder.take(&walk(400, &[finished("CA01", 10, 45)]));
    let turns =
        [(with_labels(&[]), sandbox(), 500), (counting(), sandbox(), 600), (counting(), setup(), 700)];
    for (counting, setup, now) in turns {
        recorder.reconfigure(&TargetSet { counting, targets: targets(&[setup]) }, at(now)).unwrap();
    }
    assert_eq!(on_the_phone(&recorder), (at(0), Some(1)), "nothing of it counted under others");
}

#[test]
fn interrupted_label_change_deletes_nothing() {
    let disk = BrokenDisk::default();
    let store = || {
        let backend = disk.clone();
        Store::with_backend(move || backend.clone()).unwrap()
    };
    let mut recorder = Recorder::load(store(), &[setup()], counting(), at(0)).unwrap().0;
    recorder.take(&walk(400, &[finished("CA01", 10, 45)]));
    let roster = TargetSet { counting: with_labels(&[]), targets: targets(&[setup()]) };
    disk.1.store(true, SeqCst);
    recorder.reconfigure(&roster, at(500)).unwrap_err();
    assert!(recorder.schema.dimensions.is_empty(), "only its commit failed");
    drop(recorder);
    disk.1.store(false, SeqCst);
    let recorder = Recorder::load(store(), &[setup()], counting(), at(600)).unwrap().0;
    assert_eq!(on_the_phone(&recorder), (at(0), Some(1)));
}

#[test]
fn changed_setup_of_a_target_shows_at_once() {
    let mut recorder = in_memory(counting());
    recorder.take(&walk(400, &[finished("CA01", 10, 45)]));
    let info = ["ws-00000001", "PROJECT-0000001", "proxy", "v2"].map(str::to_owned);
    let changed = TargetSetup { channels: vec!["VOICE-SIP".into(), "CHAT".into()], info, ..setup() };
    recorder.reconfigure(&roster(&[changed]), at(500)).unwrap();
    let snapshot = recorder.snapshot();
    assert_eq!(snapshot.count(Metric::Conversations, &["CHAT"]), Some(0));
    assert_eq!(snapshot.count(Metric::Conversations, PHONE), Some(1));
    assert_eq!(snapshot.label_sets(Metric::TargetInfo), ["ws-00000001,PROJECT-0000001,proxy,v2"]);
}

#[test]
fn changed_host_leaves_one_info_series() {
    let mut recorder = in_memory(counting());
    let info = ["ws-00000001", "PROJECT-0000001", "proxy", "v3"].map(str::to_owned);
    let counting = CountingPolicy { recent_window: Duration::from_secs(60), ..counting() };
    let targets = targets(&[TargetSetup { info, ..setup() }]);
    recorder.reconfigure(&TargetSet { counting, targets }, at(500)).unwrap();
    let shown = recorder.snapshot().label_sets(Metric::TargetInfo);
    assert_eq!(shown, ["ws-00000001,PROJECT-0000001,proxy,v3"]);
}

#[test]
fn wider_window_is_filled_from_the_ledger() {
    let narrow = CountingPolicy { recent_window: Duration::from_secs(60), ..counting() };
    let mut recorder = in_memory(narrow);
    recorder.take(&walk(400, &[finished("CA01", 10, 45)]));
    recorder.set_poll_status(&poll_went_well(400));
    recorder.commit(true).unwrap();
    assert_eq!(recorder.snapshot().gauge(Metric::RecentConversations, PHONE), Some(0.0));
    recorder.reconfigure(&roster(&[setup()]), at(500)).unwrap();
    assert_eq!(recorder.snapshot().gauge(Metric::RecentConversations, PHONE), Some(1.0));
}

#[test]
fn reconfigure_fails_whole_and_can_be_retried() {
    let disk = BrokenDisk::default();
    let backend = disk.clone();
    let store = Store::with_backend(move || backend.clone()).unwrap();
    let mut recorder = Recorder::load(store, &[setup()], counting(), at(0)).unwrap().0;
    recorder.take(&walk(400, &[finished("CA01", 10, 45)]));
    disk.1.store(true, SeqCst);
    recorder.reconfigure(&roster(&[sandbox()]), at(500)).unwrap_err();
    assert_eq!(recorder.snapshot().count(Metric::Conversations, PHONE), Some(1), "as before");
    disk.1.store(false, SeqCst);
    recorder.reopen();
    recorder.reconfigure(&roster(&[sandbox()]), at(500)).unwrap();
    assert_eq!(recorder.snapshot().targets[0].0.client_env, ClientEnv::Sandbox);
}
