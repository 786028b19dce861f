//! Stories of a clock that was wrong, and was believed.

use super::*;

/// Calls of 20 s that no list shows while they run, from `from` to `to`. None runs while a poll asks, or else only rechecks could
/// find it.
fn hidden_calls(from: i64, to: i64) -> Vec<Call> {
    let starts = (from + 5..to).step_by(60);
    starts.map(|start| Call { hidden: true, ..call(&format!("CA{start}"), start, start + 20) }).collect()
}

fn without_rechecks() -> PollPolicy {
    PollPolicy { ages: Vec::new(), ..policy() }
}

fn missed(watch: &Watch, until: i64) -> Vec<i64> {
    let over = watch.calls.iter().filter(|call| call.end <= until);
    over.filter(|call| !watch.seen_finished.contains_key(&call.id)).map(|call| call.start).collect()
}

#[test]
fn what_starts_under_and_after_a_clock_that_was_days_ahead_is_seen_by_the_fresh_pass() {
    for policy in [policy(), without_rechecks()] {
        let mut watch = Watch::resumed(policy, hidden_calls(30, 2 * HOUR), PollerCheckpoint::default());
        watch.tick(0);
        watch.tick(30);
        watch.tick_under(3 * DAY, 60);
        watch.tick_under(3 * DAY + 30, 90);
        assert_eq!(seconds(watch.passes.fresh_watermark().unwrap()), 3 * DAY + 30);
        watch.run(120, 2 * HOUR + 5 * MINUTE);
        assert_eq!(missed(&watch, 2 * HOUR), Vec::<i64>::new());
        let in_the_last_minutes = watch.asked.iter().filter(|(now, _)| *now > 2 * HOUR).count();
        assert!(in_the_last_minutes < 50, "{in_the_last_minutes} walks: it is over");
    }
}

#[test]
fn the_rechecks_go_back_too() {
    let mut watch = Watch::over(steady_calls(-DAY, 2 * HOUR, 10 * MINUTE));
    watch.run(0, HOUR);
    let before = watch.passes.marks.clone().unwrap();
    watch.tick_under(HOUR + 3 * DAY, HOUR + 30);
    watch.tick(HOUR + 60);
    for (mark, before) in watch.passes.marks.as_ref().unwrap().rechecks.iter().zip(&before.rechecks) {
        assert!(
            mark.read_to.saturating_duration_since(before.read_to) <= mark.age / 5,
            "{mark:?}, before {before:?}"
        );
        assert!(mark.read_to >= before.read_to && mark.already_read.is_none());
    }
}

#[test]
fn a_clock_that_is_ahead_for_an_hour_and_is_then_set_right_leaves_no_gap() {
    let mut watch =
        Watch::resumed(without_rechecks(), hidden_calls(0, 4 * HOUR), PollerCheckpoint::default());
    watch.run(0, HOUR);
    for now in (HOUR + 30..2 * HOUR).step_by(30) {
        watch.tick_under(now + HOUR, now);
    }
    watch.run(2 * HOUR, 4 * HOUR + MINUTE);
    assert_eq!(missed(&watch, 4 * HOUR), Vec::<i64>::new());
}

#[test]
fn a_state_whose_marks_lie_in_the_future_heals() {
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
    let resume = PollerCheckpoint { marks: Some(ahead), ..PollerCheckpoint::default() };
    let mut watch = Watch::resumed(policy(), hidden_calls(-20 * HOUR, HOUR), resume);
    watch.run(0, HOUR + 10 * MINUTE);
    assert_eq!(missed(&watch, HOUR), Vec::<i64>::new());
}

#[test]
fn a_call_that_left_the_list_under_a_clock_that_was_ahead_is_not_left_alone_for_days() {
    let calls = vec![Call { gone_from: 50, ..call("CA01", 0, 5 * MINUTE) }];
    let mut watch = Watch::resumed(without_rechecks(), calls, PollerCheckpoint::default());
    watch.tick(30);
    (0..10).for_each(|n| watch.tick_under(3 * DAY + n * 30, 60 + n * 30));
    watch.calls[0].gone_from = i64::MAX;
    watch.run(400, 400 + 15 * MINUTE);
    assert!(watch.seen_finished.contains_key(&id("CA01")));
}

#[test]
fn counting_begins_when_the_time_is_known_and_then_from_the_first_answer() {
    let mut watch = Watch::over(Vec::new());
    let (mut tick, progress) = watch.passes.on_open_list(&[], at(0));
    assert_eq!((progress.marks, watch.passes.next(&mut tick, at(0))), (None, None));
    watch.passes.on_server_time(at(5 * MINUTE), at(7));
    assert_eq!(watch.passes.anchor(), Some(at(7)));
}

#[test]
fn where_the_first_answers_came_from_a_clock_that_was_ahead_counting_begins_again() {
    let mut watch = Watch::over(Vec::new());
    watch.passes.on_server_time(at(3 * DAY), at(3 * DAY));
    assert_eq!(watch.passes.anchor(), Some(at(3 * DAY)));
    watch.passes.on_server_time(at(10 * MINUTE), at(7));
    assert_eq!(watch.passes.anchor(), Some(at(7)));
    watch.passes.on_server_time(at(11 * MINUTE), at(8));
    assert_eq!(watch.passes.anchor(), Some(at(7)), "what has come stays");
}

#[test]
fn an_anchor_that_has_not_come_yet_is_not_kept() {
    let policy = PollPolicy { anchor: Some(at(HOUR)), ..policy() };
    let mut watch = Watch::resumed(policy, Vec::new(), PollerCheckpoint::default());
    watch.run(0, 50 * MINUTE);
    assert_eq!(watch.passes.anchor(), None);
    watch.run(50 * MINUTE, HOUR);
    assert_eq!(watch.passes.anchor(), Some(at(HOUR)));
}
