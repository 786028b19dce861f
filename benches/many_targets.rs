//! 100, 1,000 and 5,000 targets at 30 s, scraped every 15 s: CPU per API request and memory of the release binary in steady
//! state, and how long a start with 200,000 remembered conversations takes.
//!
//! `cargo bench --bench many_targets [-- TARGETS SECONDS]` measures one number of targets.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark prints its figures and may panic")]

mod fleet;
mod process;

use std::time::Duration;

use chrono::TimeDelta;
use polyai_domain::clock::Clock;
use polyai_domain::target::Region;
use polyai_simulator::{Project, Simulator, World};
use process::{Exporter, free_port, get, mega, pause, sum};
use tokio::time::Instant;

fn main() {
    let numbers: Vec<u64> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    let seconds = numbers.get(1).copied().unwrap_or(90);
    match numbers.first() {
        Some(&targets) => steady_state(targets, seconds),
        None => [100, 1000, 5000].into_iter().for_each(|targets| steady_state(targets, seconds)),
    }
    start_with_rows(200_000);
}

fn steady_state(targets: u64, seconds: u64) {
    let (runtime, simulator) = fleet::simulate(targets);
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("exporter.yaml");
    let polling = "interval: 30s, requests_per_minute: 60000, max_concurrent_requests: 64";
    let text = fleet::configuration(targets, &simulator, directory.path(), polling);
    std::fs::write(&config, text).unwrap();
    let mut exporter = Exporter::start(&config);
    exporter.wait_for(|metrics| sum(metrics, "polyai_target_up{") == targets);
    pause(Duration::from_secs(35));
    let (user_before, system_before, _) = exporter.usage();
    let requests_before =
        sum(&get(&exporter.address, "/metrics").unwrap(), "polyai_exporter_api_requests_total");
    let started = Instant::now();
    let mut scrapes = 0;
    while started.elapsed() < Duration::from_secs(seconds) {
        pause(Duration::from_secs(15));
        get(&exporter.address, "/metrics").unwrap();
        scrapes += 1;
    }
    let (user, system, peak) = exporter.usage();
    let elapsed = started.elapsed().as_secs_f64();
    let metrics = get(&exporter.address, "/metrics").unwrap();
    let requests = sum(&metrics, "polyai_exporter_api_requests_total") - requests_before;
    println!("{targets} targets at 30 s, {scrapes} scrapes in {elapsed:.0} s");
    let cpu = user + system - user_before - system_before;
    println!(
        "  CPU            {:6.3} cores, {:.3} ms per request",
        cpu / elapsed,
        per_request(cpu, requests)
    );
    println!("  peak RSS       {:6.1} MB", mega(peak));
    println!("  scrape         {:6.1} MB, {} lines", mega(metrics.len() as u64), metrics.lines().count());
    println!(
        "  requests       {requests} ({:.2} per target and interval)",
        ratio(requests, targets, elapsed)
    );
    println!("  polls skipped  {}", sum(&metrics, "polyai_exporter_polls_skipped_total"));
    exporter.stop();
    runtime.block_on(simulator.stop());
}

/// Milliseconds.
#[expect(clippy::cast_precision_loss, reason = "for people")]
fn per_request(seconds: f64, requests: u64) -> f64 {
    seconds * 1000.0 / requests as f64
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn ratio(requests: u64, targets: u64, seconds: f64) -> f64 {
    requests as f64 / targets as f64 / (seconds / 30.0)
}

fn start_with_rows(rows: u64) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let clock = Clock::system();
    let until = clock.now() - TimeDelta::hours(1);
    let from = until - TimeDelta::hours(20);
    let project = Project::new("bulk", Region::Us1).with_bulk(rows, 2_000, from, until);
    let simulator = runtime.block_on(Simulator::on_loopback(World::new([project]), clock)).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("exporter.yaml");
    let text = format!(
        "server: {{listen: \"127.0.0.1:{}\"}}\nstorage: {{path: {}}}\n\
         polling: {{requests_per_minute: 60000, page_size: 1000, anchor: \"{}\"}}\n\
         targets:\n  - {{name: bulk, region: us-1, account_id: ws-00000001, project_id: PROJECT-BULK, api_key: demo-key, base_url: \"http://{}/us-1\"}}\n",
        free_port(),
        directory.path().join("state").display(),
        from.to_rfc3339(),
        simulator.addr,
    );
    std::fs::write(&config, text).unwrap();
    let mut exporter = Exporter::start(&config);
    exporter.wait_for(|metrics| sum(metrics, "polyai_conversations_total") >= rows);
    exporter.stop();
    let started = Instant::now();
    let mut again = Exporter::start(&config);
    again.wait_for(|metrics| sum(metrics, "polyai_conversations_total") >= rows);
    let served = started.elapsed();
    let address = again.address.clone();
    again.wait_for(|_| get(&address, "/-/ready").is_some_and(|answer| answer == "ready\n"));
    println!(
        "start with {rows} remembered conversations: {:.2} s to /metrics, {:.2} s to ready",
        served.as_secs_f64(),
        started.elapsed().as_secs_f64()
    );
    again.stop();
    runtime.block_on(simulator.stop());
}
