//! A new state that reads the past: when it has read up to the present, and what is logged.

use super::*;
use crate::ledger::CatchUp;

/// A target whose anchor is so many seconds before the first poll.
fn anchored(ago: i64, calls: Vec<Call>) -> Harness {
    let policy = PollPolicy { anchor: Some(at(-ago)), ..policy() };
    Harness::resumed(policy, calls, PollerCheckpoint::default())
}

#[test]
fn anchor_in_the_past_is_read_from_the_last_age_before_it() {
    // It started long before the second age, and the last recheck would reach it in 16 hours.
    let mut harness = anchored(75, vec![call("long", -8 * HOUR, -60), call("short", -100, -30)]);
    assert!(harness.poll(0).status.caught_up);
    for name in ["long", "short"] {
        assert!(harness.seen_finished.contains_key(&id(name)), "{name}");
    }
}

#[test]
fn first_start_without_the_past_exposes_zeros_at_once() {
    let mut harness = Harness::new(Vec::new());
    harness.poll(0);
    assert_eq!(harness.watermarks().catch_up, CatchUp::Done, "nothing can have counted");
    let mut harness = anchored(75, Vec::new());
    harness.poll(0);
    assert_eq!(harness.watermarks().catch_up, CatchUp::Reading);
}

#[test]
fn failing_window_keeps_a_target_behind_until_it_is_read() {
    let mut harness = anchored(2 * HOUR, vec![call("CA01", -HOUR, -1800)]);
    harness.poisoned = vec![id("CA01")];
    for now in [0, 30, 60] {
        let status = harness.poll(now).status;
        assert_eq!((status.up, status.caught_up), (false, false));
    }
    harness.poisoned.clear();
    harness.run(90, 600);
    assert!(harness.poll(630).status.caught_up);
    assert!(harness.seen_finished.contains_key(&id("CA01")));
}

#[test]
fn failing_recheck_does_not_keep_a_target_behind() {
    let mut harness = Harness::new(vec![call("CA01", 10, 40)]);
    harness.run(0, 10 * MINUTE);
    harness.poisoned = vec![id("CA01")];
    let polls: Vec<PollReport> =
        (0..200).map(|number| harness.poll(10 * MINUTE + INTERVAL * (number + 1))).collect();
    assert!(polls.iter().any(|poll| !poll.status.up));
    assert!(polls.iter().all(|poll| poll.status.caught_up));
}

#[test]
fn uncertain_time_reads_up_to_no_present() {
    let policy = PollPolicy { anchor: Some(at(-DAY)), ..policy() };
    let mut session = PollSession::resume(TargetIndex(0), policy, PollerCheckpoint::default());
    let mut caught_up = |certain: bool, now: i64| {
        let time = SessionTime { api: at(now), steady: secs(30), certain, skewed: false };
        session.start(time);
        loop {
            match session.next_command(time).expect("a poll ends with a report") {
                Command::Fetch(..) => session.on_fetched(Ok(fetched(Vec::new())), time),
                Command::AwaitCommit => session.on_committed(&BatchOutcome::default(), time),
                Command::Submit(_) | Command::Notify(_) => {}
                Command::Report(report) => return report.status.caught_up,
            }
        }
    };
    // An hour behind, by its first answer.
    assert!(!caught_up(false, -HOUR));
    assert!(caught_up(true, 30));
}

#[test]
fn catching_up_is_reported_from_its_beginning() {
    let lines = |checkpoint: PollerCheckpoint| {
        let policy = PollPolicy { anchor: Some(at(-600)), ages: vec![secs(600)], ..policy() };
        let mut session = PollSession::resume(TargetIndex(0), policy, checkpoint);
        let mut lines = Vec::new();
        for now in [0, 30] {
            let time = SessionTime { api: at(now), steady: secs(now), certain: true, skewed: false };
            session.start(time);
            while let Some(command) = session.next_command(time) {
                match command {
                    Command::Fetch(..) => session.on_fetched(Ok(fetched(Vec::new())), time),
                    Command::AwaitCommit => session.on_committed(&BatchOutcome::default(), time),
                    Command::Notify(Notice::Progress { from, reached, to, .. }) => {
                        lines.push([from, reached, to].map(seconds).map(|time| time.to_string()).join(" "));
                    }
                    Command::Submit(_) | Command::Notify(_) | Command::Report(_) => {}
                }
            }
        }
        lines
    };
    assert_eq!(lines(PollerCheckpoint::default()), ["-1200 -1200 0", "-1200 -300 0", "-1200 0 0"]);
    let exposed = Watermarks { catch_up: CatchUp::Done, ..Watermarks::initial(at(-60), &[]) };
    let exposed = Watermarks { fresh: at(-60), ..exposed };
    let exposed = PollerCheckpoint { watermarks: Some(exposed), ..PollerCheckpoint::default() };
    assert_eq!(lines(exposed), Vec::<String>::new(), "two intervals behind");
}
