//! Turn rules, ends, amounts and ids. Whole records are tested in `tests/it/records.rs` of the exporter.

use proptest::prelude::*;

use polyai_domain::conversation::MissingField;

use super::*;

fn read(fields: &str) -> ConversationData {
    let json = format!(r#"{{"id":"CA01","started_at":"2026-08-20T09:15:02Z","in_progress":false{fields}}}"#);
    let strict = serde_json::from_str(&json);
    let record =
        strict.unwrap_or_else(|_| crate::lenient::read(serde_json::from_str(&json).unwrap()).unwrap().0);
    Conversation::try_from(&record).unwrap().data
}

fn seconds(reply: &TurnLatency) -> f64 {
    reply.latency.units()
}

#[test]
fn greeting_is_a_first_turn_without_user_input() {
    // (turns, latency of the greeting, latencies of replies)
    let cases: [(&str, Option<f64>, &[f64]); 8] = [
        ("[]", None, &[]),
        (r#"[{"user_input":"","latency":3}]"#, Some(3.0), &[]),
        (r#"[{"user_input":null,"latency":3}]"#, Some(3.0), &[]),
        (r#"[{"latency":3},{"latency":1}]"#, Some(3.0), &[1.0]),
        (r#"[{"user_input":"hi","latency":3}]"#, None, &[3.0]),
        (r#"[{"user_input":"hi","latency":3},{"user_input":"","latency":1}]"#, None, &[3.0, 1.0]),
        // A greeting without a latency is still the greeting; the turn after it is a reply.
        (r#"[{"user_input":""},{"user_input":"","latency":1}]"#, None, &[1.0]),
        (
            r#"[{"user_input":"","latency":3},{"user_input":""},{"user_input":"x","latency":2}]"#,
            Some(3.0),
            &[2.0],
        ),
    ];
    for (turns, greeting, replies) in cases {
        let data = read(&format!(r#","turns":{turns}"#));
        assert_eq!(data.greeting.as_ref().map(seconds), greeting, "{turns}");
        assert_eq!(data.replies.iter().map(seconds).collect::<Vec<_>>(), replies, "{turns}");
    }
}

#[test]
fn turns_are_the_larger_of_count_and_list() {
    let cases = [
        ("", None, Transcript::Absent),
        (r#","num_turns":0"#, Some(0), Transcript::Empty),
        (r#","num_turns":0,"turns":[]"#, Some(0), Transcript::Empty),
        (r#","turns":[]"#, None, Transcript::Empty),
        (r#","num_turns":4"#, Some(4), Transcript::Absent),
        (r#","num_turns":4,"turns":null"#, Some(4), Transcript::Hidden),
        (r#","num_turns":4,"turns":[]"#, Some(4), Transcript::Hidden),
        (r#","num_turns":4,"turns":[{}]"#, Some(4), Transcript::Visible),
        (r#","num_turns":0,"turns":[{},{}]"#, Some(2), Transcript::Visible),
        (r#","turns":[{},{}]"#, Some(2), Transcript::Visible),
        (r#","num_turns":-2,"turns":[{}]"#, Some(1), Transcript::Visible),
    ];
    for (fields, turns, transcript) in cases {
        let data = read(fields);
        assert_eq!((data.turns, data.transcript), (turns, transcript), "{fields}");
    }
}

#[test]
fn missing_fields_are_named_where_something_needs_them() {
    // All but the fields in question.
    let cases = [
        ("", "handoff total_duration polyai_duration turns num_turns num_ood num_silences"),
        // A caller who hangs up at once: nothing was said, so nothing is missing.
        (r#","handoff":false,"total_duration":1,"polyai_duration":1,"num_turns":0"#, ""),
        (r#","handoff":null,"total_duration":0,"polyai_duration":0,"num_turns":0,"turns":[]"#, ""),
        // Hidden transcripts.
        (
            r#","handoff":true,"total_duration":9,"polyai_duration":9,"num_turns":3,"num_ood":0,"num_silences":0,"turns":[]"#,
            "",
        ),
        (
            r#","handoff":{},"total_duration":9,"polyai_duration":9,"num_turns":3,"turns":null"#,
            "num_ood num_silences",
        ),
        // Visible turns have all counts.
        (r#","handoff":"","total_duration":9,"polyai_duration":9,"turns":[{}]"#, ""),
        (r#","total_duration":"9","polyai_duration":9,"turns":[{}]"#, "handoff"),
        (
            r#","handoff":[],"total_duration":null,"polyai_duration":"","turns":[{}]"#,
            "handoff total_duration polyai_duration",
        ),
        (
            r#","handoff":false,"total_duration":9,"polyai_duration":9,"turns":[]"#,
            "num_turns num_ood num_silences",
        ),
        (
            r#","handoff":false,"total_duration":9,"polyai_duration":9,"num_turns":3,"num_ood":1,"num_silences":1"#,
            "turns",
        ),
    ];
    for (fields, expected) in cases {
        let data = read(fields);
        let missing = MissingField::ALL.into_iter().filter(|&field| data.lacks(field));
        assert_eq!(missing.map(MissingField::as_str).collect::<Vec<_>>().join(" "), expected, "{fields}");
    }
}

#[test]
fn end_is_start_plus_duration_or_last_turn() {
    let turn = r#","turns":[{"agent_response_datetime":"2026-08-20T09:15:22Z"}]"#;
    let cases = [
        (format!(r#","total_duration":74{turn}"#), Some("2026-08-20T09:16:16.000Z")),
        (r#","total_duration":0"#.to_owned(), Some("2026-08-20T09:15:02.000Z")),
        (format!(r#","total_duration":null{turn}"#), Some("2026-08-20T09:15:22.000Z")),
        // A negative duration is no duration.
        (format!(r#","total_duration":-5{turn}"#), Some("2026-08-20T09:15:22.000Z")),
        (r#","num_turns":3"#.to_owned(), None),
    ];
    for (fields, end) in cases {
        assert_eq!(read(&fields).ended_at().map(|end| end.to_string()).as_deref(), end, "{fields}");
    }
}

#[test]
fn variant_is_name_or_else_id() {
    for (fields, variant) in [
        (r#","variant_name":"London","variant_id":"V7""#, Some("London")),
        (r#","variant_name":" ","variant_id":"V7""#, Some("V7")),
        (r#","variant_name":null,"variant_id":"""#, None),
    ] {
        assert_eq!(read(fields).variant.as_deref(), variant, "{fields}");
    }
}

#[test]
fn id_is_short_text_without_control_characters() {
    for good in ["CA01", "OUT-5f0c", "é😀", &"x".repeat(256)] {
        assert!(ConversationId::new(good).is_some(), "{good}");
    }
    for bad in ["", "a\u{0}b", "a\nb", &"x".repeat(257)] {
        assert_eq!(ConversationId::new(bad), None, "{bad:?}");
    }
}

#[test]
fn large_numeric_ids_stay_distinct() {
    let id = |number: u64| {
        let json = format!(r#"{{"id":{number},"started_at":"2026-08-20T09:15:02Z"}}"#);
        let record: wire::Conversation<'_> = serde_json::from_str(&json).unwrap();
        Conversation::try_from(&record).unwrap().id.to_string()
    };
    assert_eq!(id(42), "42");
    assert_eq!(id(9_007_199_254_740_992), "9007199254740992");
    assert_eq!(id(9_007_199_254_740_993), "9007199254740993");
    assert_eq!(id(u64::MAX), "18446744073709551615");
}

#[test]
fn sanitized_id_is_short_and_printable() {
    assert_eq!(sanitize_id(""), None);
    assert_eq!(sanitize_id("CA\u{1b}[31m01").as_deref(), Some("CA?[31m01"));
    assert_eq!(sanitize_id(&"é".repeat(500)).map(|id| id.chars().count()), Some(64));
}

#[test]
fn implausible_amount_is_absent() {
    for (units, expected) in [
        (0.0, Some(0)),
        (1.5, Some(1_500_000)),
        (0.000_000_4, Some(0)),
        (34_560_000.0, Some(34_560_000_000_000)),
        (34_560_001.0, None),
        (-0.001, None),
        (f64::NAN, None),
        (f64::INFINITY, None),
    ] {
        assert_eq!(Amount::from_units(units), expected.map(Amount), "{units}");
    }
}

#[test]
fn implausible_count_is_absent() {
    for (count, expected) in [("100000", Some(100_000)), ("4294967295", None), ("-1", None), ("1e300", None)]
    {
        assert_eq!(read(&format!(r#","num_turns":{count}"#)).turns, expected, "{count}");
    }
    assert_eq!(read(r#","num_turns":4294967295,"num_ood":1e9,"turns":[{}]"#).ood_turns, Some(0));
}

#[test]
fn names_are_truncated_to_label_length() {
    let long = "ä".repeat(1_000_000);
    let data = read(&format!(
        r#","channel":"{long}","variant_name":"{long}","handoff":true,"handoff_reason":"{long}","handoff_destination":" {long}""#
    ));
    let handoff = data.handoff.handoff().unwrap().clone();
    for kept in [data.channel.unwrap(), data.variant.unwrap(), handoff.reason, handoff.destination] {
        assert_eq!(&*kept, "ä".repeat(128));
    }
}

#[test]
fn truncation_leaves_no_part_of_a_phone_number() {
    for before in [100, 118, 124, 128] {
        let reason = format!("{} +44 20 7946 0958 {}", "x".repeat(before), "y".repeat(300));
        let data = read(&format!(r#","handoff":true,"handoff_reason":"{reason}""#));
        assert_eq!(&*data.handoff.handoff().unwrap().reason, phone_number::REDACTED, "{before}");
    }
}

#[test]
fn phone_number_is_redacted_in_every_label_and_id() {
    let number = "transfer_to_2125550116";
    let data = read(&format!(
        r#","channel":"{number}","variant_name":"{number}","handoff":true,"handoff_reason":"{number}","handoff_destination":"{number}""#
    ));
    let handoff = data.handoff.handoff().unwrap().clone();
    for kept in [data.channel.unwrap(), data.variant.unwrap(), handoff.reason, handoff.destination] {
        assert_eq!(&*kept, phone_number::REDACTED);
    }
    let data = read(&format!(r#","variant_id":"{number}""#));
    assert_eq!(data.variant.as_deref(), Some(phone_number::REDACTED));
    assert_eq!(sanitize_id("442079460958").as_deref(), Some(phone_number::REDACTED));
}

proptest! {
    #[test]
    fn no_json_value_in_any_field_panics(value in "(-?(0|[1-9][0-9]{0,18})(\\.[0-9]{1,9})?|null|true|\"[a-z0-9:.+ -]{0,30}\"|\\[\\]|\\{\\}|\\[null,1\\]|\\{\"reason\":1\\})") {
        for field in [
            "id", "started_at", "in_progress", "channel", "variant_id", "variant_name", "total_duration",
            "polyai_duration", "num_turns", "num_silences", "num_ood", "handoff", "handoff_reason",
            "handoff_destination", "metrics", "state", "turns",
        ] {
            let json = format!(r#"{{"{field}":{value}}}"#);
            if let Ok(record) = serde_json::from_str::<wire::Conversation<'_>>(&json) {
                let _ = Conversation::try_from(&record);
            }
        }
        for field in ["user_input", "agent_response_datetime", "user_input_datetime", "latency", "is_ood", "is_silence", "barge_in"] {
            let data = read(&format!(r#","turns":[{{"{field}":{value}}}]"#));
            prop_assert_eq!(data.turns, Some(1));
        }
    }

    #[test]
    fn amount_is_exact_to_the_millionth(units in 0.0f64..34_560_000.0) {
        let kept = Amount::from_units(units).unwrap().units();
        prop_assert!((kept - units).abs() <= 0.000_000_6, "{} became {}", units, kept);
    }
}
