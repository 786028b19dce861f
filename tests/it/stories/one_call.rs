//! One call, from its first second to its place in the totals.

use std::time::Duration;

use polyai_exporter::config::Polling;
use polyai_simulator::Turn;

use crate::support::calls::{call, project};
use crate::support::story::{given, wait};
use crate::support::{at, dawn, hours, minutes, seconds};

const CALLS: &str = "polyai_conversations_total";
const OPEN: &str = "polyai_conversations_in_progress";
const OLDEST: &str = "polyai_oldest_in_progress_start_timestamp_seconds";

/// The default settings: as `given`, but with the budget that users have.
fn as_users_have_it(polling: &mut Polling) {
    *polling = Polling::default();
}

#[tokio::test(start_paused = true)]
async fn a_call_is_seen_running_then_finished_then_counted_once() {
    let one = call("CA01", minutes(1)).lasting(100).handoff("billing", "desk").ood(1);
    let story = given([project("hotel").with_calls([one])]).polling(as_users_have_it).begin().await;

    wait(seconds(45)).await;
    let before = story.scrape().await;
    before.says(CALLS, &[("channel", "VOICE-SIP")], 0.0);
    before.says(OPEN, &[], 0.0);
    before.lacks(OLDEST, &[]);
    before.lacks("polyai_recent_handoff_ratio", &[]);
    before.lacks("polyai_last_conversation_timestamp_seconds", &[]);

    wait(seconds(60)).await;
    let during = story.scrape().await;
    during.says(CALLS, &[], 0.0);
    during.says(OPEN, &[("channel", "VOICE-SIP")], 1.0);
    during.says(OLDEST, &[], at(minutes(1)).timestamp() as f64);

    // It ends 160 s after the beginning; settle and two intervals are 70 s.
    wait(seconds(160 + 70 - 105)).await;
    let after = story.scrape().await;
    after.says(CALLS, &[("channel", "VOICE-SIP"), ("project", "hotel"), ("region", "us-1")], 1.0);
    after.says(OPEN, &[], 0.0);
    after.lacks(OLDEST, &[]);
    after.says("polyai_recent_conversations", &[], 1.0);
    after.says("polyai_recent_handoff_ratio", &[], 1.0);
    after.says("polyai_recent_ood_turn_ratio", &[], 0.25);
    let end = at(seconds(160)).timestamp() as f64;
    after.says("polyai_last_conversation_timestamp_seconds", &[], end);
    after.says("polyai_ingest_lag_seconds_bucket", &[("le", "90.0")], 1.0);
    story.agrees("hotel", &after);

    wait(hours(2)).await;
    let later = story.scrape().await;
    later.says(CALLS, &[], 1.0);
    later.says("polyai_late_conversations_total", &[], 0.0);
    later.says("polyai_recent_conversations", &[], 0.0);
    later.lacks("polyai_recent_handoff_ratio", &[]);
    later.says("polyai_amendments_total", &[("direction", "up")], 0.0);
}

#[tokio::test(start_paused = true)]
async fn calls_that_ended_before_the_first_start_do_not_count_and_those_that_ran_across_it_do() {
    let before = call("CA01", Duration::ZERO).starting(dawn() - minutes(10)).lasting(500);
    let across = call("CA02", Duration::ZERO).starting(dawn() - minutes(10)).lasting(660);
    let hours_across = call("CA03", Duration::ZERO).starting(dawn() - hours(9)).lasting(9 * 3600 + 600);
    let hidden = call("CA04", Duration::ZERO)
        .starting(dawn() - hours(9))
        .lasting(9 * 3600 + 900)
        .hidden_while_running();
    let calls = [before, across, hours_across, hidden];
    let story = given([project("hotel").with_calls(calls)]).polling(as_users_have_it).begin().await;
    wait(minutes(20)).await;
    story.scrape().await.says(CALLS, &[], 2.0);
    // The hidden one is found when its start is a day old.
    wait(hours(18)).await;
    let scrape = story.scrape().await;
    scrape.says(CALLS, &[], 3.0);
    scrape.says("polyai_late_conversations_total", &[], 1.0);
    story.agrees("hotel", &scrape);
}

#[tokio::test(start_paused = true)]
async fn the_lookback_of_a_very_first_start_counts_what_ended_within_it() {
    let ago = |id: &str, ended: u64| call(id, Duration::ZERO).starting(dawn() - minutes(ended + 1));
    let calls = [ago("CA01", 5), ago("CA02", 59), ago("CA03", 61), ago("CA04", 600)];
    let lookback = |polling: &mut Polling| {
        *polling = Polling { initial_lookback: hours(1), ..Polling::default() };
    };
    let story = given([project("hotel").with_calls(calls)]).polling(lookback).begin().await;
    wait(minutes(2)).await;
    let scrape = story.scrape().await;
    scrape.says(CALLS, &[], 2.0);
    story.agrees_since(dawn() - hours(1), "hotel", &scrape, &[]);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_runs_again_after_it_was_finished_counts_once_and_whole() {
    let twice = call("CA01", minutes(1)).lasting(60).turns(3);
    // For 15 s it is finished, less than the settle time, and then it runs on.
    let twice = twice.amended(at(seconds(135)), |call| call.lasting(300).turns(8));
    let settle = |polling: &mut Polling| polling.settle = seconds(45);
    let story = given([project("hotel").with_calls([twice])]).polling(settle).begin().await;
    wait(minutes(4)).await;
    story.scrape().await.says(OPEN, &[], 1.0);
    wait(minutes(6)).await;
    let scrape = story.scrape().await;
    scrape.says(CALLS, &[], 1.0);
    scrape.says("polyai_turns_total", &[], 8.0);
    scrape.says("polyai_conversation_duration_seconds_sum", &[], 300.0);
    scrape.says("polyai_amendments_total", &[("direction", "up")], 0.0);
    story.agrees("hotel", &scrape);
}

#[tokio::test(start_paused = true)]
async fn a_change_after_counting_adds_what_is_more_and_takes_nothing_back() {
    let more = call("CA01", minutes(1))
        .turns(4)
        .amended(at(minutes(30)), |call| call.turn(Turn::reply()).handoff("fraud", "desk"));
    let less = call("CA02", minutes(1))
        .handoff("menu", "desk")
        .amended(at(minutes(30)), |call| call.without_handoff().turns(2));
    let story = given([project("hotel").with_calls([more, less])]).begin().await;
    wait(minutes(20)).await;
    let before = story.scrape().await;
    before.says("polyai_handoffs_total", &[], 1.0);
    before.says("polyai_turns_total", &[], 8.0);
    wait(minutes(60)).await;
    let after = story.scrape().await;
    after.says(CALLS, &[], 2.0);
    after.says("polyai_handoffs_total", &[], 2.0);
    after.says("polyai_handoffs_by_reason_total", &[("reason", "fraud"), ("destination", "desk")], 1.0);
    after.says("polyai_handoffs_by_reason_total", &[("reason", "menu")], 1.0);
    after.says("polyai_turns_total", &[], 9.0);
    after.says("polyai_conversation_turns_count", &[], 2.0);
    after.says("polyai_amendments_total", &[("direction", "up")], 1.0);
    after.says("polyai_amendments_total", &[("direction", "down")], 1.0);
}

#[tokio::test(start_paused = true)]
async fn a_call_of_more_than_a_day_is_followed_to_its_end() {
    let long = call("CA01", Duration::ZERO).starting(dawn() - hours(20)).lasting(30 * 3600);
    let every_five = |polling: &mut Polling| polling.interval = minutes(5);
    let story = given([project("hotel").with_calls([long])]).polling(every_five).begin().await;
    wait(hours(3)).await;
    let young = story.scrape().await;
    young.says(OPEN, &[], 1.0);
    assert_eq!(young.problems("hotel"), Vec::<String>::new());
    wait(hours(2)).await;
    assert_eq!(story.scrape().await.problems("hotel"), ["stuck_conversations"]);
    wait(hours(6)).await;
    let ended = story.scrape().await;
    assert_eq!(ended.problems("hotel"), Vec::<String>::new());
    ended.says(CALLS, &[], 1.0);
    ended.says("polyai_late_conversations_total", &[], 0.0);
    story.agrees("hotel", &ended);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_vanishes_is_searched_for_then_given_up_and_named_in_the_log() {
    let lost = call("CA-LOST", minutes(1)).never_ending();
    let brief = |polling: &mut Polling| polling.recheck = vec![minutes(5)];
    let story = given([project("hotel").with_calls([lost])]).polling(brief).begin().await;
    wait(minutes(5)).await;
    story.scrape().await.says(OPEN, &[], 1.0);
    assert!(story.api().remove(&story.target("hotel"), "CA-LOST"));
    wait(minutes(2)).await;
    let gone = story.scrape().await;
    gone.says(OPEN, &[], 0.0);
    gone.says("polyai_exporter_events_total", &[("event", "conversation_missing")], 0.0);
    story.api().forget_requests();
    wait(minutes(90)).await;
    let given_up = story.scrape().await;
    given_up.says("polyai_exporter_events_total", &[("event", "conversation_missing")], 1.0);
    given_up.says(CALLS, &[], 0.0);
    let named: Vec<String> =
        story.log.about("hotel").iter().map(|line| line.field("conversation_id")).collect();
    assert_eq!(named.iter().filter(|id| *id == "CA-LOST").count(), 1, "{named:?}");
    // Two passes an interval for 90 min, and few searches besides.
    let requests = story.api().traffic(&story.target("hotel")).requests;
    assert!((350..=390).contains(&requests), "{requests} requests");
}

#[tokio::test(start_paused = true)]
async fn sixty_channels_fold_into_other_beyond_the_cap() {
    let calls = (0..60).map(|n| call(&format!("CA{n:02}"), minutes(1)).channel(format!("CHANNEL-{n:02}")));
    let story = given([project("hotel").with_calls(calls)]).begin().await;
    wait(minutes(10)).await;
    let scrape = story.scrape().await;
    let channels = scrape.by("channel", CALLS, &[]);
    // VOICE-SIP is known from the first scrape and takes one of the 50 places.
    assert_eq!(channels.len(), 51, "{channels:?}");
    scrape.says(CALLS, &[("channel", "other")], 11.0);
    scrape.says("polyai_label_values_folded_total", &[("label", "channel")], 11.0);
    assert_eq!(scrape.total(CALLS, &[]), 60.0);
    let folded = story.log.about("hotel").iter().filter(|line| line.field("label") == "channel").count();
    assert_eq!(folded, 1, "the log says it once");
}

#[tokio::test(start_paused = true)]
async fn a_telephone_number_never_becomes_a_label() {
    let one = call("CA01", minutes(1)).lasting(60).handoff("asked for +44 20 7946 0958", "tel:+442079460958");
    let story = given([project("hotel").with_calls([one])]).begin().await;
    wait(minutes(5)).await;
    let scrape = story.scrape().await;
    let masked = [("reason", "redacted_phone_number"), ("destination", "redacted_phone_number")];
    scrape.says("polyai_handoffs_by_reason_total", &masked, 1.0);
}
