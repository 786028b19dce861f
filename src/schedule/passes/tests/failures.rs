//! Stories of windows that always fail, while the rest of the list can be had.

use super::*;

#[test]
fn one_window_that_always_fails_keeps_nobody_from_being_found() {
    let vanishing = Call { gone_from: 10 * MINUTE, ..call("X", 5 * MINUTE, 10 * DAY) };
    let mut watch = Watch::over(steady_calls(0, 3 * HOUR, 61).into_iter().chain([vanishing]).collect());
    watch.calls.sort_by_key(|call| call.start);
    watch.poisoned = vec![id("X")];
    watch.run(0, 3 * HOUR + 10 * MINUTE);
    let missed: Vec<i64> = watch
        .calls
        .iter()
        .filter(|call| call.id != id("X") && !watch.seen_finished.contains_key(&call.id))
        .map(|call| call.start)
        .collect();
    assert_eq!(missed, Vec::<i64>::new());
    // The fresh pass and the rechecks have come as near as can be, and go on trying.
    let marks = watch.passes.marks.clone().unwrap();
    assert!((297..=300).contains(&seconds(marks.fresh)), "{}", seconds(marks.fresh));
    assert!(seconds(marks.rechecks[1].read_to) >= 0);
    assert!(watch.failed_at.last().is_some_and(|&last| last > 3 * HOUR));
}

#[test]
fn one_that_left_and_cannot_be_read_is_asked_for_less_and_less_and_given_up_after_a_day() {
    let policy = PollPolicy { ages: vec![secs(DAY)], ..policy() };
    let mut watch = Watch::resumed(policy, vec![call("X", 100, 600)], PollerCheckpoint::default());
    watch.run(0, 570);
    watch.poisoned = vec![id("X")];
    watch.run(600, DAY + 2 * HOUR);
    let of_narrow =
        |(now, walk): &(i64, FetchPlan)| matches!(walk.purpose, PassKind::Narrow(_)).then_some(*now);
    let asked: Vec<i64> = watch.asked.iter().filter_map(of_narrow).collect();
    assert_eq!(asked[..5], [600, 630, 690, 810, 1050]);
    assert!(asked.len() < 200, "{}", asked.len());
    assert_eq!(watch.abandoned.len(), 1);
    assert_eq!(watch.passes.tracked_count(), 0);
}

#[test]
fn a_recheck_that_fails_leaves_the_fresh_pass_its_slices_and_catches_up_once_it_can() {
    let mut watch = Watch::over(vec![call("X", -10 * MINUTE, -8 * MINUTE)]);
    watch.run(0, 5 * MINUTE);
    watch.poisoned = vec![id("X")];
    watch.asked.clear();
    watch.run(330, HOUR + 20 * MINUTE);
    let fresh = watch.said().into_iter().filter(|line| line.starts_with("fresh")).count();
    assert!((150..=200).contains(&fresh), "{fresh} reads of the fresh pass in 151 polls");
    assert_eq!(seconds(watch.passes.fresh_watermark().unwrap()), HOUR + 20 * MINUTE);
    let recheck = |watch: &Watch| seconds(watch.passes.marks.as_ref().unwrap().rechecks[1].read_to);
    assert!(recheck(&watch) < -9 * MINUTE, "{}", recheck(&watch));
    watch.poisoned.clear();
    watch.run(HOUR + 20 * MINUTE, HOUR + 40 * MINUTE);
    assert!(recheck(&watch) > 10 * MINUTE, "{}", recheck(&watch));
}

#[test]
fn many_whose_shared_window_fails_or_is_too_large_get_one_each() {
    let calls = (0..3).map(|n| call(&format!("CA{n}"), 100 + n * 60, 600)).collect();
    let mut watch =
        Watch::resumed(PollPolicy { narrow_requests: 1, ..policy() }, calls, PollerCheckpoint::default());
    watch.run(0, 570);
    watch.passes.on_server_time(at(600), at(0));
    let (mut tick, _) = watch.passes.on_open_list(&[], at(600));
    let walks = std::iter::from_fn(|| {
        let walk = watch.passes.next(&mut tick, at(600))?;
        let is_narrow = matches!(walk.purpose, PassKind::Narrow(_));
        if is_narrow {
            assert!(watch.passes.too_large(&walk));
        } else {
            watch.passes.on_fetched(&walk, &[], at(600));
        }
        Some((is_narrow, line(&walk)))
    });
    let narrow: Vec<String> = walks.filter(|(is_narrow, _)| *is_narrow).map(|(_, line)| line).collect();
    assert_eq!(narrow, ["narrow 99 to 221"]);
    watch.said();
    watch.run(630, 690);
    let narrow: Vec<String> = watch.said().into_iter().filter(|line| line.starts_with("narrow")).collect();
    assert_eq!(narrow, ["narrow 99 to 101", "narrow 159 to 161", "narrow 219 to 221"]);
}

#[test]
fn one_unlisted_call_and_a_small_budget_make_nobody_be_downloaded_again_and_again() {
    let unlisted = call("UNLISTED", -3 * HOUR, 40 * HOUR);
    let calls = steady_calls(0, 30 * HOUR, 61).into_iter().chain([unlisted]).collect();
    let mut watch =
        Watch::resumed(PollPolicy { narrow_requests: 1, ..policy() }, calls, PollerCheckpoint::default());
    watch.unlisted = vec![id("UNLISTED")];
    watch.run(0, 30 * HOUR);
    let often: Vec<_> = watch.downloads.iter().filter(|&(_, &times)| times > 4 + 2).collect();
    assert!(often.is_empty(), "{often:?}");
    let sum: u32 = watch.downloads.values().sum();
    let mean = f64::from(sum) / watch.downloads.len() as f64;
    assert!(mean < 4.3, "{mean}");
}

#[test]
fn ten_thousand_that_leave_at_once_are_looked_after_quickly() {
    let calls = (0..10_000).map(|n| call(&format!("CA{n:05}"), 100 + n, 20_000)).collect();
    let mut watch = Watch::over(calls);
    watch.run(10_200, 10_290);
    let began = tokio::time::Instant::now();
    watch.run(20_010, 20_400);
    assert_eq!(watch.seen_finished.len(), 10_000);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}
