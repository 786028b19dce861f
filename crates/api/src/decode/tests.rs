//! Pages that are partly or wholly malformed.

use proptest::prelude::*;

use super::*;

fn good(id: &str) -> String {
    format!(r#"{{"id":"{id}","started_at":"2026-08-20T09:15:02Z","in_progress":false,"total_duration":60}}"#)
}

#[test]
fn malformed_record_costs_only_itself() {
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
    Page::decode(body.as_bytes()).unwrap()
}

#[test]
fn malformed_field_costs_only_itself_and_is_named() {
    /// Duration, number of turns, latency of the second.
    type Readable = (Option<u32>, Option<u32>, Option<u32>);
    let two_turns = r#""turns":[{"user_input":""},{"user_input":"hi","latency":2}]"#;
    // The fields, the unreadable ones among them, and the readable values.
    let cases: [(&str, &str, Readable); 15] = [
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
        // The last of duplicate keys counts.
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
            let partial: Vec<_> =
                page.partial.iter().map(|part| (part.id.as_deref(), part.unreadable.clone())).collect();
            let expected = (!unread.is_empty()).then(|| (Some("X"), unread.to_owned()));
            assert_eq!(partial, Vec::from_iter(expected), "{record}");
            let [_, Conversation { id, data }, _] = &*page.conversations else { panic!("{page:?}") };
            assert_eq!(id.as_str(), "X", "{record}");
            assert_eq!(
                data.duration,
                duration.map(polyai_domain::conversation::Amount::from_count),
                "{record}"
            );
            let (turns, latency) = if keeps_first { (Some(2), Some(2)) } else { (turns, latency) };
            assert_eq!(data.turns, turns, "{record}");
            let replies: Vec<_> = data.replies.iter().map(|reply| reply.latency).collect();
            assert_eq!(replies, Vec::from_iter(latency.map(polyai_domain::conversation::Amount::from_count)));
        }
    }
}

#[test]
fn unreadable_handoff_still_counts() {
    let page = with_neighbours(
        r#"{"id":"X","started_at":"2026-08-20T09:15:02Z","handoff":{"reason":"angry \ud83d","utterance":"\ud83d"}}"#,
    );
    let handoffs = page.conversations.iter().filter_map(|conversation| conversation.data.handoff.handoff());
    assert_eq!(handoffs.map(|handoff| &*handoff.reason).collect::<Vec<_>>(), [""]);
    assert_eq!(page.partial.iter().map(|part| part.unreadable.clone()).collect::<Vec<_>>(), ["handoff"]);
}

#[test]
fn non_finite_numbers_are_absent() {
    let turns = |latency: &str| {
        format!(r#""turns":[{{"user_input":"NaN"}},{{"user_input":"x","latency":{latency}}}]"#)
    };
    for latency in ["NaN", "Infinity", "-Infinity", r#"{"perceived_latency": NaN}"#] {
        let record = format!(r#"{{"id":"X","started_at":"2026-08-20T09:15:02Z",{}}}"#, turns(latency));
        for body in [
            format!(r#"{{"conversations":[{},{record}],"cursor":null}}"#, good("A")),
            format!("[{},7,{record}]", good("A")),
        ] {
            let page = Page::decode(body.as_bytes()).unwrap();
            let turns: Vec<_> = page.conversations.iter().map(|seen| seen.data.turns).collect();
            assert_eq!(turns, [None, Some(2)], "{body}");
            let partial: Vec<_> =
                page.partial.iter().map(|part| (part.id.clone(), part.unreadable.clone())).collect();
            assert_eq!(partial, [(None, "NaN or Infinity".to_owned())], "{body}");
        }
    }
}

#[test]
fn records_beyond_ten_thousand_are_only_counted() {
    let empty = vec!["{}"; 30_000].join(",");
    for body in [format!("[{empty}]"), format!("[{empty},7]"), format!(r#"{{"conversations":[{empty}]}}"#)] {
        let page = Page::decode(body.as_bytes()).unwrap();
        assert_eq!(page.rejected.len(), 10_000);
        assert!((30_000..=30_001).contains(&page.len()), "{}", page.len());
    }
}

#[test]
fn turns_beyond_ten_thousand_are_only_counted() {
    for broken in ["", ",7"] {
        let turns = vec!["{}"; 120_000].join(",");
        let record =
            format!(r#"[{{"id":"X","started_at":"2026-08-20T09:15:02Z","turns":[{turns}{broken}]}}]"#);
        let page = Page::decode(record.as_bytes()).unwrap();
        assert_eq!(page.conversations.first().unwrap().data.turns, Some(100_000), "{broken}");
    }
    let turns = format!("[{}]", vec!["{}"; 20_000].join(","));
    let turns: wire::Turns<'_> = serde_json::from_str(&turns).unwrap();
    assert_eq!((turns.list.len(), turns.len()), (10_000, 20_000));
}

#[test]
fn style_depends_on_cursor_keys() {
    let style = |body: &str| Page::decode(body.as_bytes()).unwrap().style;
    assert_eq!(style(r#"{"conversations":[],"cursor":null}"#), PageStyle::Paged);
    assert_eq!(style(r#"{"conversations":[],"next_offset":null}"#), PageStyle::Paged);
    assert_eq!(style(r#"{"conversations":[7],"cursor":""}"#), PageStyle::Paged);
    assert_eq!(style(r#"{"conversations":[],"descriptions":{}}"#), PageStyle::NoCursor);
    assert_eq!(style(r#"{"conversations":[7]}"#), PageStyle::NoCursor);
    assert_eq!(style("[]"), PageStyle::Array);
}

#[test]
fn unreadable_position_costs_only_itself() {
    for field in [
        r#""next_offset":1e999"#,
        r#""next_offset":-1e999"#,
        r#""cursor":1e999"#,
        r#""cursor":"\ud83d""#,
        r#""total":1e999"#,
    ] {
        let page =
            Page::decode(format!(r#"{{"conversations":[{}],{field}}}"#, good("A")).as_bytes()).unwrap();
        let position = (page.cursor, page.next_offset, page.style);
        assert_eq!(page.conversations.len(), 1, "{field}");
        assert_eq!(
            position,
            (None, None, PageStyle::NoCursor),
            "{field}: a full page is continued by offset"
        );
    }
}

#[test]
fn invalid_utf8_costs_no_other_record() {
    let mut body = br#"{"conversations":["#.to_vec();
    body.extend(good("A").bytes());
    body.extend(b",{\"id\":\"X\xff\",\"started_at\":\"2026-08-20T09:15:02Z\"}]}");
    let page = Page::decode(&body).unwrap();
    assert_eq!(page.conversations.len(), 2);
}

#[test]
fn page_is_object_or_array() {
    let count = |body: &str| Page::decode(body.as_bytes()).map(|page| page.conversations.len());
    assert_eq!(count(&format!("[{},{}]", good("A"), good("B"))), Ok(2));
    assert_eq!(count(r#"{"conversations":null}"#), Ok(0));
    assert_eq!(count(r#"{"conversations":[],"cursor":null,"descriptions":{"id":"the id"}}"#), Ok(0));
    for (body, expected) in [
        ("", "is empty"),
        ("<html><body>Bad gateway</body></html>", "is HTML"),
        (r#"{"conversations":[{"id":"A""#, "is cut off after"),
        (r#"{"success":false,"error":"no"}"#, "expected an object with \"conversations\""),
    ] {
        let message = Page::decode(body.as_bytes()).unwrap_err().message;
        assert!(message.contains(expected), "{body} gives {message}");
    }
}

proptest! {
    #[test]
    fn no_body_panics(body in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = Page::decode(&body);
    }

    #[test]
    fn no_truncated_body_panics(cut in 0usize..400) {
        let body = format!(r#"{{"conversations":[{},{}],"cursor":"x"}}"#, good("A"), good("B"));
        let _ = Page::decode(body.as_bytes().get(..cut).unwrap_or(body.as_bytes()));
    }
}
