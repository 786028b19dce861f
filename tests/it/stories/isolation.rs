//! One target's failure is nobody else's.

use std::time::Duration;

use polyai_exporter::app::{App, ShutdownOutcome};
use polyai_exporter::clock::Clock;
use polyai_exporter::config::Polling;
use polyai_simulator::{Fault, FaultKind, RetryAfter};

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::support::calls::{mixed_calls, project};
use crate::support::story::{given, wait};
use crate::support::{minutes, seconds};

#[tokio::test(start_paused = true)]
async fn a_failing_target_changes_nothing_for_another() {
    let calls = mixed_calls(seconds(40), minutes(30), seconds(28));
    let names = ["healthy", "broken", "slow", "limited"];
    let story = given(names.map(|name| project(name).with_calls(calls.iter().cloned())))
        .polling(|polling| {
            polling.recheck = vec![minutes(5), minutes(20)];
            polling.requests_per_minute = 30.try_into().unwrap();
            polling.max_concurrent_requests = 4.try_into().unwrap();
        })
        .begin()
        .await;
    story.api().fault(Fault::new(FaultKind::Status(500)).with_scope("broken"));
    let pieces = FaultKind::SlowBody { pieces: 6, pause: seconds(5) };
    story.api().fault(Fault::new(pieces).with_scope("slow"));
    story.api().limit_key("key-of-limited", 1, RetryAfter::Seconds(600));
    for minute in 1..=29 {
        wait(minutes(1)).await;
        let scrape = story.scrape().await;
        let healthy = [("project", "healthy")];
        scrape.says("polyai_target_up", &healthy, 1.0);
        let age = story.now().timestamp() as f64
            - scrape.value("polyai_target_last_success_timestamp_seconds", &healthy);
        assert!(age <= 31.0, "after {minute} min the last success is {age} s old");
    }
    let during = story.scrape().await;
    during.says("polyai_target_up", &[("project", "broken")], 0.0);
    assert_eq!(during.problems("slow"), Vec::<String>::new(), "a slow body is not a wrong clock");
    // 29 min are 58 ticks, each of which lists what is open once.
    let ticks = story.api().traffic(&story.target("healthy")).running_pass;
    assert!((57..=60).contains(&ticks), "{ticks} polls");
    wait(minutes(30)).await;
    let scrape = story.scrape().await;
    story.agrees("healthy", &scrape);
    assert_eq!(scrape.problems("healthy"), Vec::<String>::new());

    story.api().clear_faults();
    story.api().restore_key("key-of-limited");
    wait(minutes(60)).await;
    let scrape = story.scrape().await;
    for name in names {
        story.agrees(name, &scrape);
    }
}

#[tokio::test(start_paused = true)]
async fn a_target_at_which_the_exporter_itself_fails_begins_anew_each_minute() {
    // No configuration brings such an interval here; a poller with it cannot say when its second tick is due, and panics.
    let absurd = |polling: &mut Polling| polling.interval = Duration::MAX;
    let story = given([project("hotel")]).polling(absurd).begin().await;
    wait(seconds(5)).await;
    let scrape = story.scrape().await;
    assert_eq!(scrape.problems("hotel"), ["internal_error"]);
    let panicked = [("event", "poller_panicked")];
    scrape.says("polyai_exporter_events_total", &panicked, 1.0);
    wait(minutes(2)).await;
    story.scrape().await.says("polyai_exporter_events_total", &panicked, 3.0);
}

#[tokio::test(start_paused = true)]
async fn a_daemon_that_nobody_can_ask_any_more_ends_so_that_it_is_started_anew() {
    let mut given = given([project("hotel")]);
    // A server without an address has nothing to wait for: it ends at once, as one that fell does.
    given.settings_mut().server.listen = Vec::new();
    let settings = given.settings_mut().clone();
    let app = App::build(&settings, Clock::system()).await.unwrap();
    let ended = timeout(minutes(1), app.run(CancellationToken::new())).await;
    assert_eq!(ended.expect("it does not poll on"), ShutdownOutcome::Cut);
}
