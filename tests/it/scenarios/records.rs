//! Records that cannot be parsed affect only themselves.

use crate::support::calls::{call, project};
use crate::support::scenario::{scenario, wait};
use crate::support::{minutes, seconds};

#[tokio::test(start_paused = true)]
async fn rejected_record_affects_only_itself() {
    let broken = [
        ("CA-NO-START", "bad_start", r#"{"id":"CA-NO-START","in_progress":false}"#),
        ("CA-ODD-START", "bad_start", r#"{"id":"CA-ODD-START","started_at":"yesterday"}"#),
        ("", "bad_id", r#"{"started_at":"2026-08-20T09:02:00Z","total_duration":9}"#),
        ("CA-FAR-START", "bad_start", r#"{"id":"CA-FAR-START","started_at":1e999}"#),
        ("", "bad_shape", "17"),
        ("", "bad_shape", "null"),
    ];
    let raw = broken.iter().enumerate().map(|(n, (_, _, json))| {
        call(&format!("RAW{n}"), minutes(2) + seconds(n as u64)).lasting(30).raw(*json)
    });
    let good = (0..8).map(|n| call(&format!("CA{n}"), minutes(2) + seconds(n)).lasting(31));
    let scenario = scenario([project("hotel").with_calls(raw.chain(good))]).start().await;
    wait(minutes(20)).await;
    let scrape = scenario.scrape().await;
    scenario.assert_totals("hotel", &scrape);
    scrape.assert_metric("polyai_target_up", &[], 1.0);
    for kind in ["bad_id", "bad_start", "bad_shape"] {
        assert!(scrape.value("polyai_exporter_records_rejected_total", &[("kind", kind)]) >= 1.0, "{kind}");
    }
    let lines = scenario.log.about("hotel");
    let rejected: Vec<(String, String)> = lines
        .iter()
        .filter(|line| line.gist() == "ERROR record rejected; it is not counted")
        .map(|line| (line.field("conversation_id"), line.field("kind")))
        .collect();
    for (id, kind, _) in broken {
        assert!(rejected.contains(&(id.to_owned(), kind.to_owned())), "{id} {kind} in {rejected:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn unreadable_field_is_omitted_and_logged() {
    let record = |id: &str, fields: &str| {
        let start = "2026-08-20T09:02:00Z";
        format!(
            r#"{{"id":"{id}","started_at":"{start}","channel":"VOICE-SIP","in_progress":false,"num_turns":2{fields}}}"#
        )
    };
    let broken = [
        ("CA-ODD-TURNS", "turns", r#","total_duration":30,"turns":7"#),
        ("CA-ODD-TURN", "turns", r#","total_duration":30,"turns":[7,{"user_input":"x","latency":1}]"#),
        ("CA-LONG", "total_duration", r#","total_duration":1e999"#),
        ("CA-SLOW", "latency", r#","total_duration":30,"turns":[{},{"user_input":"x","latency":1e999}]"#),
        // These can be understood whole.
        ("CA-NO-TURNS", "", r#","total_duration":30,"turns":"""#),
        ("CA-CUT", "", r#","total_duration":30,"turns":[{},{"user_input":"hi \ud83d","latency":1}]"#),
    ];
    let raw = broken.iter().enumerate().map(|(n, (id, _, fields))| {
        call(&format!("RAW{n}"), minutes(2) + seconds(n as u64)).lasting(30).raw(record(id, fields))
    });
    let scenario = scenario([project("hotel").with_calls(raw)]).start().await;
    wait(minutes(20)).await;
    let scrape = scenario.scrape().await;
    scrape.assert_metric("polyai_conversations_total", &[], 6.0);
    scrape.assert_metric("polyai_conversation_duration_seconds_count", &[], 5.0);
    scrape.assert_metric("polyai_turn_latency_seconds_count", &[], 2.0);
    assert_eq!(scrape.total("polyai_exporter_records_rejected_total", &[]), 0.0);
    assert!(scrape.value("polyai_exporter_events_total", &[("event", "record_partially_read")]) >= 4.0);
    let lines = scenario.log.about("hotel");
    let logged: std::collections::BTreeSet<(String, String)> = lines
        .iter()
        .filter(|line| line.gist() == "WARN record partially parsed; unreadable fields treated as absent")
        .map(|line| (line.field("conversation_id"), line.field("unread")))
        .collect();
    let expected = broken.iter().filter(|(_, unread, _)| !unread.is_empty());
    assert_eq!(logged, expected.map(|(id, unread, _)| ((*id).to_owned(), (*unread).to_owned())).collect());
}

#[tokio::test(start_paused = true)]
async fn non_finite_numbers_reject_no_page() {
    let raw = call("RAW", minutes(2)).lasting(30).raw(
        r#"{"id":"CA-NAN","started_at":"2026-08-20T09:02:00Z","channel":"VOICE-SIP","total_duration":30,"turns":[{},{"user_input":"NaN","latency":NaN}]}"#,
    );
    let good = (0..8).map(|n| call(&format!("CA{n}"), minutes(2) + seconds(n)).lasting(31));
    let scenario = scenario([project("hotel").with_calls(good.chain([raw]))]).start().await;
    wait(minutes(20)).await;
    let scrape = scenario.scrape().await;
    scrape.assert_metric("polyai_conversations_total", &[], 9.0);
    scrape.assert_metric("polyai_target_up", &[], 1.0);
    assert_eq!(scrape.problems("hotel"), Vec::<String>::new());
    let gists: Vec<_> = scenario.log.about("hotel").iter().map(|line| line.gist()).collect();
    assert!(gists.iter().any(|gist| gist.starts_with("WARN record partially parsed")), "{gists:?}");
}

#[tokio::test(start_paused = true)]
async fn rejected_record_problem_lasts_until_none_is_seen() {
    let raw = call("RAW", minutes(10)).lasting(30).raw(r#"{"id":"CA-ODD","started_at":"soon"}"#);
    // Most of them are seen running, so that each poll ends with reading what has ended meanwhile, or again what is older.
    let good = (0..900).map(|n| call(&format!("CA{n}"), seconds(20 + n * 13)).lasting(70));
    let scenario = scenario([project("hotel").with_calls(good.chain([raw]))])
        .with_polling(|polling| polling.recheck = vec![minutes(5), minutes(20)])
        .start()
        .await;
    wait(minutes(9)).await;
    assert_eq!(scenario.scrape().await.problems("hotel"), Vec::<String>::new());
    wait(minutes(3)).await;
    for _ in 0..120 {
        wait(seconds(30)).await;
        let during = scenario.scrape().await;
        assert_eq!(during.problems("hotel"), ["bad_payload"], "at {}", scenario.now());
        during.assert_metric("polyai_target_up", &[], 1.0);
    }
    let (_, row) = scenario.exporter.get("/api/v1/targets").await;
    assert!(row.contains(r#""state":"limited""#), "{row}");
    // It was met last by the recheck at the age of 20 min.
    wait(minutes(55)).await;
    assert_eq!(scenario.scrape().await.problems("hotel"), Vec::<String>::new());
}
