//! Lists that change while their pages are read.
//!
//! With offsets only, a call that starts moves a record from one page to the next, and a call that ends moves a record to a page that was
//! already read.

use polyai_simulator::{Call, Fault, FaultKind, Order, Paging, Quirks};

use crate::support::calls::{call, mixed_calls, project};
use crate::support::scenario::{Scenario, scenario, wait};
use crate::support::{at, hours, minutes, seconds};

/// Lets time pass until the daemon asks for the first page of the live list.
async fn until_the_live_list_is_requested(scenario: &Scenario) {
    scenario.api().forget_requests();
    let is_asked =
        || scenario.api().request_log().iter().any(|line| line.address.contains("in_progress=true"));
    while !is_asked() {
        wait(seconds(1)).await;
    }
}

fn running(id: &str, start: u64) -> Call {
    call(id, seconds(start)).lasting(4 * 3600)
}

#[tokio::test(start_paused = true)]
async fn call_started_between_pages_duplicates_no_open_call() {
    let hotel = project("hotel").with_quirks(|quirks| quirks.paging = Paging::OffsetOnly).with_calls([
        running("CA1", 10),
        running("CA2", 20),
        running("CA3", 30),
    ]);
    let scenario =
        scenario([hotel]).with_polling(|polling| polling.page_size = 2.try_into().unwrap()).start().await;
    scenario.api().fault(FaultKind::SlowFirstByte(seconds(5)));
    wait(minutes(3)).await;
    scenario.scrape().await.assert_metric("polyai_conversations_in_progress", &[], 3.0);

    // The first page is on its way with the two newest calls; of the second one, the older of them is the first now.
    until_the_live_list_is_requested(&scenario).await;
    let begun = Call::new("CA4").starting(scenario.now()).lasting(4 * 3600);
    assert!(scenario.api().put(&scenario.target("hotel"), begun));
    wait(seconds(18)).await;
    scenario.scrape().await.assert_metric("polyai_conversations_in_progress", &[], 3.0);
    wait(minutes(1)).await;
    scenario.scrape().await.assert_metric("polyai_conversations_in_progress", &[], 4.0);

    // All open calls are still requested, however long ago they started.
    until_the_live_list_is_requested(&scenario).await;
    let lines = scenario.api().request_log();
    let live = lines.iter().find(|line| line.address.contains("in_progress=true")).unwrap();
    assert!(!live.address.contains("start_time"), "{}", live.address);
}

#[tokio::test(start_paused = true)]
async fn list_that_shifts_between_pages_counts_exactly() {
    type Dialect = (&'static str, fn(&mut Quirks));
    let dialects: [Dialect; 5] = [
        ("newest-first", |quirks| quirks.order = Order::Descending),
        ("oldest-first", |quirks| quirks.order = Order::Ascending),
        ("in-no-order", |quirks| quirks.order = Order::Shuffled),
        ("running-hidden", |quirks| quirks.hides_running = true),
        ("filter-ignored", |quirks| quirks.ignores_in_progress = true),
    ];
    let calls = mixed_calls(seconds(40), minutes(14), seconds(28));
    let projects = dialects.map(|(name, change)| {
        let offsets_only = project(name).with_quirks(|quirks| quirks.paging = Paging::OffsetOnly);
        offsets_only.with_quirks(change).with_calls(calls.iter().cloned())
    });
    let scenario = scenario(projects)
        .with_polling(|polling| {
            polling.interval = seconds(60);
            polling.recheck = vec![minutes(5), minutes(20)];
            polling.page_size = 2.try_into().unwrap();
        })
        .start()
        .await;
    scenario
        .api()
        .fault(Fault::new(FaultKind::SlowFirstByte(seconds(4))).with_period(at(seconds(0)), at(minutes(30))));
    wait(hours(1)).await;
    let scrape = scenario.scrape().await;
    for project in scenario.projects() {
        scenario.assert_totals(&project, &scrape);
    }
}
