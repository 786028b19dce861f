//! Conversations: typed times, amounts and outcome, without words or persons.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::named_enum::named_enum;
use crate::phone_number::redact_id;
use crate::timestamp::Timestamp;

/// The opaque id of a conversation (`id`), unique within a target.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConversationId(Arc<str>);

impl ConversationId {
    /// Longer than any known form of id.
    const MAX_BYTES: usize = 256;

    /// Returns the id, or `None` if it is empty, longer than 256 bytes, or contains control characters. One that may contain a
    /// phone number is replaced by a hash.
    pub fn new(text: &str) -> Option<Self> {
        let plausible =
            !text.is_empty() && text.len() <= Self::MAX_BYTES && !text.chars().any(char::is_control);
        plausible.then(|| Self(Arc::from(&*redact_id(text))))
    }

    /// The id as shared text.
    pub fn shared(&self) -> Arc<str> {
        self.0.clone()
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ConversationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conversation {
    /// `id`
    pub id: ConversationId,
    /// Everything else.
    pub data: ConversationData,
}

/// The content of a conversation when it was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConversationData {
    /// `started_at`
    pub started_at: Timestamp,
    /// `in_progress`
    pub state: ConversationState,
    /// `channel`; absent if empty.
    pub channel: Option<Box<str>>,
    /// `variant_name`, else `variant_id`; absent if both are empty.
    pub variant: Option<Box<str>>,
    /// `total_duration`
    pub duration: Option<Amount>,
    /// `polyai_duration`
    pub agent_duration: Option<Amount>,
    /// The latest time on any turn.
    pub last_turn_at: Option<Timestamp>,
    /// The larger of `num_turns` and the length of `turns`; absent without either.
    pub turns: Option<u32>,
    /// The larger of `num_ood` and the flags on the turns; absent if there are turns but neither of these.
    pub ood_turns: Option<u32>,
    /// The larger of `num_silences` and the flags on the turns; absent if there are turns but neither of these.
    pub silence_turns: Option<u32>,
    /// Turns with `barge_in`, of those that are visible.
    pub barge_in_turns: u32,
    /// `handoff`, with its reason and destination.
    pub handoff: HandoffOutcome,
    /// `latency` of the first turn, if it has no user input.
    pub greeting: Option<TurnLatency>,
    /// `latency` of every other turn that has one.
    pub replies: Box<[TurnLatency]>,
    /// Whether the turns are visible.
    pub transcript: Transcript,
    /// Whether the latencies are in the configured unit.
    pub latency_values: LatencyValues,
}

/// Whether a conversation has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConversationState {
    /// `in_progress: true`
    InProgress,
    /// `in_progress` is false or absent.
    Finished,
}

/// Whether a conversation was handed off to a human.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum HandoffOutcome {
    /// The record has no readable `handoff`.
    Unknown,
    /// `handoff` is false or null.
    Contained,
    /// `handoff` is true or an object.
    HandedOff(Handoff),
}

impl HandoffOutcome {
    /// The handoff, if there was one.
    pub const fn handoff(&self) -> Option<&Handoff> {
        match self {
            Self::HandedOff(handoff) => Some(handoff),
            Self::Unknown | Self::Contained => None,
        }
    }

    /// Whether there was a handoff; absent if that is unknown.
    pub const fn happened(&self) -> Option<bool> {
        match self {
            Self::Unknown => None,
            Self::Contained => Some(false),
            Self::HandedOff(_) => Some(true),
        }
    }
}

/// A transfer to a human.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handoff {
    /// `handoff_reason`; may be empty or [redacted](crate::phone_number::REDACTED).
    pub reason: Box<str>,
    /// `handoff_destination`; may be empty or redacted.
    pub destination: Box<str>,
}

/// The latency of one turn, and when the agent spoke.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TurnLatency {
    /// `latency`
    pub latency: Amount,
    /// `agent_response_datetime`, else `user_input_datetime`.
    pub at: Option<Timestamp>,
}

/// The visibility of the turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Transcript {
    /// There are turns and they are visible.
    Visible,
    /// `num_turns` > 0 and `turns` empty: transcript access is off for the project.
    Hidden,
    /// No turns were recorded.
    Empty,
    /// The record has no `turns`, and `num_turns` is not 0.
    Absent,
}

/// Whether the latencies of a conversation are in the configured unit (`targets[].latency_unit`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LatencyValues {
    /// Nothing speaks against it, or there are none.
    Plausible,
    /// Most are not possible in it. All latencies of the conversation are withheld.
    OtherUnit,
}

named_enum! {
    /// A field of the API that a finished conversation lacks, although something is measured by it.
    MissingField {
        /// No handoff can be counted.
        Handoff "handoff"
        /// The duration is unknown.
        TotalDuration "total_duration"
        /// The duration of the agent's part is unknown.
        PolyaiDuration "polyai_duration"
        /// Latency and barge-ins are unknown.
        Turns "turns"
        /// The number of turns is unknown, because `turns` is absent or empty too.
        NumTurns "num_turns"
        /// The number of out-of-domain turns is unknown, because no turns are visible either.
        NumOod "num_ood"
        /// The number of silence turns is unknown, because no turns are visible either.
        NumSilences "num_silences"
    }
}

/// An amount in millionths of its unit (seconds, or one). Whole numbers make sums exact and independent of their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Amount(pub u64);

impl Amount {
    /// 400 days in seconds; a larger amount is an error.
    pub const MAX: Self = Self(400 * 86_400 * 1_000_000);

    /// Converts from its unit; `None` if it is negative, not finite, or larger than [`MAX`](Self::MAX).
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked against both ends first"
    )]
    pub fn from_units(units: f64) -> Option<Self> {
        (0.0..=Self::MAX.units()).contains(&units).then(|| Self((units * 1e6).round() as u64))
    }

    /// Converts from a duration in seconds, at most [`MAX`](Self::MAX).
    pub fn from_duration(time: Duration) -> Self {
        u64::try_from(time.as_micros()).map_or(Self::MAX, |micros| Self(micros).min(Self::MAX))
    }

    /// Converts from a count.
    pub const fn from_count(count: u32) -> Self {
        Self(count as u64 * 1_000_000)
    }

    /// The amount in its unit.
    #[expect(clippy::cast_precision_loss, reason = "exact up to 285 years")]
    pub fn units(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// The amount as a duration, if its unit is seconds.
    pub const fn duration(self) -> Duration {
        Duration::from_micros(self.0)
    }
}

/// A record that is not counted: it cannot be converted to a conversation, or belongs to another environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectedRecord {
    /// Its id, truncated, if it has a readable one.
    pub id: Option<String>,
    /// The reason.
    pub kind: RejectedKind,
}

named_enum! {
    /// The reason a record was rejected: the `kind` label.
    RejectedKind {
        /// `id` is absent or implausible.
        BadId "bad_id"
        /// `started_at` is absent, unreadable or before the year 2000.
        BadStart "bad_start"
        /// The record is not an object.
        BadShape "bad_shape"
        /// `environment` is another than the requested `client_env`.
        WrongEnvironment "wrong_environment"
    }
}

impl ConversationData {
    /// `started_at` + `total_duration`, or the last turn; `None` without either.
    pub fn ended_at(&self) -> Option<Timestamp> {
        match self.duration {
            Some(duration) => Some(self.started_at + duration.duration()),
            None => self.last_turn_at,
        }
    }

    /// Whether a finished conversation lacks `field`.
    pub fn lacks(&self, field: MissingField) -> bool {
        match field {
            MissingField::Handoff => self.handoff == HandoffOutcome::Unknown,
            MissingField::TotalDuration => self.duration.is_none(),
            MissingField::PolyaiDuration => self.agent_duration.is_none(),
            MissingField::Turns => self.transcript == Transcript::Absent,
            MissingField::NumTurns => self.turns.is_none(),
            MissingField::NumOod => self.ood_turns.is_none(),
            MissingField::NumSilences => self.silence_turns.is_none(),
        }
    }
}

/// The maximum length of a label value in characters.
pub const MAX_LABEL_CHARS: usize = 128;

/// The first `max_chars` characters of `text`.
pub fn truncate_chars(text: &str, max_chars: usize) -> &str {
    text.char_indices().nth(max_chars).and_then(|(end, _)| text.get(..end)).unwrap_or(text)
}
