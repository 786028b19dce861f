//! Every pair of what is remembered and what is seen, then what must hold over any sequence of sights.

use proptest::prelude::*;

use super::*;
use crate::ledger::RecheckWatermark;
use crate::ledger::retention::{can_prune, prune_before};
use crate::ledger::{Amounts, Watermarks};
use polyai_domain::conversation::{Amount, Handoff, Transcript};

/// Seconds after the anchor.
fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(1_787_217_300_000 + seconds * 1000)
}

const SETTLE: Duration = Duration::from_secs(10);

fn rules() -> CountingRules {
    CountingRules {
        anchor: at(0),
        settle: SETTLE,
        settled_age: Duration::from_secs(300),
        pruned_before: None,
    }
}

/// A conversation that started `start` seconds after the anchor.
fn running(start: i64) -> ConversationData {
    ConversationData {
        started_at: at(start),
        state: ConversationState::InProgress,
        channel: None,
        variant: None,
        duration: None,
        agent_duration: None,
        last_turn_at: None,
        turns: Some(1),
        ood_turns: 0,
        silence_turns: 0,
        barge_in_turns: 0,
        handoff: None,
        greeting: None,
        replies: Box::default(),
        transcript: Transcript::Hidden,
        complete: true,
    }
}

/// The same, finished after so many seconds.
fn finished_after(start: i64, duration: u32) -> ConversationData {
    ConversationData {
        state: ConversationState::Finished,
        duration: Some(Amount::from_count(duration)),
        ..running(start)
    }
}

/// The same, finished without a word on when it ended.
fn finished_somehow(start: i64) -> ConversationData {
    ConversationData { state: ConversationState::Finished, ..running(start) }
}

fn open(start: i64) -> LedgerEntry {
    LedgerEntry::Open { started_at: at(start), late: false }
}

fn settling(since: i64, data: ConversationData) -> LedgerEntry {
    LedgerEntry::Settling { since: at(since), data, late: false }
}

fn counted(data: &ConversationData) -> LedgerEntry {
    let tally = Amounts::of(data);
    let ended_at = data.ended_at().unwrap_or(data.started_at);
    LedgerEntry::Counted(Counted {
        started_at: data.started_at,
        ended_at,
        counted: tally,
        last_seen: tally,
        dimensions: Vec::default(),
    })
}

/// A timely sight `now` seconds after the anchor.
fn seen(row: Option<&LedgerEntry>, data: &ConversationData, now: i64) -> Transition {
    decide(row, data, SeenBy::Fresh, at(now), &rules())
}

fn counts(ended_at: i64) -> Transition {
    Transition::Count { late: false, ended_at: at(ended_at) }
}

#[test]
fn every_pair_of_what_is_remembered_and_what_is_seen() {
    let call = finished_after(10, 50); // ends at 60
    let changed = ConversationData { turns: Some(9), ..call.clone() };
    let cases = [
        ("new and running: followed", None, running(10), 40, Transition::Follow(open(10))),
        (
            "new and just finished: settles",
            None,
            call.clone(),
            61,
            Transition::Settle(settling(61, call.clone())),
        ),
        ("new and long over: counts at once", None, call.clone(), 360, counts(60)),
        ("open and running: nothing new", Some(open(10)), running(10), 41, Transition::Unchanged),
        (
            "open and finished: settles",
            Some(open(10)),
            call.clone(),
            61,
            Transition::Settle(settling(61, call.clone())),
        ),
        ("open and long over: counts at once", Some(open(10)), call.clone(), 360, counts(60)),
        (
            "settling, seen the same too early: waits",
            Some(settling(61, call.clone())),
            call.clone(),
            70,
            Transition::Unchanged,
        ),
        (
            "settling, seen the same in time: counts",
            Some(settling(61, call.clone())),
            call.clone(),
            71,
            counts(60),
        ),
        (
            "settling, seen changed too early: keeps its clock and the newer data",
            Some(settling(61, call.clone())),
            changed.clone(),
            70,
            Transition::Settle(settling(61, changed.clone())),
        ),
        (
            "settling, seen changed in time: counts",
            Some(settling(61, call.clone())),
            changed.clone(),
            71,
            counts(60),
        ),
        (
            "settling and running again: open once more",
            Some(settling(61, call.clone())),
            running(10),
            65,
            Transition::Follow(open(10)),
        ),
        ("counted and running again: nothing", Some(counted(&call)), running(10), 100, Transition::Unchanged),
        ("counted and the same: nothing", Some(counted(&call)), call.clone(), 100, Transition::Unchanged),
    ];
    for (story, row, data, now, verdict) in cases {
        assert_eq!(seen(row.as_ref(), &data, now), verdict, "{story}");
    }
    assert!(matches!(seen(Some(&counted(&call)), &changed, 100), Transition::Amend(_)));
}

#[test]
fn after_running_again_it_settles_anew() {
    let call = finished_after(10, 50);
    let Transition::Settle(row) = seen(None, &call, 61) else { panic!("it should settle") };
    let Transition::Follow(row) = seen(Some(&row), &running(10), 68) else { panic!("it should be open") };
    let Transition::Settle(row) = seen(Some(&row), &call, 75) else { panic!("it should settle") };
    assert_eq!(row, settling(75, call.clone()));
    assert_eq!(seen(Some(&row), &call, 84), Transition::Unchanged);
    assert_eq!(seen(Some(&row), &call, 85), counts(60));
}

#[test]
fn what_ended_before_the_anchor_does_not_count_with_one_second_of_grace() {
    // Durations are whole seconds: a call that shows an end of -1 may have ended as late as 0.
    for (start, duration, ignored) in
        [(-100, 40, true), (-100, 98, true), (-100, 99, false), (-100, 100, false)]
    {
        let verdict = seen(None, &finished_after(start, duration), 400);
        assert_eq!(verdict == Transition::Ignore, ignored, "from {start} for {duration} s: {verdict:?}");
    }
    // Something that was followed, because it ran, and turns out to have ended before: forgotten again.
    assert_eq!(seen(Some(&open(-100)), &finished_after(-100, 40), 5), Transition::Ignore);
    // One that runs across the anchor counts.
    assert_eq!(seen(Some(&open(-100)), &finished_after(-100, 130), 400), counts(30));
}

#[test]
fn without_any_end_it_ends_when_first_seen_finished() {
    let call = finished_somehow(-100_000);
    assert_eq!(seen(Some(&open(-100_000)), &call, 61), Transition::Settle(settling(61, call.clone())));
    assert_eq!(seen(Some(&settling(61, call.clone())), &call, 75), counts(61));
    // It never has been over for long, because nobody knows since when.
    assert_eq!(seen(None, &call, 100_000), Transition::Settle(settling(100_000, call.clone())));
}

#[test]
fn a_duration_that_has_not_arrived_does_not_say_that_it_is_long_over() {
    // The agent was done at 40; then a human talked for six minutes, until 400.
    let at_last = ConversationData { duration: Some(Amount::from_count(390)), ..handed_over(Some(0)) };
    for data in [handed_over(None), handed_over(Some(0))] {
        assert_eq!(seen(None, &data, 402), Transition::Settle(settling(402, data.clone())));
        assert_eq!(
            seen(Some(&settling(402, data.clone())), &at_last, 405),
            Transition::Settle(settling(402, at_last.clone()))
        );
        assert!(matches!(seen(Some(&settling(402, data.clone())), &data, 412), Transition::Count { .. }));
    }
    assert_eq!(seen(None, &at_last, 700), counts(400));
}

/// A call whose last turn was long before its end.
fn handed_over(duration: Option<u32>) -> ConversationData {
    ConversationData {
        last_turn_at: Some(at(40)),
        duration: duration.map(Amount::from_count),
        ..finished_somehow(10)
    }
}

#[test]
fn a_settle_time_of_nothing_counts_at_first_sight() {
    let rules = CountingRules { settle: Duration::ZERO, ..rules() };
    assert_eq!(decide(None, &finished_after(10, 50), SeenBy::Fresh, at(60), &rules), counts(60));
}

#[test]
fn what_may_have_been_counted_and_forgotten_is_not_new() {
    let rules = CountingRules { pruned_before: Some(at(1000)), ..rules() };
    let judge = |row: Option<&LedgerEntry>, data: &ConversationData| {
        decide(row, data, SeenBy::Recheck, at(5000), &rules)
    };
    assert_eq!(judge(None, &finished_after(999, 50)), Transition::Unchanged);
    assert_eq!(judge(None, &running(999)), Transition::Unchanged, "a finished one that was opened again");
    assert_eq!(judge(None, &finished_after(1000, 50)), Transition::Count { late: true, ended_at: at(1050) });
    // One that is followed is remembered, however old.
    assert_eq!(judge(Some(&open(999)), &finished_after(999, 50)), counts(1049));
}

#[test]
fn late_is_who_was_first_seen_by_a_recheck_whoever_sees_it_later() {
    let call = finished_after(10, 50);
    let see = |row: Option<&LedgerEntry>, data: &ConversationData, sight, now| {
        decide(row, data, sight, at(now), &rules())
    };
    let is_late = |row: &LedgerEntry| {
        matches!(row, LedgerEntry::Open { late: true, .. } | LedgerEntry::Settling { late: true, .. })
    };

    let Transition::Follow(row) = see(None, &running(10), SeenBy::Recheck, 20) else { panic!() };
    assert!(is_late(&row));
    let Transition::Settle(row) = see(Some(&row), &call, SeenBy::Fresh, 61) else { panic!() };
    assert!(is_late(&row));
    let Transition::Follow(row) = see(Some(&row), &running(10), SeenBy::Fresh, 65) else { panic!() };
    assert!(is_late(&row));
    assert_eq!(
        see(Some(&row), &call, SeenBy::Fresh, 400),
        Transition::Count { late: true, ended_at: at(60) }
    );

    // And the other way round: a recheck that sees what was known makes nothing late.
    assert_eq!(see(Some(&open(10)), &call, SeenBy::Recheck, 400), counts(60));
}

#[test]
fn a_clock_that_was_stepped_back_makes_it_wait_anew_and_no_longer() {
    let call = finished_after(10, 50);
    let Transition::Settle(row) = seen(Some(&settling(4000, call.clone())), &call, 61) else {
        panic!("it should wait")
    };
    assert_eq!(row, settling(61, call.clone()));
    assert_eq!(seen(Some(&row), &call, 71), counts(60));
}

#[test]
fn amendments_up_and_down_and_both() {
    let call = ConversationData { turns: Some(5), ood_turns: 2, handoff: None, ..finished_after(10, 50) };
    let row = counted(&call);
    let handoff = Some(Handoff { reason: "billing".into(), destination: "desk".into() });
    let longer = Some(Amount::from_count(51));
    let shorter = Some(Amount::from_count(49));
    for (what, data, up, down) in [
        ("a turn more", ConversationData { turns: Some(6), ..call.clone() }, true, false),
        ("longer", ConversationData { duration: longer, ..call.clone() }, true, false),
        ("handed off after all", ConversationData { handoff: handoff.clone(), ..call.clone() }, true, false),
        ("shorter", ConversationData { duration: shorter, ..call.clone() }, false, true),
        ("no turns any more", ConversationData { turns: None, ood_turns: 0, ..call.clone() }, false, true),
        (
            "more turns, fewer of them odd",
            ConversationData { turns: Some(6), ood_turns: 1, ..call.clone() },
            true,
            true,
        ),
    ] {
        let Transition::Amend(amendment) = seen(Some(&row), &data, 500) else { panic!("{what}") };
        assert_eq!((amendment.up, amendment.down), (up, down), "{what}");
        assert_eq!(amendment.added_before, Amounts::of(&call), "{what}");
        assert_eq!(amendment.row.counted, Amounts::of(&call).max(&Amounts::of(&data)), "{what}");
        assert_eq!(amendment.row.last_seen, Amounts::of(&data), "{what}");
        assert_eq!(amendment.row.ended_at, at(60), "{what}: it counted with the end it had then");
    }
    let renamed = ConversationData { channel: Some("CHAT".into()), replies: Box::default(), ..call };
    assert_eq!(seen(Some(&row), &renamed, 500), Transition::Unchanged, "only amounts are amended");
}

#[test]
fn what_shrank_and_grew_back_adds_nothing() {
    let call = ConversationData { turns: Some(5), ..finished_after(10, 50) };
    let fewer = ConversationData { turns: Some(3), ..call.clone() };
    let Transition::Amend(shrunk) = seen(Some(&counted(&call)), &fewer, 500) else { panic!() };
    assert_eq!(seen(Some(&LedgerEntry::Counted(shrunk.row.clone())), &fewer, 600), Transition::Unchanged);
    let Transition::Amend(grown) = seen(Some(&LedgerEntry::Counted(shrunk.row)), &call, 700) else {
        panic!()
    };
    assert!(grown.up && !grown.down);
    assert_eq!(grown.row.counted, grown.added_before);
}

/// One thing that happens to a conversation while it is watched.
#[derive(Debug, Clone)]
enum Happening {
    /// It is seen like this, so many seconds after the happening before (the clock may be stepped back).
    Seen { data: ConversationData, sight: SeenBy, step: i64 },
    /// The passes have moved on to so many seconds after the anchor, and rows are pruned.
    Pruned { reached: i64 },
    /// It was open and is given up.
    Abandoned,
}

fn any_data() -> impl Strategy<Value = ConversationData> {
    (
        prop_oneof![
            Just(ConversationState::InProgress),
            Just(ConversationState::Finished),
            Just(ConversationState::Finished)
        ],
        prop::option::of(0u32..2000),
        prop::option::of(0i64..2000),
        prop::option::of(0u32..4),
        0u32..3,
        any::<bool>(),
    )
        .prop_map(|(state, duration, last_turn, turns, ood_turns, handed_off)| ConversationData {
            state,
            duration: duration.map(Amount::from_count),
            last_turn_at: last_turn.map(at),
            turns,
            ood_turns,
            handoff: handed_off.then(|| Handoff { reason: "".into(), destination: "".into() }),
            ..running(-500)
        })
}

fn any_sight() -> impl Strategy<Value = SeenBy> {
    prop_oneof![Just(SeenBy::Fresh), Just(SeenBy::Recheck)]
}

fn any_happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        8 => (any_data(), any_sight(), -30i64..400)
            .prop_map(|(data, sight, step)| Happening::Seen { data, sight, step }),
        1 => (-1000i64..3000).prop_map(|reached| Happening::Pruned { reached }),
        1 => Just(Happening::Abandoned),
    ]
}

/// What the recorder makes of a verdict.
fn apply(verdict: Transition, row: Option<LedgerEntry>, data: &ConversationData) -> Option<LedgerEntry> {
    match verdict {
        Transition::Follow(row) | Transition::Settle(row) => Some(row),
        Transition::Count { .. } => Some(counted(data)),
        Transition::Amend(amendment) => Some(LedgerEntry::Counted(amendment.row)),
        Transition::Ignore => None,
        Transition::Unchanged => row,
    }
}

proptest! {
    #[test]
    fn over_any_sequence_it_counts_at_most_once(happenings in prop::collection::vec(any_happening(), 1..40)) {
        let (mut row, mut now, mut times_counted, mut rules) = (None::<LedgerEntry>, 0, 0, rules());
        for happening in happenings {
            match happening {
                Happening::Seen { data, sight, step } => {
                    now += step;
                    let verdict = decide(row.as_ref(), &data, sight, at(now), &rules);
                    times_counted += u32::from(matches!(verdict, Transition::Count { .. }));
                    row = apply(verdict, row, &data);
                }
                Happening::Pruned { reached } => {
                    let age = Duration::from_secs(300);
                    let recheck = RecheckWatermark { age, read_to: at(reached), already_read: None };
                    let marks = Watermarks {
                        anchor: at(0),
                        fresh: at(reached),
                        rechecks: vec![recheck],
                        overlap: Duration::ZERO,
                        pruned_before: None,
                    };
                    let horizon = prune_before(&marks, Timestamp::from_millis(i64::MAX));
                    if row.as_ref().is_some_and(|row| can_prune(row, horizon)) {
                        row = None;
                        rules.pruned_before = rules.pruned_before.max(Some(horizon));
                    }
                }
                Happening::Abandoned if matches!(row, Some(LedgerEntry::Open { .. })) => row = None,
                Happening::Abandoned => {}
            }
            prop_assert!(times_counted <= 1);
        }
    }

    #[test]
    fn the_same_sight_again_at_the_same_time_changes_nothing(
        before in prop::collection::vec((any_data(), any_sight(), 0i64..100), 0..6),
        data in any_data(),
        sight in any_sight(),
    ) {
        let (mut row, mut now) = (None, 0);
        for (data, sight, step) in before {
            now += step;
            row = apply(decide(row.as_ref(), &data, sight, at(now), &rules()), row, &data);
        }
        let first = decide(row.as_ref(), &data, sight, at(now), &rules());
        let row = apply(first.clone(), row, &data);
        let again = decide(row.as_ref(), &data, sight, at(now), &rules());
        // What is ignored leaves no row, and is ignored again.
        let expected = if first == Transition::Ignore { Transition::Ignore } else { Transition::Unchanged };
        prop_assert_eq!(again, expected);
    }

    #[test]
    fn seen_finished_for_long_enough_everything_since_the_anchor_counts(
        before in prop::collection::vec((any_data(), any_sight(), 0i64..100), 0..6),
        data in any_data(),
    ) {
        let (mut row, mut now) = (None, 0);
        for (data, sight, step) in before {
            now += step;
            row = apply(decide(row.as_ref(), &data, sight, at(now), &rules()), row, &data);
        }
        let last = ConversationData { state: ConversationState::Finished, ..data };
        for _ in 0..2 {
            row = apply(decide(row.as_ref(), &last, SeenBy::Fresh, at(now), &rules()), row, &last);
            now += 10;
        }
        let counts_by_now = matches!(row, Some(LedgerEntry::Counted(_)));
        let ended_before = last.ended_at().is_some_and(|end| end + END_TOLERANCE < at(0));
        prop_assert!(counts_by_now || ended_before, "{:?}", row);
    }
}
