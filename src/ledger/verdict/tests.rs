//! Every pair of what is remembered and what is seen, then what must hold over any sequence of sights.

use proptest::prelude::*;

use super::*;
use crate::conversation::{Handoff, Micros, Transcript};
use crate::ledger::RecheckMark;
use crate::ledger::retention::{expendable, horizon};
use crate::ledger::{Marks, Tally};

/// Seconds after the anchor.
fn at(seconds: i64) -> Moment {
    Moment::from_millis(1_787_217_300_000 + seconds * 1000)
}

const SETTLE: Duration = Duration::from_secs(10);

fn rules() -> Rules {
    Rules { anchor: at(0), settle: SETTLE, settled_age: Duration::from_secs(300), forgotten: None }
}

/// A conversation that started `start` seconds after the anchor.
fn running(start: i64) -> Facts {
    Facts {
        started_at: at(start),
        phase: Phase::Running,
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
fn finished_after(start: i64, duration: u32) -> Facts {
    Facts { phase: Phase::Finished, duration: Some(Micros::from_count(duration)), ..running(start) }
}

/// The same, finished without a word on when it ended.
fn finished_somehow(start: i64) -> Facts {
    Facts { phase: Phase::Finished, ..running(start) }
}

fn open(start: i64) -> Row {
    Row::Open { started_at: at(start), late: false }
}

fn settling(since: i64, facts: Facts) -> Row {
    Row::Settling { since: at(since), facts, late: false }
}

fn counted(facts: &Facts) -> Row {
    let tally = Tally::of(facts);
    let ended_at = facts.ended_at().unwrap_or(facts.started_at);
    Row::Counted(Counted {
        started_at: facts.started_at,
        ended_at,
        added: tally,
        shown: tally,
        dimensions: Vec::default(),
    })
}

/// A timely sight `now` seconds after the anchor.
fn seen(row: Option<&Row>, facts: &Facts, now: i64) -> Verdict {
    judge(row, facts, Sight::Timely, at(now), &rules())
}

fn counts(ended_at: i64) -> Verdict {
    Verdict::Count { late: false, ended_at: at(ended_at) }
}

#[test]
fn every_pair_of_what_is_remembered_and_what_is_seen() {
    let call = finished_after(10, 50); // ends at 60
    let changed = Facts { turns: Some(9), ..call.clone() };
    let cases = [
        ("new and running: followed", None, running(10), 40, Verdict::Follow(open(10))),
        (
            "new and just finished: settles",
            None,
            call.clone(),
            61,
            Verdict::Settle(settling(61, call.clone())),
        ),
        ("new and long over: counts at once", None, call.clone(), 360, counts(60)),
        ("open and running: nothing new", Some(open(10)), running(10), 41, Verdict::Unchanged),
        (
            "open and finished: settles",
            Some(open(10)),
            call.clone(),
            61,
            Verdict::Settle(settling(61, call.clone())),
        ),
        ("open and long over: counts at once", Some(open(10)), call.clone(), 360, counts(60)),
        (
            "settling, seen the same too early: waits",
            Some(settling(61, call.clone())),
            call.clone(),
            70,
            Verdict::Unchanged,
        ),
        (
            "settling, seen the same in time: counts",
            Some(settling(61, call.clone())),
            call.clone(),
            71,
            counts(60),
        ),
        (
            "settling, seen changed too early: keeps its clock and the newer facts",
            Some(settling(61, call.clone())),
            changed.clone(),
            70,
            Verdict::Settle(settling(61, changed.clone())),
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
            Verdict::Follow(open(10)),
        ),
        ("counted and running again: nothing", Some(counted(&call)), running(10), 100, Verdict::Unchanged),
        ("counted and the same: nothing", Some(counted(&call)), call.clone(), 100, Verdict::Unchanged),
    ];
    for (story, row, facts, now, verdict) in cases {
        assert_eq!(seen(row.as_ref(), &facts, now), verdict, "{story}");
    }
    assert!(matches!(seen(Some(&counted(&call)), &changed, 100), Verdict::Amend(_)));
}

#[test]
fn after_running_again_it_settles_anew() {
    let call = finished_after(10, 50);
    let Verdict::Settle(row) = seen(None, &call, 61) else { panic!("it should settle") };
    let Verdict::Follow(row) = seen(Some(&row), &running(10), 68) else { panic!("it should be open") };
    let Verdict::Settle(row) = seen(Some(&row), &call, 75) else { panic!("it should settle") };
    assert_eq!(row, settling(75, call.clone()));
    assert_eq!(seen(Some(&row), &call, 84), Verdict::Unchanged);
    assert_eq!(seen(Some(&row), &call, 85), counts(60));
}

#[test]
fn what_ended_before_the_anchor_does_not_count_with_one_second_of_grace() {
    // Durations are whole seconds: a call that shows an end of -1 may have ended as late as 0.
    for (start, duration, ignored) in
        [(-100, 40, true), (-100, 98, true), (-100, 99, false), (-100, 100, false)]
    {
        let verdict = seen(None, &finished_after(start, duration), 400);
        assert_eq!(verdict == Verdict::Ignore, ignored, "from {start} for {duration} s: {verdict:?}");
    }
    // Something that was followed, because it ran, and turns out to have ended before: forgotten again.
    assert_eq!(seen(Some(&open(-100)), &finished_after(-100, 40), 5), Verdict::Ignore);
    // One that runs across the anchor counts.
    assert_eq!(seen(Some(&open(-100)), &finished_after(-100, 130), 400), counts(30));
}

#[test]
fn without_any_end_it_ends_when_first_seen_finished() {
    let call = finished_somehow(-100_000);
    assert_eq!(seen(Some(&open(-100_000)), &call, 61), Verdict::Settle(settling(61, call.clone())));
    assert_eq!(seen(Some(&settling(61, call.clone())), &call, 75), counts(61));
    // It never has been over for long, because nobody knows since when.
    assert_eq!(seen(None, &call, 100_000), Verdict::Settle(settling(100_000, call.clone())));
}

#[test]
fn a_duration_that_has_not_arrived_does_not_say_that_it_is_long_over() {
    // The agent was done at 40; then a human talked for six minutes, until 400.
    let at_last = Facts { duration: Some(Micros::from_count(390)), ..handed_over(Some(0)) };
    for facts in [handed_over(None), handed_over(Some(0))] {
        assert_eq!(seen(None, &facts, 402), Verdict::Settle(settling(402, facts.clone())));
        assert_eq!(
            seen(Some(&settling(402, facts.clone())), &at_last, 405),
            Verdict::Settle(settling(402, at_last.clone()))
        );
        assert!(matches!(seen(Some(&settling(402, facts.clone())), &facts, 412), Verdict::Count { .. }));
    }
    assert_eq!(seen(None, &at_last, 700), counts(400));
}

/// A call whose last turn was long before its end.
fn handed_over(duration: Option<u32>) -> Facts {
    Facts { last_turn_at: Some(at(40)), duration: duration.map(Micros::from_count), ..finished_somehow(10) }
}

#[test]
fn a_settle_time_of_nothing_counts_at_first_sight() {
    let rules = Rules { settle: Duration::ZERO, ..rules() };
    assert_eq!(judge(None, &finished_after(10, 50), Sight::Timely, at(60), &rules), counts(60));
}

#[test]
fn what_may_have_been_counted_and_forgotten_is_not_new() {
    let rules = Rules { forgotten: Some(at(1000)), ..rules() };
    let judge = |row: Option<&Row>, facts: &Facts| judge(row, facts, Sight::Late, at(5000), &rules);
    assert_eq!(judge(None, &finished_after(999, 50)), Verdict::Unchanged);
    assert_eq!(judge(None, &running(999)), Verdict::Unchanged, "a finished one that was opened again");
    assert_eq!(judge(None, &finished_after(1000, 50)), Verdict::Count { late: true, ended_at: at(1050) });
    // One that is followed is remembered, however old.
    assert_eq!(judge(Some(&open(999)), &finished_after(999, 50)), counts(1049));
}

#[test]
fn late_is_who_was_first_seen_by_a_recheck_whoever_sees_it_later() {
    let call = finished_after(10, 50);
    let see = |row: Option<&Row>, facts: &Facts, sight, now| judge(row, facts, sight, at(now), &rules());
    let is_late = |row: &Row| matches!(row, Row::Open { late: true, .. } | Row::Settling { late: true, .. });

    let Verdict::Follow(row) = see(None, &running(10), Sight::Late, 20) else { panic!() };
    assert!(is_late(&row));
    let Verdict::Settle(row) = see(Some(&row), &call, Sight::Timely, 61) else { panic!() };
    assert!(is_late(&row));
    let Verdict::Follow(row) = see(Some(&row), &running(10), Sight::Timely, 65) else { panic!() };
    assert!(is_late(&row));
    assert_eq!(see(Some(&row), &call, Sight::Timely, 400), Verdict::Count { late: true, ended_at: at(60) });

    // And the other way round: a recheck that sees what was known makes nothing late.
    assert_eq!(see(Some(&open(10)), &call, Sight::Late, 400), counts(60));
}

#[test]
fn a_clock_that_was_stepped_back_makes_it_wait_anew_and_no_longer() {
    let call = finished_after(10, 50);
    let Verdict::Settle(row) = seen(Some(&settling(4000, call.clone())), &call, 61) else {
        panic!("it should wait")
    };
    assert_eq!(row, settling(61, call.clone()));
    assert_eq!(seen(Some(&row), &call, 71), counts(60));
}

#[test]
fn amendments_up_and_down_and_both() {
    let call = Facts { turns: Some(5), ood_turns: 2, handoff: None, ..finished_after(10, 50) };
    let row = counted(&call);
    let handoff = Some(Handoff { reason: "billing".into(), destination: "desk".into() });
    let longer = Some(Micros::from_count(51));
    let shorter = Some(Micros::from_count(49));
    for (what, facts, up, down) in [
        ("a turn more", Facts { turns: Some(6), ..call.clone() }, true, false),
        ("longer", Facts { duration: longer, ..call.clone() }, true, false),
        ("handed off after all", Facts { handoff: handoff.clone(), ..call.clone() }, true, false),
        ("shorter", Facts { duration: shorter, ..call.clone() }, false, true),
        ("no turns any more", Facts { turns: None, ood_turns: 0, ..call.clone() }, false, true),
        ("more turns, fewer of them odd", Facts { turns: Some(6), ood_turns: 1, ..call.clone() }, true, true),
    ] {
        let Verdict::Amend(amendment) = seen(Some(&row), &facts, 500) else { panic!("{what}") };
        assert_eq!((amendment.up, amendment.down), (up, down), "{what}");
        assert_eq!(amendment.added_before, Tally::of(&call), "{what}");
        assert_eq!(amendment.row.added, Tally::of(&call).raised_to(&Tally::of(&facts)), "{what}");
        assert_eq!(amendment.row.shown, Tally::of(&facts), "{what}");
        assert_eq!(amendment.row.ended_at, at(60), "{what}: it counted with the end it had then");
    }
    let renamed = Facts { channel: Some("CHAT".into()), replies: Box::default(), ..call };
    assert_eq!(seen(Some(&row), &renamed, 500), Verdict::Unchanged, "only amounts are amended");
}

#[test]
fn what_shrank_and_grew_back_adds_nothing() {
    let call = Facts { turns: Some(5), ..finished_after(10, 50) };
    let fewer = Facts { turns: Some(3), ..call.clone() };
    let Verdict::Amend(shrunk) = seen(Some(&counted(&call)), &fewer, 500) else { panic!() };
    assert_eq!(seen(Some(&Row::Counted(shrunk.row.clone())), &fewer, 600), Verdict::Unchanged);
    let Verdict::Amend(grown) = seen(Some(&Row::Counted(shrunk.row)), &call, 700) else { panic!() };
    assert!(grown.up && !grown.down);
    assert_eq!(grown.row.added, grown.added_before);
}

/// One thing that happens to a conversation while it is watched.
#[derive(Debug, Clone)]
enum Happening {
    /// It is seen like this, so many seconds after the happening before (the clock may be stepped back).
    Seen { facts: Facts, sight: Sight, step: i64 },
    /// The passes have moved on to so many seconds after the anchor, and rows are pruned.
    Pruned { reached: i64 },
    /// It was open and is given up.
    Abandoned,
}

fn any_facts() -> impl Strategy<Value = Facts> {
    (
        prop_oneof![Just(Phase::Running), Just(Phase::Finished), Just(Phase::Finished)],
        prop::option::of(0u32..2000),
        prop::option::of(0i64..2000),
        prop::option::of(0u32..4),
        0u32..3,
        any::<bool>(),
    )
        .prop_map(|(phase, duration, last_turn, turns, ood_turns, handed_off)| Facts {
            phase,
            duration: duration.map(Micros::from_count),
            last_turn_at: last_turn.map(at),
            turns,
            ood_turns,
            handoff: handed_off.then(|| Handoff { reason: "".into(), destination: "".into() }),
            ..running(-500)
        })
}

fn any_sight() -> impl Strategy<Value = Sight> {
    prop_oneof![Just(Sight::Timely), Just(Sight::Late)]
}

fn any_happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        8 => (any_facts(), any_sight(), -30i64..400)
            .prop_map(|(facts, sight, step)| Happening::Seen { facts, sight, step }),
        1 => (-1000i64..3000).prop_map(|reached| Happening::Pruned { reached }),
        1 => Just(Happening::Abandoned),
    ]
}

/// What the recorder makes of a verdict.
fn apply(verdict: Verdict, row: Option<Row>, facts: &Facts) -> Option<Row> {
    match verdict {
        Verdict::Follow(row) | Verdict::Settle(row) => Some(row),
        Verdict::Count { .. } => Some(counted(facts)),
        Verdict::Amend(amendment) => Some(Row::Counted(amendment.row)),
        Verdict::Ignore => None,
        Verdict::Unchanged => row,
    }
}

proptest! {
    #[test]
    fn over_any_sequence_it_counts_at_most_once(happenings in prop::collection::vec(any_happening(), 1..40)) {
        let (mut row, mut now, mut times_counted, mut rules) = (None::<Row>, 0, 0, rules());
        for happening in happenings {
            match happening {
                Happening::Seen { facts, sight, step } => {
                    now += step;
                    let verdict = judge(row.as_ref(), &facts, sight, at(now), &rules);
                    times_counted += u32::from(matches!(verdict, Verdict::Count { .. }));
                    row = apply(verdict, row, &facts);
                }
                Happening::Pruned { reached } => {
                    let age = Duration::from_secs(300);
                    let recheck = RecheckMark { age, read_to: at(reached), covered: None };
                    let marks = Marks {
                        anchor: at(0),
                        fresh: at(reached),
                        rechecks: vec![recheck],
                        overlap: Duration::ZERO,
                        forgotten: None,
                    };
                    let horizon = horizon(&marks, Moment::from_millis(i64::MAX));
                    if row.as_ref().is_some_and(|row| expendable(row, horizon)) {
                        row = None;
                        rules.forgotten = rules.forgotten.max(Some(horizon));
                    }
                }
                Happening::Abandoned if matches!(row, Some(Row::Open { .. })) => row = None,
                Happening::Abandoned => {}
            }
            prop_assert!(times_counted <= 1);
        }
    }

    #[test]
    fn the_same_sight_again_at_the_same_time_changes_nothing(
        before in prop::collection::vec((any_facts(), any_sight(), 0i64..100), 0..6),
        facts in any_facts(),
        sight in any_sight(),
    ) {
        let (mut row, mut now) = (None, 0);
        for (facts, sight, step) in before {
            now += step;
            row = apply(judge(row.as_ref(), &facts, sight, at(now), &rules()), row, &facts);
        }
        let first = judge(row.as_ref(), &facts, sight, at(now), &rules());
        let row = apply(first.clone(), row, &facts);
        let again = judge(row.as_ref(), &facts, sight, at(now), &rules());
        // What is ignored leaves no row, and is ignored again.
        let expected = if first == Verdict::Ignore { Verdict::Ignore } else { Verdict::Unchanged };
        prop_assert_eq!(again, expected);
    }

    #[test]
    fn seen_finished_for_long_enough_everything_since_the_anchor_counts(
        before in prop::collection::vec((any_facts(), any_sight(), 0i64..100), 0..6),
        facts in any_facts(),
    ) {
        let (mut row, mut now) = (None, 0);
        for (facts, sight, step) in before {
            now += step;
            row = apply(judge(row.as_ref(), &facts, sight, at(now), &rules()), row, &facts);
        }
        let last = Facts { phase: Phase::Finished, ..facts };
        for _ in 0..2 {
            row = apply(judge(row.as_ref(), &last, Sight::Timely, at(now), &rules()), row, &last);
            now += 10;
        }
        let counts_by_now = matches!(row, Some(Row::Counted(_)));
        let ended_before = last.ended_at().is_some_and(|end| end + END_GRACE < at(0));
        prop_assert!(counts_by_now || ended_before, "{:?}", row);
    }
}
