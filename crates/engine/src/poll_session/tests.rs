//! Whole polls against an API whose conversations are known. Times are seconds after the first start.

mod catching_up;
mod clocks;
mod failures;
mod harness;
mod horizon;
mod protocol;

use std::collections::BTreeMap;

use harness::*;
use polyai_domain::fetch::{Filter, Window};

use super::*;
use crate::ledger::Watermarks;
use crate::planner::FetchRange;

#[test]
fn first_start_reads_second_age_before_anchor() {
    let mut harness = Harness::new(steady_calls(-2 * HOUR, 0, 10 * MINUTE));
    harness.poll(0);
    let windows = harness.windows();
    assert_eq!(windows[0], "fresh -3602 to -2700", "in windows of a quarter of an hour at first");
    assert_eq!(seconds(harness.watermarks().fresh), 0);
    let lengths: Vec<&String> = windows.iter().filter(|line| line.starts_with("fresh")).collect();
    assert_eq!(lengths, ["fresh -3602 to -2700", "fresh -2702 to -900", "fresh -902 to 0"]);

    // With a lookback, an earlier state may have exposed what the last recheck would reach much later.
    let policy = PollPolicy { initial_lookback: secs(2 * HOUR), ..policy() };
    let mut harness = Harness::resumed(policy, Vec::new(), PollerCheckpoint::default());
    harness.poll(0);
    assert_eq!(harness.windows()[0], "fresh -93602 to -92700");
    assert_eq!(harness.watermarks().anchor, at(-2 * HOUR));
}

#[test]
fn configured_anchor_is_kept() {
    let policy = PollPolicy { anchor: Some(at(-5 * HOUR)), initial_lookback: secs(HOUR), ..policy() };
    let mut harness = Harness::resumed(policy, Vec::new(), PollerCheckpoint::default());
    harness.poll(0);
    assert_eq!(harness.watermarks().anchor, at(-5 * HOUR));
}

#[test]
fn conversation_across_anchor_is_found() {
    let mut harness =
        Harness::new(vec![call("short", -90, 10), call("long", -20 * HOUR, 40), call("open", -3 * DAY, 70)]);
    harness.run(0, 5 * MINUTE);
    for name in ["short", "long", "open"] {
        assert_eq!(harness.seen_finished.get(&id(name)), Some(&SeenBy::Fresh), "{name}");
    }
}

#[test]
fn fresh_pass_overlaps_by_two_seconds() {
    let policy = PollPolicy { ages: Vec::new(), ..policy() };
    let mut harness = Harness::resumed(policy, Vec::new(), PollerCheckpoint::default());
    harness.poll(0);
    harness.windows();
    harness.run(30, 90);
    assert_eq!(harness.windows(), ["fresh -2 to 30", "fresh 28 to 60", "fresh 58 to 90"]);
}

#[test]
fn recheck_joins_fresh_pass_over_empty_gap() {
    let mut harness = Harness::new(vec![call("CA01", 14 * MINUTE, 15 * MINUTE)]);
    harness.poll(0);
    harness.windows();
    harness.poll(30);
    assert_eq!(harness.windows(), ["fresh -301 to 30"]);
    harness.run(60, 16 * MINUTE);
    harness.windows();
    // With a call in the last minutes, reading both at once would download it twice.
    harness.poll(16 * MINUTE + 30);
    assert_eq!(harness.windows(), ["fresh 958 to 990", "recheck 659 to 690"]);
}

#[test]
fn call_that_left_open_list_is_refetched() {
    let mut harness =
        Harness::new(vec![call("CA01", 130, 400), call("CA02", 180, 400), call("CA03", 250, 400)]);
    harness.calls.push(call("CA04", 200, 240));
    harness.calls.sort_by_key(|call| call.start);
    harness.run(0, 390);
    harness.windows();
    harness.poll(420);
    let refetches: Vec<String> =
        harness.windows().into_iter().filter(|line| line.starts_with("refetch")).collect();
    // Between CA02 and CA03 one has been read already.
    assert_eq!(refetches, ["refetch 129 to 180", "refetch 249 to 250"], "neighbours share a request");
    assert_eq!(harness.seen_finished.len(), 4);
    assert!(harness.downloads.values().all(|&times| times == 1), "{:?}", harness.downloads);
    assert_eq!(harness.session.planner.tracked_count(), 0);
    harness.poll(450);
    assert!(!harness.windows().iter().any(|line| line.starts_with("refetch")), "found is found");
}

#[test]
fn call_in_next_recheck_is_left_to_it() {
    let mut harness = Harness::new(vec![call("CA01", 100, 400), call("CA02", 200, 400)]);
    harness.run(0, 390);
    harness.windows();
    harness.poll(420);
    assert_eq!(harness.windows(), ["fresh 388 to 420", "refetch 199 to 200", "recheck 89 to 120"]);
    assert_eq!(harness.downloads[&id("CA01")], 1);
    assert_eq!(harness.seen_finished[&id("CA01")], SeenBy::Recheck);
    assert_eq!(harness.session.planner.tracked_count(), 0);
}

#[test]
fn call_in_failing_recheck_is_refetched() {
    let mut harness = Harness::new(vec![call("X", 95, 700), call("CA01", 100, 430)]);
    harness.run(0, 390);
    harness.poisoned = vec![id("X")];
    harness.run(420, 450);
    assert_eq!(harness.failed_at, [420, 450], "the recheck");
    assert!(harness.seen_finished.contains_key(&id("CA01")), "{:?}", harness.windows());
}

#[test]
fn rounded_starts_are_found_after_some_tries() {
    let mut harness = Harness::new(steady_calls(0, HOUR, 3 * MINUTE));
    harness.rounded_off = Duration::from_millis(700);
    harness.run(0, HOUR + 3 * MINUTE);
    assert_eq!(harness.seen_finished.len(), 20);
    let lengths = refetch_lengths(&harness);
    let exact = lengths.iter().filter(|&&length| length < secs(1)).count();
    assert_eq!((lengths.len(), exact), (4 * 20, 3 * 20));
}

#[test]
fn start_outside_its_window_widens_searches() {
    let mut harness = Harness::new(vec![call("CA01", 200, 400)]);
    harness.run(0, 390);
    let (fraction, window) = (Duration::from_millis(300), Window::between(at(10), at(20)));
    let listed = |harness: &mut Harness, window: Window, start: i64| {
        let plan = FetchPlan { pass: PassKind::Refetch(Vec::new()), window, filter: Filter::Finished };
        harness.session.planner.on_fetched(&plan, &[call("CA02", start, 30).conversation(60)], at(60));
    };
    listed(&mut harness, window, 10);
    listed(&mut harness, window, 20);
    // The filter is not rounded, but ignored.
    listed(&mut harness, window, 3);
    let mut rounding = Harness::new(harness.calls.clone());
    rounding.run(0, 390);
    listed(&mut rounding, Window { from: Some(at(10) + fraction), ..window }, 10);
    for (harness, expected) in [(&mut harness, 2), (&mut rounding, 2000)] {
        harness.poll(420);
        assert_eq!(refetch_lengths(harness), [Duration::from_millis(expected)]);
    }
}

/// The lengths of all refetched windows.
fn refetch_lengths(harness: &Harness) -> Vec<Duration> {
    let is_refetch = |(_, plan): &&(i64, FetchPlan)| matches!(plan.pass, PassKind::Refetch(_));
    harness.fetches.iter().filter(is_refetch).map(|(_, plan)| plan.window.length().unwrap()).collect()
}

#[test]
fn day_long_call_is_followed_to_its_end() {
    let mut harness = Harness::new(vec![call("CA01", 100, DAY + 2 * HOUR)]);
    harness.run(0, DAY + HOUR);
    assert_eq!(harness.session.planner.oldest_open(at(DAY + HOUR)), Some((&id("CA01"), at(100))));
    assert!(harness.abandoned.is_empty());
    harness.run(DAY + HOUR + INTERVAL, DAY + 2 * HOUR + INTERVAL);
    assert!(harness.seen_finished.contains_key(&id("CA01")));
    assert_eq!(harness.session.planner.oldest_open(at(DAY + 2 * HOUR + INTERVAL)), None);
}

#[test]
fn restored_open_calls_are_followed() {
    let marks = Watermarks { fresh: at(-30), ..Watermarks::initial(at(-HOUR), &policy().ages) };
    let open = BTreeMap::from([(id("ended"), at(-900)), (id("runs"), at(-800))]);
    let checkpoint = PollerCheckpoint { watermarks: Some(marks), open, starts: vec![at(-900), at(-800)] };
    let mut harness =
        Harness::resumed(policy(), vec![call("ended", -900, -10), call("runs", -800, HOUR)], checkpoint);
    harness.poll(0);
    assert!(harness.windows().contains(&"refetch -901 to -900".to_owned()));
    assert_eq!(harness.seen_finished.keys().cloned().collect::<Vec<_>>(), [id("ended")]);
    assert_eq!(harness.session.planner.tracked_count(), 1);
}

#[test]
fn vanished_conversation_backs_off_then_is_abandoned() {
    let vanishing = Call { gone_from: 600, ..call("CA01", 100, 10 * DAY) };
    let mut harness = Harness::new(vec![vanishing]);
    harness.run(0, DAY + HOUR);
    let fetched_at: Vec<i64> = harness
        .fetches
        .iter()
        .filter(|(_, plan)| matches!(plan.pass, PassKind::Refetch(_)))
        .map(|(now, _)| *now)
        .collect();
    assert_eq!(fetched_at[..4], [600, 630, 660, 690], "at every poll at first");
    let pauses: Vec<i64> = fetched_at.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(pauses.is_sorted(), "then at growing intervals: {pauses:?}");
    assert_eq!(pauses.last(), Some(&(10 * MINUTE)));
    assert!(fetched_at.len() < 160, "{}", fetched_at.len());
    let [(given_up, name)] = &harness.abandoned[..] else { panic!("{:?}", harness.abandoned) };
    assert_eq!(name, &id("CA01"));
    assert!((600 + DAY..600 + DAY + 15 * MINUTE).contains(given_up), "{given_up}");
    assert_eq!(harness.session.planner.tracked_count(), 0);
}

#[test]
fn many_missing_calls_share_the_refetch_budget() {
    // Between all of them calls have been read, in twos.
    let long = (0..40).map(|n| call(&format!("CA{n:02}"), 100 + n * 20, 2000));
    let short = (0..80).map(|n| call(&format!("CB{n:02}"), 105 + n * 10, 105 + n * 10 + 60));
    let mut harness = Harness::new(long.chain(short).collect());
    harness.run(0, 1980);
    harness.windows();
    let counts: Vec<(usize, usize)> = (2010..=2250)
        .step_by(30)
        .map(|now| {
            harness.poll(now);
            let refetches = harness.windows().into_iter().filter(|line| line.starts_with("refetch")).count();
            (refetches, harness.seen_finished.len() - 80)
        })
        .collect();
    assert!(counts.iter().all(|&(refetches, _)| refetches <= 5), "{counts:?}");
    assert_eq!(counts.last(), Some(&(0, 40)), "{counts:?}");
    let often = harness.downloads.values().filter(|&&times| times > 3).count();
    assert!(often <= 40 / 6, "{often}");
}

#[test]
fn rechecks_step_by_a_tenth_of_their_age() {
    let mut harness = Harness::new(steady_calls(-2 * HOUR, 30 * HOUR, 150));
    harness.run(0, 6 * HOUR);
    harness.fetches.clear();
    harness.run(6 * HOUR + INTERVAL, 30 * HOUR);
    for (index, age, step) in [(0, 5 * MINUTE, INTERVAL), (1, HOUR, 6 * MINUTE), (2, DAY, 144 * MINUTE)] {
        let mut reached = Vec::new();
        for (now, plan) in &harness.fetches {
            let PassKind::Range(range) = &plan.pass else { continue };
            for &(_, to) in range.rechecks.iter().filter(|(other, _)| *other == index) {
                assert!(now - seconds(to) >= age, "what is read at {age} has reached it");
                reached.push(seconds(to));
            }
        }
        let steps: Vec<i64> =
            reached.windows(2).map(|pair| pair[1] - pair[0]).filter(|step| *step > 0).collect();
        let expected = DAY / step;
        assert!(
            (expected - 2..=expected + 2).contains(&i64::try_from(steps.len()).unwrap()),
            "{age}: {} steps",
            steps.len()
        );
        assert!(steps.iter().all(|&one| one >= step - INTERVAL / 2), "{age}: {steps:?}");
    }
}

#[test]
fn busy_target_downloads_once_per_age() {
    let mut harness = Harness::new(steady_calls(0, 50 * HOUR, 97));
    harness.run(0, 50 * HOUR);
    // Those that are old enough to have been through every age, and lie on no seam of two windows more than twice.
    let old =
        harness.calls.iter().filter(|call| call.end < 24 * HOUR).map(|call| harness.downloads[&call.id]);
    let counts: Vec<u32> = old.collect();
    let sum: u32 = counts.iter().sum();
    let mean = f64::from(sum) / f64::from(u32::try_from(counts.len()).unwrap());
    assert!(counts.iter().all(|&count| (4..=8).contains(&count)), "{counts:?}");
    assert!(mean < 4.3, "{mean}");
    assert!(
        harness.seen_finished.values().all(|&sight| sight == SeenBy::Fresh),
        "nothing is late where all is listed"
    );
}

#[test]
fn idle_target_needs_two_requests_per_poll() {
    let mut harness = Harness::new(Vec::new());
    harness.poll(0);
    harness.fetches.clear();
    for now in (INTERVAL..=DAY).step_by(usize::try_from(INTERVAL).unwrap()) {
        harness.poll(now);
        let fetches = std::mem::take(&mut harness.fetches);
        assert_eq!(
            fetches.len(),
            2,
            "at {now}: {:?}",
            fetches.iter().map(|(_, plan)| line(plan)).collect::<Vec<_>>()
        );
    }
    // And every recheck has kept up all the same.
    for recheck in &harness.watermarks().rechecks {
        let behind = DAY - seconds(recheck.read_to);
        let age = i64::try_from(recheck.age.as_secs()).unwrap();
        assert!((age..=age + age / 10 + INTERVAL).contains(&behind), "{age}: {behind} behind");
    }
}

#[test]
fn outage_gap_satisfies_rechecks_of_its_age() {
    let outage = (2 * HOUR, 8 * HOUR);
    let mut harness = Harness::new(steady_calls(0, 10 * HOUR, 60));
    harness.run(0, outage.0);
    harness.fetches.clear();
    harness.poll(outage.1);
    let windows = harness.windows();
    let fresh: Vec<&String> = windows.iter().filter(|line| line.starts_with("fresh")).collect();
    assert!(fresh.len() > 2, "{fresh:?}");
    assert!(fresh[0].starts_with(&format!("fresh {} to", outage.0 - 2)), "{fresh:?}");
    assert_eq!(harness.seen_finished.len(), harness.calls.iter().filter(|call| call.end <= outage.1).count());

    harness.run(outage.1 + INTERVAL, 10 * HOUR);
    // A call from the middle of the outage was older than five minutes and an hour when it was first read.
    let first_reads = harness.downloads[&id(&format!("CA{}", 4 * HOUR))];
    assert_eq!(first_reads, 1, "read once for all ages that it had reached by then");
    // One from shortly before the outage ended was not.
    let young = harness.downloads[&id(&format!("CA{}", outage.1 - 10 * MINUTE))];
    assert_eq!(young, 2, "the fresh pass, which served the age of five minutes, and the age of an hour");
}

#[test]
fn overlap_ignores_conversations_of_an_outage() {
    let mut harness = Harness::new(steady_calls(0, 10 * HOUR, 60));
    harness.run(0, 2 * HOUR);
    harness.run(8 * HOUR, 9 * HOUR);
    assert_eq!(harness.overlap(), 2);
}

#[test]
fn overlap_adapts_when_running_calls_are_hidden() {
    let length = 4 * MINUTE;
    let hidden = (0..6 * HOUR)
        .step_by(60)
        .map(|start| Call { hidden: true, ..call(&format!("CA{start}"), start, start + length) });
    let listed =
        (6 * HOUR..12 * HOUR).step_by(60).map(|start| call(&format!("CA{start}"), start, start + length));
    let mut harness = Harness::new(hidden.chain(listed).collect());
    harness.run(0, 6 * HOUR);
    let wide = harness.overlap();
    assert!((length..=length * 3 / 2).contains(&wide), "{wide}");
    // Once it is as wide, what is new is found by the fresh pass and nothing is late.
    let late = |harness: &Harness, since: i64| {
        let since = harness.calls.iter().filter(|call| call.start >= since);
        since.filter(|call| harness.seen_finished.get(&call.id) == Some(&SeenBy::Recheck)).count()
    };
    assert_eq!(late(&harness, HOUR), 0);
    harness.run(6 * HOUR + INTERVAL, 12 * HOUR);
    assert_eq!(harness.overlap(), 2);
    assert_eq!(late(&harness, 6 * HOUR), 0);
    assert!(
        harness
            .calls
            .iter()
            .filter(|call| call.end < 11 * HOUR)
            .all(|call| harness.seen_finished.contains_key(&call.id))
    );
}

#[test]
fn wide_overlap_is_read_in_steps_of_a_tenth() {
    let marks = Watermarks {
        overlap: secs(40 * MINUTE),
        fresh: at(-30),
        ..Watermarks::initial(at(-DAY), &policy().ages)
    };
    let checkpoint = PollerCheckpoint { watermarks: Some(marks), ..PollerCheckpoint::default() };
    let mut harness = Harness::resumed(policy(), Vec::new(), checkpoint);
    harness.run(0, HOUR);
    let whole: Vec<i64> = harness
        .fetches
        .iter()
        .filter(|(_, plan)| matches!(&plan.pass, PassKind::Range(range) if range.whole_overlap))
        .map(|(now, _)| *now)
        .collect();
    let pauses: Vec<i64> = whole.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(pauses.iter().all(|&pause| pause == 4 * MINUTE), "{pauses:?}");
}

#[test]
fn too_large_window_shrinks_down_to_a_second() {
    let mut harness = Harness::new(Vec::new());
    harness.session.planner.on_server_time(at(0), at(0));
    let (mut state, _) = harness.session.planner.on_open_list(&[], at(0));
    let mut lengths = Vec::new();
    loop {
        let plan = harness.session.planner.next(&mut state, at(0)).unwrap();
        let PassKind::Range(FetchRange { fresh: Some((from, to)), .. }) = plan.pass else {
            panic!("{plan:?}")
        };
        lengths.push(to.saturating_duration_since(from).as_secs());
        if !harness.session.planner.on_too_large(&plan) {
            break;
        }
    }
    assert_eq!(lengths.first(), Some(&900));
    assert_eq!(lengths.last(), Some(&1));
    assert!(lengths.windows(2).all(|pair| pair[1] < pair[0]), "{lengths:?}");
    assert!(lengths.len() < 10, "{lengths:?}");
    // The open list is not read in windows.
    let open = harness.session.planner.open_pass(at(0));
    assert!(!harness.session.planner.on_too_large(&open));
}

#[test]
fn windows_grow_again_when_little_happens() {
    let mut harness = Harness::new(Vec::new());
    harness.session.planner.on_server_time(at(0), at(0));
    let (mut state, _) = harness.session.planner.on_open_list(&[], at(0));
    let plan = harness.session.planner.next(&mut state, at(0)).unwrap();
    assert!(harness.session.planner.on_too_large(&plan));
    harness.poll(0);
    let windows = harness.windows();
    assert_eq!(windows[..3], ["fresh -3602 to -3375", "fresh -3377 to -2925", "fresh -2927 to -2025"]);
}

#[test]
fn unfinished_fetch_moves_no_watermark() {
    let policy = PollPolicy { ages: Vec::new(), ..policy() };
    let mut harness = Harness::resumed(policy, Vec::new(), PollerCheckpoint::default());
    harness.poll(0);
    harness.windows();
    let (mut state, _) = harness.session.planner.on_open_list(&[], at(30));
    let failed = harness.session.planner.next(&mut state, at(30)).unwrap();
    assert_eq!(line(&failed), "fresh -2 to 30");
    // The poll is dropped here; the next one begins where this one began.
    harness.poll(60);
    assert_eq!(harness.windows()[0], "fresh -2 to 60");
}

#[test]
fn ignored_filter_bounds_the_open_list() {
    let mut harness = Harness::new(Vec::new());
    assert_eq!(harness.session.planner.open_pass(at(0)).window.from, None);
    let over = |n: i64| call(&format!("OVER{n}"), -10 * DAY + n, -9 * DAY).conversation(0);
    let open = call("CA02", -5 * HOUR, DAY).conversation(0);
    let stuck = call("STUCK", -21 * DAY, DAY).conversation(0);
    harness.session.planner.on_open_list(&[over(1), over(2), open.clone(), over(3), stuck.clone()], at(0));
    let from = |harness: &Harness, now| harness.session.planner.open_pass(at(now)).window.from.map(seconds);
    assert_eq!(from(&harness, INTERVAL), Some(-5 * HOUR), "as far back as the oldest open one of the day");
    harness.session.planner.on_open_list(&[], at(INTERVAL));
    assert_eq!(from(&harness, 2 * INTERVAL), Some(2 * INTERVAL - 2 * HOUR));
    assert_eq!(harness.session.planner.oldest_open(at(INTERVAL)).unwrap().0, &id("STUCK"), "it is refetched");

    // Lists of open conversations alone show that the filter is honoured again.
    for n in 0..10 {
        harness.session.planner.on_open_list(std::slice::from_ref(&open), at((2 + n) * INTERVAL));
        harness.session.planner.on_open_list(&[], at((2 + n) * INTERVAL));
    }
    assert_eq!(from(&harness, 20 * INTERVAL), None);
}

#[test]
fn single_finished_record_does_not_bound_open_list() {
    let mut harness = Harness::new(Vec::new());
    let over = call("OVER", -10 * MINUTE, -MINUTE).conversation(0);
    let open = |n: i64| call(&format!("CA{n}"), -n * MINUTE, DAY).conversation(0);
    harness.session.planner.on_open_list(&[over, open(1), open(2)], at(0));
    assert_eq!(harness.session.planner.open_pass(at(INTERVAL)).window.from, None);
}

#[test]
fn call_listed_twice_does_not_bound_open_list() {
    let mut harness = Harness::new(Vec::new());
    let open = call("CA01", -5 * HOUR, DAY).conversation(0);
    harness.session.planner.on_open_list(&[open.clone(), open], at(0));
    assert_eq!(harness.session.planner.open_pass(at(INTERVAL)).window.from, None);
}

#[test]
fn new_recheck_age_does_not_disturb_others() {
    let mut harness = Harness::new(steady_calls(0, 4 * HOUR, 60));
    harness.run(0, 2 * HOUR);
    let marks = harness.session.planner.watermarks().cloned();
    let open = harness.calls.iter().filter(|call| call.start <= 2 * HOUR && 2 * HOUR < call.end);
    let open = open.map(|call| (call.id.clone(), at(call.start))).collect();
    let starts =
        harness.calls.iter().filter(|call| call.start <= 2 * HOUR).map(|call| at(call.start)).collect();
    let checkpoint = PollerCheckpoint { watermarks: marks, open, starts };
    let more =
        PollPolicy { ages: vec![secs(5 * MINUTE), secs(30 * MINUTE), secs(HOUR), secs(DAY)], ..policy() };
    let mut harness = Harness::resumed(more, harness.calls, checkpoint);
    harness.run(2 * HOUR + INTERVAL, 4 * HOUR);
    let read_to: Vec<i64> =
        harness.watermarks().rechecks.iter().map(|mark| 4 * HOUR - seconds(mark.read_to)).collect();
    for (behind, age) in read_to.iter().zip([5 * MINUTE, 30 * MINUTE, HOUR]) {
        assert!((age..=age + age / 10 + 2 * INTERVAL).contains(behind), "{age}: {behind}");
    }
}
