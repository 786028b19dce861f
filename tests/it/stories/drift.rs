//! Lists that move while their pages are read: where there are offsets only, a call that begins pushes a record from one page
//! to the next, and one that ends pulls a record past the reader.

use polyai_simulator::{Call, Fault, FaultKind, Order, Paging, Quirks};

use crate::support::calls::{call, mixed_calls, project};
use crate::support::story::{Story, given, wait};
use crate::support::{at, hours, minutes, seconds};

/// Lets time pass until the daemon asks for the first page of the live list.
async fn until_the_live_list_is_asked_for(story: &Story) {
    story.api().forget_requests();
    let is_asked = || story.api().request_log().iter().any(|line| line.address.contains("in_progress=true"));
    while !is_asked() {
        wait(seconds(1)).await;
    }
}

fn running(id: &str, start: u64) -> Call {
    call(id, seconds(start)).lasting(4 * 3600)
}

#[tokio::test(start_paused = true)]
async fn a_call_that_begins_between_two_pages_makes_no_other_call_count_twice_as_open() {
    let hotel = project("hotel").with_quirks(|quirks| quirks.paging = Paging::OffsetOnly).with_calls([
        running("CA1", 10),
        running("CA2", 20),
        running("CA3", 30),
    ]);
    let story = given([hotel]).polling(|polling| polling.page_size = 2.try_into().unwrap()).begin().await;
    story.api().fault(FaultKind::SlowFirstByte(seconds(5)));
    wait(minutes(3)).await;
    story.scrape().await.says("polyai_conversations_in_progress", &[], 3.0);

    // The first page is on its way with the two newest calls; of the second one, the older of them is the first now.
    until_the_live_list_is_asked_for(&story).await;
    let begun = Call::new("CA4").starting(story.now()).lasting(4 * 3600);
    assert!(story.api().put(&story.target("hotel"), begun));
    wait(seconds(18)).await;
    story.scrape().await.says("polyai_conversations_in_progress", &[], 3.0);
    wait(minutes(1)).await;
    story.scrape().await.says("polyai_conversations_in_progress", &[], 4.0);

    // It is still asked for all that is open, however long ago it started.
    until_the_live_list_is_asked_for(&story).await;
    let lines = story.api().request_log();
    let live = lines.iter().find(|line| line.address.contains("in_progress=true")).unwrap();
    assert!(!live.address.contains("start_time"), "{}", live.address);
}

#[tokio::test(start_paused = true)]
async fn lists_that_move_while_they_are_read_count_like_those_that_stand_still() {
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
    let story = given(projects)
        .polling(|polling| {
            polling.interval = seconds(60);
            polling.recheck = vec![minutes(5), minutes(20)];
            polling.page_size = 2.try_into().unwrap();
        })
        .begin()
        .await;
    story
        .api()
        .fault(Fault::new(FaultKind::SlowFirstByte(seconds(4))).with_period(at(seconds(0)), at(minutes(30))));
    wait(hours(1)).await;
    let scrape = story.scrape().await;
    for project in story.projects() {
        story.agrees(&project, &scrape);
    }
}
