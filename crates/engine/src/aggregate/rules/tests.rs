//! What each kind of conversation contributes, as a table to read; then what amendments add.

use std::num::NonZeroUsize;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use polyai_domain::conversation::{ConversationState, TurnLatency};

const START: Timestamp = Timestamp::from_millis(1_787_217_300_000);

fn after_start(seconds: u64) -> Timestamp {
    START + Duration::from_secs(seconds)
}

/// A call of 74 seconds, counted half a minute after its end.
fn times() -> EventTimes {
    EventTimes { ended_at: after_start(74), now: after_start(104) }
}

fn cap() -> LabelLimiter {
    LabelLimiter::new(NonZeroUsize::new(2).unwrap())
}

/// A call of three turns on the phone, in which nothing happened.
fn plain() -> ConversationData {
    let reply = |seconds: f64| TurnLatency { latency: Amount::from_units(seconds).unwrap(), at: None };
    ConversationData {
        started_at: START,
        state: ConversationState::Finished,
        channel: Some("VOICE-SIP".into()),
        variant: Some("London".into()),
        duration: Some(Amount::from_count(74)),
        agent_duration: Some(Amount::from_count(52)),
        last_turn_at: Some(after_start(48)),
        turns: Some(3),
        ood_turns: 0,
        silence_turns: 0,
        barge_in_turns: 0,
        handoff: None,
        greeting: Some(reply(3.88)),
        replies: Box::from([reply(1.41), reply(2.275)]),
        transcript: Transcript::Visible,
        complete: true,
    }
}

/// A record of which nothing is known but that it is over.
fn bare() -> ConversationData {
    ConversationData {
        channel: None,
        variant: None,
        duration: None,
        agent_duration: None,
        last_turn_at: None,
        turns: None,
        greeting: None,
        replies: Box::default(),
        transcript: Transcript::Empty,
        complete: false,
        ..plain()
    }
}

fn handed_off(reason: &str, destination: &str) -> Option<Handoff> {
    Some(Handoff { reason: reason.into(), destination: destination.into() })
}

/// One line per contribution, as a reader of the exposition would name it.
fn lines(list: &[SeriesUpdate]) -> Vec<String> {
    list.iter()
        .map(|SeriesUpdate { metric, values, change, .. }| {
            let name = metric.definition().name.trim_start_matches("polyai_");
            let values = values.join(",");
            match change {
                SeriesOp::Add(amount) => format!("{name}{{{values}}} +{amount}"),
                SeriesOp::Observe(amount) => format!("{name}{{{values}}} <- {}", amount.units()),
            }
        })
        .collect()
}

fn by_channel(data: &ConversationData) -> Vec<String> {
    lines(&contributions_of(data, times(), &[Dimension::Channel], &mut cap()).1)
}

const PLAIN: [&str; 8] = [
    "conversations_total{VOICE-SIP} +1",
    "turns_total{VOICE-SIP} +3",
    "conversation_duration_seconds{VOICE-SIP} <- 74",
    "conversation_agent_duration_seconds{VOICE-SIP} <- 52",
    "conversation_turns{VOICE-SIP} <- 3",
    "greeting_latency_seconds{VOICE-SIP} <- 3.88",
    "turn_latency_seconds{VOICE-SIP} <- 1.41",
    "turn_latency_seconds{VOICE-SIP} <- 2.275",
];

/// What `data` contribute beyond [`PLAIN`], and what of that they lack.
fn beyond_plain(data: &ConversationData) -> (Vec<String>, Vec<&'static str>) {
    let lines = by_channel(data);
    let lacks = PLAIN.into_iter().filter(|line| !lines.iter().any(|own| own == line)).collect();
    (lines.into_iter().filter(|line| !PLAIN.contains(&line.as_str())).collect(), lacks)
}

#[test]
fn a_plain_call_contributes_itself_its_turns_and_its_times() {
    assert_eq!(by_channel(&plain()), PLAIN);
}

#[test]
fn a_record_of_which_nothing_is_known_is_a_conversation_all_the_same() {
    assert_eq!(by_channel(&bare()), ["conversations_total{unknown} +1"]);
}

#[test]
fn what_each_kind_of_call_contributes_beyond_a_plain_one() {
    let cases: [(ConversationData, &[&str], &[&str]); 7] = [
        (
            ConversationData { ood_turns: 2, ..plain() },
            &["ood_turns_total{VOICE-SIP} +2", "conversations_with_ood_total{VOICE-SIP} +1"],
            &[],
        ),
        (
            ConversationData { silence_turns: 1, barge_in_turns: 3, ..plain() },
            &[
                "silence_turns_total{VOICE-SIP} +1",
                "barge_in_turns_total{VOICE-SIP} +3",
                "conversations_with_silence_total{VOICE-SIP} +1",
            ],
            &[],
        ),
        (
            ConversationData { handoff: handed_off("billing", "desk"), ..plain() },
            &["handoffs_total{VOICE-SIP} +1", "handoffs_by_reason_total{VOICE-SIP,billing,desk} +1"],
            &[],
        ),
        (
            ConversationData { handoff: handed_off("", ""), ..plain() },
            &["handoffs_total{VOICE-SIP} +1", "handoffs_by_reason_total{VOICE-SIP,none,none} +1"],
            &[],
        ),
        (
            ConversationData {
                transcript: Transcript::Hidden,
                greeting: None,
                replies: Box::default(),
                ..plain()
            },
            &["conversations_without_transcript_total{VOICE-SIP} +1"],
            &[PLAIN[5], PLAIN[6], PLAIN[7]],
        ),
        (ConversationData { duration: None, agent_duration: None, ..plain() }, &[], &[PLAIN[2], PLAIN[3]]),
        // No turns is an observation of none; not to know is no observation.
        (
            ConversationData { turns: Some(0), ..plain() },
            &["conversation_turns{VOICE-SIP} <- 0"],
            &[PLAIN[1], PLAIN[4]],
        ),
    ];
    for (data, more, less) in cases {
        let (beyond, lacks) = beyond_plain(&data);
        assert_eq!(beyond, more);
        assert_eq!(lacks, less);
    }
}

#[test]
fn the_configured_dimensions_decide_what_stands_on_a_series() {
    let values = |data: &ConversationData, dimensions: &[Dimension]| {
        let (values, list) = contributions_of(data, times(), dimensions, &mut cap());
        assert!(list.iter().all(|one| one.values == values), "{list:?}");
        values.iter().map(|value| value.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(values(&plain(), &[]), [""; 0]);
    assert_eq!(values(&plain(), &Dimension::ALL), ["VOICE-SIP", "London"]);
    assert_eq!(values(&bare(), &Dimension::ALL), ["unknown", "none"]);
}

#[test]
fn a_folded_value_is_counted_with_the_label_it_was_folded_for() {
    let mut cap = cap();
    let mut on = |channel: &str, reason: &str| {
        let data =
            ConversationData { channel: Some(channel.into()), handoff: handed_off(reason, "desk"), ..bare() };
        lines(&contributions_of(&data, times(), &[Dimension::Channel], &mut cap).1)
    };
    on("VOICE-SIP", "billing");
    on("CHAT", "refund");
    assert_eq!(
        on("FAX", "weather"),
        [
            "label_values_folded_total{channel} +1",
            "conversations_total{other} +1",
            "label_values_folded_total{reason} +1",
            "handoffs_total{other} +1",
            "handoffs_by_reason_total{other,other,desk} +1",
        ]
    );
    assert_eq!(
        on("CHAT", "billing"),
        [
            "conversations_total{CHAT} +1",
            "handoffs_total{CHAT} +1",
            "handoffs_by_reason_total{CHAT,billing,desk} +1"
        ]
    );
}

#[test]
fn an_amendment_adds_the_difference_and_observes_nothing() {
    let before = Amounts { turns: 3, ood_turns: 1, ..Amounts::default() };
    let data = ConversationData {
        turns: Some(5),
        ood_turns: 2,
        silence_turns: 1,
        barge_in_turns: 2,
        duration: Some(Amount::from_count(99)),
        handoff: handed_off("billing", "desk"),
        ..plain()
    };
    let values: LabelValues = Arc::from([Arc::from("VOICE-SIP")]);
    assert_eq!(
        lines(&amendment(&before, &Amounts::of(&data), &data, times(), &values, &mut cap())),
        [
            "turns_total{VOICE-SIP} +2",
            "ood_turns_total{VOICE-SIP} +1",
            "silence_turns_total{VOICE-SIP} +1",
            "barge_in_turns_total{VOICE-SIP} +2",
            "conversations_with_silence_total{VOICE-SIP} +1",
            "handoffs_total{VOICE-SIP} +1",
            "handoffs_by_reason_total{VOICE-SIP,billing,desk} +1",
        ]
    );
}

#[test]
fn a_handoff_that_was_counted_is_not_counted_again_for_another_reason() {
    let before = Amounts { handoff: true, ..Amounts::default() };
    let data = ConversationData { handoff: handed_off("another", "desk"), ..bare() };
    assert_eq!(amendment(&before, &Amounts::of(&data), &data, times(), &Arc::from([]), &mut cap()), []);
}

/// The metrics of contributions with the second of the call that each stands for.
fn seconds(list: &[SeriesUpdate]) -> Vec<(Metric, u64)> {
    list.iter().map(|one| (one.metric, one.at.saturating_duration_since(START).as_secs())).collect()
}

#[test]
fn each_contribution_stands_for_the_moment_that_it_tells_of() {
    let at = |seconds| TurnLatency { latency: Amount::from_count(1), at: Some(after_start(seconds)) };
    let data = ConversationData {
        ood_turns: 1,
        silence_turns: 1,
        handoff: handed_off("billing", "desk"),
        greeting: Some(at(2)),
        replies: Box::from([at(20), TurnLatency { at: None, ..at(0) }, at(48)]),
        ..plain()
    };
    let (_, list) = contributions_of(&data, times(), &[], &mut cap());
    assert_eq!(
        seconds(&list),
        [
            (Metric::Conversations, 74),
            (Metric::Turns, 74),
            (Metric::OodTurns, 74),
            (Metric::SilenceTurns, 74),
            (Metric::ConversationsWithOod, 74),
            (Metric::ConversationsWithSilence, 74),
            (Metric::ConversationDuration, 74),
            (Metric::AgentDuration, 74),
            (Metric::ConversationTurns, 74),
            (Metric::GreetingLatency, 2),
            (Metric::TurnLatency, 20),
            // A turn without a time belongs to the end, a greeting without one to the start.
            (Metric::TurnLatency, 74),
            (Metric::TurnLatency, 48),
            (Metric::Handoffs, 74),
            (Metric::HandoffsByReason, 74),
        ]
    );
    let untimed = ConversationData { greeting: Some(TurnLatency { at: None, ..at(0) }), ..bare() };
    let (_, list) = contributions_of(&untimed, times(), &[], &mut cap());
    assert_eq!(seconds(&list), [(Metric::Conversations, 74), (Metric::GreetingLatency, 0)]);
}

#[test]
fn no_contribution_stands_for_a_moment_after_it_was_counted() {
    let at = |seconds| TurnLatency { latency: Amount::from_count(1), at: Some(after_start(seconds)) };
    let data = ConversationData {
        greeting: Some(at(90)),
        replies: Box::from([at(10), at(90)]),
        handoff: handed_off("", ""),
        ..bare()
    };
    // The clock that counts is behind the one that the record was written by.
    let times = EventTimes { ended_at: after_start(74), now: after_start(70) };
    let (values, list) = contributions_of(&data, times, &[], &mut cap());
    assert_eq!(
        seconds(&list),
        [
            (Metric::Conversations, 70),
            (Metric::GreetingLatency, 70),
            (Metric::TurnLatency, 10),
            (Metric::TurnLatency, 70),
            (Metric::Handoffs, 70),
            (Metric::HandoffsByReason, 70),
        ]
    );
    let amended = amendment(&Amounts::default(), &Amounts::of(&data), &data, times, &values, &mut cap());
    assert_eq!(seconds(&amended), [(Metric::Handoffs, 70), (Metric::HandoffsByReason, 70)]);
}

#[test]
fn an_amendment_stands_for_the_end_of_the_conversation() {
    let data = ConversationData { ood_turns: 2, silence_turns: 1, handoff: handed_off("", ""), ..bare() };
    let list =
        amendment(&Amounts::default(), &Amounts::of(&data), &data, times(), &Arc::from([]), &mut cap());
    assert!(list.len() > 5, "{list:?}");
    assert!(list.iter().all(|one| one.at == after_start(74)), "{list:?}");
}

fn any_amounts() -> impl Strategy<Value = (u32, u32, u32, u32, bool)> {
    (0u32..9, 0u32..9, 0u32..9, 0u32..9, any::<bool>())
}

proptest! {
    /// However often it is amended, the counters end at the most that was ever shown of each amount.
    #[test]
    fn amendments_add_up_to_the_most_that_was_shown(sights in prop::collection::vec(any_amounts(), 1..12)) {
        let sights: Vec<ConversationData> = sights
            .into_iter()
            .map(|(turns, ood_turns, silence_turns, barge_in_turns, handed)| ConversationData {
                turns: Some(turns),
                ood_turns,
                silence_turns,
                barge_in_turns,
                handoff: if handed { handed_off("billing", "desk") } else { None },
                ..bare()
            })
            .collect();
        let mut cap = cap();
        let (values, mut list) = contributions_of(&sights[0], times(), &[Dimension::Channel], &mut cap);
        let mut added = Amounts::of(&sights[0]);
        for data in &sights[1..] {
            let raised = added.max(&Amounts::of(data));
            list.extend(amendment(&added, &raised, data, times(), &values, &mut cap));
            added = raised;
        }
        let sum = |metric: Metric| -> u64 {
            list.iter().filter(|one| one.metric == metric).map(|one| match one.change {
                SeriesOp::Add(amount) => amount,
                SeriesOp::Observe(_) => 0,
            }).sum()
        };
        let most = |amount: fn(&Amounts) -> u32| sights.iter().map(|data| u64::from(amount(&Amounts::of(data)))).max().unwrap();
        prop_assert_eq!(sum(Metric::Conversations), 1);
        prop_assert_eq!(sum(Metric::Turns), most(|tally| tally.turns));
        prop_assert_eq!(sum(Metric::OodTurns), most(|tally| tally.ood_turns));
        prop_assert_eq!(sum(Metric::SilenceTurns), most(|tally| tally.silence_turns));
        prop_assert_eq!(sum(Metric::BargeInTurns), most(|tally| tally.barge_in_turns));
        prop_assert_eq!(sum(Metric::ConversationsWithOod), most(|tally| u32::from(tally.ood_turns > 0)));
        prop_assert_eq!(sum(Metric::ConversationsWithSilence), most(|tally| u32::from(tally.silence_turns > 0)));
        prop_assert_eq!(sum(Metric::Handoffs), most(|tally| u32::from(tally.handoff)));
        prop_assert_eq!(sum(Metric::HandoffsByReason), most(|tally| u32::from(tally.handoff)));
    }
}
