//! What a target with a new state exposes, and when its series start.

use super::*;
use crate::ledger::CatchUp;
use polyai_domain::conversation::ConversationData;

const CHAT: &[&str] = &["CHAT"];

/// A walk of a target that has only begun to read: its watermarks say nothing of what is exposed.
fn first_walk(now: i64, conversations: &[Conversation]) -> Batch {
    let watermarks = Watermarks { fresh: at(now), ..Watermarks::initial(at(0), &AGES) };
    assert_eq!(watermarks.catch_up, CatchUp::Reading);
    Batch { watermarks: Some(watermarks), ..walk(now, conversations) }
}

fn poll_ends(recorder: &mut Recorder, status: &PollStatus) {
    recorder.set_poll_status(status);
    recorder.commit(true).unwrap();
}

/// The polled value, and whether the target is shown as catching up.
fn exposed(recorder: &Recorder) -> (Option<u64>, Option<f64>) {
    let snapshot = recorder.snapshot();
    (snapshot.count(Metric::Conversations, PHONE), snapshot.gauge(Metric::TargetCatchingUp, &[]))
}

fn start(recorder: &Recorder, metric: Metric, values: &[&str]) -> Option<Timestamp> {
    recorder.snapshot().series(metric, values).map(|series| series.start)
}

#[test]
fn new_target_exposes_only_how_it_is_read() {
    let mut recorder = in_memory(counting());
    assert_eq!(exposed(&recorder), (None, Some(1.0)));
    assert_eq!(recorder.snapshot().gauge(Metric::TargetUp, &[]), Some(0.0));
    let info = &["ws-00000001", "PROJECT-0000001", "localhost", "v3"];
    assert_eq!(recorder.snapshot().gauge(Metric::TargetInfo, info), Some(1.0));

    recorder.take(&first_walk(100, &[finished("CA01", 10, 45), running("CA02", 50)]));
    poll_ends(&mut recorder, &PollStatus { caught_up: false, ..poll_went_well(100) });
    let only_target = |key: &SeriesKey| key.metric.is_about_target();
    assert!(recorder.snapshot().targets[0].1.iter().all(|(key, _)| only_target(key)));
    assert_eq!(recorder.snapshot().gauge(Metric::TargetUp, &[]), Some(1.0));
    assert_eq!(exposed(&recorder), (None, Some(1.0)));
}

#[test]
fn first_sample_is_the_whole_total() {
    let mut recorder = in_memory(counting());
    // Two ended long ago; the third has still to settle.
    let calls = [finished("CA01", 10, 45), finished("CA02", 20, 45), finished("CA03", 930, 45)];
    recorder.take(&first_walk(1000, &calls));
    poll_ends(&mut recorder, &poll_went_well(1000));
    assert_eq!(exposed(&recorder), (None, Some(1.0)), "a former instance may have exposed 3");
    // A call that is seen finished later does not delay it.
    recorder.take(&first_walk(1030, &[finished("CA04", 960, 65)]));
    poll_ends(&mut recorder, &PollStatus { up: false, caught_up: false, ..poll_went_well(1030) });
    assert_eq!(exposed(&recorder), (Some(3), Some(0.0)));
    recorder.take(&first_walk(1060, &[]));
    assert_eq!(exposed(&recorder), (Some(4), Some(0.0)));
}

#[test]
fn target_without_calls_exposes_zeros_after_its_first_poll() {
    let mut recorder = in_memory(counting());
    recorder.take(&first_walk(5, &[]));
    poll_ends(&mut recorder, &poll_went_well(5));
    assert_eq!(exposed(&recorder), (Some(0), Some(0.0)));
    assert_eq!(start(&recorder, Metric::Conversations, PHONE), Some(at(0)), "the anchor");
}

#[test]
fn restart_continues_to_hide_and_to_expose() {
    let state = State::new();
    let (mut recorder, _) = state.start(counting(), 0);
    recorder.take(&first_walk(500, &[finished("CA01", 10, 45)]));
    drop(recorder);
    let (mut recorder, _) = state.start(counting(), 500);
    assert_eq!(exposed(&recorder), (None, Some(1.0)), "killed while it caught up");

    recorder.take(&first_walk(1000, &[]));
    recorder.set_poll_status(&poll_went_well(1000));
    assert!(recorder.commit(false).unwrap(), "that it is exposed is durable before it is seen");
    assert_eq!(exposed(&recorder), (Some(1), Some(0.0)));
    drop(recorder);
    // However long it was away.
    let (recorder, _) = state.start(counting(), 100_000);
    assert_eq!(exposed(&recorder), (Some(1), Some(0.0)));
}

#[test]
fn starts_are_those_of_the_content() {
    let mut early = in_memory(counting());
    let calls = [
        on_channel(finished("CA01", 300, 45), "CHAT"),
        on_channel(finished("CA02", 200, 45), "CHAT"),
        handed_off(finished("CA03", 100, 45), "billing"),
    ];
    for (now, call) in [(400, 2), (450, 1), (700, 0)] {
        early.take(&first_walk(now, &calls[call..=call]));
    }
    poll_ends(&mut early, &poll_went_well(700));
    // Another instance reads the same much later, at once.
    let mut late = in_memory(counting());
    late.take(&first_walk(90_000, &calls));
    poll_ends(&mut late, &poll_went_well(90_000));

    for recorder in [&early, &late] {
        assert_eq!(start(recorder, Metric::Conversations, PHONE), Some(at(0)));
        assert_eq!(start(recorder, Metric::Conversations, CHAT), Some(at(245)));
        assert_eq!(start(recorder, Metric::TurnLatency, CHAT), Some(at(245)));
        assert_eq!(
            start(recorder, Metric::HandoffsByReason, &["VOICE-SIP", "billing", "desk"]),
            Some(at(145))
        );
        assert_eq!(start(recorder, Metric::Late, &[]), Some(at(0)));
    }
}

#[test]
fn start_of_an_exposed_series_stays() {
    let mut recorder = in_memory(counting());
    recorder.take(&walk(700, &[on_channel(finished("CA01", 300, 45), "CHAT")]));
    assert_eq!(start(&recorder, Metric::Conversations, CHAT), Some(at(345)));
    // It ended before the first, and was listed later.
    recorder.take(&walk(900, &[on_channel(finished("CA02", 200, 45), "CHAT")]));
    assert_eq!(recorder.snapshot().count(Metric::Conversations, CHAT), Some(2));
    assert_eq!(start(&recorder, Metric::Conversations, CHAT), Some(at(345)));
}

#[test]
fn calls_of_one_commit_start_a_series_at_the_first_end() {
    let mut recorder = in_memory(counting());
    recorder.take(&walk(30, &[]));
    for call in [finished("CA01", 300, 45), finished("CA02", 200, 45)] {
        recorder.apply_batch(&walk(700, &[on_channel(call, "CHAT")])).unwrap();
    }
    recorder.commit(true).unwrap();
    assert_eq!(start(&recorder, Metric::Conversations, CHAT), Some(at(245)));
}

#[test]
fn series_that_start_over_start_then() {
    let state = State::new();
    let (mut recorder, _) = state.start(counting(), 0);
    recorder.take(&walk(400, &[finished("CA01", 10, 45)]));
    drop(recorder);
    let (mut recorder, _) = state.start(with_latency_buckets(&[1.0, 2.0]), 500);
    assert_eq!(start(&recorder, Metric::TurnLatency, PHONE), Some(at(500)));
    assert_eq!(start(&recorder, Metric::Conversations, PHONE), Some(at(0)), "it has not changed");
    // Neither does one that appears later start before that.
    recorder.take(&walk(900, &[on_channel(finished("CA02", 20, 45), "CHAT")]));
    assert_eq!(start(&recorder, Metric::TurnLatency, CHAT), Some(at(500)));
    drop(recorder);
    let (recorder, _) = state.start(with_latency_buckets(&[1.0, 2.0]), 2000);
    assert_eq!(start(&recorder, Metric::TurnLatency, PHONE), Some(at(500)), "it is stored");
}

#[test]
fn late_content_of_a_counted_call_is_observed_once() {
    let mut recorder = in_memory(counting());
    let call = finished("CA01", 10, 45);
    let bare = ConversationData { duration: None, turns: None, replies: Box::default(), ..call.data.clone() };
    recorder.take(&walk(400, &[Conversation { data: bare, ..call.clone() }]));
    let counts = |recorder: &Recorder| {
        [Metric::ConversationDuration, Metric::ConversationTurns, Metric::TurnLatency]
            .map(|metric| recorder.snapshot().count(metric, PHONE))
    };
    recorder.take(&walk(430, &[]));
    assert_eq!(recorder.snapshot().count(Metric::Conversations, PHONE), Some(1));
    assert_eq!(counts(&recorder), [Some(0); 3]);
    for now in [460, 490] {
        recorder.take(&walk(now, std::slice::from_ref(&call)));
        assert_eq!(counts(&recorder), [Some(1); 3]);
        assert_eq!(recorder.snapshot().count(Metric::Amendments, &["up"]), Some(1));
    }
}

#[test]
fn metric_new_to_a_state_that_has_counted_starts_now() {
    let state = State::new();
    let (mut recorder, _) = state.start(counting(), 0);
    recorder.take(&walk(1000, &[finished("CA01", 10, 45)]));
    // As an older version would have left it.
    let target = recorder.targets.get_mut(&THE_TARGET).unwrap();
    let key = SeriesKey { metric: Metric::GreetingLatency, values: Arc::from([Arc::from("VOICE-SIP")]) };
    let (name, _) = codec::encode(&key, target.series.get(&key).unwrap(), &recorder.schema).unwrap();
    recorder.changes.series.insert((target.id, name), None);
    recorder.commit(true).unwrap();
    drop(recorder);
    for now in [2000, 3000] {
        let (recorder, _) = state.start(counting(), now);
        assert_eq!(start(&recorder, Metric::GreetingLatency, PHONE), Some(at(2000)), "at {now}");
        assert_eq!(start(&recorder, Metric::TurnLatency, PHONE), Some(at(0)));
    }
}

#[test]
fn corrected_anchor_moves_starts_for_good() {
    let state = State::new();
    let (mut recorder, _) = state.start(counting(), 0);
    let with_anchor = |anchor: i64, now: i64, catch_up: CatchUp| {
        let watermarks = Watermarks { catch_up, ..Watermarks::initial(at(anchor), &AGES) };
        Batch { watermarks: Some(watermarks), ..walk(now, &[]) }
    };
    recorder.take(&with_anchor(90_000, 90_000, CatchUp::Done));
    assert_eq!(start(&recorder, Metric::Conversations, PHONE), Some(at(90_000)));
    recorder.take(&with_anchor(500, 1000, CatchUp::Reading));
    assert_eq!(exposed(&recorder), (Some(0), Some(0.0)), "what was exposed is not hidden again");
    drop(recorder);
    let (recorder, _) = state.start(counting(), 2000);
    for (metric, values) in [(Metric::Conversations, PHONE), (Metric::IngestLag, &[])] {
        assert_eq!(start(&recorder, metric, values), Some(at(500)), "{metric:?}");
    }
}

#[test]
fn new_anchor_has_to_be_read_before_it_is_exposed() {
    let mut recorder = in_memory(counting());
    recorder.take(&first_walk(90_000, &[finished("CA01", 89_990, 5)]));
    poll_ends(&mut recorder, &poll_went_well(90_000));
    assert_eq!(exposed(&recorder), (None, Some(1.0)), "it has to settle");
    let earlier = Watermarks::initial(at(-500), &AGES);
    for now in [1000, 1030] {
        recorder.take(&Batch { watermarks: Some(earlier.clone()), ..walk(now, &[]) });
    }
    poll_ends(&mut recorder, &PollStatus { caught_up: false, ..poll_went_well(1030) });
    assert_eq!(exposed(&recorder), (None, Some(1.0)));
}

#[test]
fn labels_changed_while_catching_up_stay_hidden() {
    let mut recorder = in_memory(counting());
    recorder.take(&first_walk(1000, &[finished("CA01", 10, 45)]));
    let entry = TargetEntry { setup: setup(), needs_checkpoint: false };
    let without_labels = TargetSet { counting: with_labels(&[]), targets: vec![entry] };
    recorder.reconfigure(&without_labels, at(1100)).unwrap();
    assert_eq!(recorder.snapshot().count(Metric::Conversations, &[]), None);
    recorder.take(&first_walk(1500, &[finished("CA02", 20, 45)]));
    poll_ends(&mut recorder, &poll_went_well(1500));
    assert_eq!(recorder.snapshot().count(Metric::Conversations, &[]), Some(1));
    assert_eq!(start(&recorder, Metric::Conversations, &[]), Some(at(1100)), "it starts over");
    assert_eq!(start(&recorder, Metric::IngestLag, &[]), Some(at(0)), "this does not");
}

#[test]
fn removed_target_returns_as_it_was() {
    let other = TargetSetup { key: TargetKey { client_env: ClientEnv::Sandbox, ..setup().key }, ..setup() };
    let only = |setup: &TargetSetup| {
        let targets = vec![TargetEntry { setup: setup.clone(), needs_checkpoint: true }];
        TargetSet { counting: counting(), targets }
    };
    for (caught_up, expected) in [(false, (None, Some(1.0))), (true, (Some(1), Some(0.0)))] {
        let mut recorder = in_memory(counting());
        recorder.take(&first_walk(1000, &[finished("CA01", 10, 45)]));
        poll_ends(&mut recorder, &PollStatus { caught_up, ..poll_went_well(1000) });
        recorder.reconfigure(&only(&other), at(1100)).unwrap();
        recorder.reconfigure(&only(&setup()), at(1200)).unwrap();
        assert_eq!(exposed(&recorder), expected);
    }
}
