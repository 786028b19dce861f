//! Each problem code is active as long as its cause, and a failed poll sets `polyai_target_up` to 0.

use polyai_simulator::{Control, Fault, FaultKind, LatencyShape, ReportedCounts, RetryAfter, Truncation};

use crate::support::calls::{call, project};
use crate::support::scenario::{scenario, wait};
use crate::support::{at, hours, minutes, seconds};

type Cause = fn(&Control);

const POLLS_FAIL: [(&str, Cause, Cause); 13] = [
    (
        "unauthorized",
        |api| api.revoke_key("key-of-unauthorized"),
        |api| api.restore_key("key-of-unauthorized"),
    ),
    ("forbidden", |api| api.forbid_key("key-of-forbidden"), |api| api.restore_key("key-of-forbidden")),
    (
        "not_found",
        |api| api.fault(Fault::new(FaultKind::ProjectUnknown).with_scope("not_found")),
        Control::clear_faults,
    ),
    (
        "wrong_host",
        |api| api.fault(Fault::new(FaultKind::Html(403)).with_scope("wrong_host")),
        Control::clear_faults,
    ),
    (
        "redirected",
        |api| api.fault(Fault::new(FaultKind::Html(302)).with_scope("redirected")),
        Control::clear_faults,
    ),
    (
        "bad_request",
        |api| api.fault(Fault::new(FaultKind::Status(422)).with_scope("bad_request")),
        Control::clear_faults,
    ),
    (
        "rate_limited",
        |api| api.limit_key("key-of-rate_limited", 0, RetryAfter::Seconds(30)),
        |api| api.restore_key("key-of-rate_limited"),
    ),
    (
        "server_error",
        |api| api.fault(Fault::new(FaultKind::Status(503)).with_scope("server_error")),
        Control::clear_faults,
    ),
    (
        "unreachable",
        |api| api.fault(Fault::new(FaultKind::Reset).with_scope("unreachable")),
        Control::clear_faults,
    ),
    (
        "timeout",
        |api| api.fault(Fault::new(FaultKind::SlowFirstByte(seconds(90))).with_scope("timeout")),
        Control::clear_faults,
    ),
    (
        "cut_off",
        |api| api.fault(Fault::new(FaultKind::Truncated(Truncation::Length)).with_scope("cut_off")),
        Control::clear_faults,
    ),
    (
        "bad_payload",
        |api| api.fault(Fault::new(FaultKind::Html(200)).with_scope("bad_payload")),
        Control::clear_faults,
    ),
    ("well", |_| {}, |_| {}),
];

#[tokio::test(start_paused = true)]
async fn failed_poll_sets_problem_until_recovery() {
    let scenario = scenario(POLLS_FAIL.map(|(name, _, _)| project(name))).start().await;
    wait(minutes(2)).await;
    let before = scenario.scrape().await;
    for (name, begin, _) in POLLS_FAIL {
        assert_eq!(before.problems(name), Vec::<String>::new());
        before.assert_metric("polyai_target_up", &[("project", name)], 1.0);
        begin(scenario.api());
    }
    // A time-out is tried three times before the poll gives up.
    wait(minutes(6)).await;
    let during = scenario.scrape().await;
    for (name, _, end) in POLLS_FAIL {
        let (problems, up) = if name == "well" { (vec![], 1.0) } else { (vec![name.to_owned()], 0.0) };
        assert_eq!(during.problems(name), problems);
        during.assert_metric("polyai_target_up", &[("project", name)], up);
        end(scenario.api());
    }
    wait(minutes(11)).await;
    let after = scenario.scrape().await;
    for (name, _, _) in POLLS_FAIL {
        assert_eq!(after.problems(name), Vec::<String>::new());
        after.assert_metric("polyai_target_up", &[("project", name)], 1.0);
    }
}

#[tokio::test(start_paused = true)]
async fn missing_record_fields_set_problem_while_up() {
    let calls = |from: u64| {
        (0..6).map(move |n| call(&format!("CA{from}-{n}"), minutes(from) + seconds(20 * n)).lasting(20))
    };
    let hidden = project("transcript_off").with_quirks(|quirks| quirks.no_transcripts = true);
    let silent = project("latency_missing").with_quirks(|quirks| quirks.latency = LatencyShape::Absent);
    let sparse = project("partial_fields").with_quirks(|quirks| quirks.sparse = true);
    let names = ["transcript_off", "latency_missing", "partial_fields"];
    let projects = [hidden, silent, sparse].map(|project| project.with_calls(calls(1).chain(calls(10))));
    let scenario = scenario(projects).start().await;
    wait(minutes(4)).await;
    let during = scenario.scrape().await;
    for name in names {
        assert_eq!(during.problems(name), [name]);
        during.assert_metric("polyai_target_up", &[("project", name)], 1.0);
    }
    for name in names {
        scenario.api().quirks(name, |quirks| *quirks = polyai_simulator::Quirks::default());
    }
    wait(minutes(12)).await;
    let after = scenario.scrape().await;
    for name in names {
        assert_eq!(after.problems(name), Vec::<String>::new());
    }
}

#[tokio::test(start_paused = true)]
async fn rechecks_do_not_affect_data_quality_problems() {
    // From the thirtieth minute on turns are hidden, of calls that are seen running before.
    let calls = (0..400).map(|n| {
        let call = call(&format!("CA{n:03}"), seconds(20 + n * 11)).lasting(50);
        if n * 11 < 1800 {
            call
        } else {
            call.turns(0).reporting(ReportedCounts { num_turns: Some(4), ..ReportedCounts::default() })
        }
    });
    let scenario = scenario([project("hotel").with_calls(calls)])
        .with_polling(|polling| polling.recheck = vec![minutes(5), minutes(20)])
        .start()
        .await;
    wait(minutes(30)).await;
    assert_eq!(scenario.scrape().await.problems("hotel"), Vec::<String>::new());
    wait(minutes(3)).await;
    for _ in 0..70 {
        wait(seconds(30)).await;
        assert_eq!(scenario.scrape().await.problems("hotel"), ["transcript_off"], "at {}", scenario.now());
    }
}

#[tokio::test(start_paused = true)]
async fn readiness_requires_first_poll_of_each_target() {
    let slow = Fault::new(FaultKind::SlowFirstByte(seconds(20))).with_scope("slow").with_times(1);
    let scenario = scenario([project("hotel"), project("slow")]).start_with(|api| api.fault(slow)).await;
    wait(seconds(10)).await;
    let (status, body) = scenario.exporter.get("/-/ready").await;
    assert_eq!(status, 503, "{body}");
    assert!(body.contains("1 target has not been polled yet"), "{body}");
    let early = scenario.scrape().await;
    early.assert_metric("polyai_target_up", &[("project", "slow")], 0.0);
    early.assert_metric("polyai_target_last_success_timestamp_seconds", &[("project", "slow")], 0.0);
    early.assert_metric("polyai_target_catching_up", &[("project", "slow")], 1.0);
    early.assert_absent("polyai_conversations_total", &[("project", "slow")]);
    early.assert_metric("polyai_target_up", &[("project", "hotel")], 1.0);
    assert_eq!(scenario.exporter.get("/-/healthy").await.0, 200);
    wait(seconds(15)).await;
    assert_eq!(scenario.exporter.get("/-/ready").await.0, 200);
    let polled = scenario.scrape().await;
    polled.assert_metric("polyai_target_up", &[("project", "slow")], 1.0);
    polled.assert_metric("polyai_target_catching_up", &[("project", "slow")], 0.0);
}

#[tokio::test(start_paused = true)]
async fn daemon_is_ready_after_a_minute_of_silence() {
    let silent = Fault::new(FaultKind::SlowFirstByte(hours(1))).with_scope("silent");
    let scenario = scenario([project("hotel"), project("silent")]).start_with(|api| api.fault(silent)).await;
    wait(seconds(50)).await;
    assert_eq!(scenario.exporter.get("/-/ready").await.0, 503);
    wait(seconds(15)).await;
    assert_eq!(scenario.exporter.get("/-/ready").await.0, 200);
}

#[tokio::test(start_paused = true)]
async fn daemon_is_ready_despite_rejected_key() {
    let refuse = |api: &Control| api.revoke_key("key-of-hotel");
    let scenario = scenario([project("hotel")]).start_with(refuse).await;
    wait(seconds(10)).await;
    assert_eq!(scenario.exporter.get("/-/ready").await.0, 200);
}

#[tokio::test(start_paused = true)]
async fn polls_slower_than_interval_are_skipped() {
    let scenario =
        scenario([project("hotel")]).with_polling(|polling| polling.interval = seconds(10)).start().await;
    wait(minutes(5)).await;
    let before = scenario.scrape().await;
    before.assert_metric("polyai_exporter_polls_skipped_total", &[], 0.0);
    scenario.api().fault(FaultKind::SlowFirstByte(seconds(24)));
    wait(minutes(10)).await;
    // A poll of two requests takes 48 s and so leaves out three or four ticks of 10 s.
    let slow = scenario.scrape().await;
    let skipped = slow.value("polyai_exporter_polls_skipped_total", &[]);
    assert!((36.0..=50.0).contains(&skipped), "{skipped} polls skipped in 10 min");
    slow.assert_metric("polyai_target_up", &[], 1.0);
    assert_eq!(slow.problems("hotel"), Vec::<String>::new(), "a slow answer is not a wrong clock");
    scenario.api().clear_faults();
    wait(minutes(2)).await;
    let settled = scenario.scrape().await.value("polyai_exporter_polls_skipped_total", &[]);
    wait(minutes(5)).await;
    scenario.scrape().await.assert_metric("polyai_exporter_polls_skipped_total", &[], settled);
}

#[tokio::test(start_paused = true)]
async fn rejected_key_is_retried_every_five_minutes() {
    let scenario = scenario([project("hotel").with_calls([call("CA01", minutes(5))])]).start().await;
    wait(minutes(2)).await;
    scenario.api().expire_key("key-of-hotel", at(minutes(3)));
    wait(hours(1)).await;
    let refused = scenario.api().traffic(&scenario.target("hotel")).statuses[&401];
    assert!((10..=14).contains(&refused), "{refused} requests with a refused key in an hour");
    scenario.api().restore_key("key-of-hotel");
    wait(minutes(7)).await;
    let after = scenario.scrape().await;
    after.assert_metric("polyai_target_up", &[], 1.0);
    scenario.assert_totals("hotel", &after);
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_honored_and_rate_lowered() {
    let scenario = scenario([project("hotel")])
        .with_polling(|polling| {
            // A budget so tight that the rate limiter decides: 12 requests a minute are wanted, 6 allowed.
            polling.interval = seconds(10);
            polling.requests_per_minute = 6.try_into().unwrap();
        })
        .start()
        .await;
    wait(minutes(5)).await;
    scenario.api().forget_requests();
    wait(minutes(5)).await;
    let usual = scenario.api().request_log().len();
    assert!((29..=31).contains(&usual), "{usual} requests in 5 min");
    scenario.api().forget_requests();
    scenario.api().fault(Fault::new(FaultKind::RateLimited(RetryAfter::Seconds(120))).with_times(1));
    wait(minutes(8)).await;
    let lines = scenario.api().request_log();
    let limited = lines.iter().position(|line| line.status == 429).unwrap();
    let resumed = lines[limited + 1].at;
    let pause = resumed - lines[limited].at;
    assert!((120_000..=135_000).contains(&pause.num_milliseconds()), "it paused for {pause}");
    let in_five_minutes =
        |line: &&polyai_simulator::RequestLine| line.at >= resumed && line.at < resumed + minutes(5);
    let slower = lines.iter().filter(in_five_minutes).count();
    assert!((20..=26).contains(&slower), "{slower} requests in 5 min after a 429");
}
