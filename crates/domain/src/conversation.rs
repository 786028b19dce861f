//! A conversation as the program counts it: typed times, amounts and outcome, made from a record of the API.
//!
//! Owns: what the fields of a record amount to (the larger of two turn counts, which turn is the greeting, when a
//! conversation ended). Never: JSON, and never what was said or who said it. Times come from the record alone.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::timestamp::Timestamp;

/// The full id of a conversation (`id`), opaque. Identity is a target and this.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConversationId(Arc<str>);

impl ConversationId {
    /// Longer ids than any known form are taken for broken records.
    const MAX_BYTES: usize = 256;

    /// An id as the API sent it: not empty, at most 256 bytes, no control characters.
    pub fn new(text: &str) -> Option<Self> {
        let plausible =
            !text.is_empty() && text.len() <= Self::MAX_BYTES && !text.chars().any(char::is_control);
        plausible.then(|| Self(Arc::from(text)))
    }

    /// The id as text, shared.
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

/// A conversation: its identity and what is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conversation {
    /// `id`
    pub id: ConversationId,
    /// Everything else.
    pub data: ConversationData,
}

/// What is known of a conversation at one sight of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConversationData {
    /// `started_at`
    pub started_at: Timestamp,
    /// `in_progress`; a record without it is finished.
    pub state: ConversationState,
    /// `channel`; none when absent or empty.
    pub channel: Option<Box<str>>,
    /// `variant_name`, else `variant_id`; none when both are absent or empty.
    pub variant: Option<Box<str>>,
    /// `total_duration`
    pub duration: Option<Amount>,
    /// `polyai_duration`
    pub agent_duration: Option<Amount>,
    /// The latest time on any turn.
    pub last_turn_at: Option<Timestamp>,
    /// The larger of `num_turns` and the length of `turns`; none when the record has neither.
    pub turns: Option<u32>,
    /// The larger of `num_ood` and the flags on the turns.
    pub ood_turns: u32,
    /// The larger of `num_silences` and the flags on the turns.
    pub silence_turns: u32,
    /// Turns with `barge_in`.
    pub barge_in_turns: u32,
    /// `handoff`, with its reason and destination.
    pub handoff: Option<Handoff>,
    /// `latency` of the first turn, if nothing was said to the agent before it.
    pub greeting: Option<TurnLatency>,
    /// `latency` of every other turn that has one.
    pub replies: Box<[TurnLatency]>,
    /// Whether the turns that are counted can be seen.
    pub transcript: Transcript,
    /// Whether the record carried more than the four fields of a restricted key.
    pub complete: bool,
}

/// Whether a conversation may still change in every way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConversationState {
    /// `in_progress: true`
    InProgress,
    /// `in_progress: false`, or no such field.
    Finished,
}

/// A transfer to a human.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handoff {
    /// `handoff_reason`; may be empty. A word stands for one with a telephone number in it.
    pub reason: Box<str>,
    /// `handoff_destination`; as the reason.
    pub destination: Box<str>,
}

/// The latency of one turn and when the agent spoke.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TurnLatency {
    /// `latency`
    pub latency: Amount,
    /// `agent_response_datetime`, else `user_input_datetime`.
    pub at: Option<Timestamp>,
}

/// What is visible of the turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Transcript {
    /// There are turns, and they can be seen.
    Visible,
    /// `num_turns` > 0 and `turns` empty: transcript access is off for the project.
    Hidden,
    /// No turns were recorded.
    Empty,
}

/// An amount in millionths of its unit (seconds, or one). Whole numbers, so that sums are exact and do not depend on the
/// order of addition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Amount(pub u64);

impl Amount {
    /// A year and a bit of seconds: no amount of a conversation is larger.
    pub const MAX: Self = Self(400 * 86_400 * 1_000_000);

    /// From a number of seconds (or of ones); none if it is negative, not finite, or beyond all reason.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked against both ends first"
    )]
    pub fn from_units(units: f64) -> Option<Self> {
        (0.0..=Self::MAX.units()).contains(&units).then(|| Self((units * 1e6).round() as u64))
    }

    /// From a length of time, in seconds; [`MAX`](Self::MAX) if it is longer.
    pub fn from_duration(time: Duration) -> Self {
        u64::try_from(time.as_micros()).map_or(Self::MAX, |micros| Self(micros).min(Self::MAX))
    }

    /// From a count.
    pub const fn from_count(count: u32) -> Self {
        Self(count as u64 * 1_000_000)
    }

    /// In its unit.
    #[expect(clippy::cast_precision_loss, reason = "exact up to 285 years")]
    pub fn units(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// As a length of time, where the unit is seconds.
    pub const fn duration(self) -> Duration {
        Duration::from_micros(self.0)
    }
}

/// A record that cannot be counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectedRecord {
    /// Its id, where one could be read; cut to a printable length.
    pub id: Option<String>,
    /// Why.
    pub kind: RejectedKind,
}

/// Why a record cannot be counted; bounded, for use as a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RejectedKind {
    /// No `id`, or one that no API would send.
    BadId,
    /// No `started_at`, or one that is no time, or that no call can have: before the year 2000.
    BadStart,
    /// The record is not an object.
    BadShape,
}

impl RejectedKind {
    /// The value of the `kind` label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BadId => "bad_id",
            Self::BadStart => "bad_start",
            Self::BadShape => "bad_shape",
        }
    }
}

impl ConversationData {
    /// When it ended by its own account: `started_at` + `total_duration`, or its last turn.
    pub fn ended_at(&self) -> Option<Timestamp> {
        match self.duration {
            Some(duration) => Some(self.started_at + duration.duration()),
            None => self.last_turn_at,
        }
    }
}

/// As many characters as a label has at most: these are names, and a text of any length could be sent as one.
pub const MAX_LABEL_CHARS: usize = 128;

/// The first `most_chars` characters of `text`.
pub fn truncate_chars(text: &str, most_chars: usize) -> &str {
    text.char_indices().nth(most_chars).and_then(|(end, _)| text.get(..end)).unwrap_or(text)
}
