//! Converts a record of the wire format to a conversation.

use polyai_domain::conversation::{
    Amount, Conversation, ConversationData, ConversationId, ConversationState, Handoff, HandoffOutcome,
    LatencyValues, MAX_LABEL_CHARS, RejectedKind, RejectedRecord, Transcript, TurnLatency, truncate_chars,
};
use polyai_domain::phone_number;
use polyai_domain::timestamp::Timestamp;

use crate::wire;

/// 1 January 2000. Earlier starts (the years 1 and 1970) are placeholders; such a record would be tracked forever and never
/// counted.
const MIN_PLAUSIBLE_START: Timestamp = Timestamp::from_millis(946_684_800_000);

impl TryFrom<&wire::Conversation<'_>> for Conversation {
    type Error = RejectedRecord;

    fn try_from(record: &wire::Conversation<'_>) -> Result<Self, RejectedRecord> {
        let rejected = |kind| RejectedRecord { id: sanitize_id(&record.id.0), kind };
        let id = ConversationId::new(&record.id.0).ok_or_else(|| rejected(RejectedKind::BadId))?;
        let started_at = Timestamp::parse(&record.started_at.0)
            .filter(|&start| start >= MIN_PLAUSIBLE_START)
            .ok_or_else(|| rejected(RejectedKind::BadStart))?;
        Ok(Self { id, data: conversation_data(record, started_at) })
    }
}

/// The id of a malformed record, safe for a log line.
pub(crate) fn sanitize_id(id: &str) -> Option<String> {
    let id = phone_number::redact(truncate_chars(id, MAX_LABEL_CHARS));
    (!id.is_empty()).then(|| id.chars().take(64).map(|c| if c.is_control() { '?' } else { c }).collect())
}

fn conversation_data(record: &wire::Conversation<'_>, started_at: Timestamp) -> ConversationData {
    let turns = &record.turns.list;
    let seen = saturating_u32(record.turns.len()).min(MAX_TURNS);
    let counted = count(record.num_turns);
    let count_flag = |flag: fn(&wire::Turn<'_>) -> wire::LenientBool| {
        saturating_u32(turns.iter().filter(|turn| flag(turn).0 == Some(true)).count())
    };
    let total_turns = match (counted, seen) {
        (None, 0) => None,
        (counted, seen) => Some(counted.unwrap_or(0).max(seen)),
    };
    // Without a count of their own such turns are known if all turns are visible, or there are none.
    let flagged = |counted: Option<u32>, flag| match (counted, seen, total_turns) {
        (None, 0, None | Some(1..)) => None,
        (counted, ..) => Some(counted.unwrap_or(0).max(count_flag(flag))),
    };
    let spoke_first = turns.first().is_some_and(|turn| !turn.user_input.0);
    let (greeting, replies) = if spoke_first { turns.split_at(1) } else { turns.split_at(0) };
    ConversationData {
        started_at,
        state: if record.in_progress.0 == Some(true) {
            ConversationState::InProgress
        } else {
            ConversationState::Finished
        },
        channel: non_empty_trimmed(&record.channel.0),
        variant: non_empty_trimmed(&record.variant_name.0)
            .or_else(|| non_empty_trimmed(&record.variant_id.0)),
        duration: record.total_duration.0.and_then(Amount::from_units),
        agent_duration: record.polyai_duration.0.and_then(Amount::from_units),
        last_turn_at: turns.iter().filter_map(turn_time).max(),
        turns: total_turns,
        ood_turns: flagged(count(record.num_ood), |turn| turn.is_ood),
        silence_turns: flagged(count(record.num_silences), |turn| turn.is_silence),
        barge_in_turns: count_flag(|turn| turn.barge_in),
        handoff: handoff(record),
        greeting: greeting.first().and_then(turn_latency),
        replies: replies_of(replies),
        transcript: match (counted, seen) {
            (_, 1..) => Transcript::Visible,
            (Some(0), 0) => Transcript::Empty,
            (_, 0) if !record.turns.present => Transcript::Absent,
            (Some(1..), 0) => Transcript::Hidden,
            (None, 0) => Transcript::Empty,
        },
        latency_values: LatencyValues::Plausible,
    }
}

fn non_empty_trimmed(text: &str) -> Option<Box<str>> {
    let text = text.trim();
    (!text.is_empty()).then(|| label_value(text))
}

/// The text as the value of a label: truncated, and without a phone number.
fn label_value(text: &str) -> Box<str> {
    // Twice the kept length is searched, so that truncation does not leave part of a number.
    let is_private = phone_number::contains_phone_number(truncate_chars(text, 2 * MAX_LABEL_CHARS));
    if is_private { phone_number::REDACTED } else { truncate_chars(text, MAX_LABEL_CHARS) }.into()
}

/// Far more than any call has; a larger count is an error that would distort a counter for good.
const MAX_TURNS: u32 = 100_000;

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "checked against both ends first"
)]
fn count(number: wire::LenientNumber) -> Option<u32> {
    number.0.filter(|n| (0.0..=f64::from(MAX_TURNS)).contains(n)).map(|n| n as u32)
}

fn saturating_u32(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

fn turn_time(turn: &wire::Turn<'_>) -> Option<Timestamp> {
    Timestamp::parse(&turn.agent_response_datetime.0)
        .or_else(|| Timestamp::parse(&turn.user_input_datetime.0))
}

fn turn_latency(turn: &wire::Turn<'_>) -> Option<TurnLatency> {
    let latency = turn.latency.0.and_then(Amount::from_units)?;
    Some(TurnLatency { latency, at: turn_time(turn) })
}

/// Allocates once, because a page holds thousands of replies.
fn replies_of(turns: &[wire::Turn<'_>]) -> Box<[TurnLatency]> {
    let mut replies = Vec::with_capacity(turns.iter().filter(|turn| turn.latency.0.is_some()).count());
    replies.extend(turns.iter().filter_map(turn_latency));
    replies.into_boxed_slice()
}

fn handoff(record: &wire::Conversation<'_>) -> HandoffOutcome {
    let first_of = |flat: &str, nested: &str| -> Box<str> {
        label_value([flat.trim(), nested.trim()].into_iter().find(|text| !text.is_empty()).unwrap_or(""))
    };
    match record.handoff.happened {
        None => HandoffOutcome::Unknown,
        Some(false) => HandoffOutcome::Contained,
        Some(true) => HandoffOutcome::HandedOff(Handoff {
            reason: first_of(&record.handoff_reason.0, &record.handoff.reason),
            destination: first_of(&record.handoff_destination.0, &record.handoff.destination),
        }),
    }
}

#[cfg(test)]
mod tests;
