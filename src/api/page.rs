//! From the bytes of a page to conversations.
//!
//! Owns: that a broken record spoils only itself. A page is read in one go, typed and borrowed; only if that fails is it
//! taken apart record by record.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::error::FetchError;
use super::wire;
use crate::conversation::{Conversation, Rejected, RejectedKind, printable};

/// What a page holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    /// The records that can be counted.
    pub conversations: Vec<Conversation>,
    /// The others.
    pub rejected: Vec<Rejected>,
    /// `cursor`; none on the last page.
    pub cursor: Option<String>,
    /// `next_offset`
    pub next_offset: Option<u64>,
    /// It came as a bare array, which cannot say whether more follows.
    pub is_bare: bool,
}

impl Page {
    /// How many records it holds, of either kind.
    pub fn len(&self) -> usize {
        self.conversations.len() + self.rejected.len()
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
        let is_array = body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[');
        let whole: Result<wire::Page<'_>, _> = if is_array {
            serde_json::from_slice(body).map(|conversations| wire::Page {
                conversations,
                cursor: wire::Text::default(),
                next_offset: wire::Number::default(),
            })
        } else {
            serde_json::from_slice(body)
        };
        let page = match whole {
            Ok(page) => Ok(Self::of(
                page.conversations.iter().map(Conversation::try_from),
                page.cursor,
                page.next_offset,
            )),
            Err(error) => Self::read_apart(body, is_array, &error),
        };
        page.map(|page| Self { is_bare: is_array, ..page })
    }

    fn of(
        records: impl Iterator<Item = Result<Conversation, Rejected>>,
        cursor: wire::Text<'_>,
        next_offset: wire::Number,
    ) -> Self {
        let mut page = Self {
            cursor: (!cursor.0.is_empty()).then(|| cursor.0.into_owned()),
            next_offset: next_offset.0.and_then(whole),
            ..Self::default()
        };
        page.conversations.reserve_exact(records.size_hint().0);
        for record in records {
            match record {
                Ok(conversation) => page.conversations.push(conversation),
                Err(rejected) => page.rejected.push(rejected),
            }
        }
        page
    }

    /// Record by record, so that what is broken can be named and the rest counts.
    fn read_apart(body: &[u8], is_array: bool, first: &serde_json::Error) -> Result<Self, FetchError> {
        #[derive(Deserialize)]
        struct Apart<'a> {
            #[serde(borrow, deserialize_with = "wire::nullable_list")]
            conversations: Vec<&'a RawValue>,
            #[serde(borrow, default)]
            cursor: wire::Text<'a>,
            #[serde(default)]
            next_offset: wire::Number,
        }

        // Bytes that are no UTF-8 belong to one record, too.
        let text = String::from_utf8_lossy(body);
        let apart = if is_array {
            serde_json::from_str(&text).map(|records| Apart {
                conversations: records,
                cursor: wire::Text::default(),
                next_offset: wire::Number::default(),
            })
        } else {
            serde_json::from_str(&text)
        };
        let apart: Apart<'_> = apart.map_err(|_| FetchError::bad_payload(describe(body, first)))?;
        Ok(Self::of(
            apart.conversations.iter().map(|record| read_one(record.get())),
            apart.cursor,
            apart.next_offset,
        ))
    }
}

fn read_one(record: &str) -> Result<Conversation, Rejected> {
    match serde_json::from_str::<wire::Conversation<'_>>(record) {
        Ok(record) => Conversation::try_from(&record),
        Err(_) => {
            let named: Option<wire::Named<'_>> = serde_json::from_str(record).ok();
            let id = named.and_then(|named| printable(&named.id.0));
            Err(Rejected { id, kind: RejectedKind::BadShape })
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "checked against both ends first"
)]
fn whole(number: f64) -> Option<u64> {
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
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn good(id: &str) -> String {
        format!(
            r#"{{"id":"{id}","started_at":"2026-08-20T09:15:02Z","in_progress":false,"total_duration":60}}"#
        )
    }

    #[test]
    fn a_broken_record_spoils_only_itself() {
        for (broken, id, kind) in [
            (
                r#"{"id":"X","started_at":"2026-08-20T09:15:02Z","turns":"none"}"#,
                Some("X"),
                RejectedKind::BadShape,
            ),
            (r#"{"id":"X","id":"Y","started_at":"2026-08-20T09:15:02Z"}"#, None, RejectedKind::BadShape),
            (
                r#"{"id":"X","started_at":"2026-08-20T09:15:02Z","turns":[5]}"#,
                Some("X"),
                RejectedKind::BadShape,
            ),
            (r#"{"id":"X"}"#, Some("X"), RejectedKind::BadStart),
            (r#"{"id":"X","started_at":"soon"}"#, Some("X"), RejectedKind::BadStart),
            (r#"{"id":"X","started_at":"0001-01-01T00:00:00Z"}"#, Some("X"), RejectedKind::BadStart),
            (r#"{"started_at":"2026-08-20T09:15:02Z"}"#, None, RejectedKind::BadId),
            (r#"{"id":{},"started_at":"2026-08-20T09:15:02Z"}"#, None, RejectedKind::BadId),
            ("7", None, RejectedKind::BadShape),
            ("null", None, RejectedKind::BadShape),
            (r#""text""#, None, RejectedKind::BadShape),
            ("[[]]", None, RejectedKind::BadId),
            (
                r#"{"id":"X","total_duration":1e999,"started_at":"2026-08-20T09:15:02Z"}"#,
                None,
                RejectedKind::BadShape,
            ),
        ] {
            let body =
                format!(r#"{{"conversations":[{},{broken},{}],"cursor":"next"}}"#, good("A"), good("B"));
            let page = Page::read(body.as_bytes()).unwrap();
            let ids: Vec<_> =
                page.conversations.iter().map(|conversation| conversation.id.as_str()).collect();
            assert_eq!(ids, ["A", "B"], "{broken}");
            assert_eq!(page.rejected.len(), 1, "{broken}");
            let rejected = page.rejected.first().unwrap();
            assert_eq!((rejected.kind, page.cursor.as_deref()), (kind, Some("next")), "{broken}");
            if id.is_some() {
                assert_eq!(rejected.id.as_deref(), id, "{broken}");
            }
        }
    }

    #[test]
    fn bytes_that_are_no_text_spoil_no_other_record() {
        let mut body = br#"{"conversations":["#.to_vec();
        body.extend(good("A").bytes());
        body.extend(b",{\"id\":\"X\xff\",\"started_at\":\"2026-08-20T09:15:02Z\"}]}");
        let page = Page::read(&body).unwrap();
        assert_eq!(page.conversations.len(), 2);
    }

    #[test]
    fn the_shapes_of_a_page() {
        let count = |body: &str| Page::read(body.as_bytes()).map(|page| page.conversations.len());
        assert_eq!(count(&format!("[{},{}]", good("A"), good("B"))), Ok(2));
        assert_eq!(count(r#"{"conversations":null}"#), Ok(0));
        assert_eq!(count(r#"{"conversations":[],"cursor":null,"descriptions":{"id":"the id"}}"#), Ok(0));
        for (body, expected) in [
            ("", "is empty"),
            ("<html><body>Bad gateway</body></html>", "is HTML"),
            (r#"{"conversations":[{"id":"A""#, "is cut off after"),
            (r#"{"success":false,"error":"no"}"#, "expected an object with \"conversations\""),
        ] {
            let message = Page::read(body.as_bytes()).unwrap_err().message;
            assert!(message.contains(expected), "{body} gives {message}");
        }
    }

    proptest! {
        #[test]
        fn no_body_makes_it_panic(body in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Page::read(&body);
        }

        #[test]
        fn no_cut_makes_it_panic(cut in 0usize..400) {
            let body = format!(r#"{{"conversations":[{},{}],"cursor":"x"}}"#, good("A"), good("B"));
            let _ = Page::read(body.as_bytes().get(..cut).unwrap_or(body.as_bytes()));
        }
    }
}
