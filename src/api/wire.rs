//! The Conversations API as it is on the wire: what the service sends, read typed and borrowed from the bytes of a page.
//!
//! Owns: the tolerance for every shape that was documented or recorded (number or object, string or list, null or ""), in
//! one go and fast. A record with a field that cannot be read even so is read again by `by_field`, without that field; only
//! one without an id or a start is refused, later, by the domain. Never: meaning. What the fields amount to is decided in
//! `conversation.rs`.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Error, IgnoredAny, MapAccess, SeqAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

/// One page of `GET /v{1,2,3}/{account}/{project}/conversations`.
#[derive(Debug, Deserialize)]
#[serde(bound(deserialize = "List: Deserialize<'de>"))]
pub struct Page<'a, List> {
    /// The records; the only required key.
    pub conversations: List,
    /// Where the next page starts; null, absent or "" on the last one. None only if the key is absent.
    #[serde(borrow, default, deserialize_with = "present")]
    pub cursor: Option<LenientString<'a>>,
    /// The legacy way to the next page; none only if the key is absent.
    #[serde(default, deserialize_with = "present")]
    pub next_offset: Option<LenientNumber>,
}

/// One record, `ConversationSummaryResponse` in the vendor's OpenAPI file. Texts that could hold personal data are never
/// kept, only skipped.
#[derive(Debug, Default, Deserialize)]
pub struct Conversation<'a> {
    /// `id`
    #[serde(borrow, default)]
    pub id: LenientString<'a>,
    /// `started_at`
    #[serde(borrow, default)]
    pub started_at: LenientString<'a>,
    /// `in_progress`
    #[serde(default)]
    pub in_progress: LenientBool,
    /// `channel`
    #[serde(borrow, default)]
    pub channel: LenientString<'a>,
    /// `variant_id`
    #[serde(borrow, default)]
    pub variant_id: LenientString<'a>,
    /// `variant_name`
    #[serde(borrow, default)]
    pub variant_name: LenientString<'a>,
    /// `total_duration`, seconds
    #[serde(default)]
    pub total_duration: LenientNumber,
    /// `polyai_duration`, seconds
    #[serde(default)]
    pub polyai_duration: LenientNumber,
    /// `num_turns`
    #[serde(default)]
    pub num_turns: LenientNumber,
    /// `num_silences`
    #[serde(default)]
    pub num_silences: LenientNumber,
    /// `num_ood`
    #[serde(default)]
    pub num_ood: LenientNumber,
    /// `handoff`
    #[serde(borrow, default)]
    pub handoff: Handoff<'a>,
    /// `handoff_reason`
    #[serde(borrow, default)]
    pub handoff_reason: LenientString<'a>,
    /// `handoff_destination`
    #[serde(borrow, default)]
    pub handoff_destination: LenientString<'a>,
    /// `turns`
    #[serde(borrow, default)]
    pub turns: Turns<'a>,
}

/// One turn. Of what was said only its presence is read.
#[derive(Debug, Default, Deserialize)]
pub struct Turn<'a> {
    /// `user_input`
    #[serde(default)]
    pub user_input: IsPresent,
    /// `agent_response_datetime`: when the agent started to speak
    #[serde(borrow, default)]
    pub agent_response_datetime: LenientString<'a>,
    /// `user_input_datetime`
    #[serde(borrow, default)]
    pub user_input_datetime: LenientString<'a>,
    /// `latency`, seconds
    #[serde(default)]
    pub latency: Latency,
    /// `is_ood`
    #[serde(default)]
    pub is_ood: LenientBool,
    /// `is_silence`
    #[serde(default)]
    pub is_silence: LenientBool,
    /// `barge_in`
    #[serde(default)]
    pub barge_in: LenientBool,
}

/// A key that is there, whatever stands behind it.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// A text; null, absent and any other shape are the empty text, a number or boolean its spelling.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct LenientString<'a>(pub Cow<'a, str>);

/// A number; also one in a string. Anything else is absent.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub struct LenientNumber(pub Option<f64>);

/// A boolean; also `"true"`, `"True"`, `"1"`, 1 and their opposites. Anything else is absent.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct LenientBool(pub Option<bool>);

/// Whether a text is there at all and not empty; the text itself is skipped.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct IsPresent(pub bool);

/// `latency`: a number of seconds, or an object with `perceived_latency` in seconds.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub struct Latency(pub Option<f64>);

/// `handoff`: a boolean, or an object (then it happened) with a reason and a destination of its own.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Handoff<'a> {
    /// Whether there was one; absent when the field is.
    pub happened: Option<bool>,
    /// From the object form.
    pub reason: Cow<'a, str>,
    /// From the object form.
    pub destination: Cow<'a, str>,
}

/// `turns`: a list; null and every other form of nothing is no turns. A null within it is an empty turn, since it happened.
#[derive(Debug, Default)]
pub struct Turns<'a> {
    /// The turns, up to [`Turns::MAX_TURNS`].
    pub list: Vec<Turn<'a>>,
    /// How many there were beyond these.
    pub truncated: usize,
}

impl<'a> Turns<'a> {
    /// No call has so many; more are only counted, because a short text can hold millions.
    pub const MAX_TURNS: usize = 10_000;

    /// How many there were.
    pub fn len(&self) -> usize {
        self.list.len() + self.truncated
    }

    /// Whether there were none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn push(&mut self, turn: Turn<'a>) {
        if self.list.len() < Self::MAX_TURNS {
            self.list.push(turn);
        } else {
            self.truncated += 1;
        }
    }
}

/// What any JSON value can be, with containers skipped unless asked for. All lenient types above are made from it, so
/// that the tolerance is written once.
enum Scalar<'a> {
    Null,
    Bool(bool),
    Number(f64),
    Text(Cow<'a, str>),
    Container,
}

struct ScalarVisitor;

impl<'de> Visitor<'de> for ScalarVisitor {
    type Value = Scalar<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Scalar::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Scalar::Bool(value))
    }

    #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53, and beyond it nothing is cast")]
    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        // Of a number this large the spelling matters: as doubles, two ids could become one.
        Ok(if value < 1 << 53 {
            Scalar::Number(value as f64)
        } else {
            Scalar::Text(value.to_string().into())
        })
    }

    #[expect(clippy::cast_precision_loss, reason = "a negative number is no amount and no id")]
    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Scalar::Number(value as f64))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok(Scalar::Number(value))
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Self::Value, E> {
        Ok(Scalar::Text(Cow::Borrowed(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(Scalar::Text(Cow::Owned(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Scalar::Container)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Self::Value, A::Error> {
        while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Scalar::Container)
    }
}

fn number_in(text: &str) -> Option<f64> {
    text.trim().parse().ok().filter(|value: &f64| value.is_finite())
}

fn flag_in(text: &str) -> Option<bool> {
    let text = text.trim();
    if text.eq_ignore_ascii_case("true") || text == "1" {
        Some(true)
    } else if text.eq_ignore_ascii_case("false") || text == "0" {
        Some(false)
    } else {
        None
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for LenientString<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(match deserializer.deserialize_any(ScalarVisitor)? {
            Scalar::Text(text) => text,
            Scalar::Number(number) => Cow::Owned(number.to_string()),
            Scalar::Bool(value) => Cow::Borrowed(if value { "true" } else { "false" }),
            Scalar::Null | Scalar::Container => Cow::Borrowed(""),
        }))
    }
}

impl<'de> Deserialize<'de> for LenientNumber {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(match deserializer.deserialize_any(ScalarVisitor)? {
            Scalar::Number(number) => Some(number),
            Scalar::Text(text) => number_in(&text),
            Scalar::Null | Scalar::Bool(_) | Scalar::Container => None,
        }))
    }
}

impl<'de> Deserialize<'de> for LenientBool {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(match deserializer.deserialize_any(ScalarVisitor)? {
            Scalar::Bool(value) => Some(value),
            Scalar::Number(number) => Some(number != 0.0),
            Scalar::Text(text) => flag_in(&text),
            Scalar::Null | Scalar::Container => None,
        }))
    }
}

impl<'de> Deserialize<'de> for IsPresent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PresenceVisitor;

        impl<'de> Visitor<'de> for PresenceVisitor {
            type Value = bool;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or null")
            }

            fn visit_none<E>(self) -> Result<bool, E> {
                Ok(false)
            }

            fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
                // Bytes, because what was said may have been cut in the middle of a character.
                deserializer.deserialize_bytes(self)
            }

            fn visit_bytes<E>(self, text: &[u8]) -> Result<bool, E> {
                let is_blank = |byte: &u8| byte.is_ascii_whitespace();
                let first = text.iter().find(|byte| !is_blank(byte));
                // Beyond ASCII there are blanks as well.
                Ok(first.is_some_and(u8::is_ascii) || !String::from_utf8_lossy(text).trim().is_empty())
            }
        }

        deserializer.deserialize_option(PresenceVisitor).map(Self)
    }
}

/// A value that is either a scalar or an object of which some keys matter.
struct ScalarOrObject<T>(std::marker::PhantomData<T>);

/// What the object form of a field offers, key by key.
trait LenientObject<'a>: Default {
    /// All others are skipped.
    const KEYS: &'static [&'static str];
    fn from_scalar(scalar: Scalar<'a>) -> Self;
    fn take(&mut self, key: &str, value: Scalar<'a>);
    fn complete(self) -> Self;
}

impl<'de, T: LenientObject<'de>> Visitor<'de> for ScalarOrObject<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E>(self) -> Result<T, E> {
        Ok(T::from_scalar(Scalar::Null))
    }

    fn visit_bool<E>(self, value: bool) -> Result<T, E> {
        Ok(T::from_scalar(Scalar::Bool(value)))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<T, E> {
        ScalarVisitor.visit_u64(value).map(T::from_scalar)
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<T, E> {
        ScalarVisitor.visit_i64(value).map(T::from_scalar)
    }

    fn visit_f64<E>(self, value: f64) -> Result<T, E> {
        Ok(T::from_scalar(Scalar::Number(value)))
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<T, E> {
        Ok(T::from_scalar(Scalar::Text(Cow::Borrowed(value))))
    }

    fn visit_str<E>(self, value: &str) -> Result<T, E> {
        Ok(T::from_scalar(Scalar::Text(Cow::Owned(value.to_owned()))))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<T, A::Error> {
        ScalarVisitor.visit_seq(list).map(T::from_scalar)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<T, A::Error> {
        let mut found = T::default();
        while let Some(LenientString(key)) = object.next_key::<LenientString<'de>>()? {
            if T::KEYS.contains(&&*key) {
                found.take(&key, object.next_value::<AnyScalar<'de>>()?.0);
            } else {
                object.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found.complete())
    }
}

struct AnyScalar<'a>(Scalar<'a>);

impl<'de> Deserialize<'de> for AnyScalar<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor).map(Self)
    }
}

impl<'a> LenientObject<'a> for Latency {
    const KEYS: &'static [&'static str] = &["perceived_latency"];

    fn from_scalar(scalar: Scalar<'a>) -> Self {
        Self(match scalar {
            Scalar::Number(number) => Some(number),
            Scalar::Text(text) => number_in(&text),
            Scalar::Null | Scalar::Bool(_) | Scalar::Container => None,
        })
    }

    fn take(&mut self, _: &str, value: Scalar<'a>) {
        *self = Self::from_scalar(value);
    }

    fn complete(self) -> Self {
        self
    }
}

impl<'a> LenientObject<'a> for Handoff<'a> {
    const KEYS: &'static [&'static str] = &["reason", "handoff_reason", "destination", "handoff_destination"];

    fn from_scalar(scalar: Scalar<'a>) -> Self {
        let happened = match scalar {
            Scalar::Bool(value) => Some(value),
            Scalar::Number(number) => Some(number != 0.0),
            Scalar::Text(text) => flag_in(&text),
            Scalar::Null | Scalar::Container => None,
        };
        Self { happened, ..Self::default() }
    }

    fn take(&mut self, key: &str, value: Scalar<'a>) {
        if let Scalar::Text(text) = value {
            match key {
                "reason" | "handoff_reason" => self.reason = text,
                _ => self.destination = text,
            }
        }
    }

    fn complete(self) -> Self {
        Self { happened: Some(true), ..self }
    }
}

impl<'de> Deserialize<'de> for Latency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarOrObject(std::marker::PhantomData))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Handoff<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let handoff: Handoff<'de> = deserializer.deserialize_any(ScalarOrObject(std::marker::PhantomData))?;
        Ok(handoff)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Turns<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TurnsVisitor;

        impl<'de> Visitor<'de> for TurnsVisitor {
            type Value = Turns<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of turns")
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Turns::default())
            }

            fn visit_bool<E: Error>(self, value: bool) -> Result<Self::Value, E> {
                if value {
                    Err(E::invalid_type(Unexpected::Bool(value), &self))
                } else {
                    Ok(Turns::default())
                }
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                if text.trim().is_empty() {
                    Ok(Turns::default())
                } else {
                    Err(E::invalid_type(Unexpected::Other("text"), &self))
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Self::Value, A::Error> {
                match object.next_key::<IgnoredAny>()? {
                    None => Ok(Turns::default()),
                    Some(_) => Err(A::Error::invalid_type(Unexpected::Map, &self)),
                }
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let room = list.size_hint().unwrap_or(12).min(64);
                let mut turns = Turns { list: Vec::with_capacity(room), truncated: 0 };
                while let Some(turn) = list.next_element::<Option<Turn<'de>>>()? {
                    turns.push(turn.unwrap_or_default());
                }
                Ok(turns)
            }
        }

        deserializer.deserialize_any(TurnsVisitor)
    }
}
