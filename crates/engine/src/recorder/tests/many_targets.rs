//! Many targets: the parts that a commit copies, and the turns of pruning.

use super::*;

fn setups(targets: usize) -> Vec<TargetSetup> {
    let setup = |number| {
        let mut setup = setup();
        setup.key.project = format!("p{number:04}");
        setup
    };
    (0..targets).map(setup).collect()
}

#[test]
fn commit_of_one_target_shares_all_other_chunks() {
    let store = Store::in_memory().unwrap();
    let mut recorder = Recorder::load(store, &setups(1000), counting(), at(0)).unwrap().0;
    let before = recorder.snapshot().clone();
    recorder.take(&Batch { target: TargetIndex(500), ..walk(400, &[finished("CA01", 10, 45)]) });
    let after = recorder.snapshot().clone();
    let changed = |same: fn(&SnapshotTarget, &SnapshotTarget) -> bool| {
        before.targets.iter().zip(after.targets.iter()).filter(|(one, other)| !same(one, other)).count()
    };
    assert_eq!(changed(|(_, one), (_, other)| Arc::ptr_eq(one, other)), 1, "one target has new series");
    let copied = changed(|one, other| std::ptr::eq(one, other));
    assert!(copied <= 64, "{copied} of 1000 entries were copied for one target");
    assert!(!Arc::ptr_eq(&before.targets[500].1, &after.targets[500].1));
    assert_eq!(after.targets.len(), 1000);
}

#[test]
fn snapshot_after_storage_problem_shows_no_target_with_it() {
    let store = Store::in_memory().unwrap();
    let mut recorder = Recorder::load(store, &setups(3), counting(), at(0)).unwrap().0;
    recorder.take(&walk(400, &[]));
    let problems = |snapshot: &Snapshot| {
        snapshot.targets.iter().map(|(_, series)| series.of(Metric::TargetProblem).count()).sum::<usize>()
    };
    assert_eq!(problems(recorder.snapshot_with_storage_problem()), 3);
    recorder.take(&walk(430, &[]));
    assert_eq!(problems(recorder.snapshot()), 0);
}

#[test]
fn every_target_is_pruned_in_turn() {
    let store = Store::in_memory().unwrap();
    let targets = 200;
    let mut recorder = Recorder::load(store, &setups(targets), counting(), at(0)).unwrap().0;
    let moved = |now: i64| {
        let mut watermarks = Watermarks { fresh: at(now), ..Watermarks::initial(at(0), &AGES) };
        watermarks.rechecks.iter_mut().for_each(|recheck| recheck.read_to = at(now) - recheck.age);
        Some(watermarks)
    };
    for index in (0..targets).map(TargetIndex) {
        let calls = [finished("CA01", 10, 45), finished("CA02", 99_000, 45)];
        recorder.take(&Batch { target: index, ..walk(400, &calls[..1]) });
        recorder.take(&Batch { target: index, watermarks: moved(100_000), ..walk(100_000, &calls[1..]) });
    }
    let (mut place, mut pruned) = (0, 0);
    for _ in 0..targets {
        let (next, target) = recorder.next_to_prune(place).expect("some are left");
        place = next;
        pruned += recorder.prune(target).unwrap();
    }
    assert_eq!(pruned, targets, "one entry of each target");
    assert_eq!(recorder.next_to_prune(place), None, "nothing is read again for nothing");
}
