//! Polls with a clock that was wrong.

use super::*;

/// Calls of 20 s from `from` to `to` that are not listed while they run. None runs at the time of a poll, or only rechecks could
/// find it.
fn hidden_calls(from: i64, to: i64) -> Vec<Call> {
    let starts = (from + 5..to).step_by(60);
    starts.map(|start| Call { hidden: true, ..call(&format!("CA{start}"), start, start + 20) }).collect()
}

fn without_rechecks() -> PollPolicy {
    PollPolicy { ages: Vec::new(), ..policy() }
}

fn missed(harness: &Harness, until: i64) -> Vec<i64> {
    let over = harness.calls.iter().filter(|call| call.end <= until);
    over.filter(|call| !harness.seen_finished.contains_key(&call.id)).map(|call| call.start).collect()
}

#[test]
fn clock_days_ahead_leaves_no_gap() {
    for policy in [policy(), without_rechecks()] {
        let mut harness = Harness::resumed(policy, hidden_calls(30, 2 * HOUR), PollerCheckpoint::default());
        harness.poll(0);
        harness.poll(30);
        harness.poll_with_clock(3 * DAY, 60);
        harness.poll_with_clock(3 * DAY + 30, 90);
        assert_eq!(seconds(harness.watermarks().fresh), 3 * DAY + 30);
        harness.run(120, 2 * HOUR + 5 * MINUTE);
        assert_eq!(missed(&harness, 2 * HOUR), Vec::<i64>::new());
        let in_the_last_minutes = harness.fetches.iter().filter(|(now, _)| *now > 2 * HOUR).count();
        assert!(in_the_last_minutes < 50, "{in_the_last_minutes} fetches");
    }
}

#[test]
fn clock_rollback_rewinds_rechecks() {
    let mut harness = Harness::new(steady_calls(-DAY, 2 * HOUR, 10 * MINUTE));
    harness.run(0, HOUR);
    let before = harness.watermarks().clone();
    harness.poll_with_clock(HOUR + 3 * DAY, HOUR + 30);
    harness.poll(HOUR + 60);
    for (mark, before) in harness.watermarks().rechecks.iter().zip(&before.rechecks) {
        assert!(
            mark.read_to.saturating_duration_since(before.read_to) <= mark.age / 5,
            "{mark:?}, before {before:?}"
        );
        assert!(mark.read_to >= before.read_to && mark.already_read.is_none());
    }
}

#[test]
fn clock_ahead_for_an_hour_leaves_no_gap() {
    let mut harness =
        Harness::resumed(without_rechecks(), hidden_calls(0, 4 * HOUR), PollerCheckpoint::default());
    harness.run(0, HOUR);
    for now in (HOUR + 30..2 * HOUR).step_by(30) {
        harness.poll_with_clock(now + HOUR, now);
    }
    harness.run(2 * HOUR, 4 * HOUR + MINUTE);
    assert_eq!(missed(&harness, 4 * HOUR), Vec::<i64>::new());
}

#[test]
fn restored_watermarks_in_future_are_rewound() {
    let marks = Watermarks::initial(at(-10 * DAY), &policy().ages);
    let ahead = Watermarks { fresh: at(2 * DAY), ..marks };
    let ahead = Watermarks {
        rechecks: ahead
            .rechecks
            .into_iter()
            .map(|mark| crate::ledger::RecheckWatermark { read_to: at(2 * DAY) - mark.age, ..mark })
            .collect(),
        ..ahead
    };
    let checkpoint = PollerCheckpoint { watermarks: Some(ahead), ..PollerCheckpoint::default() };
    let mut harness = Harness::resumed(policy(), hidden_calls(-20 * HOUR, HOUR), checkpoint);
    harness.run(0, HOUR + 10 * MINUTE);
    assert_eq!(missed(&harness, HOUR), Vec::<i64>::new());
}

#[test]
fn clock_rollback_resets_refetch_wait() {
    let calls = vec![Call { gone_from: 50, ..call("CA01", 0, 5 * MINUTE) }];
    let mut harness = Harness::resumed(without_rechecks(), calls, PollerCheckpoint::default());
    harness.poll(30);
    for n in 0..10 {
        harness.poll_with_clock(3 * DAY + n * 30, 60 + n * 30);
    }
    harness.calls[0].gone_from = i64::MAX;
    harness.run(400, 400 + 15 * MINUTE);
    assert!(harness.seen_finished.contains_key(&id("CA01")));
}

#[test]
fn anchor_is_first_answer_once_time_is_certain() {
    let mut harness = Harness::new(Vec::new());
    let (mut state, update) = harness.session.planner.on_open_list(&[], at(0));
    assert_eq!((update.watermarks, harness.session.planner.next(&mut state, at(0))), (None, None));
    harness.session.planner.on_server_time(at(5 * MINUTE), at(7));
    assert_eq!(harness.session.anchor(), Some(at(7)));
}

#[test]
fn anchor_in_future_is_replaced() {
    let mut harness = Harness::new(Vec::new());
    harness.session.planner.on_server_time(at(3 * DAY), at(3 * DAY));
    assert_eq!(harness.session.anchor(), Some(at(3 * DAY)));
    harness.session.planner.on_server_time(at(10 * MINUTE), at(7));
    assert_eq!(harness.session.anchor(), Some(at(7)));
    harness.session.planner.on_server_time(at(11 * MINUTE), at(8));
    assert_eq!(harness.session.anchor(), Some(at(7)), "an anchor in the past stays");
}

#[test]
fn clock_an_hour_behind_keeps_the_anchor() {
    let mut harness = Harness::new(steady_calls(0, HOUR, MINUTE));
    harness.run(0, 20 * MINUTE);
    harness.poll_with_clock(-40 * MINUTE, 20 * MINUTE + 30);
    assert_eq!(harness.session.anchor(), Some(at(0)), "conversations have started since");
    harness.run(21 * MINUTE, HOUR + 10 * MINUTE);
    assert_eq!(missed(&harness, HOUR), Vec::<i64>::new());
}

#[test]
fn configured_anchor_in_future_is_not_stored() {
    let policy = PollPolicy { anchor: Some(at(HOUR)), ..policy() };
    let mut harness = Harness::resumed(policy, Vec::new(), PollerCheckpoint::default());
    harness.run(0, 50 * MINUTE);
    assert_eq!(harness.session.anchor(), None);
    harness.run(50 * MINUTE, HOUR);
    assert_eq!(harness.session.anchor(), Some(at(HOUR)));
}
