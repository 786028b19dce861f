//! The order of the commands of a session, and what it reports.

use std::collections::BTreeSet;

use polyai_domain::conversation::{RejectedKind, RejectedRecord};
use polyai_domain::fetch::{FetchError, FetchErrorKind};

use super::*;
use crate::ledger::CatchUp;

/// A session that has been resumed at `at(0)` with all passes at that time.
fn session() -> PollSession {
    let catch_up = CatchUp::Done;
    let watermarks = Watermarks { fresh: at(0), catch_up, ..Watermarks::initial(at(-DAY), &[]) };
    let policy = PollPolicy { ages: Vec::new(), ..policy() };
    let checkpoint = PollerCheckpoint { watermarks: Some(watermarks), ..PollerCheckpoint::default() };
    PollSession::resume(TargetIndex(7), policy, checkpoint)
}

fn time(now: i64) -> SessionTime {
    SessionTime { api: at(now), steady: secs(now), certain: true, skewed: false }
}

fn counted(counted: u64) -> BatchOutcome {
    BatchOutcome { counted, ..BatchOutcome::default() }
}

/// The name of the next command, with its distinguishing argument.
fn next(session: &mut PollSession, now: i64) -> String {
    match session.next_command(time(now)) {
        None => "done".to_owned(),
        Some(Command::Fetch(plan, limit)) => format!("fetch {}, {limit:?}", line(&plan)),
        Some(Command::Submit(batch)) => {
            format!("submit up to {}", seconds(batch.watermarks.expect("the time is known").fresh))
        }
        Some(Command::AwaitCommit) => "await commit".to_owned(),
        Some(Command::Notify(Notice::Progress { from, reached, to, conversations })) => {
            let [from, reached, to] = [from, reached, to].map(seconds);
            format!("progress from {from} to {to}: {reached}, {conversations} conversations")
        }
        Some(Command::Notify(notice)) => format!("{notice:?}"),
        Some(Command::Report(report)) => {
            let problems: Vec<&str> = report.status.problems.iter().map(|problem| problem.code()).collect();
            format!("report {problems:?}, {} fetches, {} counted", report.stats.fetches, report.stats.counted)
        }
    }
}

#[test]
fn next_window_is_read_while_a_batch_is_committed() {
    let mut session = session();
    session.start(time(30));
    assert_eq!(next(&mut session, 30), "fetch open .. to .., StopAt(10000)");
    session.on_fetched(Ok(fetched(Vec::new())), time(31));
    assert_eq!(next(&mut session, 31), "submit up to 0");
    assert_eq!(next(&mut session, 31), "fetch fresh -2 to 30, RefuseAt(10000)");
    assert_eq!(next(&mut session, 31), "fetch fresh -2 to 30, RefuseAt(10000)", "until it is answered");
    session.on_fetched(Ok(fetched(Vec::new())), time(32));
    assert_eq!(next(&mut session, 32), "await commit");
    session.on_committed(&counted(2), time(33));
    assert_eq!(
        next(&mut session, 33),
        "submit up to 30",
        "a watermark moves with the batch that read up to it"
    );
    assert_eq!(next(&mut session, 33), "await commit");
    session.on_committed(&counted(3), time(34));
    assert_eq!(next(&mut session, 34), "report [], 2 fetches, 5 counted");
    assert_eq!(next(&mut session, 34), "done");
}

#[test]
fn unreachable_target_ends_the_poll_at_once() {
    let mut session = session();
    session.start(time(30));
    session.on_fetched(Ok(fetched(Vec::new())), time(30));
    assert_eq!(next(&mut session, 30), "submit up to 0");
    assert_eq!(next(&mut session, 30), "fetch fresh -2 to 30, RefuseAt(10000)");
    session.on_fetched(Err(fetch_error(FetchErrorKind::Unreachable)), time(31));
    assert_eq!(next(&mut session, 31), r#"report ["unreachable"], 2 fetches, 0 counted"#);
    assert_eq!(next(&mut session, 31), "done");

    // The batch is still pending when the next poll begins.
    session.start(time(60));
    session.on_fetched(Ok(fetched(Vec::new())), time(60));
    assert_eq!(next(&mut session, 60), "await commit");
}

#[test]
fn failed_open_list_ends_the_poll() {
    let mut session = session();
    session.start(time(30));
    session.on_fetched(Err(server_error()), time(31));
    assert_eq!(next(&mut session, 31), r#"report ["server_error"], 1 fetches, 0 counted"#);
}

#[test]
fn window_without_readable_record_moves_no_watermark() {
    let mut session = session();
    session.start(time(30));
    session.on_fetched(Ok(fetched(Vec::new())), time(30));
    assert_eq!(next(&mut session, 30), "submit up to 0");
    assert_eq!(next(&mut session, 30), "fetch fresh -2 to 30, RefuseAt(10000)");
    let mut unreadable = fetched(Vec::new());
    unreadable.rejected.extend(vec![RejectedRecord { id: None, kind: RejectedKind::BadShape }; 7]);
    session.on_fetched(Ok(unreadable), time(31));
    assert!(next(&mut session, 31).contains("RecordsRejected"));
    session.on_committed(&counted(0), time(31));
    assert_eq!(next(&mut session, 31), r#"report ["bad_payload"], 2 fetches, 0 counted"#);
}

#[test]
fn three_failures_in_a_row_end_the_poll() {
    let mut harness = Harness::new(Vec::new());
    harness.run(0, 30);
    harness.calls = (0..5).map(|n| call(&format!("CA{n}"), 40 + 200 * n, 2000)).collect();
    harness.run(60, 1980);
    harness.poisoned = harness.calls.iter().map(|call| call.id.clone()).collect();
    harness.fetches.clear();
    let report = harness.poll(2010);
    let windows = harness.windows();
    assert_eq!(windows.len(), 4, "the fresh pass, and three that fail: {windows:?}");
    let failure = report.failure.expect("windows have failed");
    assert!(failure.partial && failure.error.kind == FetchErrorKind::ServerError);
    assert!(!report.status.up);
}

#[test]
fn retry_after_of_a_window_ends_the_poll() {
    for (retry_after, is_partial) in [(None, true), (Some(Duration::from_secs(90)), false)] {
        let mut session = session();
        session.start(time(HOUR));
        session.on_fetched(Ok(fetched(Vec::new())), time(HOUR));
        assert_eq!(next(&mut session, HOUR), "submit up to 0");
        assert_eq!(next(&mut session, HOUR), "fetch fresh -2 to 900, RefuseAt(10000)");
        let kind = FetchErrorKind::ServerError;
        let error = FetchError { kind, retry_after, ..FetchError::bad_payload("a failure for tests") };
        session.on_fetched(Err(error.into()), time(HOUR));
        let report = loop {
            match session.next_command(time(HOUR)) {
                Some(Command::AwaitCommit) => session.on_committed(&counted(0), time(HOUR)),
                Some(Command::Report(report)) => break report,
                other => panic!("the poll has ended: {other:?}"),
            }
        };
        let failure = report.failure.expect("a window has failed");
        // Only after a poll that is not partial does the poller wait for as long as requested.
        assert_eq!((failure.partial, failure.error.retry_after), (is_partial, retry_after));
    }
}

#[test]
fn irreducible_window_is_read_without_a_limit() {
    let mut session = session();
    session.start(time(1));
    session.on_fetched(Ok(fetched(Vec::new())), time(1));
    assert_eq!(next(&mut session, 1), "submit up to 0");
    for to_skip in 0.. {
        assert!(to_skip < 20, "windows cannot shrink for ever");
        let command = next(&mut session, 1);
        if command.ends_with("Unlimited") {
            break;
        }
        if command.starts_with("fetch") {
            session.on_fetched(Err(WindowError::TooLarge(10_000)), time(1));
        }
    }
    session.on_fetched(Ok(fetched(Vec::new())), time(1));
    assert_eq!(next(&mut session, 1), "await commit");
}

#[test]
fn ignored_window_is_read_whole_and_not_split() {
    let mut session = session();
    session.start(time(HOUR));
    session.on_fetched(Ok(fetched(Vec::new())), time(HOUR));
    assert_eq!(next(&mut session, HOUR), "submit up to 0");
    assert_eq!(next(&mut session, HOUR), "fetch fresh -2 to 900, RefuseAt(10000)");
    session.on_fetched(Err(WindowError::WindowIgnored(10_000)), time(HOUR));
    assert_eq!(next(&mut session, HOUR), "fetch fresh -2 to 900, Unlimited");
}

#[test]
fn slow_catch_up_yields_to_the_open_list() {
    let mut session = session();
    session.start(time(HOUR));
    session.on_fetched(Ok(fetched(Vec::new())), time(HOUR));
    assert_eq!(next(&mut session, HOUR), "submit up to 0");
    assert_eq!(next(&mut session, HOUR), "fetch fresh -2 to 900, RefuseAt(10000)");
    session.on_committed(&counted(0), time(HOUR + INTERVAL));
    session.on_fetched(Ok(fetched(Vec::new())), time(HOUR + INTERVAL));
    assert_eq!(next(&mut session, HOUR + INTERVAL), "submit up to 900");
    assert_eq!(next(&mut session, HOUR + INTERVAL), "progress from 0 to 3600: 900, 0 conversations");
    assert_eq!(next(&mut session, HOUR + INTERVAL), "await commit");
    session.on_committed(&counted(4), time(HOUR + INTERVAL));
    assert_eq!(next(&mut session, HOUR + INTERVAL), "report [], 2 fetches, 4 counted");
}

#[test]
fn last_progress_includes_every_conversation() {
    let mut session = session();
    let mut lines = Vec::new();
    session.start(time(HOUR));
    loop {
        let command = next(&mut session, HOUR);
        match &*command {
            command if command.starts_with("fetch") => {
                session.on_fetched(Ok(fetched(Vec::new())), time(HOUR))
            }
            "await commit" => session.on_committed(&counted(10), time(HOUR)),
            command if command.starts_with("progress") => lines.push(command.to_owned()),
            "done" => break,
            _ => {}
        }
    }
    assert_eq!(
        lines,
        [
            "progress from 0 to 3600: 900, 10 conversations",
            "progress from 0 to 3600: 2700, 20 conversations",
            "progress from 0 to 3600: 3600, 40 conversations",
        ]
    );
}

#[test]
fn report_names_problems_that_hold() {
    let mut harness = Harness::new(vec![call("STUCK", 0, 3 * DAY)]);
    harness.poll(0);
    let report = harness.poll(DAY + HOUR);
    assert_eq!(report.stuck, Some((id("STUCK"), at(0))));
    assert_eq!(report.status.problems, BTreeSet::from([Problem::StuckConversations]));
    assert!(report.status.up);

    let mut session = session();
    let skewed = SessionTime { skewed: true, ..time(30) };
    session.start(skewed);
    session.on_fetched(Err(server_error()), skewed);
    let Some(Command::Report(report)) = session.next_command(skewed) else { panic!("the poll has ended") };
    assert_eq!(report.status.problems, BTreeSet::from([Problem::ClockSkew, Problem::ServerError]));
}

#[test]
fn uncertain_time_starts_no_counting() {
    let mut session = PollSession::resume(TargetIndex(0), policy(), PollerCheckpoint::default());
    let uncertain = SessionTime { certain: false, ..time(30) };
    session.start(uncertain);
    session.on_fetched(Ok(fetched(Vec::new())), uncertain);
    assert_eq!(session.anchor(), None);

    // An hour later the time is certain, and another than it seemed: the first answer was at 40.
    let corrected = SessionTime { api: at(HOUR + 10), ..time(HOUR) };
    session.start(corrected);
    session.on_fetched(Ok(fetched(Vec::new())), corrected);
    assert_eq!(session.anchor(), Some(at(40)));
}
