//! Stories of the passes, told against an API that holds what the story says. Times are seconds after the first start.

mod clocks;
mod failures;
mod horizon;
mod watch;

use std::collections::BTreeMap;

use watch::*;

use super::*;

#[test]
fn the_first_start_reads_from_the_second_recheck_age_before_the_anchor() {
    let mut watch = Watch::over(steady_calls(-2 * HOUR, 0, 10 * MINUTE));
    watch.tick(0);
    let said = watch.said();
    assert_eq!(said[0], "fresh -3602 to -2700", "in slices of a quarter of an hour at first");
    assert_eq!(seconds(watch.passes.fresh_watermark().unwrap()), 0);
    let lengths: Vec<&String> = said.iter().filter(|line| line.starts_with("fresh")).collect();
    assert_eq!(lengths, ["fresh -3602 to -2700", "fresh -2702 to -900", "fresh -902 to 0"]);

    // With a lookback all of that lies so much earlier.
    let policy = PollPolicy { initial_lookback: secs(2 * HOUR), ..policy() };
    let mut watch = Watch::resumed(policy, Vec::new(), PollerCheckpoint::default());
    watch.tick(0);
    assert_eq!(watch.said()[0], "fresh -10802 to -9900");
    assert_eq!(watch.passes.marks.unwrap().anchor, at(-2 * HOUR));
}

#[test]
fn a_configured_anchor_is_the_anchor() {
    let policy = PollPolicy { anchor: Some(at(-5 * HOUR)), initial_lookback: secs(HOUR), ..policy() };
    let mut watch = Watch::resumed(policy, Vec::new(), PollerCheckpoint::default());
    watch.tick(0);
    assert_eq!(watch.passes.marks.unwrap().anchor, at(-5 * HOUR));
}

#[test]
fn what_ran_across_the_anchor_is_found_however_long_it_ran() {
    let mut watch =
        Watch::over(vec![call("short", -90, 10), call("long", -20 * HOUR, 40), call("open", -3 * DAY, 70)]);
    watch.run(0, 5 * MINUTE);
    for name in ["short", "long", "open"] {
        assert_eq!(watch.seen_finished.get(&id(name)), Some(&SeenBy::Fresh), "{name}");
    }
}

#[test]
fn the_fresh_pass_moves_on_with_every_tick_and_reads_two_seconds_twice() {
    let policy = PollPolicy { ages: Vec::new(), ..policy() };
    let mut watch = Watch::resumed(policy, Vec::new(), PollerCheckpoint::default());
    watch.tick(0);
    watch.said();
    watch.run(30, 90);
    assert_eq!(watch.said(), ["fresh -2 to 30", "fresh 28 to 60", "fresh 58 to 90"]);
}

#[test]
fn where_nothing_is_known_in_between_a_recheck_is_read_together_with_the_fresh_pass() {
    let mut watch = Watch::over(vec![call("CA01", 14 * MINUTE, 15 * MINUTE)]);
    watch.tick(0);
    watch.said();
    watch.tick(30);
    assert_eq!(watch.said(), ["fresh -302 to 30"]);
    watch.run(60, 16 * MINUTE);
    watch.said();
    // With a call in the last minutes, reading both at once would download it twice.
    watch.tick(16 * MINUTE + 30);
    assert_eq!(watch.said(), ["fresh 958 to 990", "recheck 658 to 690"]);
}

#[test]
fn a_call_that_left_the_open_list_is_read_around_its_start() {
    let mut watch = Watch::over(vec![call("CA01", 100, 400), call("CA02", 101, 400), call("CA03", 250, 400)]);
    watch.run(0, 390);
    watch.said();
    watch.tick(420);
    let narrow: Vec<String> = watch.said().into_iter().filter(|line| line.starts_with("narrow")).collect();
    assert_eq!(narrow, ["narrow 99 to 102", "narrow 249 to 251"], "neighbours share a request");
    assert_eq!(watch.seen_finished.len(), 3);
    assert_eq!(watch.passes.tracked_count(), 0);
    watch.tick(450);
    assert!(!watch.said().iter().any(|line| line.starts_with("narrow")), "found is found");
}

#[test]
fn a_call_that_runs_for_a_day_is_followed_to_its_end() {
    let mut watch = Watch::over(vec![call("CA01", 100, DAY + 2 * HOUR)]);
    watch.run(0, DAY + HOUR);
    assert_eq!(watch.passes.oldest_open(at(DAY + HOUR)), Some((&id("CA01"), at(100))));
    assert!(watch.abandoned.is_empty());
    watch.run(DAY + HOUR + INTERVAL, DAY + 2 * HOUR + INTERVAL);
    assert!(watch.seen_finished.contains_key(&id("CA01")));
    assert_eq!(watch.passes.oldest_open(at(DAY + 2 * HOUR + INTERVAL)), None);
}

#[test]
fn open_calls_of_the_run_before_are_followed_from_the_state() {
    let marks = Watermarks { fresh: at(-30), ..Watermarks::initial(at(-HOUR), &policy().ages) };
    let open = BTreeMap::from([(id("ended"), at(-900)), (id("runs"), at(-800))]);
    let resume = PollerCheckpoint { marks: Some(marks), open, starts: vec![at(-900), at(-800)] };
    let mut watch =
        Watch::resumed(policy(), vec![call("ended", -900, -10), call("runs", -800, HOUR)], resume);
    watch.tick(0);
    assert!(watch.said().contains(&"narrow -901 to -899".to_owned()));
    assert_eq!(watch.seen_finished.keys().cloned().collect::<Vec<_>>(), [id("ended")]);
    assert_eq!(watch.passes.tracked_count(), 1);
}

#[test]
fn one_that_vanished_is_asked_for_less_and_less_and_given_up_after_a_day() {
    let vanishing = Call { gone_from: 600, ..call("CA01", 100, 10 * DAY) };
    let mut watch = Watch::over(vec![vanishing]);
    watch.run(0, DAY + HOUR);
    let asked: Vec<i64> = watch
        .asked
        .iter()
        .filter(|(_, walk)| matches!(walk.purpose, PassKind::Narrow(_)))
        .map(|(now, _)| *now)
        .collect();
    assert_eq!(asked[..4], [600, 630, 660, 690], "eagerly at first");
    let pauses: Vec<i64> = asked.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(pauses.is_sorted(), "then less and less: {pauses:?}");
    assert_eq!(pauses.last(), Some(&(10 * MINUTE)));
    assert!(asked.len() < 160, "{}", asked.len());
    let [(given_up, name)] = &watch.abandoned[..] else { panic!("{:?}", watch.abandoned) };
    assert_eq!(name, &id("CA01"));
    assert!((600 + DAY..600 + DAY + 15 * MINUTE).contains(given_up), "{given_up}");
    assert_eq!(watch.passes.tracked_count(), 0);
}

#[test]
fn many_that_left_at_once_share_the_requests_that_the_budget_leaves() {
    let calls = (0..40).map(|n| call(&format!("CA{n:02}"), 100 + n * 20, 2000)).collect();
    let mut watch = Watch::over(calls);
    watch.run(0, 1980);
    watch.said();
    watch.tick(2010);
    let narrow = watch.said().into_iter().filter(|line| line.starts_with("narrow")).count();
    assert_eq!(narrow, 5);
    assert_eq!(watch.seen_finished.len(), 40);
}

#[test]
fn each_age_is_read_again_in_steps_of_a_tenth_of_it() {
    let mut watch = Watch::over(steady_calls(-2 * HOUR, 30 * HOUR, 150));
    watch.run(0, 6 * HOUR);
    watch.asked.clear();
    watch.run(6 * HOUR + INTERVAL, 30 * HOUR);
    for (index, age, step) in [(0, 5 * MINUTE, INTERVAL), (1, HOUR, 6 * MINUTE), (2, DAY, 144 * MINUTE)] {
        let mut reached = Vec::new();
        for (now, walk) in &watch.asked {
            let PassKind::Stretch(stretch) = &walk.purpose else { continue };
            for &(_, to) in stretch.rechecks.iter().filter(|(other, _)| *other == index) {
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
fn a_busy_target_costs_one_download_per_conversation_and_one_per_age() {
    let mut watch = Watch::over(steady_calls(0, 50 * HOUR, 97));
    watch.run(0, 50 * HOUR);
    // Those that are old enough to have been through every age, and lie on no seam of two windows more than twice.
    let old = watch.calls.iter().filter(|call| call.end < 24 * HOUR).map(|call| watch.downloads[&call.id]);
    let counts: Vec<u32> = old.collect();
    let sum: u32 = counts.iter().sum();
    let mean = f64::from(sum) / f64::from(u32::try_from(counts.len()).unwrap());
    assert!(counts.iter().all(|&count| (4..=8).contains(&count)), "{counts:?}");
    assert!(mean < 4.3, "{mean}");
    assert!(
        watch.seen_finished.values().all(|&sight| sight == SeenBy::Fresh),
        "nothing is late where all is listed"
    );
}

#[test]
fn an_idle_target_needs_exactly_two_requests_at_every_tick_of_a_day() {
    let mut watch = Watch::over(Vec::new());
    watch.tick(0);
    watch.asked.clear();
    let mut ticks = 0;
    for now in (INTERVAL..=DAY).step_by(usize::try_from(INTERVAL).unwrap()) {
        watch.tick(now);
        let asked = std::mem::take(&mut watch.asked);
        assert_eq!(
            asked.len(),
            2,
            "at {now}: {:?}",
            asked.iter().map(|(_, walk)| line(walk)).collect::<Vec<_>>()
        );
        ticks += 1;
    }
    assert_eq!(ticks, 2880);
    // And every recheck has kept up all the same.
    for mark in watch.passes.marks.unwrap().rechecks {
        let behind = DAY - seconds(mark.read_to);
        let age = i64::try_from(mark.age.as_secs()).unwrap();
        assert!((age..=age + age / 10 + INTERVAL).contains(&behind), "{age}: {behind} behind");
    }
}

#[test]
fn after_an_outage_the_gap_is_read_in_slices_and_not_read_again_by_rechecks_that_it_satisfied() {
    let outage = (2 * HOUR, 8 * HOUR);
    let mut watch = Watch::over(steady_calls(0, 10 * HOUR, 60));
    watch.run(0, outage.0);
    watch.asked.clear();
    watch.tick(outage.1);
    let said = watch.said();
    let fresh: Vec<&String> = said.iter().filter(|line| line.starts_with("fresh")).collect();
    assert!(fresh.len() > 2, "{fresh:?}");
    assert!(fresh[0].starts_with(&format!("fresh {} to", outage.0 - 2)), "{fresh:?}");
    assert_eq!(watch.seen_finished.len(), watch.calls.iter().filter(|call| call.end <= outage.1).count());

    watch.run(outage.1 + INTERVAL, 10 * HOUR);
    // A call from the middle of the outage was older than five minutes and an hour when it was first read.
    let first_reads = watch.downloads[&id(&format!("CA{}", 4 * HOUR))];
    assert_eq!(first_reads, 1, "read once for all ages that it had reached by then");
    // One from shortly before the outage ended was not.
    let young = watch.downloads[&id(&format!("CA{}", outage.1 - 10 * MINUTE))];
    assert_eq!(young, 2, "the fresh pass, which served the age of five minutes, and the age of an hour");
}

#[test]
fn an_outage_teaches_the_overlap_nothing() {
    let mut watch = Watch::over(steady_calls(0, 10 * HOUR, 60));
    watch.run(0, 2 * HOUR);
    watch.run(8 * HOUR, 9 * HOUR);
    assert_eq!(watch.overlap(), 2);
}

#[test]
fn where_running_calls_are_hidden_the_overlap_grows_to_their_length_and_shrinks_when_they_are_listed_again() {
    let length = 4 * MINUTE;
    let hidden = (0..6 * HOUR)
        .step_by(60)
        .map(|start| Call { hidden: true, ..call(&format!("CA{start}"), start, start + length) });
    let listed =
        (6 * HOUR..12 * HOUR).step_by(60).map(|start| call(&format!("CA{start}"), start, start + length));
    let mut watch = Watch::over(hidden.chain(listed).collect());
    watch.run(0, 6 * HOUR);
    let wide = watch.overlap();
    assert!((length..=length * 3 / 2).contains(&wide), "{wide}");
    // Once it is as wide, what is new is found by the fresh pass and nothing is late.
    let late = |watch: &Watch, since: i64| {
        let since = watch.calls.iter().filter(|call| call.start >= since);
        since.filter(|call| watch.seen_finished.get(&call.id) == Some(&SeenBy::Recheck)).count()
    };
    assert_eq!(late(&watch, HOUR), 0);
    watch.run(6 * HOUR + INTERVAL, 12 * HOUR);
    assert_eq!(watch.overlap(), 2);
    assert_eq!(late(&watch, 6 * HOUR), 0);
    assert!(
        watch
            .calls
            .iter()
            .filter(|call| call.end < 11 * HOUR)
            .all(|call| watch.seen_finished.contains_key(&call.id))
    );
}

#[test]
fn a_wide_overlap_is_read_in_steps_of_a_tenth_of_it() {
    let marks = Watermarks {
        overlap: secs(40 * MINUTE),
        fresh: at(-30),
        ..Watermarks::initial(at(-DAY), &policy().ages)
    };
    let resume = PollerCheckpoint { marks: Some(marks), ..PollerCheckpoint::default() };
    let mut watch = Watch::resumed(policy(), Vec::new(), resume);
    watch.run(0, HOUR);
    let whole: Vec<i64> = watch
        .asked
        .iter()
        .filter(|(_, walk)| matches!(&walk.purpose, PassKind::Stretch(stretch) if stretch.whole_overlap))
        .map(|(now, _)| *now)
        .collect();
    let pauses: Vec<i64> = whole.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(pauses.iter().all(|&pause| pause == 4 * MINUTE), "{pauses:?}");
}

#[test]
fn a_slice_that_is_too_large_is_read_in_smaller_ones_down_to_a_second() {
    let mut watch = Watch::over(Vec::new());
    watch.passes.on_server_time(at(0), at(0));
    let (mut tick, _) = watch.passes.on_open_list(&[], at(0));
    let mut lengths = Vec::new();
    loop {
        let walk = watch.passes.next(&mut tick, at(0)).unwrap();
        let PassKind::Stretch(FetchRange { fresh: Some((from, to)), .. }) = walk.purpose else {
            panic!("{walk:?}")
        };
        lengths.push(to.saturating_duration_since(from).as_secs());
        if !watch.passes.too_large(&walk) {
            break;
        }
    }
    assert_eq!(lengths.first(), Some(&900));
    assert_eq!(lengths.last(), Some(&1));
    assert!(lengths.windows(2).all(|pair| pair[1] < pair[0]), "{lengths:?}");
    assert!(lengths.len() < 10, "{lengths:?}");
    // The live list is no slice.
    let live = watch.passes.open_pass(at(0));
    assert!(!watch.passes.too_large(&live));
}

#[test]
fn slices_grow_again_where_little_happens() {
    let mut watch = Watch::over(Vec::new());
    watch.passes.on_server_time(at(0), at(0));
    let (mut tick, _) = watch.passes.on_open_list(&[], at(0));
    let walk = watch.passes.next(&mut tick, at(0)).unwrap();
    assert!(watch.passes.too_large(&walk));
    let length = |watch: &Watch| watch.passes.slices.length(PassId::Fresh);
    let smaller = length(&watch);
    watch.tick(0);
    assert!(length(&watch) > smaller * 2, "{:?} after {smaller:?}", length(&watch));
}

#[test]
fn a_walk_that_failed_moves_nothing_and_is_asked_for_again() {
    let policy = PollPolicy { ages: Vec::new(), ..policy() };
    let mut watch = Watch::resumed(policy, Vec::new(), PollerCheckpoint::default());
    watch.tick(0);
    watch.said();
    let (mut tick, _) = watch.passes.on_open_list(&[], at(30));
    let failed = watch.passes.next(&mut tick, at(30)).unwrap();
    assert_eq!(line(&failed), "fresh -2 to 30");
    // The poll ends here; the next one begins where this one had begun.
    watch.tick(60);
    assert_eq!(watch.said()[0], "fresh -2 to 60");
}

#[test]
fn a_server_that_ignores_the_filter_is_not_asked_for_its_whole_history() {
    let mut watch = Watch::over(Vec::new());
    assert_eq!(watch.passes.open_pass(at(0)).window.from, None);
    let over = |n: i64| call(&format!("OVER{n}"), -10 * DAY + n, -9 * DAY).conversation(0);
    let open = call("CA02", -5 * HOUR, DAY).conversation(0);
    let stuck = call("STUCK", -21 * DAY, DAY).conversation(0);
    watch.passes.on_open_list(&[over(1), over(2), open.clone(), over(3), stuck.clone()], at(0));
    let from = |watch: &Watch, now| watch.passes.open_pass(at(now)).window.from.map(seconds);
    assert_eq!(from(&watch, INTERVAL), Some(-5 * HOUR), "as far back as the oldest open one of the day");
    watch.passes.on_open_list(&[], at(INTERVAL));
    assert_eq!(from(&watch, 2 * INTERVAL), Some(2 * INTERVAL - 2 * HOUR));
    assert_eq!(watch.passes.oldest_open(at(INTERVAL)).unwrap().0, &id("STUCK"), "it is followed by itself");

    // Lists that hold what was asked for, and nothing else, show that it has learned to heed it.
    for n in 0..10 {
        watch.passes.on_open_list(std::slice::from_ref(&open), at((2 + n) * INTERVAL));
        watch.passes.on_open_list(&[], at((2 + n) * INTERVAL));
    }
    assert_eq!(from(&watch, 20 * INTERVAL), None);
}

#[test]
fn one_finished_record_among_open_ones_is_no_sign_that_the_filter_is_ignored() {
    let mut watch = Watch::over(Vec::new());
    let over = call("OVER", -10 * MINUTE, -MINUTE).conversation(0);
    let open = |n: i64| call(&format!("CA{n}"), -n * MINUTE, DAY).conversation(0);
    watch.passes.on_open_list(&[over, open(1), open(2)], at(0));
    assert_eq!(watch.passes.open_pass(at(INTERVAL)).window.from, None);
}

#[test]
fn a_call_that_is_listed_twice_is_no_sign_that_the_filter_is_ignored() {
    let mut watch = Watch::over(Vec::new());
    let open = call("CA01", -5 * HOUR, DAY).conversation(0);
    watch.passes.on_open_list(&[open.clone(), open], at(0));
    assert_eq!(watch.passes.open_pass(at(INTERVAL)).window.from, None);
}

#[test]
fn a_new_age_in_the_settings_does_not_disturb_the_others() {
    let mut watch = Watch::over(steady_calls(0, 4 * HOUR, 60));
    watch.run(0, 2 * HOUR);
    let marks = watch.passes.marks.clone();
    let starts =
        watch.calls.iter().filter(|call| call.start <= 2 * HOUR).map(|call| at(call.start)).collect();
    let resume = PollerCheckpoint { marks, open: watch.passes.open.clone(), starts };
    let more =
        PollPolicy { ages: vec![secs(5 * MINUTE), secs(30 * MINUTE), secs(HOUR), secs(DAY)], ..policy() };
    let mut watch = Watch::resumed(more, watch.calls, resume);
    watch.run(2 * HOUR + INTERVAL, 4 * HOUR);
    let read_to: Vec<i64> =
        watch.passes.marks.unwrap().rechecks.iter().map(|mark| 4 * HOUR - seconds(mark.read_to)).collect();
    for (behind, age) in read_to.iter().zip([5 * MINUTE, 30 * MINUTE, HOUR]) {
        assert!((age..=age + age / 10 + 2 * INTERVAL).contains(behind), "{age}: {behind}");
    }
}
