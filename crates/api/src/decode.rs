//! Decodes the body of a page into conversations.
//!
//! The whole body is read at once, borrowed and typed. Only if that fails is it read record by record, so that a malformed
//! record or field costs only itself. The memory for records is bounded, whatever the body contains.

use std::fmt;

use polyai_domain::conversation::{Conversation, RejectedKind, RejectedRecord};
use polyai_domain::fetch::{FetchError, FetchErrorKind};
use polyai_domain::target::{ClientEnv, LatencyUnit};
use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::expected::{RecordEnvironment, convert_latencies};
use crate::lenient;
use crate::non_finite;
use crate::record::sanitize_id;
use crate::wire;

/// Ten times the largest page that can be requested; a body of nothing but `{}` holds millions.
const MAX_RECORDS: usize = 10_000;

/// The content of a page.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    /// The records that could be converted.
    pub conversations: Vec<Conversation>,
    /// The environment that each of `conversations` names, in the same order.
    pub environments: Vec<RecordEnvironment>,
    /// Whether a start has no time zone; it is then taken as UTC.
    pub naive_times: bool,
    /// The records that could not, or that are not what was asked for.
    pub rejected: Vec<RejectedRecord>,
    /// The unreadable fields of `conversations`.
    pub partial: Vec<PartialRecord>,
    /// The number of records after the first 10,000, which are not read.
    pub truncated: usize,
    /// `cursor`; absent on the last page.
    pub cursor: Option<String>,
    /// `next_offset`
    pub next_offset: Option<u64>,
    /// The way it names the next page.
    pub style: PageStyle,
}

/// The way a page names the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PageStyle {
    /// An object with `cursor` or `next_offset`, empty on the last page.
    #[default]
    Paged,
    /// An object without either.
    NoCursor,
    /// An array of records, as in some of PolyAI's samples.
    Array,
}

/// A record read without some of its fields, or a page without some of its numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartialRecord {
    /// The record's id; absent for the page as a whole.
    pub id: Option<String>,
    /// The names of the fields that are treated as absent, separated by commas.
    pub unreadable: String,
}

impl Page {
    /// The number of records of any kind.
    pub fn len(&self) -> usize {
        self.conversations.len() + self.rejected.len() + self.truncated
    }

    /// Whether there are no records.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Rejects the records of other environments than `client_env`, and converts latencies from `unit` to seconds.
    #[must_use]
    pub fn expecting(mut self, client_env: ClientEnv, unit: LatencyUnit) -> Self {
        let environments = std::mem::take(&mut self.environments);
        for (mut conversation, environment) in
            std::mem::take(&mut self.conversations).into_iter().zip(environments)
        {
            if environment.is_foreign_to(client_env) {
                let (id, kind) = (Some(conversation.id.to_string()), RejectedKind::WrongEnvironment);
                self.rejected.push(RejectedRecord { id, kind });
            } else {
                convert_latencies(&mut conversation.data, unit);
                self.conversations.push(conversation);
                self.environments.push(environment);
            }
        }
        self
    }

    /// Decodes a body, which is the documented object or an array of records.
    ///
    /// # Errors
    /// If the body as a whole is something else: truncated, HTML, or another object.
    pub fn decode(body: &[u8]) -> Result<Self, FetchError> {
        let first = match Self::decode_json(body) {
            Ok(page) => return Ok(page),
            Err(error) => error,
        };
        let sanitized = if first.is_eof() { None } else { non_finite::replace_non_finite(body) };
        match sanitized.map(|body| Self::decode_json(&body)) {
            Some(Ok(mut page)) => {
                page.partial.push(PartialRecord { id: None, unreadable: "NaN or Infinity".into() });
                Ok(page)
            }
            Some(Err(_)) | None => {
                let is_cut = first.is_eof() && !body.trim_ascii().is_empty();
                let kind = if is_cut { FetchErrorKind::CutOff } else { FetchErrorKind::BadPayload };
                Err(FetchError { kind, ..FetchError::bad_payload(describe(body, &first)) })
            }
        }
    }

    fn decode_json(body: &[u8]) -> Result<Self, serde_json::Error> {
        Self::decode_records::<false>(body).or_else(|error| {
            // Invalid UTF-8 must cost only its record.
            let text = String::from_utf8_lossy(body);
            Self::decode_records::<true>(text.as_bytes()).map_err(|_| error)
        })
    }

    fn decode_records<const LENIENT: bool>(body: &[u8]) -> Result<Self, serde_json::Error> {
        if body.trim_ascii_start().starts_with(b"[") {
            let Records::<LENIENT>(page) = serde_json::from_slice(body)?;
            return Ok(Self { style: PageStyle::Array, ..page });
        }
        let page: wire::Page<'_, Records<LENIENT>> = serde_json::from_slice(body)?;
        let has_hint = page.cursor.is_some() || page.next_offset.is_some();
        Ok(Self {
            cursor: page.cursor.map(|cursor| cursor.0.into_owned()).filter(|cursor| !cursor.is_empty()),
            next_offset: page.next_offset.and_then(|offset| offset.0).and_then(to_u64),
            style: if has_hint { PageStyle::Paged } else { PageStyle::NoCursor },
            ..page.conversations.0
        })
    }

    fn push(&mut self, record: &wire::Conversation<'_>) {
        match Conversation::try_from(record) {
            Ok(conversation) => {
                self.conversations.push(conversation);
                self.naive_times |= !has_zone(&record.started_at.0);
                self.environments.push(RecordEnvironment::new(&record.environment.0));
            }
            Err(rejected) => self.rejected.push(rejected),
        }
    }

    /// Reads the record on its own, and field by field if necessary.
    fn push_lenient(&mut self, record: &RawValue) {
        if let Ok(record) = serde_json::from_str(record.get()) {
            return self.push(&record);
        }
        let Some((record, unreadable)) = lenient::read(record) else {
            return self.rejected.push(RejectedRecord { id: None, kind: RejectedKind::BadShape });
        };
        let before = self.conversations.len();
        self.push(&record);
        if self.conversations.len() > before && !unreadable.is_empty() {
            let unreadable = Vec::from_iter(unreadable).join(", ");
            self.partial.push(PartialRecord { id: sanitize_id(&record.id.0), unreadable });
        }
    }
}

/// Whether a readable time names its zone, after its date.
fn has_zone(time: &str) -> bool {
    time.get(10..).is_some_and(|rest| rest.contains(['Z', 'z', '+', '-']) || rest.contains("GMT"))
}

/// The list of records as a page that is otherwise empty. The list may be null but not absent. Unless `LENIENT`, one malformed
/// record fails the whole list.
struct Records<const LENIENT: bool>(Page);

impl<'de, const LENIENT: bool> Deserialize<'de> for Records<LENIENT> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct RecordsVisitor<const LENIENT: bool>;

        impl<'de, const LENIENT: bool> Visitor<'de> for RecordsVisitor<LENIENT> {
            type Value = Page;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of conversations")
            }

            fn visit_unit<E>(self) -> Result<Page, E> {
                Ok(Page::default())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Page, A::Error> {
                let mut page = Page::default();
                while page.len() < MAX_RECORDS {
                    let record = if LENIENT {
                        list.next_element()?.map(|record| page.push_lenient(record))
                    } else {
                        list.next_element()?.map(|record| page.push(&record))
                    };
                    if record.is_none() {
                        return Ok(page);
                    }
                }
                while list.next_element::<IgnoredAny>()?.is_some() {
                    page.truncated += 1;
                }
                Ok(page)
            }
        }

        deserializer.deserialize_any(RecordsVisitor::<LENIENT>).map(Self)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "checked against both ends first"
)]
fn to_u64(number: f64) -> Option<u64> {
    (1.0..=1e15).contains(&number).then_some(number as u64)
}

/// Describes the error in a body without quoting it.
fn describe(body: &[u8], error: &serde_json::Error) -> String {
    match body.trim_ascii_start().first() {
        None => "the response is empty; expected a list of conversations".into(),
        Some(b'<') => "the response is HTML, not JSON: a proxy or another server answered".into(),
        Some(_) if error.is_eof() => {
            format!("the response is cut off after {} bytes", body.len())
        }
        Some(_) => {
            let place = format!("line {}, column {}", error.line(), error.column());
            format!(
                "the response is not a list of conversations ({place}); expected an object with \"conversations\""
            )
        }
    }
}

#[cfg(test)]
mod tests;
