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

use super::by_field::{self, Unread};
use super::error::FetchError;
use super::not_a_number;
use super::wire;
use crate::conversation::{Conversation, Rejected, RejectedKind, printable};

/// Ten times the largest page that can be asked for. A body of nothing but `{}` holds millions.
const MOST_RECORDS: usize = 10_000;

/// What a page holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    /// The records that can be counted.
    pub conversations: Vec<Conversation>,
    /// The others.
    pub rejected: Vec<Rejected>,
    /// What could not be read of records that can be counted all the same.
    pub in_part: Vec<InPart>,
    /// Records beyond the 10,000 that are read of a page.
    pub left_out: usize,
    /// `cursor`; none on the last page.
    pub cursor: Option<String>,
    /// `next_offset`
    pub next_offset: Option<u64>,
    /// What it can say of the page after it.
    pub form: Form,
}

/// How a page came, and what it can say of the page after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Form {
    /// An object with `cursor` or `next_offset`, which are empty on the last page.
    #[default]
    Paged,
    /// An object with neither, which does not say whether more follows.
    Silent,
    /// A bare array, which cannot.
    Bare,
}

/// A record that counts without some of its fields, or a page without some of its numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InPart {
    /// The record's id; none for the page.
    pub id: Option<String>,
    /// What counts as absent.
    pub unread: Unread,
}

impl Page {
    /// How many records it holds, of any kind.
    pub fn len(&self) -> usize {
        self.conversations.len() + self.rejected.len() + self.left_out
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
        let mended = if first.is_eof() { None } else { not_a_number::made_null(body) };
        match mended.map(|mended| Self::read_json(&mended)) {
            Some(Ok(mut page)) => {
                page.in_part.push(InPart { id: None, unread: Unread::one("NaN or Infinity") });
                Ok(page)
            }
            Some(Err(_)) | None => Err(FetchError::bad_payload(describe(body, &first))),
        }
    }

    fn read_json(body: &[u8]) -> Result<Self, serde_json::Error> {
        let is_array = body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[');
        let in_one_go = if is_array {
            serde_json::from_slice::<Records<InOneGo>>(body).map(Self::bare)
        } else {
            serde_json::from_slice::<wire::Page<'_, Records<InOneGo>>>(body).map(Self::paged)
        };
        in_one_go.or_else(|first| {
            // Bytes that are no UTF-8 belong to one record, too.
            let text = String::from_utf8_lossy(body);
            let apart = if is_array {
                serde_json::from_str::<Records<Apart>>(&text).map(Self::bare)
            } else {
                serde_json::from_str::<wire::Page<'_, Records<Apart>>>(&text).map(Self::paged)
            };
            apart.map_err(|_| first)
        })
    }

    fn bare<R>(records: Records<R>) -> Self {
        Self { form: Form::Bare, ..records.page }
    }

    fn paged<R>(page: wire::Page<'_, Records<R>>) -> Self {
        let is_silent = page.cursor.is_none() && page.next_offset.is_none();
        Self {
            cursor: page.cursor.map(|cursor| cursor.0.into_owned()).filter(|cursor| !cursor.is_empty()),
            next_offset: page.next_offset.and_then(|offset| offset.0).and_then(whole),
            form: if is_silent { Form::Silent } else { Form::Paged },
            ..page.conversations.page
        }
    }

    fn take(&mut self, record: Result<Conversation, Rejected>) {
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
trait Read<'de> {
    type Record: Deserialize<'de>;
    fn read(record: Self::Record, into: &mut Page);
}

/// With the page, which fails if the record does.
struct InOneGo;

/// On its own, and field by field if need be.
struct Apart;

impl<'de> Read<'de> for InOneGo {
    type Record = wire::Conversation<'de>;

    fn read(record: Self::Record, into: &mut Page) {
        into.take(Conversation::try_from(&record));
    }
}

impl<'de> Read<'de> for Apart {
    type Record = &'de RawValue;

    fn read(record: Self::Record, into: &mut Page) {
        if let Ok(record) = serde_json::from_str::<wire::Conversation<'_>>(record.get()) {
            return into.take(Conversation::try_from(&record));
        }
        let Some((record, unread)) = by_field::read(record) else {
            return into.take(Err(Rejected { id: None, kind: RejectedKind::BadShape }));
        };
        let conversation = Conversation::try_from(&record);
        if conversation.is_ok() && !unread.is_empty() {
            into.in_part.push(InPart { id: printable(&record.id.0), unread });
        }
        into.take(conversation);
    }
}

impl<'de, R: Read<'de>> Deserialize<'de> for Records<R> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RecordsVisitor(PhantomData))
    }
}

struct RecordsVisitor<R>(PhantomData<R>);

impl<'de, R: Read<'de>> Visitor<'de> for RecordsVisitor<R> {
    type Value = Records<R>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of conversations")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Records { page: Page::default(), how: PhantomData })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut page = Page::default();
        while page.len() < MOST_RECORDS {
            match list.next_element()? {
                Some(record) => R::read(record, &mut page),
                None => break,
            }
        }
        while list.next_element::<IgnoredAny>()?.is_some() {
            page.left_out += 1;
        }
        Ok(Records { page, how: PhantomData })
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
            (r#"{"id":"X"}"#, Some("X"), RejectedKind::BadStart),
            (r#"{"id":"X","started_at":"soon"}"#, Some("X"), RejectedKind::BadStart),
            (r#"{"id":"X","started_at":1e999}"#, Some("X"), RejectedKind::BadStart),
            (r#"{"started_at":"2026-08-20T09:15:02Z"}"#, None, RejectedKind::BadId),
            (r#"{"id":{},"started_at":"2026-08-20T09:15:02Z"}"#, None, RejectedKind::BadId),
            (r#"{"id":"X\ud83d","started_at":"2026-08-20T09:15:02Z"}"#, None, RejectedKind::BadId),
            ("7", None, RejectedKind::BadShape),
            ("null", None, RejectedKind::BadShape),
            (r#""text""#, None, RejectedKind::BadShape),
            ("[[]]", None, RejectedKind::BadId),
        ] {
            let page = with_neighbours(broken);
            let ids: Vec<_> =
                page.conversations.iter().map(|conversation| conversation.id.as_str()).collect();
            assert_eq!(ids, ["A", "B"], "{broken}");
            assert_eq!(page.rejected, [Rejected { id: id.map(str::to_owned), kind }], "{broken}");
            assert_eq!((page.cursor.as_deref(), page.in_part.len()), (Some("next"), 0), "{broken}");
        }
    }

    fn with_neighbours(record: &str) -> Page {
        let body = format!(r#"{{"conversations":[{},{record},{}],"cursor":"next"}}"#, good("A"), good("B"));
        Page::read(body.as_bytes()).unwrap()
    }

    #[test]
    fn a_broken_field_spoils_only_itself_and_is_told() {
        /// Duration, number of turns, latency of the second.
        type Understood = (Option<u32>, Option<u32>, Option<u32>);
        let two_turns = r#""turns":[{"user_input":""},{"user_input":"hi","latency":2}]"#;
        // The fields, which of them cannot be read, and what can.
        let cases: [(&str, &str, Understood); 15] = [
            (r#""turns":"""#, "", (Some(60), None, None)),
            (r#""turns":{}"#, "", (Some(60), None, None)),
            (r#""turns":false"#, "", (Some(60), None, None)),
            (r#""turns":"none""#, "turns", (Some(60), None, None)),
            (r#""turns":7"#, "turns", (Some(60), None, None)),
            (r#""turns":{"1":{}}"#, "turns", (Some(60), None, None)),
            (r#""turns":[5,{"user_input":"hi","latency":2}]"#, "turns", (Some(60), Some(2), Some(2))),
            (
                r#""turns":[{"user_input":"","latency":1e999},{"user_input":"hi","latency":2}]"#,
                "latency",
                (Some(60), Some(2), Some(2)),
            ),
            (
                r#""turns":[{"user_input":""},{"user_input":"hi \ud83d","latency":2}]"#,
                "",
                (Some(60), Some(2), Some(2)),
            ),
            (r#""turns":[{"user_input":""},{"user_input":5,"latency":2}]"#, "", (Some(60), Some(2), Some(2))),
            (r#""num_turns":1e999"#, "num_turns", (Some(60), None, None)),
            (r#""total_duration":1e999"#, "total_duration", (None, None, None)),
            // Of two that stand for the same key the last counts.
            (r#""total_duration":7"#, "", (Some(7), None, None)),
            (r#""id":"Y","id":"X""#, "", (Some(60), None, None)),
            (r#""channel":"\ud83d""#, "channel", (Some(60), None, None)),
        ];
        for (fields, unread, (duration, turns, latency)) in cases {
            let record = format!(
                r#"{{"id":"X","started_at":"2026-08-20T09:15:02Z","in_progress":false,"total_duration":60,{fields}}}"#
            );
            for record in [record.clone(), record.replace(fields, &format!("{two_turns},{fields}"))] {
                // A second list of turns takes the place of the first; without one, the first counts.
                let keeps_first = !fields.starts_with(r#""turns""#) && record.contains(two_turns);
                let page = with_neighbours(&record);
                assert_eq!(page.rejected, [], "{record}");
                let told: Vec<_> =
                    page.in_part.iter().map(|part| (part.id.as_deref(), part.unread.to_string())).collect();
                let expected = (!unread.is_empty()).then(|| (Some("X"), unread.to_owned()));
                assert_eq!(told, Vec::from_iter(expected), "{record}");
                let [_, Conversation { id, facts }, _] = &*page.conversations else { panic!("{page:?}") };
                assert_eq!(id.as_str(), "X", "{record}");
                assert_eq!(facts.duration, duration.map(crate::conversation::Micros::from_count), "{record}");
                let (turns, latency) = if keeps_first { (Some(2), Some(2)) } else { (turns, latency) };
                assert_eq!(facts.turns, turns, "{record}");
                let replies: Vec<_> = facts.replies.iter().map(|reply| reply.latency).collect();
                assert_eq!(replies, Vec::from_iter(latency.map(crate::conversation::Micros::from_count)));
            }
        }
    }

    #[test]
    fn a_handoff_that_cannot_be_read_happened_all_the_same() {
        let page = with_neighbours(
            r#"{"id":"X","started_at":"2026-08-20T09:15:02Z","handoff":{"reason":"angry \ud83d","utterance":"\ud83d"}}"#,
        );
        let handoffs =
            page.conversations.iter().filter_map(|conversation| conversation.facts.handoff.as_ref());
        assert_eq!(handoffs.map(|handoff| &*handoff.reason).collect::<Vec<_>>(), [""]);
        assert_eq!(page.in_part.iter().map(|part| part.unread.to_string()).collect::<Vec<_>>(), ["handoff"]);
    }

    #[test]
    fn numbers_that_json_does_not_have_are_absent_and_the_page_counts() {
        let turns = |latency: &str| {
            format!(r#""turns":[{{"user_input":"NaN"}},{{"user_input":"x","latency":{latency}}}]"#)
        };
        for latency in ["NaN", "Infinity", "-Infinity", r#"{"perceived_latency": NaN}"#] {
            let record = format!(r#"{{"id":"X","started_at":"2026-08-20T09:15:02Z",{}}}"#, turns(latency));
            for body in [
                format!(r#"{{"conversations":[{},{record}],"cursor":null}}"#, good("A")),
                format!("[{},7,{record}]", good("A")),
            ] {
                let page = Page::read(body.as_bytes()).unwrap();
                let turns: Vec<_> = page.conversations.iter().map(|seen| seen.facts.turns).collect();
                assert_eq!(turns, [None, Some(2)], "{body}");
                let told: Vec<_> =
                    page.in_part.iter().map(|part| (part.id.clone(), part.unread.to_string())).collect();
                assert_eq!(told, [(None, "NaN or Infinity".to_owned())], "{body}");
            }
        }
    }

    #[test]
    fn of_a_body_with_millions_of_records_ten_thousand_are_read_and_the_others_counted() {
        let empty = vec!["{}"; 30_000].join(",");
        for body in
            [format!("[{empty}]"), format!("[{empty},7]"), format!(r#"{{"conversations":[{empty}]}}"#)]
        {
            let page = Page::read(body.as_bytes()).unwrap();
            assert_eq!(page.rejected.len(), 10_000);
            assert!((30_000..=30_001).contains(&page.len()), "{}", page.len());
        }
    }

    #[test]
    fn of_a_record_with_millions_of_turns_few_are_kept_and_the_count_stays_in_reason() {
        for broken in ["", ",7"] {
            let turns = vec!["{}"; 120_000].join(",");
            let record =
                format!(r#"[{{"id":"X","started_at":"2026-08-20T09:15:02Z","turns":[{turns}{broken}]}}]"#);
            let page = Page::read(record.as_bytes()).unwrap();
            assert_eq!(page.conversations.first().unwrap().facts.turns, Some(100_000), "{broken}");
        }
        let turns = format!("[{}]", vec!["{}"; 20_000].join(","));
        let turns: wire::Turns<'_> = serde_json::from_str(&turns).unwrap();
        assert_eq!((turns.list.len(), turns.len()), (10_000, 20_000));
    }

    #[test]
    fn a_page_says_what_it_can_say_of_the_next() {
        let form = |body: &str| Page::read(body.as_bytes()).unwrap().form;
        assert_eq!(form(r#"{"conversations":[],"cursor":null}"#), Form::Paged);
        assert_eq!(form(r#"{"conversations":[],"next_offset":null}"#), Form::Paged);
        assert_eq!(form(r#"{"conversations":[7],"cursor":""}"#), Form::Paged);
        assert_eq!(form(r#"{"conversations":[],"descriptions":{}}"#), Form::Silent);
        assert_eq!(form(r#"{"conversations":[7]}"#), Form::Silent);
        assert_eq!(form("[]"), Form::Bare);
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
