//! Every pair of entry and observation, then what must hold over any sequence of observations.

use proptest::prelude::*;

use super::*;
use crate::ledger::RecheckWatermark;
use crate::ledger::{Amounts, Watermarks};
use polyai_domain::conversation::{Amount, Handoff, HandoffOutcome, LatencyValues, Transcript};

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
fn in_progress(start: i64) -> ConversationData {
    ConversationData {
        started_at: at(start),
        state: ConversationState::InProgress,
        channel: None,
        variant: None,
        duration: None,
        agent_duration: None,
        last_turn_at: None,
        turns: Some(1),
        ood_turns: Some(0),
        silence_turns: Some(0),
        barge_in_turns: 0,
        handoff: HandoffOutcome::Contained,
        greeting: None,
        replies: Box::default(),
        transcript: Transcript::Hidden,
        latency_values: LatencyValues::Plausible,
    }
}

/// The same, finished after so many seconds.
fn finished_after(start: i64, duration: u32) -> ConversationData {
    ConversationData {
        state: ConversationState::Finished,
        duration: Some(Amount::from_count(duration)),
        ..in_progress(start)
    }
}

/// The same, finished without a word on when it ended.
fn finished_somehow(start: i64) -> ConversationData {
    ConversationData { state: ConversationState::Finished, ..in_progress(start) }
}

fn open(start: i64) -> LedgerEntry {
    LedgerEntry::Open { started_at: at(start), late: false }
}

fn settling(since: i64, data: ConversationData) -> LedgerEntry {
    LedgerEntry::Settling { since: at(since), data, late: false }
}

fn counted(data: &ConversationData) -> LedgerEntry {
    let amounts = Amounts::from(data);
    let ended_at = data.ended_at().unwrap_or(data.started_at);
    let nothing = Observed::nothing();
    let observed = nothing.with(&nothing.missing(data));
    LedgerEntry::Counted(Counted {
        started_at: data.started_at,
        ended_at,
        counted: amounts,
        last_seen: amounts,
        dimensions: Vec::default(),
        observed,
    })
}

/// An observation by the fresh pass `now` seconds after the anchor.
fn seen<'a>(entry: Option<&'a LedgerEntry>, data: &'a ConversationData, now: i64) -> Transition<'a> {
    decide(entry, Some((data, SeenBy::Fresh)), at(now), &rules())
}

fn count(data: &ConversationData, ended_at: i64, late: bool) -> Transition<'_> {
    Transition::Count(Count::new(data, at(ended_at), late))
}

fn counts(data: &ConversationData, ended_at: i64) -> Transition<'_> {
    count(data, ended_at, false)
}

#[test]
fn every_pair_of_entry_and_observation() {
    let call = finished_after(10, 50); // ends at 60
    let changed = ConversationData { turns: Some(9), ..call.clone() };
    let cases = [
        ("new and in progress: followed", None, in_progress(10), 40, Transition::Follow(open(10))),
        (
            "new and just finished: settles",
            None,
            call.clone(),
            61,
            Transition::Settle(settling(61, call.clone())),
        ),
        ("new and long over: counts at once", None, call.clone(), 360, counts(&call, 60)),
        ("open and in progress: nothing new", Some(open(10)), in_progress(10), 41, Transition::Unchanged),
        (
            "open and finished: settles",
            Some(open(10)),
            call.clone(),
            61,
            Transition::Settle(settling(61, call.clone())),
        ),
        ("open and long over: counts at once", Some(open(10)), call.clone(), 360, counts(&call, 60)),
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
            counts(&call, 60),
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
            counts(&changed, 60),
        ),
        (
            "settling and in progress again: open once more",
            Some(settling(61, call.clone())),
            in_progress(10),
            65,
            Transition::Follow(open(10)),
        ),
        (
            "counted and in progress again: nothing",
            Some(counted(&call)),
            in_progress(10),
            100,
            Transition::Unchanged,
        ),
        ("counted and the same: nothing", Some(counted(&call)), call.clone(), 100, Transition::Unchanged),
    ];
    for (case, entry, data, now, transition) in cases {
        assert_eq!(seen(entry.as_ref(), &data, now), transition, "{case}");
    }
    assert!(matches!(seen(Some(&counted(&call)), &changed, 100), Transition::Amend(_)));
}

#[test]
fn reopened_conversation_settles_from_the_start() {
    let call = finished_after(10, 50);
    let Transition::Settle(entry) = seen(None, &call, 61) else { panic!("it should settle") };
    let Transition::Follow(entry) = seen(Some(&entry), &in_progress(10), 68) else {
        panic!("it should be open")
    };
    let Transition::Settle(entry) = seen(Some(&entry), &call, 75) else { panic!("it should settle") };
    assert_eq!(entry, settling(75, call.clone()));
    assert_eq!(seen(Some(&entry), &call, 84), Transition::Unchanged);
    assert_eq!(seen(Some(&entry), &call, 85), counts(&call, 60));
}

#[test]
fn end_before_the_anchor_is_discarded() {
    // Durations are whole seconds: a call that shows an end of -1 may have ended as late as 0.
    for (start, duration, ignored) in
        [(-100, 40, true), (-100, 98, true), (-100, 99, false), (-100, 100, false)]
    {
        let call = finished_after(start, duration);
        let transition = seen(None, &call, 400);
        assert_eq!(
            transition == Transition::Discard,
            ignored,
            "from {start} for {duration} s: {transition:?}"
        );
    }
    // Something that was followed, because it ran, and turns out to have ended before: forgotten again.
    assert_eq!(seen(Some(&open(-100)), &finished_after(-100, 40), 5), Transition::Discard);
    // One that runs across the anchor counts.
    let across = finished_after(-100, 130);
    assert_eq!(seen(Some(&open(-100)), &across, 400), counts(&across, 30));
}

#[test]
fn absent_end_is_when_first_seen_finished() {
    let call = finished_somehow(-100_000);
    assert_eq!(seen(Some(&open(-100_000)), &call, 61), Transition::Settle(settling(61, call.clone())));
    assert_eq!(seen(Some(&settling(61, call.clone())), &call, 75), counts(&call, 61));
    // It never has been over for long, because nobody knows since when.
    assert_eq!(seen(None, &call, 100_000), Transition::Settle(settling(100_000, call.clone())));
}

#[test]
fn absent_duration_waits_for_the_settle_time() {
    // The agent was done at 40; then a human talked for six minutes, until 400.
    let at_last = ConversationData { duration: Some(Amount::from_count(390)), ..handed_over(Some(0)) };
    for data in [handed_over(None), handed_over(Some(0))] {
        assert_eq!(seen(None, &data, 402), Transition::Settle(settling(402, data.clone())));
        assert_eq!(
            seen(Some(&settling(402, data.clone())), &at_last, 405),
            Transition::Settle(settling(402, at_last.clone()))
        );
        assert!(matches!(seen(Some(&settling(402, data.clone())), &data, 412), Transition::Count(_)));
    }
    assert_eq!(seen(None, &at_last, 700), counts(&at_last, 400));
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
fn zero_settle_time_counts_at_once() {
    let rules = CountingRules { settle: Duration::ZERO, ..rules() };
    let call = finished_after(10, 50);
    assert_eq!(decide(None, Some((&call, SeenBy::Fresh)), at(60), &rules), counts(&call, 60));
}

#[test]
fn conversation_from_before_pruning_is_not_new() {
    let rules = CountingRules { pruned_before: Some(at(1000)), ..rules() };
    let unchanged = |entry: Option<&LedgerEntry>, data: &ConversationData| {
        decide(entry, Some((data, SeenBy::Recheck)), at(5000), &rules) == Transition::Unchanged
    };
    assert!(unchanged(None, &finished_after(999, 50)));
    assert!(unchanged(None, &in_progress(999)), "a finished one that was opened again");
    let new = finished_after(1000, 50);
    assert_eq!(decide(None, Some((&new, SeenBy::Recheck)), at(5000), &rules), count(&new, 1050, true));
    // One that is followed has an entry, however old it is.
    let old = finished_after(999, 50);
    let entry = open(999);
    assert_eq!(decide(Some(&entry), Some((&old, SeenBy::Recheck)), at(5000), &rules), counts(&old, 1049));
}

#[test]
fn first_seen_by_a_recheck_stays_late() {
    let call = finished_after(10, 50);
    let see = |entry: Option<&LedgerEntry>, data: &ConversationData, seen_by, now| {
        decide(entry, Some((data, seen_by)), at(now), &rules()).into_entry(Vec::new()).unwrap()
    };
    let is_late = |entry: &LedgerEntry| {
        matches!(entry, LedgerEntry::Open { late: true, .. } | LedgerEntry::Settling { late: true, .. })
    };

    let entry = see(None, &in_progress(10), SeenBy::Recheck, 20);
    assert!(is_late(&entry), "{entry:?}");
    let entry = see(Some(&entry), &call, SeenBy::Fresh, 61);
    assert!(is_late(&entry), "{entry:?}");
    let entry = see(Some(&entry), &in_progress(10), SeenBy::Fresh, 65);
    assert!(is_late(&entry), "{entry:?}");
    assert_eq!(seen(Some(&entry), &call, 400), count(&call, 60, true));

    // And the other way round: a recheck that sees a known one makes it no later.
    let (entry, recheck) = (open(10), Some((&call, SeenBy::Recheck)));
    assert_eq!(decide(Some(&entry), recheck, at(400), &rules()), counts(&call, 60));
}

#[test]
fn settled_entry_counts_without_being_seen_again() {
    let call = finished_after(10, 50);
    let entry = settling(61, call.clone());
    assert_eq!(decide(Some(&entry), None, at(70), &rules()), Transition::Unchanged);
    assert!(!rules().is_due(at(61), at(70)) && rules().is_due(at(61), at(71)));
    assert_eq!(decide(Some(&entry), None, at(71), &rules()), counts(&call, 60));
    // After the clock was stepped back it waits from now on.
    assert!(rules().is_due(at(61), at(30)));
    assert_eq!(decide(Some(&entry), None, at(30), &rules()), Transition::Settle(settling(30, call.clone())));
    for entry in [None, Some(open(10)), Some(counted(&call))] {
        assert_eq!(decide(entry.as_ref(), None, at(9000), &rules()), Transition::Unchanged, "{entry:?}");
    }
}

#[test]
fn end_in_the_future_is_taken_for_now() {
    let call = finished_after(10, 73_000);
    assert_eq!(seen(Some(&settling(95, call.clone())), &call, 110), counts(&call, 110));
}

#[test]
fn clock_stepped_back_restarts_the_settle_time() {
    let call = finished_after(10, 50);
    let Transition::Settle(entry) = seen(Some(&settling(4000, call.clone())), &call, 61) else {
        panic!("it should wait")
    };
    assert_eq!(entry, settling(61, call.clone()));
    assert_eq!(seen(Some(&entry), &call, 71), counts(&call, 60));
}

#[test]
fn amendments_up_down_and_both() {
    let call = ConversationData { turns: Some(5), ood_turns: Some(2), ..finished_after(10, 50) };
    let entry = counted(&call);
    let handoff = HandoffOutcome::HandedOff(Handoff { reason: "billing".into(), destination: "desk".into() });
    let longer = Some(Amount::from_count(51));
    let shorter = Some(Amount::from_count(49));
    for (what, data, up, down) in [
        ("a turn more", ConversationData { turns: Some(6), ..call.clone() }, true, false),
        ("longer", ConversationData { duration: longer, ..call.clone() }, true, false),
        ("handed off after all", ConversationData { handoff: handoff.clone(), ..call.clone() }, true, false),
        (
            "the handoff is not stated any more",
            ConversationData { handoff: HandoffOutcome::Unknown, ..call.clone() },
            false,
            false,
        ),
        (
            "the agent's part after all",
            ConversationData { agent_duration: shorter, ..call.clone() },
            true,
            false,
        ),
        ("shorter", ConversationData { duration: shorter, ..call.clone() }, false, true),
        ("no turns any more", ConversationData { turns: None, ood_turns: None, ..call.clone() }, false, true),
        (
            "more turns, fewer of them odd",
            ConversationData { turns: Some(6), ood_turns: Some(1), ..call.clone() },
            true,
            true,
        ),
    ] {
        let Transition::Amend(amendment) = seen(Some(&entry), &data, 500) else { panic!("{what}") };
        assert_eq!((amendment.up, amendment.down), (up, down), "{what}");
        assert_eq!(amendment.before, Amounts::from(&call), "{what}");
        assert_eq!(amendment.entry.counted, Amounts::from(&call).max(&Amounts::from(&data)), "{what}");
        assert_eq!(amendment.entry.last_seen, Amounts::from(&data), "{what}");
        assert_eq!(amendment.entry.ended_at, at(60), "{what}: it counted with the end it had then");
    }
    let renamed = ConversationData { channel: Some("CHAT".into()), replies: Box::default(), ..call };
    assert_eq!(seen(Some(&entry), &renamed, 500), Transition::Unchanged, "only amounts are amended");
}

#[test]
fn amount_that_shrank_and_grew_back_adds_nothing() {
    let call = ConversationData { turns: Some(5), ..finished_after(10, 50) };
    let fewer = ConversationData { turns: Some(3), ..call.clone() };
    let before = counted(&call);
    let shrunk = seen(Some(&before), &fewer, 500).into_entry(Vec::new()).unwrap();
    assert_eq!(seen(Some(&shrunk), &fewer, 600), Transition::Unchanged);
    let Transition::Amend(grown) = seen(Some(&shrunk), &call, 700) else { panic!("{shrunk:?}") };
    assert!(grown.up && !grown.down);
    assert_eq!(grown.entry.counted, grown.before);
}

/// One thing that happens to a conversation while it is watched.
#[derive(Debug, Clone)]
enum Step {
    /// It is seen like this, so many seconds after the step_taken before (the clock may be stepped back).
    Seen { data: Box<ConversationData>, seen_by: SeenBy, step: i64 },
    /// Only time passes.
    TimePassed { step: i64 },
    /// The passes have moved on to so many seconds after the anchor, and entries are pruned.
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
        prop::option::of(0u32..3),
        prop::option::of(any::<bool>()),
    )
        .prop_map(|(state, duration, last_turn, turns, ood_turns, handed_off)| ConversationData {
            state,
            duration: duration.map(Amount::from_count),
            last_turn_at: last_turn.map(at),
            turns,
            ood_turns,
            handoff: match handed_off {
                None => HandoffOutcome::Unknown,
                Some(false) => HandoffOutcome::Contained,
                Some(true) => {
                    HandoffOutcome::HandedOff(Handoff { reason: "".into(), destination: "".into() })
                }
            },
            ..in_progress(-500)
        })
}

fn any_seen_by() -> impl Strategy<Value = SeenBy> {
    prop_oneof![Just(SeenBy::Fresh), Just(SeenBy::Recheck)]
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (any_data(), any_seen_by(), -30i64..400)
            .prop_map(|(data, seen_by, step)| Step::Seen { data: Box::new(data), seen_by, step }),
        2 => (-30i64..400).prop_map(|step| Step::TimePassed { step }),
        1 => (-1000i64..3000).prop_map(|reached| Step::Pruned { reached }),
        1 => Just(Step::Abandoned),
    ]
}

/// The entry after an observation, and whether the conversation counted with it.
fn observe(
    entry: Option<LedgerEntry>,
    observed: Option<(&ConversationData, SeenBy)>,
    now: i64,
    rules: &CountingRules,
) -> (Option<LedgerEntry>, bool) {
    let transition = decide(entry.as_ref(), observed, at(now), rules);
    let counts = matches!(transition, Transition::Count(_));
    if transition == Transition::Unchanged {
        (entry, counts)
    } else {
        (transition.into_entry(Vec::new()), counts)
    }
}

proptest! {
    #[test]
    fn any_sequence_counts_at_most_once(steps in prop::collection::vec(any_step(), 1..40)) {
        let (mut entry, mut now, mut times_counted, mut rules) = (None::<LedgerEntry>, 0, 0, rules());
        for step_taken in steps {
            match step_taken {
                Step::Seen { data, seen_by, step } => {
                    now += step;
                    let counts;
                    (entry, counts) = observe(entry, Some((&data, seen_by)), now, &rules);
                    times_counted += u32::from(counts);
                }
                Step::TimePassed { step } => {
                    now += step;
                    let counts;
                    (entry, counts) = observe(entry, None, now, &rules);
                    times_counted += u32::from(counts);
                }
                Step::Pruned { reached } => {
                    let age = Duration::from_secs(300);
                    let recheck = RecheckWatermark { age, read_to: at(reached), already_read: None };
                    let watermarks = Watermarks {
                        fresh: at(reached),
                        rechecks: vec![recheck],
                        ..Watermarks::initial(at(0), &[])
                    };
                    let horizon = watermarks.prune_before(Timestamp::from_millis(i64::MAX));
                    let counted = matches!(entry, Some(LedgerEntry::Counted(_)));
                    if counted && entry.as_ref().is_some_and(|entry| entry.started_at() < horizon) {
                        entry = None;
                        rules.pruned_before = rules.pruned_before.max(Some(horizon));
                    }
                }
                Step::Abandoned if matches!(entry, Some(LedgerEntry::Open { .. })) => entry = None,
                Step::Abandoned => {}
            }
            prop_assert!(times_counted <= 1);
        }
    }

    #[test]
    fn repeated_observation_changes_nothing(
        before in prop::collection::vec((any_data(), any_seen_by(), 0i64..100), 0..6),
        data in any_data(),
        seen_by in any_seen_by(),
    ) {
        let (mut entry, mut now) = (None, 0);
        for (data, seen_by, step) in before {
            now += step;
            entry = observe(entry, Some((&data, seen_by)), now, &rules()).0;
        }
        let observed = Some((&data, seen_by));
        let discarded = decide(entry.as_ref(), observed, at(now), &rules()) == Transition::Discard;
        let (entry, _) = observe(entry, observed, now, &rules());
        let again = decide(entry.as_ref(), observed, at(now), &rules());
        // A discarded conversation leaves no entry, and is discarded again.
        let expected = if discarded { Transition::Discard } else { Transition::Unchanged };
        prop_assert_eq!(again, expected);
    }

    #[test]
    fn settled_conversation_since_the_anchor_counts(
        before in prop::collection::vec((any_data(), any_seen_by(), 0i64..100), 0..6),
        data in any_data(),
    ) {
        let (mut entry, mut now) = (None, 0);
        for (data, seen_by, step) in before {
            now += step;
            entry = observe(entry, Some((&data, seen_by)), now, &rules()).0;
        }
        let last = ConversationData { state: ConversationState::Finished, ..data };
        for _ in 0..2 {
            entry = observe(entry, Some((&last, SeenBy::Fresh)), now, &rules()).0;
            now += 10;
        }
        let counts_by_now = matches!(entry, Some(LedgerEntry::Counted(_)));
        let ended_before = last.ended_at().is_some_and(|end| end + END_TOLERANCE < at(0));
        prop_assert!(counts_by_now || ended_before, "{:?}", entry);
    }
}
