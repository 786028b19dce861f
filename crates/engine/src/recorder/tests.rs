//! The recorder: what a scrape sees, and when.

mod catch_up;
mod disk;
mod exemplars;
mod fixture;
mod many_targets;
mod migration;
mod reconfigure;

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use fixture::*;
use polyai_domain::conversation::{Amount, Conversation, ConversationId};
use polyai_domain::problem::Problem;
use polyai_domain::target::{ClientEnv, TargetKey};
use polyai_domain::timestamp::Timestamp;

use super::*;
use crate::aggregate::{Metric, SeriesKey, SeriesSchema, TargetSeries, Value};
use crate::dimension::Dimension;
use crate::ledger::store::Store;
use crate::ledger::transition::SeenBy;
use crate::ledger::{Counted, LedgerEntry, Watermarks};

const PHONE: &[&str] = &["VOICE-SIP"];

#[test]
fn known_series_start_at_zero_after_the_first_poll() {
    let mut recorder = in_memory(counting());
    recorder.take(&listing(0, &[]));
    let first = recorder.snapshot();
    for metric in [
        Metric::Conversations,
        Metric::Handoffs,
        Metric::Turns,
        Metric::TurnLatency,
        Metric::ConversationDuration,
    ] {
        assert_eq!(first.count(metric, PHONE), Some(0), "{metric:?}");
    }
    assert_eq!(first.count(Metric::Late, &[]), Some(0));
    for direction in ["up", "down"] {
        assert_eq!(first.count(Metric::Amendments, &[direction]), Some(0));
    }
    assert_eq!(first.label_sets(Metric::LabelValuesFolded), ["channel", "destination", "reason"]);
    assert_eq!(first.series(Metric::Conversations, PHONE).unwrap().start, at(0));
    assert_eq!(first.gauge(Metric::LastConversation, &[]), None);
}

#[test]
fn conversation_is_open_then_settles_then_counts_once() {
    let mut recorder = in_memory(counting());
    recorder.take(&listing(30, &[running("CA01", 10)]));
    assert_eq!(recorder.snapshot().gauge(Metric::InProgress, PHONE), Some(1.0));
    assert_eq!(recorder.snapshot().gauge(Metric::OldestInProgressStart, &[]), Some(at(10).seconds()));

    recorder.take(&listing(60, &[]));
    let recorded = recorder.take(&walk(60, &[finished("CA01", 10, 45)]));
    let first_finish =
        FirstFinished { started_at: at(10), ended_at: Some(at(55)), was_open: true, seen_by: SeenBy::Fresh };
    assert_eq!(
        recorded,
        BatchOutcome { finished: vec![first_finish], counted: 0, limited_labels: BTreeSet::new() }
    );
    assert_eq!(recorder.snapshot().gauge(Metric::InProgress, PHONE), Some(0.0));
    assert_eq!(recorder.snapshot().gauge(Metric::OldestInProgressStart, &[]), None);
    assert_eq!(recorder.snapshot().count(Metric::Conversations, PHONE), Some(0));

    // Nothing of it is seen again; the next batch of its target finds that it has settled.
    let recorded = recorder.take(&walk(90, &[]));
    assert_eq!(recorded, BatchOutcome { counted: 1, ..BatchOutcome::default() });
    let now = recorder.snapshot();
    assert_eq!(now.count(Metric::Conversations, PHONE), Some(1));
    assert_eq!(now.count(Metric::Turns, PHONE), Some(4));
    assert_eq!(now.count(Metric::OodTurns, PHONE), Some(1));
    assert_eq!(now.count(Metric::TurnLatency, PHONE), Some(1));
    assert_eq!(now.count(Metric::IngestLag, &[]), Some(1));
    assert_eq!(now.gauge(Metric::LastConversation, &[]), Some(at(55).seconds()));
    assert_eq!(now.series(Metric::Conversations, PHONE).unwrap().start, at(0));

    // However often it is seen from now on.
    for now in [120, 150, 5000] {
        assert_eq!(recorder.take(&walk(now, &[finished("CA01", 10, 45)])), BatchOutcome::default());
    }
    assert_eq!(recorder.snapshot().count(Metric::Conversations, PHONE), Some(1));
}

#[test]
fn open_gauge_is_set_without_watermarks() {
    let mut recorder = in_memory(counting());
    recorder.take(&Batch { watermarks: None, ..listing(30, &[running("CA01", 10)]) });
    assert_eq!(recorder.snapshot().gauge(Metric::InProgress, PHONE), None, "nothing is exposed yet");
    recorder.take(&walk(30, &[]));
    assert_eq!(recorder.snapshot().gauge(Metric::InProgress, PHONE), Some(1.0));
}

#[test]
fn repeated_batch_changes_nothing() {
    let mut recorder = in_memory(counting());
    let batch = walk(400, &[finished("CA01", 10, 45), finished("CA02", 20, 45), finished("CA01", 10, 45)]);
    assert_eq!(recorder.apply_batch(&batch).unwrap().counted, 2, "a page may show one twice");
    assert_eq!(recorder.apply_batch(&batch).unwrap().counted, 0);
    recorder.commit(true).unwrap();
    assert_eq!(recorder.apply_batch(&batch).unwrap().counted, 0);
    assert_eq!(recorder.snapshot().count(Metric::Conversations, PHONE), Some(2));
}

#[test]
fn snapshot_shows_committed_state_only() {
    let mut recorder = in_memory(counting());
    recorder.take(&walk(30, &[]));
    let before = recorder.snapshot().number;
    recorder.apply_batch(&walk(400, &[finished("CA01", 10, 45)])).unwrap();
    assert_eq!(recorder.snapshot().count(Metric::Conversations, PHONE), Some(0));
    assert!(recorder.commit(false).unwrap());
    assert_eq!(recorder.snapshot().count(Metric::Conversations, PHONE), Some(1));
    assert_eq!(recorder.snapshot().number, before + 1);
}

#[test]
fn watermark_only_commits_are_deferred() {
    let state = State::new();
    let (mut recorder, _) = state.start(counting(), 0);
    recorder.apply_batch(&walk(0, &[])).unwrap();
    assert!(recorder.commit(false).unwrap(), "the anchor");
    recorder.apply_batch(&walk(30, &[])).unwrap();
    assert!(!recorder.commit(false).unwrap(), "nothing but watermarks");
    assert_eq!(recorder.snapshot().gauge(Metric::TargetWatermark, &[]), Some(at(30).seconds()));
    recorder.apply_batch(&walk(60, &[running("CA01", 40)])).unwrap();
    assert!(recorder.commit(false).unwrap());
    drop(recorder);
    assert_eq!(state.start(counting(), 90).1.watermarks.unwrap().fresh, at(60));
}

#[test]
fn late_conversation_counts_as_late() {
    let mut recorder = in_memory(counting());
    let mut batch = walk(4000, &[finished("CA01", 10, 45), finished("CA02", 20, 45)]);
    batch.observations[0].seen_by = SeenBy::Recheck;
    assert_eq!(recorder.take(&batch).counted, 2);
    assert_eq!(recorder.snapshot().count(Metric::Late, &[]), Some(1));
}

#[test]
fn amendment_adds_increases_and_counts_directions() {
    let mut recorder = in_memory(counting());
    recorder.take(&walk(400, &[finished("CA01", 10, 45)]));
    let mut changed = finished("CA01", 10, 40);
    changed.data.turns = Some(6);
    recorder.take(&walk(430, &[handed_off(changed, "billing")]));
    let now = recorder.snapshot();
    assert_eq!(now.count(Metric::Turns, PHONE), Some(6));
    assert_eq!(now.count(Metric::Handoffs, PHONE), Some(1));
    assert_eq!(now.count(Metric::HandoffsByReason, &["VOICE-SIP", "billing", "desk"]), Some(1));
    assert_eq!(
        (now.count(Metric::Amendments, &["up"]), now.count(Metric::Amendments, &["down"])),
        (Some(1), Some(1))
    );
    // The distribution keeps what it saw first.
    assert_eq!(now.count(Metric::ConversationDuration, PHONE), Some(1));
    assert_eq!(now.count(Metric::Conversations, PHONE), Some(1));
}

#[test]
fn newest_conversation_is_the_one_that_ended_last() {
    let mut recorder = in_memory(counting());
    recorder.take(&walk(900, &[finished("CA02", 500, 45)]));
    recorder.take(&walk(930, &[finished("CA01", 10, 45)]));
    assert_eq!(recorder.snapshot().gauge(Metric::LastConversation, &[]), Some(at(545).seconds()));
}

#[test]
fn recent_ratios_are_absent_without_conversations() {
    let mut recorder = in_memory(counting());
    recorder.take(&walk(30, &[]));
    recorder.set_poll_status(&poll_went_well(30));
    recorder.commit(false).unwrap();
    assert_eq!(recorder.snapshot().gauge(Metric::RecentConversations, PHONE), Some(0.0));
    assert_eq!(recorder.snapshot().gauge(Metric::RecentHandoffRatio, PHONE), None);

    recorder.take(&walk(400, &[handed_off(finished("CA01", 10, 45), "billing"), finished("CA02", 20, 45)]));
    recorder.set_poll_status(&poll_went_well(400));
    recorder.commit(false).unwrap();
    let now = recorder.snapshot();
    assert_eq!(now.gauge(Metric::RecentConversations, PHONE), Some(2.0));
    assert_eq!(now.gauge(Metric::RecentHandoffRatio, PHONE), Some(0.5));
    assert_eq!(now.gauge(Metric::RecentOodTurnRatio, PHONE), Some(0.25));
    assert_eq!(now.gauge(Metric::RecentSilenceTurnRatio, PHONE), Some(0.0));

    // A failed poll says nothing about the last minutes; a good one much later moves the window past both.
    recorder.set_poll_status(&PollStatus { up: false, ..poll_went_well(5000) });
    recorder.commit(false).unwrap();
    assert_eq!(recorder.snapshot().gauge(Metric::RecentConversations, PHONE), Some(2.0));
    assert_eq!(recorder.snapshot().gauge(Metric::TargetUp, &[]), Some(0.0));
    assert_eq!(recorder.snapshot().gauge(Metric::TargetLastSuccess, &[]), Some(at(400).seconds()));
    recorder.set_poll_status(&poll_went_well(5000));
    recorder.commit(false).unwrap();
    assert_eq!(recorder.snapshot().gauge(Metric::RecentConversations, PHONE), Some(0.0));
    assert_eq!(recorder.snapshot().gauge(Metric::RecentHandoffRatio, PHONE), None);
}

#[test]
fn problems_are_shown_while_active() {
    let mut recorder = in_memory(counting());
    let problems = BTreeSet::from([Problem::TranscriptOff, Problem::ClockSkew]);
    recorder.set_poll_status(&PollStatus { problems, ..poll_went_well(30) });
    recorder.commit(false).unwrap();
    assert_eq!(recorder.snapshot().label_sets(Metric::TargetProblem), ["clock_skew", "transcript_off"]);
    recorder.set_poll_status(&poll_went_well(60));
    recorder.commit(false).unwrap();
    assert!(recorder.snapshot().label_sets(Metric::TargetProblem).is_empty());
}

#[test]
fn restart_restores_everything() {
    let state = State::new();
    let (mut recorder, checkpoint) = state.start(counting(), 0);
    assert_eq!((checkpoint.watermarks, checkpoint.open.len(), checkpoint.starts.len()), (None, 0, 0));
    recorder.take(&walk(400, &[finished("CA01", 10, 45), on_channel(finished("CA02", 20, 45), "CHAT")]));
    recorder.take(&walk(430, &[running("CA03", 380), finished("CA04", 390, 35)]));
    let before = recorder.snapshot().clone();
    drop(recorder);

    let (mut recorder, checkpoint) = state.start(counting(), 435);
    assert_eq!(checkpoint.watermarks.unwrap().fresh, at(430));
    assert_eq!(checkpoint.open, BTreeMap::from([(ConversationId::new("CA03").unwrap(), at(380))]));
    assert_eq!(checkpoint.starts.len(), 4);
    let now = recorder.snapshot();
    for metric in [Metric::Conversations, Metric::Turns, Metric::TurnLatency, Metric::ConversationDuration] {
        for channel in ["VOICE-SIP", "CHAT"] {
            assert_eq!(
                now.series(metric, &[channel]),
                before.series(metric, &[channel]),
                "{metric:?} {channel}"
            );
        }
    }
    assert_eq!(now.series(Metric::Conversations, PHONE).unwrap().start, at(0));
    assert_eq!(now.series(Metric::Conversations, &["CHAT"]).unwrap().start, at(65), "the end of its first");
    assert_eq!(now.gauge(Metric::LastConversation, &[]), Some(at(65).seconds()));
    assert_eq!(now.gauge(Metric::RecentConversations, PHONE), Some(1.0));
    assert_eq!(now.gauge(Metric::RecentOodTurnRatio, &["CHAT"]), Some(0.25));

    // A settling conversation goes on settling, and counts.
    assert_eq!(recorder.take(&walk(460, &[])).counted, 1);
    assert_eq!(recorder.snapshot().count(Metric::Conversations, PHONE), Some(2));
}

#[test]
fn changed_bounds_reset_only_their_histograms() {
    let state = State::new();
    let (mut recorder, _) = state.start(counting(), 0);
    recorder.take(&walk(400, &[finished("CA01", 10, 45)]));
    drop(recorder);

    let (recorder, _) = state.start(with_latency_buckets(&[1.0, 2.0]), 500);
    let now = recorder.snapshot();
    let latency = now.series(Metric::TurnLatency, PHONE).unwrap();
    assert_eq!((now.count(Metric::TurnLatency, PHONE), latency.start), (Some(0), at(500)));
    let duration = now.series(Metric::ConversationDuration, PHONE).unwrap();
    assert_eq!((now.count(Metric::ConversationDuration, PHONE), duration.start), (Some(1), at(0)));
    assert_eq!(now.count(Metric::Conversations, PHONE), Some(1));
}

#[test]
fn changed_dimensions_reset_only_their_series() {
    let state = State::new();
    let (mut recorder, _) = state.start(counting(), 0);
    recorder.take(&walk(400, &[finished("CA01", 10, 45)]));
    drop(recorder);

    let (recorder, _) = state.start(with_labels(&[]), 500);
    let now = recorder.snapshot();
    assert_eq!(now.count(Metric::Conversations, &[]), Some(0));
    assert_eq!(now.series(Metric::Conversations, &[]).unwrap().start, at(500));
    assert_eq!(now.label_sets(Metric::Conversations), [""]);
    assert_eq!(now.count(Metric::IngestLag, &[]), Some(1));
    assert_eq!(now.gauge(Metric::LastConversation, &[]), Some(at(55).seconds()));
    assert_eq!(now.gauge(Metric::RecentConversations, &[]), Some(1.0));
}

#[test]
fn labels_of_other_dimensions_are_never_mixed_up() {
    let recent = |labels: &[Dimension]| {
        let state = State::new();
        let (mut recorder, _) = state.start(counting(), 0);
        recorder.take(&walk(400, &[finished("CA01", 10, 45)]));
        drop(recorder);
        let (mut recorder, _) = state.start(with_labels(labels), 500);
        let recent = recorder.snapshot().label_sets(Metric::RecentConversations);
        let mut changed = finished("CA01", 10, 45);
        changed.data.turns = Some(6);
        recorder.take(&walk(530, &[changed]));
        (recent, recorder.snapshot().label_sets(Metric::Turns))
    };
    // A variant that the ledger does not hold is unknown until an amendment brings it.
    assert_eq!(recent(&[Dimension::Variant]), (vec!["none".to_owned()], vec!["London".to_owned()]));
    assert_eq!(
        recent(&Dimension::ALL),
        (vec!["VOICE-SIP,none".to_owned()], vec!["VOICE-SIP,London".to_owned()])
    );
}

#[test]
fn label_limit_holds_after_a_restart() {
    let few = || CountingPolicy { max_label_values: NonZeroUsize::new(2).unwrap(), ..counting() };
    let state = State::new();
    let (mut recorder, _) = state.start(few(), 0);
    recorder.take(&walk(400, &[on_channel(finished("CA01", 10, 45), "CHAT")]));
    drop(recorder);
    let (mut recorder, _) = state.start(few(), 430);
    let recorded = recorder.take(&walk(
        460,
        &[on_channel(finished("CA02", 20, 45), "FAX"), on_channel(finished("CA03", 20, 45), "CHAT")],
    ));
    assert_eq!(recorded.limited_labels, BTreeSet::from(["channel"]));
    recorder.take(&listing(490, &[on_channel(running("CA04", 480), "PIGEON")]));
    let now = recorder.snapshot();
    assert_eq!(now.label_sets(Metric::Conversations), ["CHAT", "VOICE-SIP", "other"]);
    assert_eq!(now.count(Metric::Conversations, &["other"]), Some(1));
    assert_eq!(now.count(Metric::LabelValuesFolded, &["channel"]), Some(1));
    assert_eq!(now.gauge(Metric::InProgress, &["other"]), Some(1.0));
}

#[test]
fn lowered_label_limit_keeps_existing_values() {
    let few = || CountingPolicy { max_label_values: NonZeroUsize::new(2).unwrap(), ..counting() };
    let call = |id: &str, channel: &str| on_channel(finished(id, 10, 45), channel);
    let state = State::new();
    let (mut recorder, _) = state.start(counting(), 0);
    recorder.take(&walk(400, &[call("CA01", "CHAT"), call("CA02", "SMS")]));
    drop(recorder);
    let (mut recorder, _) = state.start(few(), 430);
    recorder.take(&walk(
        460,
        &[call("CA03", "CHAT"), call("CA04", "SMS"), call("CA05", "VOICE-SIP"), call("CA06", "FAX")],
    ));
    let now = recorder.snapshot();
    let counted = |channel: &str| now.count(Metric::Conversations, &[channel]);
    assert_eq!(["CHAT", "SMS", "VOICE-SIP"].map(counted), [Some(2), Some(2), Some(1)]);
    assert_eq!((counted("other"), counted("FAX")), (Some(1), None));
    assert_eq!(now.count(Metric::LabelValuesFolded, &["channel"]), Some(1));
}

#[test]
fn end_in_the_future_is_neither_newest_nor_recent() {
    // Milliseconds sent as seconds; and a start by another clock, whose entry stays in the ledger.
    for conversation in [finished("CA01", 10, 73_000), finished("CA02", 50_000, 45)] {
        let state = State::new();
        let (mut recorder, _) = state.start(counting(), 0);
        recorder.take(&walk(95, std::slice::from_ref(&conversation)));
        assert_eq!(recorder.take(&walk(110, &[])).counted, 1);
        let last = |recorder: &Recorder| recorder.snapshot().gauge(Metric::LastConversation, &[]);
        assert_eq!(last(&recorder), Some(at(110).seconds()));
        drop(recorder);

        let (mut recorder, _) = state.start(counting(), 2000);
        assert_eq!(last(&recorder), Some(at(110).seconds()));
        recorder.set_poll_status(&poll_went_well(2000));
        recorder.commit(true).unwrap();
        assert_eq!(recorder.snapshot().gauge(Metric::RecentConversations, PHONE), Some(0.0));
        recorder.take(&walk(2400, &[finished("CA03", 2010, 45)]));
        assert_eq!(last(&recorder), Some(at(2055).seconds()), "a later end is the newest");
    }
}

#[test]
fn stored_end_in_the_future_is_clamped() {
    let state = State::new();
    let (mut recorder, _) = state.start(counting(), 0);
    let newest = SeriesKey { metric: Metric::LastConversation, values: Arc::from([]) };
    recorder.take(&walk(400, &[finished("CA01", 10, 45)]));
    // As it was written when any duration was believed.
    let ahead = at(73_000);
    let state_of_it = recorder.targets.get_mut(&THE_TARGET).unwrap();
    let series = Arc::make_mut(&mut state_of_it.series);
    series.set(Metric::LastConversation, &[], ahead.seconds(), at(400));
    state_of_it.dirty.insert(newest);
    recorder.touched.insert(THE_TARGET);
    let (of, id) = (state_of_it.id, ConversationId::new("CA01").unwrap());
    let entry = recorder.store.entries().unwrap().get(of, &id).unwrap();
    let Some(LedgerEntry::Counted(counted)) = entry else { panic!("it has counted") };
    let entry = LedgerEntry::Counted(Counted { ended_at: ahead, ..counted });
    recorder.changes.entries.insert((of, id), Some(entry));
    recorder.commit(true).unwrap();
    drop(recorder);

    let (mut recorder, _) = state.start(counting(), 500);
    assert_eq!(recorder.snapshot().gauge(Metric::LastConversation, &[]), Some(at(400).seconds()));
    recorder.set_poll_status(&poll_went_well(500 + 15 * 60));
    recorder.commit(true).unwrap();
    assert_eq!(recorder.snapshot().gauge(Metric::RecentConversations, PHONE), Some(0.0));
}

#[test]
fn lag_of_years_is_the_maximum() {
    let mut recorder = in_memory(counting());
    let years = 3 * 365 * 86_400;
    recorder.take(&walk(years, &[finished("CA01", 10, 45)]));
    let lag = recorder.snapshot().series(Metric::IngestLag, &[]).unwrap().clone();
    let Value::Histogram(lag) = &lag.value else { panic!("a lag is a histogram") };
    assert_eq!((lag.counts().last(), lag.sum()), (Some(&1), Amount::MAX.units()));
}

#[test]
fn abandoned_conversation_counts_if_it_reappears() {
    let state = State::new();
    let (mut recorder, _) = state.start(counting(), 0);
    recorder.take(&listing(30, &[running("CA01", 10)]));
    recorder.take(&Batch { abandoned: vec![ConversationId::new("CA01").unwrap()], ..walk(9000, &[]) });
    drop(recorder);
    let (mut recorder, checkpoint) = state.start(counting(), 9000);
    assert_eq!(checkpoint.open.len(), 0);
    assert_eq!(recorder.take(&walk(9030, &[finished("CA01", 10, 45)])).counted, 1);
    // To give up what has counted changes nothing.
    recorder.take(&Batch { abandoned: vec![ConversationId::new("CA01").unwrap()], ..walk(9060, &[]) });
    assert_eq!(recorder.take(&walk(9090, &[finished("CA01", 10, 45)])).counted, 0);
}

#[test]
fn clock_stepped_back_restarts_settling() {
    let mut recorder = in_memory(counting());
    recorder.take(&walk(4000, &[finished("CA01", 3990, 5)]));
    assert_eq!(recorder.take(&walk(100, &[])).counted, 0);
    assert_eq!(recorder.take(&walk(105, &[])).counted, 0);
    assert_eq!(recorder.take(&walk(110, &[])).counted, 1);
}

#[test]
fn watermarks_ahead_prune_nothing_new() {
    let mut recorder = in_memory(counting());
    recorder.take(&walk(4000, &[finished("CA01", 3000, 45)]));
    let days = 3 * 24 * 3600;
    let mut ahead = Watermarks { fresh: at(days), ..Watermarks::initial(at(0), &AGES) };
    for recheck in &mut ahead.rechecks {
        recheck.read_to = at(days) - recheck.age;
    }
    recorder.take(&Batch { watermarks: Some(ahead.clone()), ..walk(days, &[]) });
    recorder.prune(THE_TARGET).unwrap();
    let again = [finished("CA01", 3000, 45), finished("CA02", 2000, 45), finished("CA03", 4100, 45)];
    assert_eq!(recorder.take(&walk(5000, &again)).counted, 2, "the one that never counted, and the new one");
}

#[test]
fn stored_prune_limit_in_the_future_is_clamped() {
    let state = State::new();
    let (mut recorder, _) = state.start(counting(), 0);
    recorder.take(&walk(4000, &[finished("CA01", 3000, 45)]));
    let target = recorder.targets.get_mut(&THE_TARGET).unwrap();
    let watermarks = Watermarks { pruned_before: Some(at(24 * 3600)), ..target.watermarks.clone().unwrap() };
    recorder.changes.watermarks.insert(target.id, watermarks);
    recorder.commit(true).unwrap();
    drop(recorder);
    let (mut recorder, checkpoint) = state.start(counting(), 4000);
    assert_eq!(checkpoint.watermarks.unwrap().pruned_before, Some(at(3045) + Duration::from_millis(1)));
    assert_eq!(recorder.take(&walk(5000, &[finished("CA02", 4100, 45)])).counted, 1);
    assert_eq!(recorder.take(&walk(5000, &[finished("CA03", 3000, 5)])).counted, 0, "it may have counted");
}

#[test]
fn recent_window_is_evicted_without_successful_polls() {
    let mut recorder = in_memory(counting());
    for hour in 0..10 {
        let start = hour * 3600;
        recorder.take(&walk(start + 400, &[finished(&format!("CA{hour}"), start, 45)]));
    }
    let totals = recorder.targets[&THE_TARGET].recent.totals();
    assert_eq!(totals.values().map(|totals| totals.conversations).sum::<u64>(), 1);
}

#[test]
fn pruned_conversation_does_not_count_again() {
    let mut recorder = in_memory(counting());
    let open_for_long = running("CA03", 10);
    recorder.take(&walk(400, &[finished("CA01", 10, 45), finished("CA02", 8900, 45), open_for_long.clone()]));
    let moved = |now: i64| {
        let mut watermarks = Watermarks { fresh: at(now), ..Watermarks::initial(at(0), &AGES) };
        for recheck in &mut watermarks.rechecks {
            recheck.read_to = at(now) - recheck.age;
        }
        Some(watermarks)
    };
    recorder.take(&Batch { watermarks: moved(9000), ..walk(9100, &[finished("CA02", 8900, 45)]) });
    assert_eq!(recorder.snapshot().count(Metric::Conversations, PHONE), Some(2));
    assert_eq!(recorder.prune(THE_TARGET).unwrap(), 1, "the old one that counted, and no other");
    assert_eq!(recorder.prune(THE_TARGET).unwrap(), 0);

    // Marks from a poller that knows nothing of it do not make it remembered again.
    let again = [finished("CA01", 10, 45), finished("CA02", 8900, 45)];
    assert_eq!(recorder.take(&Batch { watermarks: moved(9030), ..walk(9130, &again) }).counted, 0);
    let at_last = finished("CA03", 10, 9000);
    assert_eq!(recorder.take(&Batch { watermarks: moved(9060), ..walk(9400, &[at_last]) }).counted, 1);
    assert_eq!(recorder.snapshot().count(Metric::Conversations, PHONE), Some(3));
}

#[test]
fn failing_disk_shows_last_commit_and_problem() {
    let disk = BrokenDisk::default();
    let broken = disk.1.clone();
    let store = Store::with_backend(move || disk.clone()).unwrap();
    let mut recorder = Recorder::load(store, &[setup()], counting(), at(0)).unwrap().0;
    recorder.take(&walk(400, &[finished("CA01", 10, 45)]));

    broken.store(true, SeqCst);
    recorder.apply_batch(&walk(430, &[finished("CA02", 20, 45)])).unwrap();
    for _ in 0..3 {
        assert!(recorder.commit(true).is_err());
        assert_eq!(recorder.snapshot().count(Metric::Conversations, PHONE), Some(1));
        let shown = recorder.snapshot_with_storage_problem();
        assert_eq!(shown.count(Metric::Conversations, PHONE), Some(1));
        assert_eq!(shown.label_sets(Metric::TargetProblem), ["storage"]);
        recorder.reopen();
    }

    // The first try that succeeds writes once the changes that could not be written.
    broken.store(false, SeqCst);
    recorder.reopen();
    assert!(recorder.commit(true).unwrap());
    assert_eq!(recorder.snapshot().count(Metric::Conversations, PHONE), Some(2));
    assert!(recorder.snapshot().label_sets(Metric::TargetProblem).is_empty(), "the problem is over");
    assert_eq!(recorder.take(&walk(460, &[finished("CA02", 20, 45)])).counted, 0);
}

#[test]
fn failed_commit_is_written_once_by_the_next() {
    let state = State::new();
    let (mut recorder, _) = state.start(counting(), 0);
    let (file, away) = (state.0.path().join("state.redb"), state.0.path().join("away"));
    recorder.apply_batch(&walk(400, &[finished("CA01", 10, 45)])).unwrap();
    std::fs::rename(&file, &away).unwrap();
    recorder.reopen();
    for _ in 0..3 {
        assert!(recorder.commit(true).is_err());
        recorder.snapshot_with_storage_problem();
        recorder.reopen();
    }
    std::fs::rename(&away, &file).unwrap();
    recorder.reopen();
    assert!(recorder.commit(true).unwrap());
    assert_eq!(recorder.snapshot().count(Metric::Conversations, PHONE), Some(1));
    assert!(recorder.snapshot().label_sets(Metric::TargetProblem).is_empty(), "the problem is over");
    drop(recorder);
    let (mut recorder, _) = state.start(counting(), 500);
    assert_eq!(recorder.snapshot().count(Metric::Conversations, PHONE), Some(1));
    assert_eq!(recorder.take(&walk(530, &[finished("CA01", 10, 45)])).counted, 0);
}

#[test]
fn batch_touches_only_its_target() {
    let mut sandbox = setup();
    sandbox.key.client_env = ClientEnv::Sandbox;
    let store = Store::in_memory().unwrap();
    let mut recorder = Recorder::load(store, &[setup(), sandbox], counting(), at(0)).unwrap().0;
    recorder.take(&walk(400, &[finished("CA01", 10, 45)]));
    let before = recorder.snapshot().targets[0].1.clone();
    recorder.take(&Batch {
        target: TargetIndex(1),
        ..walk(400, &[finished("CA01", 10, 45), finished("CA02", 10, 45)])
    });
    assert!(
        Arc::ptr_eq(&before, &recorder.snapshot().targets[0].1),
        "an unchanged target is the same allocation"
    );
    assert_eq!(recorder.snapshot().count(Metric::Conversations, PHONE), Some(1));
    // A batch for a target that does not exist is no disaster.
    assert_eq!(
        recorder.take(&Batch { target: TargetIndex(7), ..walk(430, &[finished("CA03", 10, 45)]) }),
        BatchOutcome::default()
    );
}
