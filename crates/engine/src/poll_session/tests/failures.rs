//! Polls in which some windows always fail while the rest of the list can be read.

use super::*;

#[test]
fn failing_window_does_not_hide_other_calls() {
    let vanishing = Call { gone_from: 10 * MINUTE, ..call("X", 5 * MINUTE, 10 * DAY) };
    let mut harness = Harness::new(steady_calls(0, 3 * HOUR, 61).into_iter().chain([vanishing]).collect());
    harness.calls.sort_by_key(|call| call.start);
    harness.poisoned = vec![id("X")];
    harness.run(0, 3 * HOUR + 10 * MINUTE);
    let missed: Vec<i64> = harness
        .calls
        .iter()
        .filter(|call| call.id != id("X") && !harness.seen_finished.contains_key(&call.id))
        .map(|call| call.start)
        .collect();
    assert_eq!(missed, Vec::<i64>::new());
    // The fresh pass and the rechecks have come as near as possible, and keep trying.
    let marks = harness.watermarks().clone();
    assert!((297..=300).contains(&seconds(marks.fresh)), "{}", seconds(marks.fresh));
    assert!(seconds(marks.rechecks[1].read_to) >= 0);
    assert!(harness.failed_at.last().is_some_and(|&last| last > 3 * HOUR));
}

#[test]
fn missing_conversation_backs_off_then_is_abandoned() {
    let policy = PollPolicy { ages: vec![secs(DAY)], ..policy() };
    let mut harness = Harness::resumed(policy, vec![call("X", 100, 600)], PollerCheckpoint::default());
    harness.run(0, 570);
    harness.poisoned = vec![id("X")];
    harness.run(600, DAY + 2 * HOUR);
    let refetch = |(now, plan): &(i64, FetchPlan)| matches!(plan.pass, PassKind::Refetch(_)).then_some(*now);
    let fetched_at: Vec<i64> = harness.fetches.iter().filter_map(refetch).collect();
    assert_eq!(fetched_at[..5], [600, 630, 690, 810, 1050]);
    assert!(fetched_at.len() < 200, "{}", fetched_at.len());
    assert_eq!(harness.abandoned.len(), 1);
    assert_eq!(harness.session.planner.tracked_count(), 0);
}

#[test]
fn failing_recheck_does_not_slow_fresh_pass() {
    let mut harness = Harness::new(vec![call("X", -10 * MINUTE, -8 * MINUTE)]);
    harness.run(0, 5 * MINUTE);
    harness.poisoned = vec![id("X")];
    harness.fetches.clear();
    harness.run(330, HOUR + 20 * MINUTE);
    let fresh = harness.windows().into_iter().filter(|line| line.starts_with("fresh")).count();
    assert!((150..=200).contains(&fresh), "{fresh} reads of the fresh pass in 151 polls");
    assert_eq!(seconds(harness.watermarks().fresh), HOUR + 20 * MINUTE);
    let recheck = |harness: &Harness| seconds(harness.watermarks().rechecks[1].read_to);
    assert!(recheck(&harness) < -9 * MINUTE, "{}", recheck(&harness));
    harness.poisoned.clear();
    harness.run(HOUR + 20 * MINUTE, HOUR + 40 * MINUTE);
    assert!(recheck(&harness) > 10 * MINUTE, "{}", recheck(&harness));
}

#[test]
fn too_large_refetch_is_split() {
    let calls = (0..3).map(|n| call(&format!("CA{n}"), 100 + n * 60, 600)).collect();
    let mut harness =
        Harness::resumed(PollPolicy { refetch_budget: 1, ..policy() }, calls, PollerCheckpoint::default());
    harness.run(0, 570);
    harness.session.planner.on_server_time(at(600), at(0));
    let (mut state, _) = harness.session.planner.on_open_list(&[], at(600));
    let plans = std::iter::from_fn(|| {
        let plan = harness.session.planner.next(&mut state, at(600))?;
        let is_refetch = matches!(plan.pass, PassKind::Refetch(_));
        if is_refetch {
            assert!(harness.session.planner.on_too_large(&plan));
        } else {
            harness.session.planner.on_fetched(&plan, &[], at(600));
        }
        Some((is_refetch, line(&plan)))
    });
    let refetches: Vec<String> = plans.filter(|(is_refetch, _)| *is_refetch).map(|(_, line)| line).collect();
    assert_eq!(refetches, ["refetch 99 to 220"]);
    harness.windows();
    harness.run(630, 690);
    let refetches: Vec<String> =
        harness.windows().into_iter().filter(|line| line.starts_with("refetch")).collect();
    assert_eq!(refetches, ["refetch 99 to 100", "refetch 159 to 160", "refetch 219 to 220"]);
}

#[test]
fn unlisted_call_does_not_repeat_downloads() {
    let unlisted = call("UNLISTED", -3 * HOUR, 40 * HOUR);
    let calls = steady_calls(0, 30 * HOUR, 61).into_iter().chain([unlisted]).collect();
    let mut harness =
        Harness::resumed(PollPolicy { refetch_budget: 1, ..policy() }, calls, PollerCheckpoint::default());
    harness.unlisted = vec![id("UNLISTED")];
    harness.run(0, 30 * HOUR);
    let often: Vec<_> = harness.downloads.iter().filter(|&(_, &times)| times > 4 + 2).collect();
    assert!(often.is_empty(), "{often:?}");
    let sum: u32 = harness.downloads.values().sum();
    let mean = f64::from(sum) / harness.downloads.len() as f64;
    assert!(mean < 4.3, "{mean}");
}

#[test]
fn ten_thousand_missing_calls_are_found() {
    let calls = (0..10_000).map(|n| call(&format!("CA{n:05}"), 100 + n, 20_000)).collect();
    let mut harness = Harness::new(calls);
    harness.run(10_200, 10_290);
    harness.run(20_010, 20_400);
    assert_eq!(harness.seen_finished.len(), 10_000);
}
