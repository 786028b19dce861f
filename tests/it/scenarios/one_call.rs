//! Single calls, from their start to the totals.

use std::time::Duration;

use polyai_exporter::config::Polling;
use polyai_simulator::Turn;

use crate::support::calls::{call, project};
use crate::support::scenario::{scenario, wait};
use crate::support::{at, hours, minutes, seconds, start_time};

const CALLS: &str = "polyai_conversations_total";
const OPEN: &str = "polyai_conversations_in_progress";
const OLDEST: &str = "polyai_oldest_in_progress_start_timestamp_seconds";

/// The default settings: as `scenario`, but with the budget that users have.
fn as_users_have_it(polling: &mut Polling) {
    *polling = Polling::default();
}

#[tokio::test(start_paused = true)]
async fn call_is_in_progress_then_counted_once() {
    let one = call("CA01", minutes(1)).lasting(100).handoff("billing", "desk").ood(1);
    let scenario =
        scenario([project("hotel").with_calls([one])]).with_polling(as_users_have_it).start().await;

    wait(seconds(45)).await;
    let before = scenario.scrape().await;
    before.assert_metric(CALLS, &[("channel", "VOICE-SIP")], 0.0);
    before.assert_metric(OPEN, &[], 0.0);
    before.assert_absent(OLDEST, &[]);
    before.assert_absent("polyai_recent_handoff_ratio", &[]);
    before.assert_absent("polyai_last_conversation_timestamp_seconds", &[]);

    wait(seconds(60)).await;
    let during = scenario.scrape().await;
    during.assert_metric(CALLS, &[], 0.0);
    during.assert_metric(OPEN, &[("channel", "VOICE-SIP")], 1.0);
    during.assert_metric(OLDEST, &[], at(minutes(1)).timestamp() as f64);

    // It ends 160 s after the beginning; settle and two intervals are 70 s.
    wait(seconds(160 + 70 - 105)).await;
    let after = scenario.scrape().await;
    after.assert_metric(CALLS, &[("channel", "VOICE-SIP"), ("project", "hotel"), ("region", "us-1")], 1.0);
    after.assert_metric(OPEN, &[], 0.0);
    after.assert_absent(OLDEST, &[]);
    after.assert_metric("polyai_recent_conversations", &[], 1.0);
    after.assert_metric("polyai_recent_handoff_ratio", &[], 1.0);
    after.assert_metric("polyai_recent_ood_turn_ratio", &[], 0.25);
    let end = at(seconds(160)).timestamp() as f64;
    after.assert_metric("polyai_last_conversation_timestamp_seconds", &[], end);
    after.assert_metric("polyai_ingest_lag_seconds_bucket", &[("le", "90.0")], 1.0);
    scenario.assert_totals("hotel", &after);

    wait(hours(2)).await;
    let later = scenario.scrape().await;
    later.assert_metric(CALLS, &[], 1.0);
    later.assert_metric("polyai_late_conversations_total", &[], 0.0);
    later.assert_metric("polyai_recent_conversations", &[], 0.0);
    later.assert_absent("polyai_recent_handoff_ratio", &[]);
    later.assert_metric("polyai_amendments_total", &[("direction", "up")], 0.0);
}

#[tokio::test(start_paused = true)]
async fn only_calls_ended_after_first_start_count() {
    let before = call("CA01", Duration::ZERO).starting(start_time() - minutes(10)).lasting(500);
    let across = call("CA02", Duration::ZERO).starting(start_time() - minutes(10)).lasting(660);
    let hours_across = call("CA03", Duration::ZERO).starting(start_time() - hours(9)).lasting(9 * 3600 + 600);
    let hidden = call("CA04", Duration::ZERO)
        .starting(start_time() - hours(9))
        .lasting(9 * 3600 + 900)
        .hidden_while_running();
    let calls = [before, across, hours_across, hidden];
    let scenario =
        scenario([project("hotel").with_calls(calls)]).with_polling(as_users_have_it).start().await;
    wait(minutes(20)).await;
    scenario.scrape().await.assert_metric(CALLS, &[], 2.0);
    // The hidden one is found when its start is a day old.
    wait(hours(18)).await;
    let scrape = scenario.scrape().await;
    scrape.assert_metric(CALLS, &[], 3.0);
    scrape.assert_metric("polyai_late_conversations_total", &[], 1.0);
    scenario.assert_totals("hotel", &scrape);
}

#[tokio::test(start_paused = true)]
async fn lookback_counts_calls_before_first_start() {
    let ago = |id: &str, ended: u64| call(id, Duration::ZERO).starting(start_time() - minutes(ended + 1));
    let calls = [ago("CA01", 5), ago("CA02", 59), ago("CA03", 61), ago("CA04", 600)];
    let lookback = |polling: &mut Polling| {
        *polling = Polling { initial_lookback: hours(1), ..Polling::default() };
    };
    let scenario = scenario([project("hotel").with_calls(calls)]).with_polling(lookback).start().await;
    wait(minutes(2)).await;
    let scrape = scenario.scrape().await;
    scrape.assert_metric(CALLS, &[], 2.0);
    scenario.assert_totals_since(start_time() - hours(1), "hotel", &scrape, &[]);
}

#[tokio::test(start_paused = true)]
async fn reopened_call_counts_once_with_final_values() {
    let twice = call("CA01", minutes(1)).lasting(60).turns(3);
    // For 15 s it is finished, less than the settle time, and then it runs on.
    let twice = twice.amended(at(seconds(135)), |call| call.lasting(300).turns(8));
    let settle = |polling: &mut Polling| polling.settle = seconds(45);
    let scenario = scenario([project("hotel").with_calls([twice])]).with_polling(settle).start().await;
    wait(minutes(4)).await;
    scenario.scrape().await.assert_metric(OPEN, &[], 1.0);
    wait(minutes(6)).await;
    let scrape = scenario.scrape().await;
    scrape.assert_metric(CALLS, &[], 1.0);
    scrape.assert_metric("polyai_turns_total", &[], 8.0);
    scrape.assert_metric("polyai_conversation_duration_seconds_sum", &[], 300.0);
    scrape.assert_metric("polyai_amendments_total", &[("direction", "up")], 0.0);
    scenario.assert_totals("hotel", &scrape);
}

#[tokio::test(start_paused = true)]
async fn amendment_adds_only_increases() {
    let more = call("CA01", minutes(1))
        .turns(4)
        .amended(at(minutes(30)), |call| call.turn(Turn::reply()).handoff("fraud", "desk"));
    let less = call("CA02", minutes(1))
        .handoff("menu", "desk")
        .amended(at(minutes(30)), |call| call.without_handoff().turns(2));
    let scenario = scenario([project("hotel").with_calls([more, less])]).start().await;
    wait(minutes(20)).await;
    let before = scenario.scrape().await;
    before.assert_metric("polyai_handoffs_total", &[], 1.0);
    before.assert_metric("polyai_turns_total", &[], 8.0);
    wait(minutes(60)).await;
    let after = scenario.scrape().await;
    after.assert_metric(CALLS, &[], 2.0);
    after.assert_metric("polyai_handoffs_total", &[], 2.0);
    after.assert_metric(
        "polyai_handoffs_by_reason_total",
        &[("reason", "fraud"), ("destination", "desk")],
        1.0,
    );
    after.assert_metric("polyai_handoffs_by_reason_total", &[("reason", "menu")], 1.0);
    after.assert_metric("polyai_turns_total", &[], 9.0);
    after.assert_metric("polyai_conversation_turns_count", &[], 2.0);
    after.assert_metric("polyai_amendments_total", &[("direction", "up")], 1.0);
    after.assert_metric("polyai_amendments_total", &[("direction", "down")], 1.0);
}

#[tokio::test(start_paused = true)]
async fn call_of_more_than_a_day_is_counted() {
    let long = call("CA01", Duration::ZERO).starting(start_time() - hours(20)).lasting(30 * 3600);
    let every_five = |polling: &mut Polling| polling.interval = minutes(5);
    let scenario = scenario([project("hotel").with_calls([long])]).with_polling(every_five).start().await;
    wait(hours(3)).await;
    let young = scenario.scrape().await;
    young.assert_metric(OPEN, &[], 1.0);
    assert_eq!(young.problems("hotel"), Vec::<String>::new());
    wait(hours(2)).await;
    assert_eq!(scenario.scrape().await.problems("hotel"), ["stuck_conversations"]);
    wait(hours(6)).await;
    let ended = scenario.scrape().await;
    assert_eq!(ended.problems("hotel"), Vec::<String>::new());
    ended.assert_metric(CALLS, &[], 1.0);
    ended.assert_metric("polyai_late_conversations_total", &[], 0.0);
    scenario.assert_totals("hotel", &ended);
}

#[tokio::test(start_paused = true)]
async fn vanished_call_is_abandoned_and_logged() {
    let lost = call("CA-LOST", minutes(1)).never_ending();
    let brief = |polling: &mut Polling| polling.recheck = vec![minutes(5)];
    let scenario = scenario([project("hotel").with_calls([lost])]).with_polling(brief).start().await;
    wait(minutes(5)).await;
    scenario.scrape().await.assert_metric(OPEN, &[], 1.0);
    assert!(scenario.api().remove(&scenario.target("hotel"), "CA-LOST"));
    wait(minutes(2)).await;
    let gone = scenario.scrape().await;
    gone.assert_metric(OPEN, &[], 0.0);
    gone.assert_metric("polyai_exporter_events_total", &[("event", "conversation_missing")], 0.0);
    scenario.api().forget_requests();
    wait(minutes(90)).await;
    let given_up = scenario.scrape().await;
    given_up.assert_metric("polyai_exporter_events_total", &[("event", "conversation_missing")], 1.0);
    given_up.assert_metric(CALLS, &[], 0.0);
    let named: Vec<String> =
        scenario.log.about("hotel").iter().map(|line| line.field("conversation_id")).collect();
    assert_eq!(named.iter().filter(|id| *id == "CA-LOST").count(), 1, "{named:?}");
    // Two passes an interval for 90 min, and a few searches.
    let requests = scenario.api().traffic(&scenario.target("hotel")).requests;
    assert!((350..=390).contains(&requests), "{requests} requests");
}

#[tokio::test(start_paused = true)]
async fn channels_over_label_limit_become_other() {
    let calls = (0..60).map(|n| call(&format!("CA{n:02}"), minutes(1)).channel(format!("CHANNEL-{n:02}")));
    let scenario = scenario([project("hotel").with_calls(calls)]).start().await;
    wait(minutes(10)).await;
    let scrape = scenario.scrape().await;
    let channels = scrape.by("channel", CALLS, &[]);
    // VOICE-SIP is known from the first scrape and takes one of the 50 places.
    assert_eq!(channels.len(), 51, "{channels:?}");
    scrape.assert_metric(CALLS, &[("channel", "other")], 11.0);
    scrape.assert_metric("polyai_label_values_folded_total", &[("label", "channel")], 11.0);
    assert_eq!(scrape.total(CALLS, &[]), 60.0);
    let folded = scenario.log.about("hotel").iter().filter(|line| line.field("label") == "channel").count();
    assert_eq!(folded, 1, "the log says it once");
}

#[tokio::test(start_paused = true)]
async fn phone_number_in_label_is_redacted() {
    let one = call("CA01", minutes(1)).lasting(60).handoff("asked for +44 20 7946 0958", "tel:+442079460958");
    let scenario = scenario([project("hotel").with_calls([one])]).start().await;
    wait(minutes(5)).await;
    let scrape = scenario.scrape().await;
    let masked = [("reason", "redacted_phone_number"), ("destination", "redacted_phone_number")];
    scrape.assert_metric("polyai_handoffs_by_reason_total", &masked, 1.0);
}
