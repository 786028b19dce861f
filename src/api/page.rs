//! From the bytes of a page to conversations.
//!
//! Owns: that a broken record spoils only itself, and a broken field only itself. A page is read in one go, typed and
//! borrowed, each record made a conversation before the next is read; only if that fails is it taken apart record by record.
//! However many records a body holds, the memory for them is bounded.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::by_field::{self, UnreadableFields};
use super::not_a_number;
use super::record::sanitize_id;
use super::wire;
use crate::conversation::{Conversation, RejectedKind, RejectedRecord};
use polyai_domain::fetch::FetchError;

/// Ten times the largest page that can be asked for. A body of nothing but `{}` holds millions.
const MAX_RECORDS: usize = 10_000;

/// What a page holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    /// The records that can be counted.
    pub conversations: Vec<Conversation>,
    /// The others.
    pub rejected: Vec<RejectedRecord>,
    /// What could not be read of records that can be counted all the same.
    pub partial: Vec<PartialRecord>,
    /// Records beyond the 10,000 that are read of a page.
    pub truncated: usize,
    /// `cursor`; none on the last page.
    pub cursor: Option<String>,
    /// `next_offset`
    pub next_offset: Option<u64>,
    /// What it can say of the page after it.
    pub form: PageStyle,
}

/// How a page came, and what it can say of the page after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PageStyle {
    /// An object with `cursor` or `next_offset`, which are empty on the last page.
    #[default]
    Paged,
    /// An object with neither, which does not say whether more follows.
    NoCursor,
    /// A bare array, which cannot.
    Array,
}

/// A record that counts without some of its fields, or a page without some of its numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartialRecord {
    /// The record's id; none for the page.
    pub id: Option<String>,
    /// What counts as absent.
    pub unread: UnreadableFields,
}

impl Page {
    /// How many records it holds, of any kind.
    pub fn len(&self) -> usize {
        self.conversations.len() + self.rejected.len() + self.truncated
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads a body: the documented object, or a bare array of records as some of the vendor's samples have it.
    ///
    /// # Errors
    /// When the body as a whole is not such a page: cut off, HTML, or another object.
    pub fn read(body: &[u8]) -> Result<Self, FetchError> {
        let first = match Self::read_json(body) {
            Ok(page) => return Ok(page),
            Err(error) => error,
        };
        let sanitized = if first.is_eof() { None } else { not_a_number::replace_non_finite(body) };
        match sanitized.map(|mended| Self::read_json(&mended)) {
            Some(Ok(mut page)) => {
                page.partial
                    .push(PartialRecord { id: None, unread: UnreadableFields::one("NaN or Infinity") });
                Ok(page)
            }
            Some(Err(_)) | None => Err(FetchError::bad_payload(describe(body, &first))),
        }
    }

    fn read_json(body: &[u8]) -> Result<Self, serde_json::Error> {
        let is_array = body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[');
        let in_one_go = if is_array {
            serde_json::from_slice::<Records<Strict>>(body).map(Self::bare)
        } else {
            serde_json::from_slice::<wire::Page<'_, Records<Strict>>>(body).map(Self::paged)
        };
        in_one_go.or_else(|first| {
            // Bytes that are no UTF-8 belong to one record, too.
            let text = String::from_utf8_lossy(body);
            let lenient = if is_array {
                serde_json::from_str::<Records<Lenient>>(&text).map(Self::bare)
            } else {
                serde_json::from_str::<wire::Page<'_, Records<Lenient>>>(&text).map(Self::paged)
            };
            lenient.map_err(|_| first)
        })
    }

    fn bare<R>(records: Records<R>) -> Self {
        Self { form: PageStyle::Array, ..records.page }
    }

    fn paged<R>(page: wire::Page<'_, Records<R>>) -> Self {
        let is_silent = page.cursor.is_none() && page.next_offset.is_none();
        Self {
            cursor: page.cursor.map(|cursor| cursor.0.into_owned()).filter(|cursor| !cursor.is_empty()),
            next_offset: page.next_offset.and_then(|offset| offset.0).and_then(to_u64),
            form: if is_silent { PageStyle::NoCursor } else { PageStyle::Paged },
            ..page.conversations.page
        }
    }

    fn take(&mut self, record: Result<Conversation, RejectedRecord>) {
        match record {
            Ok(conversation) => self.conversations.push(conversation),
            Err(rejected) => self.rejected.push(rejected),
        }
    }
}

/// The list of records, each read as `R` does and taken into a page that is otherwise empty. It must be there, but may be
/// null.
struct Records<R> {
    page: Page,
    how: PhantomData<R>,
}

/// A way to read a record.
trait RecordReader<'de> {
    type Record: Deserialize<'de>;
    fn read(record: Self::Record, into: &mut Page);
}

/// With the page, which fails if the record does.
struct Strict;

/// On its own, and field by field if need be.
struct Lenient;

impl<'de> RecordReader<'de> for Strict {
    type Record = wire::Conversation<'de>;

    fn read(record: Self::Record, into: &mut Page) {
        into.take(Conversation::try_from(&record));
    }
}

impl<'de> RecordReader<'de> for Lenient {
    type Record = &'de RawValue;

    fn read(record: Self::Record, into: &mut Page) {
        if let Ok(record) = serde_json::from_str::<wire::Conversation<'_>>(record.get()) {
            return into.take(Conversation::try_from(&record));
        }
        let Some((record, unread)) = by_field::read(record) else {
            return into.take(Err(RejectedRecord { id: None, kind: RejectedKind::BadShape }));
        };
        let conversation = Conversation::try_from(&record);
        if conversation.is_ok() && !unread.is_empty() {
            into.partial.push(PartialRecord { id: sanitize_id(&record.id.0), unread });
        }
        into.take(conversation);
    }
}

impl<'de, R: RecordReader<'de>> Deserialize<'de> for Records<R> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RecordsVisitor(PhantomData))
    }
}

struct RecordsVisitor<R>(PhantomData<R>);

impl<'de, R: RecordReader<'de>> Visitor<'de> for RecordsVisitor<R> {
    type Value = Records<R>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of conversations")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Records { page: Page::default(), how: PhantomData })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut page = Page::default();
        while page.len() < MAX_RECORDS {
            match list.next_element()? {
                Some(record) => R::read(record, &mut page),
                None => break,
            }
        }
        while list.next_element::<IgnoredAny>()?.is_some() {
            page.truncated += 1;
        }
        Ok(Records { page, how: PhantomData })
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

/// What is wrong with a body, without quoting it.
fn describe(body: &[u8], error: &serde_json::Error) -> String {
    let start = body.iter().find(|byte| !byte.is_ascii_whitespace());
    match start {
        None => "the answer is empty where a list of conversations was expected".into(),
        Some(b'<') => "the answer is HTML, not JSON: a proxy or another server answered".into(),
        Some(_) if error.is_eof() => {
            format!("the answer is cut off after {} bytes", body.len())
        }
        Some(_) => {
            let place = format!("line {}, column {}", error.line(), error.column());
            format!(
                "the answer is not a list of conversations ({place}); expected an object with \"conversations\""
            )
        }
    }
}

#[cfg(test)]
mod tests;
