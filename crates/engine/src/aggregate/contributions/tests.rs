//! The contributions of each kind of conversation, as a table to read, then those of amendments.

use std::num::NonZeroUsize;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::ledger::Observed;
use crate::ledger::{Amounts, Counted};
use polyai_domain::conversation::{
    ConversationData, ConversationState, HandoffOutcome, LatencyValues, TurnLatency,
};

const START: Timestamp = Timestamp::from_millis(1_787_217_300_000);

fn after_start(seconds: u64) -> Timestamp {
    START + Duration::from_secs(seconds)
}

/// A call of 74 seconds counts half a minute after its end.
const ENDED_AFTER: u64 = 74;
const NOW_AFTER: u64 = 104;

fn counted(
    data: &ConversationData,
    now: u64,
    dimensions: &[Dimension],
    limiter: &mut LabelLimiter,
) -> Contributions {
    let count = Count::new(data, after_start(ENDED_AFTER).min(after_start(now)), false);
    contributions(&Transition::Count(count), after_start(now), dimensions, limiter)
}

/// The contributions of an amendment after `before`, for a conversation counted on the phone.
fn amended(before: Amounts, data: &ConversationData, limiter: &mut LabelLimiter) -> Vec<SeriesUpdate> {
    let entry = Counted {
        started_at: START,
        ended_at: after_start(ENDED_AFTER),
        counted: before.max(&Amounts::from(data)),
        last_seen: Amounts::from(data),
        dimensions: vec![(Dimension::Channel, "VOICE-SIP".into())],
        observed: Observed::nothing(),
    };
    let observations = Observations::default();
    let amendment = Amendment { data, before, observations, entry, up: false, down: false };
    contributions(&Transition::Amend(amendment), after_start(NOW_AFTER), &[Dimension::Channel], limiter)
        .updates
}

fn limiter() -> LabelLimiter {
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
        ood_turns: Some(0),
        silence_turns: Some(0),
        barge_in_turns: 0,
        handoff: HandoffOutcome::Contained,
        greeting: Some(reply(3.88)),
        replies: Box::from([reply(1.41), reply(2.275)]),
        transcript: Transcript::Visible,
        latency_values: LatencyValues::Plausible,
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
        ood_turns: None,
        silence_turns: None,
        handoff: HandoffOutcome::Unknown,
        ..plain()
    }
}

fn handed_off(reason: &str, destination: &str) -> HandoffOutcome {
    HandoffOutcome::HandedOff(Handoff { reason: reason.into(), destination: destination.into() })
}

/// One line per update, as a reader of the exposition would name it.
fn lines(list: &[SeriesUpdate]) -> Vec<String> {
    list.iter()
        .map(|SeriesUpdate { key: SeriesKey { metric, values }, op, .. }| {
            let name = metric.definition().name.trim_start_matches("polyai_");
            let values = values.join(",");
            match op {
                SeriesOp::Add(amount) => format!("{name}{{{values}}} +{amount}"),
                SeriesOp::Observe(amount) => format!("{name}{{{values}}} <- {}", amount.units()),
                SeriesOp::Latest(at) => format!("{name}{{{values}}} = {at}"),
            }
        })
        .collect()
}

fn by_channel(data: &ConversationData) -> Vec<String> {
    let updates = counted(data, NOW_AFTER, &[Dimension::Channel], &mut limiter()).updates;
    lines(&updates).into_iter().filter(|line| !TARGET.contains(&line.as_str())).collect()
}

/// The contributions of every conversation to the series of its target.
const TARGET: [&str; 2] =
    ["last_conversation_timestamp_seconds{} = 2026-08-20T09:16:14.000Z", "ingest_lag_seconds{} <- 30"];

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

/// The contributions of `data` beyond [`PLAIN`], and those of [`PLAIN`] that they lack.
fn beyond_plain(data: &ConversationData) -> (Vec<String>, Vec<&'static str>) {
    let lines = by_channel(data);
    let lacks = PLAIN.into_iter().filter(|line| !lines.iter().any(|own| own == line)).collect();
    (lines.into_iter().filter(|line| !PLAIN.contains(&line.as_str())).collect(), lacks)
}

#[test]
fn plain_call_contributes_turns_and_times() {
    assert_eq!(by_channel(&plain()), PLAIN);
}

#[test]
fn bare_record_is_a_conversation() {
    assert_eq!(by_channel(&bare()), ["conversations_total{unknown} +1"]);
}

#[test]
fn each_kind_of_call_contributes_its_own_metrics() {
    let cases: [(ConversationData, &[&str], &[&str]); 7] = [
        (
            ConversationData { ood_turns: Some(2), ..plain() },
            &["ood_turns_total{VOICE-SIP} +2", "conversations_with_ood_total{VOICE-SIP} +1"],
            &[],
        ),
        (
            ConversationData { silence_turns: Some(1), barge_in_turns: 3, ..plain() },
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
fn configured_dimensions_are_the_labels() {
    let values = |data: &ConversationData, dimensions: &[Dimension]| {
        let contributions = counted(data, NOW_AFTER, dimensions, &mut limiter());
        let mut labels: Vec<_> =
            contributions.updates.iter().map(|update| update.key.values.clone()).collect();
        labels.dedup();
        let kept: Vec<_> = contributions.dimensions.iter().map(|(_, value)| value.to_string()).collect();
        let values: Vec<_> = labels[0].iter().map(|value| value.to_string()).collect();
        assert_eq!(kept, values);
        assert!(labels[1..].iter().all(|values| values.is_empty()), "{labels:?}");
        values
    };
    assert_eq!(values(&plain(), &[]), [""; 0]);
    assert_eq!(values(&plain(), &Dimension::ALL), ["VOICE-SIP", "London"]);
    assert_eq!(values(&bare(), &Dimension::ALL), ["unknown", "none"]);
}

#[test]
fn limited_value_is_counted_by_label() {
    let mut limiter = limiter();
    let mut on = |channel: &str, reason: &str| {
        let data =
            ConversationData { channel: Some(channel.into()), handoff: handed_off(reason, "desk"), ..bare() };
        let contributions = counted(&data, NOW_AFTER, &[Dimension::Channel], &mut limiter);
        let lines = lines(&contributions.updates).into_iter().filter(|line| !TARGET.contains(&line.as_str()));
        (lines.collect::<Vec<_>>(), contributions.limited)
    };
    on("VOICE-SIP", "billing");
    on("CHAT", "refund");
    assert_eq!(
        on("FAX", "weather"),
        (
            [
                "label_values_folded_total{channel} +1",
                "conversations_total{other} +1",
                "label_values_folded_total{reason} +1",
                "handoffs_total{other} +1",
                "handoffs_by_reason_total{other,other,desk} +1",
            ]
            .map(str::to_owned)
            .to_vec(),
            vec!["channel", "reason"],
        )
    );
    assert_eq!(
        on("CHAT", "billing").0,
        [
            "conversations_total{CHAT} +1",
            "handoffs_total{CHAT} +1",
            "handoffs_by_reason_total{CHAT,billing,desk} +1"
        ]
    );
}

#[test]
fn amendment_adds_differences_and_observes_nothing() {
    let before = Amounts { turns: Some(3), ood_turns: Some(1), ..Amounts::default() };
    let data = ConversationData {
        turns: Some(5),
        ood_turns: Some(2),
        silence_turns: Some(1),
        barge_in_turns: 2,
        duration: Some(Amount::from_count(99)),
        handoff: handed_off("billing", "desk"),
        ..plain()
    };
    assert_eq!(
        lines(&amended(before, &data, &mut limiter())),
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
fn counted_handoff_is_not_counted_for_another_reason() {
    let before = Amounts { handoff: Some(true), ..Amounts::default() };
    let data = ConversationData { handoff: handed_off("another", "desk"), ..bare() };
    assert_eq!(amended(before, &data, &mut limiter()), []);
}

/// The metrics of updates, each with its time in seconds after the start of the call.
fn seconds(list: &[SeriesUpdate]) -> Vec<(Metric, u64)> {
    list.iter().map(|one| (one.key.metric, one.at.saturating_duration_since(START).as_secs())).collect()
}

#[test]
fn updates_carry_the_time_of_what_they_count() {
    let at = |seconds| TurnLatency { latency: Amount::from_count(1), at: Some(after_start(seconds)) };
    let data = ConversationData {
        ood_turns: Some(1),
        silence_turns: Some(1),
        handoff: handed_off("billing", "desk"),
        greeting: Some(at(2)),
        replies: Box::from([at(20), TurnLatency { at: None, ..at(0) }, at(48)]),
        ..plain()
    };
    let list = counted(&data, NOW_AFTER, &[], &mut limiter()).updates;
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
            (Metric::LastConversation, 104),
            (Metric::IngestLag, 104),
        ]
    );
    let untimed = ConversationData { greeting: Some(TurnLatency { at: None, ..at(0) }), ..bare() };
    let list = counted(&untimed, NOW_AFTER, &[], &mut limiter()).updates;
    assert_eq!(seconds(&list)[..2], [(Metric::Conversations, 74), (Metric::GreetingLatency, 0)]);
}

#[test]
fn no_update_is_later_than_now() {
    let at = |seconds| TurnLatency { latency: Amount::from_count(1), at: Some(after_start(seconds)) };
    let data = ConversationData {
        greeting: Some(at(90)),
        replies: Box::from([at(10), at(90)]),
        handoff: handed_off("", ""),
        ..bare()
    };
    // The clock that counts is behind the one that the record was written by.
    let list = counted(&data, 70, &[], &mut limiter()).updates;
    assert_eq!(
        seconds(&list),
        [
            (Metric::Conversations, 70),
            (Metric::GreetingLatency, 70),
            (Metric::TurnLatency, 10),
            (Metric::TurnLatency, 70),
            (Metric::Handoffs, 70),
            (Metric::HandoffsByReason, 70),
            (Metric::LastConversation, 70),
            (Metric::IngestLag, 70),
        ]
    );
}

#[test]
fn amendment_carries_the_end_of_the_conversation() {
    let data = ConversationData {
        ood_turns: Some(2),
        silence_turns: Some(1),
        handoff: handed_off("", ""),
        ..bare()
    };
    let list = amended(Amounts::default(), &data, &mut limiter());
    assert!(list.len() > 5, "{list:?}");
    assert!(list.iter().all(|one| one.at == after_start(74)), "{list:?}");
}

fn any_amounts() -> impl Strategy<Value = (Option<u32>, Option<u32>, Option<u32>, u32, Option<bool>)> {
    let number = || prop::option::of(0u32..9);
    (number(), number(), number(), 0u32..9, prop::option::of(any::<bool>()))
}

proptest! {
    /// However often it is amended, the counters end at the most that was ever shown of each amount.
    #[test]
    fn amendments_add_up_to_the_maximum_seen(observations in prop::collection::vec(any_amounts(), 1..12)) {
        let observations: Vec<ConversationData> = observations
            .into_iter()
            .map(|(turns, ood_turns, silence_turns, barge_in_turns, handed)| ConversationData {
                turns,
                ood_turns,
                silence_turns,
                barge_in_turns,
                handoff: match handed {
                    None => HandoffOutcome::Unknown,
                    Some(false) => HandoffOutcome::Contained,
                    Some(true) => handed_off("billing", "desk"),
                },
                ..bare()
            })
            .collect();
        let mut limiter = limiter();
        let mut list = counted(&observations[0], NOW_AFTER, &[Dimension::Channel], &mut limiter).updates;
        let mut added = Amounts::from(&observations[0]);
        for data in &observations[1..] {
            list.extend(amended(added, data, &mut limiter));
            added = added.max(&Amounts::from(data));
        }
        let sum = |metric: Metric| -> u64 {
            list.iter().filter(|one| one.key.metric == metric).map(|one| match one.op {
                SeriesOp::Add(amount) => amount,
                SeriesOp::Observe(_) | SeriesOp::Latest(_) => 0,
            }).sum()
        };
        let most = |amount: fn(&Amounts) -> u32| observations.iter().map(|data| u64::from(amount(&Amounts::from(data)))).max().unwrap();
        prop_assert_eq!(sum(Metric::Conversations), 1);
        prop_assert_eq!(sum(Metric::Turns), most(|amounts| amounts.turns.unwrap_or(0)));
        prop_assert_eq!(sum(Metric::OodTurns), most(|amounts| amounts.ood_turns.unwrap_or(0)));
        prop_assert_eq!(sum(Metric::SilenceTurns), most(|amounts| amounts.silence_turns.unwrap_or(0)));
        prop_assert_eq!(sum(Metric::BargeInTurns), most(|amounts| amounts.barge_in_turns));
        prop_assert_eq!(sum(Metric::ConversationsWithOod), most(|amounts| u32::from(amounts.ood_turns > Some(0))));
        prop_assert_eq!(sum(Metric::ConversationsWithSilence), most(|amounts| u32::from(amounts.silence_turns > Some(0))));
        prop_assert_eq!(sum(Metric::Handoffs), most(|amounts| u32::from(amounts.handoff == Some(true))));
        prop_assert_eq!(sum(Metric::HandoffsByReason), most(|amounts| u32::from(amounts.handoff == Some(true))));
    }
}
