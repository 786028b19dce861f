//! A small installation: ten targets, one process. How long from its start to its first answer, and how much memory it
//! keeps.
//!
//! `cargo bench --bench idle [-- TARGETS SECONDS]`; exits 1 if one of the two bars is missed.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark prints its figures and may panic")]

mod fleet;
mod process;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use process::{Exporter, get, mega, pause, sum};
use tokio::time::Instant;

/// To the first answer.
const MOST_TIME: Duration = Duration::from_millis(300);
/// Resident bytes with ten targets.
const MOST_MEMORY: u64 = 30_000_000;
/// Starts, of which the first has no state yet.
const STARTS: usize = 10;

fn main() -> ExitCode {
    let numbers: Vec<u64> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    let targets = numbers.first().copied().unwrap_or(10);
    let seconds = numbers.get(1).copied().unwrap_or(90);
    let (runtime, simulator) = fleet::simulate(targets);
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("exporter.yaml");
    std::fs::write(
        &config,
        fleet::configuration(targets, &simulator, directory.path(), "requests_per_minute: 600"),
    )
    .unwrap();

    let mut starts: Vec<Duration> = (0..STARTS).map(|_| start(&config)).collect();
    let first = starts[0];
    starts.sort_unstable();
    let slowest = *starts.last().unwrap();
    println!("start to first answer, {targets} targets, {STARTS} starts");
    println!("  without state  {:6.1} ms", first.as_secs_f64() * 1e3);
    println!("  median         {:6.1} ms", starts[STARTS / 2].as_secs_f64() * 1e3);
    println!(
        "  slowest        {:6.1} ms, of at most {} ms",
        slowest.as_secs_f64() * 1e3,
        MOST_TIME.as_millis()
    );

    let mut exporter = Exporter::start(&config);
    exporter.wait_for(|metrics| sum(metrics, "polyai_target_up{") == targets);
    let until = Instant::now() + Duration::from_secs(seconds);
    let mut largest = 0;
    while Instant::now() < until {
        pause(Duration::from_secs(5));
        get(&exporter.address, "/metrics").unwrap();
        largest = largest.max(resident(exporter.id()));
    }
    let (user, system, peak) = exporter.usage();
    println!("{targets} targets at 30 s for {seconds} s, a scrape every 5 s");
    println!("  resident       {:6.1} MB at most, of at most {:.0} MB", mega(largest), mega(MOST_MEMORY));
    println!("  peak           {:6.1} MB", mega(peak));
    println!("  CPU            {:6.3} s", user + system);
    exporter.stop();
    runtime.block_on(simulator.stop());
    ExitCode::from(u8::from(slowest > MOST_TIME || largest > MOST_MEMORY))
}

/// From the start of the process to its first answer.
fn start(config: &Path) -> Duration {
    let started = Instant::now();
    let exporter = Exporter::start(config);
    while get(&exporter.address, "/-/healthy").is_none() {
        assert!(started.elapsed() < Duration::from_secs(30), "it does not answer");
        pause(Duration::from_millis(1));
    }
    let took = started.elapsed();
    exporter.stop();
    took
}

/// Resident bytes now.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    resident.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}
