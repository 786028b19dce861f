//! What is read of a page, however much of it is broken.

use proptest::prelude::*;

use super::*;

fn good(id: &str) -> String {
    format!(r#"{{"id":"{id}","started_at":"2026-08-20T09:15:02Z","in_progress":false,"total_duration":60}}"#)
}

#[test]
fn a_broken_record_spoils_only_itself() {
    for (broken, id, kind) in [
        (r#"{"id":"X"}"#, Some("X"), RejectedKind::BadStart),
        (r#"{"id":"X","started_at":"soon"}"#, Some("X"), RejectedKind::BadStart),
        (r#"{"id":"X","started_at":"0001-01-01T00:00:00Z"}"#, Some("X"), RejectedKind::BadStart),
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
        let ids: Vec<_> = page.conversations.iter().map(|conversation| conversation.id.as_str()).collect();
        assert_eq!(ids, ["A", "B"], "{broken}");
        assert_eq!(page.rejected, [RejectedRecord { id: id.map(str::to_owned), kind }], "{broken}");
        assert_eq!((page.cursor.as_deref(), page.partial.len()), (Some("next"), 0), "{broken}");
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
                page.partial.iter().map(|part| (part.id.as_deref(), part.unread.to_string())).collect();
            let expected = (!unread.is_empty()).then(|| (Some("X"), unread.to_owned()));
            assert_eq!(told, Vec::from_iter(expected), "{record}");
            let [_, Conversation { id, data }, _] = &*page.conversations else { panic!("{page:?}") };
            assert_eq!(id.as_str(), "X", "{record}");
            assert_eq!(data.duration, duration.map(crate::conversation::Amount::from_count), "{record}");
            let (turns, latency) = if keeps_first { (Some(2), Some(2)) } else { (turns, latency) };
            assert_eq!(data.turns, turns, "{record}");
            let replies: Vec<_> = data.replies.iter().map(|reply| reply.latency).collect();
            assert_eq!(replies, Vec::from_iter(latency.map(crate::conversation::Amount::from_count)));
        }
    }
}

#[test]
fn a_handoff_that_cannot_be_read_happened_all_the_same() {
    let page = with_neighbours(
        r#"{"id":"X","started_at":"2026-08-20T09:15:02Z","handoff":{"reason":"angry \ud83d","utterance":"\ud83d"}}"#,
    );
    let handoffs = page.conversations.iter().filter_map(|conversation| conversation.data.handoff.as_ref());
    assert_eq!(handoffs.map(|handoff| &*handoff.reason).collect::<Vec<_>>(), [""]);
    assert_eq!(page.partial.iter().map(|part| part.unread.to_string()).collect::<Vec<_>>(), ["handoff"]);
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
            let turns: Vec<_> = page.conversations.iter().map(|seen| seen.data.turns).collect();
            assert_eq!(turns, [None, Some(2)], "{body}");
            let told: Vec<_> =
                page.partial.iter().map(|part| (part.id.clone(), part.unread.to_string())).collect();
            assert_eq!(told, [(None, "NaN or Infinity".to_owned())], "{body}");
        }
    }
}

#[test]
fn of_a_body_with_millions_of_records_ten_thousand_are_read_and_the_others_counted() {
    let empty = vec!["{}"; 30_000].join(",");
    for body in [format!("[{empty}]"), format!("[{empty},7]"), format!(r#"{{"conversations":[{empty}]}}"#)] {
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
        assert_eq!(page.conversations.first().unwrap().data.turns, Some(100_000), "{broken}");
    }
    let turns = format!("[{}]", vec!["{}"; 20_000].join(","));
    let turns: wire::Turns<'_> = serde_json::from_str(&turns).unwrap();
    assert_eq!((turns.list.len(), turns.len()), (10_000, 20_000));
}

#[test]
fn a_page_says_what_it_can_say_of_the_next() {
    let form = |body: &str| Page::read(body.as_bytes()).unwrap().form;
    assert_eq!(form(r#"{"conversations":[],"cursor":null}"#), PageStyle::Paged);
    assert_eq!(form(r#"{"conversations":[],"next_offset":null}"#), PageStyle::Paged);
    assert_eq!(form(r#"{"conversations":[7],"cursor":""}"#), PageStyle::Paged);
    assert_eq!(form(r#"{"conversations":[],"descriptions":{}}"#), PageStyle::NoCursor);
    assert_eq!(form(r#"{"conversations":[7]}"#), PageStyle::NoCursor);
    assert_eq!(form("[]"), PageStyle::Array);
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
