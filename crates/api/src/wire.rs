//! The Conversations API's JSON, borrowed from the bytes of a page.
//!
//! Every shape that is documented or was recorded is accepted (number or object, string or list, null or ""). A record with an
//! unreadable field is read again by `lenient`, without that field. The meaning of fields is decided in `record`.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Error, IgnoredAny, MapAccess, SeqAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// One page of `GET /v{1,2,3}/{account}/{project}/conversations`.
#[derive(Debug, Deserialize)]
#[serde(bound(deserialize = "List: Deserialize<'de>"))]
pub struct Page<'a, List> {
    /// The records; the only required key.
    pub conversations: List,
    /// The start of the next page; null, absent or "" on the last one. `None` only if the key is absent.
    #[serde(borrow, default, deserialize_with = "present")]
    pub cursor: Option<LenientString<'a>>,
    /// The legacy start of the next page; `None` only if the key is absent.
    #[serde(default, deserialize_with = "present")]
    pub next_offset: Option<LenientNumber>,
}

/// One record, `ConversationSummaryResponse` in PolyAI's OpenAPI file. Fields that may contain personal data are skipped.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the fields have the names of the API")]
pub struct Conversation<'a> {
    #[serde(borrow)]
    pub id: LenientString<'a>,
    pub started_at: LenientString<'a>,
    pub environment: LenientString<'a>,
    pub in_progress: LenientBool,
    pub channel: LenientString<'a>,
    pub variant_id: LenientString<'a>,
    pub variant_name: LenientString<'a>,
    /// Seconds.
    pub total_duration: LenientNumber,
    /// Seconds.
    pub polyai_duration: LenientNumber,
    pub num_turns: LenientNumber,
    pub num_silences: LenientNumber,
    pub num_ood: LenientNumber,
    pub handoff: Handoff<'a>,
    pub handoff_reason: LenientString<'a>,
    pub handoff_destination: LenientString<'a>,
    pub turns: Turns<'a>,
}

/// One turn. Of the words of the caller only their presence is read.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the fields have the names of the API")]
pub struct Turn<'a> {
    pub user_input: IsPresent,
    /// The time at which the agent started to speak.
    #[serde(borrow)]
    pub agent_response_datetime: LenientString<'a>,
    pub user_input_datetime: LenientString<'a>,
    pub latency: Latency,
    pub is_ood: LenientBool,
    pub is_silence: LenientBool,
    pub barge_in: LenientBool,
}

/// Reads a key that exists, even if its value is null. One that cannot be read, such as 1e999, is as good as absent.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    let value = <&RawValue>::deserialize(deserializer)?;
    Ok(serde_json::from_str(value.get()).ok())
}

/// A string; also a number or boolean as text. Anything else is empty.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct LenientString<'a>(pub Cow<'a, str>);

/// A number; also one in a string. Anything else is absent.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub struct LenientNumber(pub Option<f64>);

/// A boolean; also `"true"`, `"True"`, `"1"`, 1 and their opposites. Anything else is absent.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct LenientBool(pub Option<bool>);

/// Whether a string exists and is not blank; the string itself is skipped.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct IsPresent(pub bool);

/// `latency`: seconds, or an object with `perceived_latency` in seconds.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub struct Latency(pub Option<f64>);

/// `handoff`: a boolean, or an object with a reason and a destination, which means true; in its place null or "" means false.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Handoff<'a> {
    /// Whether there was a handoff; absent if the field is absent or unreadable.
    pub happened: Option<bool>,
    /// From the object form.
    pub reason: Cow<'a, str>,
    /// From the object form.
    pub destination: Cow<'a, str>,
}

/// `turns`: a list; null and every other empty value mean no turns. A null element is an empty turn.
#[derive(Debug, Default)]
pub struct Turns<'a> {
    /// Whether the record has the field, if only as null.
    pub present: bool,
    /// The turns, up to [`Turns::MAX_TURNS`].
    pub list: Vec<Turn<'a>>,
    /// The number of further turns.
    pub truncated: usize,
}

impl<'a> Turns<'a> {
    /// Far more than any call has. Further turns are only counted, because a short body can contain millions of `{}`.
    pub const MAX_TURNS: usize = 10_000;

    /// The number of turns.
    pub fn len(&self) -> usize {
        self.list.len() + self.truncated
    }

    /// Whether there are no turns.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn push(&mut self, turn: Turn<'a>) {
        if self.list.len() < Self::MAX_TURNS {
            self.list.push(turn);
        } else {
            self.truncated += 1;
        }
    }
}

/// Any JSON value. All lenient types are made from it, so that there is one set of conversions.
enum Scalar<'a> {
    Null,
    Bool(bool),
    Number(f64),
    Text(Cow<'a, str>),
    List,
    Object,
}

impl Scalar<'_> {
    fn number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(text) => text.trim().parse().ok().filter(|value: &f64| value.is_finite()),
            Self::Null | Self::Bool(_) | Self::List | Self::Object => None,
        }
    }

    fn boolean(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            Self::Number(number) => Some(*number != 0.0),
            Self::Text(text) => match text.trim() {
                "1" => Some(true),
                "0" => Some(false),
                text if text.eq_ignore_ascii_case("true") => Some(true),
                text if text.eq_ignore_ascii_case("false") => Some(false),
                _ => None,
            },
            Self::Null | Self::List | Self::Object => None,
        }
    }
}

/// Reads any JSON value, and of an object hands the entries whose key is in `keys` to `on_entry`.
struct ScalarVisitor<F> {
    keys: &'static [&'static str],
    on_entry: F,
}

impl<'de> Deserialize<'de> for Scalar<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor { keys: &[], on_entry: |_: &str, _: Self| {} })
    }
}

impl<'de, F: FnMut(&str, Scalar<'de>)> Visitor<'de> for ScalarVisitor<F> {
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

    #[expect(clippy::cast_precision_loss, reason = "exact below 2^53, and no larger number is cast")]
    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        // A larger number may be an id; as doubles, two ids could become one.
        Ok(if value < 1 << 53 {
            Scalar::Number(value as f64)
        } else {
            Scalar::Text(value.to_string().into())
        })
    }

    #[expect(clippy::cast_precision_loss, reason = "a negative number is neither an amount nor an id")]
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
        Ok(Scalar::List)
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut object: A) -> Result<Self::Value, A::Error> {
        if self.keys.is_empty() {
            while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        }
        while let Some(LenientString(key)) = object.next_key()? {
            if self.keys.contains(&&*key) {
                (self.on_entry)(&key, object.next_value()?);
            } else {
                object.next_value::<IgnoredAny>()?;
            }
        }
        Ok(Scalar::Object)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for LenientString<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(match Scalar::deserialize(deserializer)? {
            Scalar::Text(text) => text,
            Scalar::Number(number) => Cow::Owned(number.to_string()),
            Scalar::Bool(value) => Cow::Borrowed(if value { "true" } else { "false" }),
            Scalar::Null | Scalar::List | Scalar::Object => Cow::Borrowed(""),
        }))
    }
}

impl<'de> Deserialize<'de> for LenientNumber {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(Scalar::deserialize(deserializer)?.number()))
    }
}

impl<'de> Deserialize<'de> for LenientBool {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(Scalar::deserialize(deserializer)?.boolean()))
    }
}

impl<'de> Deserialize<'de> for IsPresent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PresenceVisitor;

        impl<'de> Visitor<'de> for PresenceVisitor {
            type Value = bool;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or null")
            }

            fn visit_none<E>(self) -> Result<bool, E> {
                Ok(false)
            }

            fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
                // Bytes, because the string may have been cut in the middle of a character.
                deserializer.deserialize_bytes(self)
            }

            fn visit_bytes<E>(self, text: &[u8]) -> Result<bool, E> {
                let first = text.iter().find(|byte| !byte.is_ascii_whitespace());
                // There is white space outside ASCII, too.
                Ok(first.is_some_and(u8::is_ascii) || !String::from_utf8_lossy(text).trim().is_empty())
            }
        }

        deserializer.deserialize_option(PresenceVisitor).map(Self)
    }
}

impl<'de> Deserialize<'de> for Latency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut perceived = None;
        let on_entry = |_: &str, value: Scalar<'de>| perceived = value.number();
        let keys = &["perceived_latency"];
        let scalar = deserializer.deserialize_any(ScalarVisitor { keys, on_entry })?;
        Ok(Self(scalar.number().or(perceived)))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Handoff<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut handoff = Self::default();
        let on_entry = |key: &str, value: Scalar<'de>| {
            if let Scalar::Text(text) = value {
                match key {
                    "reason" | "handoff_reason" => handoff.reason = text,
                    _ => handoff.destination = text,
                }
            }
        };
        let keys = &["reason", "handoff_reason", "destination", "handoff_destination"];
        let scalar = deserializer.deserialize_any(ScalarVisitor { keys, on_entry })?;
        handoff.happened = match &scalar {
            Scalar::Object => Some(true),
            Scalar::Null => Some(false),
            Scalar::Text(text) if text.trim().is_empty() => Some(false),
            Scalar::Bool(_) | Scalar::Number(_) | Scalar::Text(_) | Scalar::List => scalar.boolean(),
        };
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
                let mut turns = Turns { list: Vec::with_capacity(room), ..Turns::default() };
                while let Some(turn) = list.next_element::<Option<Turn<'de>>>()? {
                    turns.push(turn.unwrap_or_default());
                }
                Ok(turns)
            }
        }

        deserializer.deserialize_any(TurnsVisitor).map(|turns| Turns { present: true, ..turns })
    }
}
