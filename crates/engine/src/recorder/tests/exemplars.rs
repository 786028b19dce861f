//! Exemplars, and the allocations that snapshots share.

use super::*;
use crate::aggregate::Exemplar;
use polyai_domain::conversation::{ConversationData, TurnLatency};

fn counter_exemplar(snapshot: &Snapshot, metric: Metric, values: &[&str]) -> Option<Exemplar> {
    match &snapshot.series(metric, values)?.value {
        Value::Counter(counter) => counter.exemplar().cloned(),
        Value::Gauge(_) | Value::Histogram(_) => None,
    }
}

/// Of each bucket that has one: which call, what was observed, and when.
fn exemplars(snapshot: &Snapshot, metric: Metric, values: &[&str]) -> Vec<(String, f64, Timestamp)> {
    match &snapshot.series(metric, values).unwrap().value {
        Value::Histogram(histogram) => histogram
            .exemplars()
            .iter()
            .flatten()
            .map(|exemplar| (exemplar.id().to_owned(), exemplar.value(), exemplar.at()))
            .collect(),
        Value::Counter(_) | Value::Gauge(_) => Vec::new(),
    }
}

fn with_replies(conversation: Conversation, replies: &[(u64, i64)]) -> Conversation {
    let reply = |&(millis, second)| TurnLatency { latency: Amount(millis * 1000), at: Some(at(second)) };
    let data = ConversationData { replies: replies.iter().map(reply).collect(), ..conversation.data };
    Conversation { data, ..conversation }
}

#[test]
fn bucket_exemplars_survive_a_restart() {
    let state = State::new();
    let (mut recorder, _) = state.start(counting(), 0);
    recorder.take(&walk(
        400,
        &[
            with_replies(finished("CA01", 10, 45), &[(1_200, 20), (9_000, 30)]),
            with_replies(finished("CA02", 30, 45), &[(1_300, 40), (1_100, 35)]),
        ],
    ));
    let expected = [("CA02".to_owned(), 1.3, at(40)), ("CA01".to_owned(), 9.0, at(30))];
    assert_eq!(exemplars(recorder.snapshot(), Metric::TurnLatency, PHONE), expected);
    assert_eq!(
        exemplars(recorder.snapshot(), Metric::ConversationDuration, PHONE),
        [("CA02".to_owned(), 45.0, at(75))]
    );
    // Both were counted at the same moment: of them the one that waited longer stays.
    assert_eq!(
        exemplars(recorder.snapshot(), Metric::IngestLag, &[]),
        [("CA01".to_owned(), 345.0, at(400))].as_slice()
    );
    drop(recorder);

    let (mut recorder, _) = state.start(counting(), 500);
    assert_eq!(exemplars(recorder.snapshot(), Metric::TurnLatency, PHONE), expected);
    // A late one does not replace a newer one.
    recorder.take(&walk(530, &[with_replies(finished("CA03", 5, 45), &[(1_400, 15), (100, 10)])]));
    let now = exemplars(recorder.snapshot(), Metric::TurnLatency, PHONE);
    assert_eq!(now, [&[("CA03".to_owned(), 0.1, at(10))], &expected[..]].concat());
}

#[test]
fn amended_handoff_has_its_exemplar() {
    let mut recorder = in_memory(counting());
    recorder.take(&walk(400, &[finished("CA01", 10, 45)]));
    assert_eq!(counter_exemplar(recorder.snapshot(), Metric::Handoffs, PHONE), None);
    let ood = counter_exemplar(recorder.snapshot(), Metric::ConversationsWithOod, PHONE).unwrap();
    assert_eq!((ood.id(), ood.at()), ("CA01", at(55)));

    recorder.take(&walk(430, &[handed_off(finished("CA01", 10, 45), "billing")]));
    for (metric, values) in
        [(Metric::Handoffs, PHONE), (Metric::HandoffsByReason, &["VOICE-SIP", "billing", "desk"])]
    {
        let exemplar = counter_exemplar(recorder.snapshot(), metric, values).unwrap();
        assert_eq!((exemplar.id(), exemplar.at()), ("CA01", at(55)), "{metric:?}");
    }
}

#[test]
fn id_like_a_phone_number_is_no_exemplar() {
    let mut recorder = in_memory(counting());
    recorder.take(&walk(400, &[handed_off(finished("442079460000", 10, 45), "billing")]));
    let now = recorder.snapshot();
    assert_eq!(now.count(Metric::Handoffs, PHONE), Some(1));
    assert_eq!(now.count(Metric::TurnLatency, PHONE), Some(1));
    assert_eq!(counter_exemplar(now, Metric::Handoffs, PHONE), None);
    assert_eq!(exemplars(now, Metric::TurnLatency, PHONE), []);
}

#[test]
fn exemplar_is_never_in_the_future() {
    let mut recorder = in_memory(CountingPolicy { settle: Duration::ZERO, ..counting() });
    recorder.take(&walk(50, &[with_replies(finished("CA01", 10, 45), &[(1_200, 52)])]));
    let now = recorder.snapshot();
    assert_eq!(exemplars(now, Metric::TurnLatency, PHONE), [("CA01".to_owned(), 1.2, at(50))]);
    assert_eq!(exemplars(now, Metric::ConversationDuration, PHONE), [("CA01".to_owned(), 45.0, at(50))]);
}

#[test]
fn unchanged_series_stay_the_same_allocation() {
    let mut recorder = in_memory(counting());
    let poll = |recorder: &mut Recorder, now: i64| -> Arc<TargetSeries> {
        recorder.take(&listing(now, &[running("CA02", 380)]));
        recorder.take(&walk(now, &[finished("CA01", 10, 45)]));
        recorder.set_poll_status(&poll_went_well(now));
        recorder.commit(true).unwrap();
        recorder.snapshot().targets[0].1.clone()
    };
    let before = poll(&mut recorder, 400);
    let now = poll(&mut recorder, 430);
    let changed: Vec<Metric> = now
        .iter()
        .filter(|(key, series)| !before.get(key).is_some_and(|before| Arc::ptr_eq(before, series)))
        .map(|(key, _)| key.metric)
        .collect();
    assert_eq!(changed, [Metric::TargetLastSuccess, Metric::TargetWatermark]);
}
