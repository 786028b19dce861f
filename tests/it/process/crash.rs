//! Kills, stops and second instances must not change the totals.
//!
//! `kill -9` ends the process, not the machine: writes that were not yet flushed to disk survive. So these tests cover crashes of the
//! program, not power failures; those are covered by the model test.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::TimeDelta;
use polyai_domain::clock::Clock;
use polyai_simulator::{Fault, FaultKind, Truncation};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::time::{Instant, sleep};

use super::contention::{self, Traffic};
use super::daemon::{BINARY, Daemon, command, run, serve_arguments};
use super::fixture::Fixture;
use super::scrape::Scrape;

const KILLS: usize = 100;
const PATIENCE: Duration = Duration::from_secs(30);
/// Rechecks of the last early calls come a good minute after them.
const QUIESCE: Duration = Duration::from_secs(90);

async fn fixture(seed: u64, before: usize, after: usize, lasting: i64) -> Fixture {
    let traffic = Traffic { now: Clock::system().now(), before, after, lasting };
    Fixture::new(contention::projects(seed, traffic), TimeDelta::minutes(10)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hundred_kills_lose_nothing() {
    let fixture = fixture(7, 1_000, 700, 30).await;
    for kind in [FaultKind::Status(503), FaultKind::Truncated(Truncation::Chunks), FaultKind::Reset] {
        fixture.control().fault(Fault::new(kind).with_probability(0.01));
    }
    let config = fixture.config("polyai.yaml", &fixture.path("state"));
    let mut rng = StdRng::seed_from_u64(7);
    let mut shown = Scrape::default();
    for _ in 0..KILLS {
        let mut daemon = Daemon::serve(&config);
        match rng.random_range(0..10) {
            // Around the commits that follow a poll.
            0..5 => {
                first_request(&fixture).await;
                sleep(Duration::from_millis(rng.random_range(0..60))).await;
            }
            // Anywhere, before it is up included.
            5..8 => sleep(Duration::from_millis(rng.random_range(1..700))).await,
            // After having shown something, by which the next to show something is measured.
            number => {
                daemon.address().await;
                sleep(Duration::from_millis(rng.random_range(0..500))).await;
                let shows = match number {
                    8 => daemon.scrape().await,
                    // However slow the machine, some get as far as a whole poll.
                    _ => daemon.scrape_until(PATIENCE, every_target_is_up).await,
                };
                nothing_fell(&shown, &shows);
                shown = shows;
            }
        }
        daemon.kill().await;
    }
    fixture.control().clear_faults();

    let mut daemon = Daemon::serve(&config);
    let first = daemon.scrape().await;
    nothing_fell(&shown, &first);
    let by_then: f64 = first.named("polyai_conversations_total").map(|(_, value)| value).sum();
    assert!(by_then >= 1_000.0, "only {by_then} conversations were counted between the kills");

    daemon.scrape_until(QUIESCE, |scrape| fixture.compare_totals(scrape)).await;
    sleep(Duration::from_secs(3)).await;
    let survivor = daemon.scrape().await;
    fixture.compare_totals(&survivor).unwrap();
    assert!(survivor.growing().keys().any(|series| series.contains(r#"reason="amended""#)));

    // A daemon that begins now, with the same anchor and no state, arrives at the same numbers, bucket by bucket.
    let mut newcomer = Daemon::serve(&fixture.config("newcomer.yaml", &fixture.path("newcomer")));
    let newcomer = newcomer.scrape_until(QUIESCE, |scrape| fixture.compare_totals(scrape)).await;
    same_history(&survivor, &newcomer);
}

fn every_target_is_up(scrape: &Scrape) -> Result<(), String> {
    match scrape.named("polyai_target_up").find(|(_, up)| *up != 1.0) {
        Some((labels, _)) => Err(format!("{labels:?} is not up")),
        None => Ok(()),
    }
}

/// Waits until the API is asked something that it has not been asked before this call.
async fn first_request(fixture: &Fixture) {
    let asked = || fixture.control().requests().values().map(|traffic| traffic.requests).sum::<u64>();
    let before = asked();
    for _ in 0..5_000 {
        if asked() > before {
            return;
        }
        sleep(Duration::from_millis(1)).await;
    }
    panic!("the daemon asks for nothing");
}

fn nothing_fell(before: &Scrape, after: &Scrape) {
    let after = after.growing();
    for (series, value) in before.growing() {
        let now = after.get(series).copied();
        assert!(now.is_some_and(|now| now >= value), "{series} fell from {value} to {now:?}");
    }
}

/// All that is counted of calls is the same in both; when and how it was noticed is each one's own affair.
fn same_history(one: &Scrape, other: &Scrape) {
    fn of_calls(scrape: &Scrape) -> BTreeMap<&str, f64> {
        let mut growing = scrape.growing();
        let own = ["polyai_ingest_lag_seconds", "polyai_late_conversations", "polyai_amendments"];
        growing.retain(|series, _| !own.iter().any(|own| series.starts_with(own)));
        growing
    }
    let (one, other) = (of_calls(one), of_calls(other));
    assert!(one.len() > 500, "{one:?}");
    assert_eq!(one.keys().collect::<Vec<_>>(), other.keys().collect::<Vec<_>>());
    for (series, value) in one {
        assert!((other[series] - value).abs() <= 1e-6, "{series}: {value} and {}", other[series]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orderly_stop_is_quick_and_loses_nothing() {
    let fixture = fixture(11, 300, 200, 15).await;
    let config = fixture.config("polyai.yaml", &fixture.path("state"));
    let mut shown = Scrape::default();
    for _ in 0..5 {
        let mut daemon = Daemon::serve(&config);
        daemon.address().await;
        sleep(Duration::from_millis(1_500)).await;
        let shows = daemon.scrape().await;
        nothing_fell(&shown, &shows);
        shown = shows;
        let signalled = Instant::now();
        let (status, log) = daemon.terminate().await;
        assert_eq!(status.code(), Some(0), "{log}");
        assert!(signalled.elapsed() < Duration::from_secs(20), "it took {:?}", signalled.elapsed());
        assert!(log.contains("shutdown complete; all counts persisted"), "{log}");
    }
    let mut daemon = Daemon::serve(&config);
    nothing_fell(&shown, &daemon.scrape().await);
    daemon.scrape_until(QUIESCE, |scrape| fixture.compare_totals(scrape)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn second_instance_on_same_state_is_refused() {
    let fixture = fixture(13, 50, 0, 1).await;
    let state = fixture.path("state");
    let config = fixture.config("polyai.yaml", &state);
    let mut first = Daemon::serve(&config);
    first.address().await;

    let mut second = command(BINARY);
    second.args(serve_arguments(&config));
    let refused = run(second).await;
    assert_eq!(refused.code, 1, "{refused:?}");
    let sentence = format!(
        "state file {} is in use by another instance; stop that instance, or give this one its own storage.path",
        state.join("state.redb").display()
    );
    let last: serde_json::Value = serde_json::from_str(refused.stderr.lines().last().unwrap()).unwrap();
    assert_eq!(last["message"], sentence.as_str());

    first.scrape_until(PATIENCE, every_target_is_up).await;
    let (status, log) = first.terminate().await;
    assert_eq!(status.code(), Some(0), "{log}");
    let mut third = Daemon::serve(&config);
    third.address().await;
}
