//! A failing target does not affect others.

use std::time::Duration;

use polyai_domain::clock::Clock;
use polyai_exporter::app::{App, ShutdownOutcome};
use polyai_exporter::config::Polling;
use polyai_simulator::{Fault, FaultKind, RetryAfter};

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::support::calls::{mixed_calls, project};
use crate::support::scenario::{scenario, wait};
use crate::support::{minutes, seconds};

#[tokio::test(start_paused = true)]
async fn failing_target_does_not_affect_others() {
    let calls = mixed_calls(seconds(40), minutes(30), seconds(28));
    let names = ["healthy", "broken", "slow", "limited"];
    let scenario = scenario(names.map(|name| project(name).with_calls(calls.iter().cloned())))
        .with_polling(|polling| {
            polling.recheck = vec![minutes(5), minutes(20)];
            polling.requests_per_minute = 30.try_into().unwrap();
            polling.max_concurrent_requests = 4.try_into().unwrap();
        })
        .start()
        .await;
    scenario.api().fault(Fault::new(FaultKind::Status(500)).with_scope("broken"));
    let pieces = FaultKind::SlowBody { pieces: 6, pause: seconds(5) };
    scenario.api().fault(Fault::new(pieces).with_scope("slow"));
    scenario.api().limit_key("key-of-limited", 1, RetryAfter::Seconds(600));
    for minute in 1..=29 {
        wait(minutes(1)).await;
        let scrape = scenario.scrape().await;
        let healthy = [("project", "healthy")];
        scrape.assert_metric("polyai_target_up", &healthy, 1.0);
        let age = scenario.now().timestamp() as f64
            - scrape.value("polyai_target_last_success_timestamp_seconds", &healthy);
        assert!(age <= 31.0, "after {minute} min the last success is {age} s old");
    }
    let during = scenario.scrape().await;
    during.assert_metric("polyai_target_up", &[("project", "broken")], 0.0);
    assert_eq!(during.problems("slow"), Vec::<String>::new(), "a slow body is not a wrong clock");
    // 29 min are 58 ticks, each of which lists what is open once.
    let ticks = scenario.api().traffic(&scenario.target("healthy")).running_pass;
    assert!((57..=60).contains(&ticks), "{ticks} polls");
    wait(minutes(30)).await;
    let scrape = scenario.scrape().await;
    scenario.assert_totals("healthy", &scrape);
    assert_eq!(scrape.problems("healthy"), Vec::<String>::new());

    scenario.api().clear_faults();
    scenario.api().restore_key("key-of-limited");
    wait(minutes(60)).await;
    let scrape = scenario.scrape().await;
    for name in names {
        scenario.assert_totals(name, &scrape);
    }
}

#[tokio::test(start_paused = true)]
async fn panicked_poller_restarts_each_minute() {
    // No configuration brings such an interval here; a poller with it cannot say when its second tick is due, and panics.
    let absurd = |polling: &mut Polling| polling.interval = Duration::MAX;
    let scenario = scenario([project("hotel")]).with_polling(absurd).start().await;
    wait(seconds(5)).await;
    let scrape = scenario.scrape().await;
    assert_eq!(scrape.problems("hotel"), ["internal_error"]);
    let panicked = [("event", "poller_panicked")];
    scrape.assert_metric("polyai_exporter_events_total", &panicked, 1.0);
    wait(minutes(2)).await;
    scenario.scrape().await.assert_metric("polyai_exporter_events_total", &panicked, 3.0);
}

#[tokio::test(start_paused = true)]
async fn daemon_exits_when_http_server_fails() {
    let mut scenario = scenario([project("hotel")]);
    // A server without an address has nothing to wait for: it ends at once, as one that fell does.
    scenario.settings_mut().server.listen = Vec::new();
    let settings = scenario.settings_mut().clone();
    let app = App::build(&settings, Clock::system()).await.unwrap();
    let ended = timeout(minutes(1), app.run(CancellationToken::new())).await;
    assert_eq!(ended.expect("it does not poll on"), ShutdownOutcome::Cut);
}
