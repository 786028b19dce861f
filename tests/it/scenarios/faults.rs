//! Temporary failures of the API, on any page: no call is lost or counted twice.

use polyai_exporter::config::Polling;
use polyai_simulator::{Fault, FaultKind, RetryAfter, Truncation};

use crate::support::calls::{call, mixed_calls, project};
use crate::support::scenario::{scenario, wait};
use crate::support::{at, hours, minutes, seconds};

fn kinds() -> Vec<(&'static str, FaultKind)> {
    vec![
        ("429-in-seconds", FaultKind::RateLimited(RetryAfter::Seconds(20))),
        ("429-at-a-date", FaultKind::RateLimited(RetryAfter::Date(20))),
        ("429-without-a-time", FaultKind::RateLimited(RetryAfter::Missing)),
        ("500", FaultKind::Status(500)),
        ("503", FaultKind::Status(503)),
        ("400", FaultKind::Status(400)),
        ("302", FaultKind::Status(302)),
        ("slow-first-byte", FaultKind::SlowFirstByte(seconds(25))),
        ("too-slow-first-byte", FaultKind::SlowFirstByte(seconds(90))),
        ("slow-body", FaultKind::SlowBody { pieces: 5, pause: seconds(4) }),
        ("too-slow-body", FaultKind::SlowBody { pieces: 5, pause: seconds(20) }),
        ("cut-in-length", FaultKind::Truncated(Truncation::Length)),
        ("cut-in-chunks", FaultKind::Truncated(Truncation::Chunks)),
        ("cut-in-json", FaultKind::Truncated(Truncation::Json)),
        ("html-200", FaultKind::Html(200)),
        ("html-502", FaultKind::Html(502)),
        ("reset", FaultKind::Reset),
        ("repeated-cursor", FaultKind::RepeatCursor),
        ("empty-page", FaultKind::EmptyPage),
        ("key-refused", FaultKind::KeyRefused),
        ("forbidden", FaultKind::Forbidden),
        ("project-unknown", FaultKind::ProjectUnknown),
        ("wrong-host", FaultKind::WrongHost),
        ("another-object", FaultKind::Body(r#"{"message":"maintenance"}"#.to_owned())),
        ("empty-body", FaultKind::Body(String::new())),
    ]
}

fn hurried(polling: &mut Polling) {
    polling.interval = seconds(60);
    polling.recheck = vec![minutes(5), minutes(20)];
    polling.page_size = 4.try_into().unwrap();
}

/// Every kind of fault hits a project of its own from 3 to 11 min after the beginning, with this chance per request.
async fn all_agree_after(probability: f64) {
    let calls = mixed_calls(seconds(40), minutes(14), seconds(28));
    let projects = kinds().into_iter().map(|(name, _)| project(name).with_calls(calls.iter().cloned()));
    let strike = |api: &polyai_simulator::Control| {
        for (name, kind) in kinds() {
            let fault = Fault::new(kind).with_scope(name).with_probability(probability);
            api.fault(fault.with_period(at(minutes(3)), at(minutes(11))));
        }
    };
    let scenario = scenario(projects).with_polling(hurried).start_with(strike).await;
    wait(minutes(50)).await;
    let scrape = scenario.scrape().await;
    for project in scenario.projects() {
        scenario.assert_totals(&project, &scrape);
        scrape.assert_metric("polyai_target_up", &[("project", &project)], 1.0);
        assert_eq!(scrape.problems(&project), Vec::<String>::new(), "{project}");
    }
}

#[tokio::test(start_paused = true)]
async fn fault_on_all_requests_loses_nothing() {
    all_agree_after(1.0).await;
}

#[tokio::test(start_paused = true)]
async fn fault_on_some_pages_loses_nothing() {
    all_agree_after(0.3).await;
}

#[tokio::test(start_paused = true)]
async fn totals_match_after_outage_of_hours() {
    let calls = mixed_calls(seconds(40), hours(5), seconds(90));
    let scenario = scenario([project("hotel").with_calls(calls)])
        .with_polling(|polling| polling.recheck = vec![minutes(5), minutes(40)])
        .start()
        .await;
    scenario.api().fault(Fault::new(FaultKind::Status(503)).with_period(at(minutes(30)), at(minutes(270))));
    wait(minutes(265)).await;
    let during = scenario.scrape().await;
    during.assert_metric("polyai_target_up", &[], 0.0);
    let last_success = during.value("polyai_target_last_success_timestamp_seconds", &[]);
    let since = scenario.now().timestamp() as f64 - last_success;
    assert!((234.0 * 60.0..=237.0 * 60.0).contains(&since), "the last success was {since} s ago");
    // It is tried again at most 5 min after the API is well, and then reads the whole gap at once.
    wait(minutes(12)).await;
    let after = scenario.scrape().await;
    after.assert_metric("polyai_target_up", &[], 1.0);
    let truth = scenario.api().expected_totals(&scenario.target("hotel"), crate::support::start_time());
    let missing = truth.conversations as f64 - after.total("polyai_conversations_total", &[]);
    assert!(missing <= 6.0, "{missing} calls are missing");
    wait(minutes(80)).await;
    scenario.assert_totals("hotel", &scenario.scrape().await);
}

#[tokio::test(start_paused = true)]
async fn restarts_during_calls_lose_nothing() {
    let calls = mixed_calls(seconds(40), minutes(30), seconds(28));
    let directory = tempfile::tempdir().unwrap();
    let mut scenario = scenario([project("hotel").with_calls(calls)])
        .with_polling(hurried)
        .with_storage(directory.path())
        .start()
        .await;
    let mut before = 0.0;
    for pause in [0, 5, 70, 200, 400] {
        wait(seconds(145)).await;
        let counted = scenario.scrape().await.total("polyai_conversations_total", &[]);
        assert!(counted >= before, "a counter fell from {before} to {counted}");
        before = counted;
        scenario = scenario.restart_after(seconds(pause)).await;
        let restored = scenario.scrape().await.total("polyai_conversations_total", &[]);
        assert!(restored >= before, "a restart lost {} calls", before - restored);
    }
    wait(minutes(45)).await;
    scenario.assert_totals("hotel", &scenario.scrape().await);
}

#[tokio::test(start_paused = true)]
async fn repeated_kills_lose_nothing() {
    let calls = mixed_calls(seconds(40), minutes(30), seconds(28));
    let states: Vec<_> = (0..9).map(|_| tempfile::tempdir().unwrap()).collect();
    let mut scenario = scenario([project("hotel").with_calls(calls)])
        .with_polling(hurried)
        .with_storage(states[0].path())
        .start()
        .await;
    // Every answer takes 7 s, so that a poll of several pages is under way most of the time.
    scenario.api().fault(FaultKind::SlowFirstByte(seconds(7)));
    for (state, pause) in states[1..].iter().zip([61, 130, 187, 95, 222, 41, 308, 77]) {
        wait(seconds(pause)).await;
        let before = scenario.scrape().await.total("polyai_conversations_total", &[]);
        scenario = scenario.kill_and_restart(state.path()).await;
        let restored = scenario.scrape().await.total("polyai_conversations_total", &[]);
        assert!(restored >= before, "what a scrape had shown was not durable: {before}, then {restored}");
    }
    wait(minutes(60)).await;
    scenario.assert_totals("hotel", &scenario.scrape().await);
}

#[tokio::test(start_paused = true)]
async fn failing_window_affects_only_its_call() {
    let others = (0..20).map(|n| call(&format!("CA{n:02}"), seconds(40 + n * 100)).lasting(150 + n as i64));
    let bad = call("BAD", seconds(1_005)).lasting(400);
    let calls: Vec<_> = others.collect();
    let scenario = scenario([project("hotel").with_calls(calls.into_iter().chain([bad.clone()]))])
        .with_polling(hurried)
        .start()
        .await;
    scenario.api().fault(Fault::new(FaultKind::Status(500)).with_start(bad.start()));
    wait(minutes(60)).await;
    let scrape = scenario.scrape().await;
    scrape.assert_metric("polyai_target_up", &[], 0.0);
    assert_eq!(scrape.problems("hotel"), ["server_error"]);
    assert_eq!(scrape.total("polyai_conversations_total", &[]), 20.0);
    // Once the API is well again, nothing is missing.
    scenario.api().clear_faults();
    wait(minutes(40)).await;
    let scrape = scenario.scrape().await;
    scrape.assert_metric("polyai_target_up", &[], 1.0);
    scenario.assert_totals("hotel", &scrape);
}

#[tokio::test(start_paused = true)]
async fn endless_list_is_bounded_and_shown() {
    let calls = |prefix: &str| -> Vec<_> {
        (0..40).map(|n| call(&format!("{prefix}{n:02}"), seconds(40 + n * 30)).lasting(50)).collect()
    };
    let projects = [project("hotel").with_calls(calls("CA")), project("bank").with_calls(calls("CB"))];
    let scenario = scenario(projects).start().await;
    scenario.api().fault(Fault::new(FaultKind::EndlessPages).with_scope("hotel"));
    wait(minutes(10)).await;
    let during = scenario.scrape().await;
    assert_eq!(during.problems("hotel"), ["bad_payload"]);
    during.assert_metric("polyai_target_up", &[("project", "hotel")], 0.0);
    during.assert_metric("polyai_target_up", &[("project", "bank")], 1.0);
    let requests = scenario.api().traffic(&scenario.target("hotel")).requests;
    assert!(requests < 1000, "{requests} requests in ten minutes");
    scenario.api().clear_faults();
    wait(minutes(40)).await;
    let after = scenario.scrape().await;
    after.assert_metric("polyai_target_up", &[("project", "hotel")], 1.0);
    scenario.assert_totals("hotel", &after);
}

#[tokio::test(start_paused = true)]
async fn one_record_per_page_loses_nothing() {
    let calls = (0..60).map(|n| call(&format!("CA{n:02}"), seconds(40 + n * 20)).lasting(50));
    let scenario = scenario([project("hotel").with_calls(calls)])
        .start_with(|api| api.fault(FaultKind::SingleRow))
        .await;
    wait(minutes(60)).await;
    let scrape = scenario.scrape().await;
    scrape.assert_metric("polyai_target_up", &[], 1.0);
    scenario.assert_totals("hotel", &scrape);
}
