//! The cost of a scrape over HTTP: CPU of the server process per answer, and the slowest answers, against other servers that
//! send the same series. One core for the server, the other for the load generator.
//!
//!     scripts/bench-scrape
//!
//! brings the peers with apt and runs this; what is not installed is left out, and said to be. The peers are nginx, which
//! sends the very bytes of our answer from files, and Pushgateway, which is Go's client library behind the usual handler.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a benchmark prints its figures and may panic"
)]

mod fleet;
mod peers;
mod process;

use std::time::Duration;

use peers::{Files, Load, Nginx, Pushgateway, Served, pin};
use process::{Exporter, get, mega, pause, sum};

/// Lines that each target has, about.
const LINES_PER_TARGET: u64 = 110;
/// How long each load lasts.
const SECONDS: u64 = 4;
/// Polls once and then rests, so that nothing but scrapes takes time.
const POLLING: &str = "interval: 1h, recheck: [2h], initial_lookback: 3h, requests_per_minute: 60000, max_concurrent_requests: 64";

/// Polls all the time, so that every scrape finds something new; the CPU of the polls is part of the figures.
const LIVE_POLLING: &str =
    "interval: 30s, recheck: [2h], requests_per_minute: 60000, max_concurrent_requests: 64";

fn main() {
    assert!(peers::is_installed("wrk"), "wrk asks the questions: apt-get install wrk");
    pin(std::process::id(), 0);
    for lines in [1_000, 10_000, 100_000] {
        measure(lines, POLLING);
    }
    println!("\nunder live commits");
    measure(100_000, LIVE_POLLING);
}

fn measure(lines: u64, polling: &str) {
    let targets = lines.div_ceil(LINES_PER_TARGET);
    let (runtime, simulator) = fleet::simulate(targets);
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("exporter.yaml");
    let text = fleet::configuration(targets, &simulator, directory.path(), polling);
    std::fs::write(&config, text).unwrap();
    let mut exporter = Exporter::start(&config);
    // Over `/-/ready`, so that the first scrape is the one that is measured.
    let address = exporter.address.clone();
    exporter.wait_until(|| get(&address, "/-/ready").is_some_and(|answer| answer == "ready\n"));
    pause(Duration::from_secs(2));
    pin(exporter.id(), 1);

    let before = peers::resident(exporter.id());
    let plain = peers::fetch(&exporter.address, None);
    let packed = peers::fetch(&exporter.address, Some("gzip"));
    let text = String::from_utf8(plain.clone()).unwrap();
    let samples = text.lines().filter(|line| !line.starts_with('#')).count();
    exporter.wait_for(|text| sum(text, "polyai_target_up{") == targets);
    println!(
        "\n{samples} series of {targets} targets: {:.2} MB, {:.3} MB in gzip",
        mega(plain.len() as u64),
        mega(packed.len() as u64)
    );

    let nginx =
        [Files::Copied, Files::Lent].map(|files| Nginx::start(directory.path(), files, &plain, &packed));
    let pushgateway = Pushgateway::start(directory.path(), &text);
    for coding in [None, Some("gzip")] {
        println!("  {}", coding.unwrap_or("identity"));
        let ours = Served { name: "polyai-exporter", address: &exporter.address, pid: exporter.id() };
        let mut one = None;
        for connections in [1, 8] {
            let load = Load { connections, seconds: SECONDS, coding };
            let cost = load.on(&ours);
            cost.print();
            for nginx in nginx.iter().flatten() {
                let theirs = load.on(&nginx.served());
                theirs.print();
                cost.compare(&theirs);
            }
            one.get_or_insert(cost);
        }
        let alone = one.unwrap();
        if let Some(pushgateway) = &pushgateway {
            let theirs = Load { connections: 1, seconds: SECONDS, coding }.on(&pushgateway.served());
            theirs.print();
            theirs.compare(&alone);
        }
    }
    println!(
        "  resident before the first scrape {:.1} MB, after all {:.1} MB, at most {:.1} MB",
        mega(before),
        mega(peers::resident(exporter.id())),
        mega(exporter.usage().2)
    );
    drop((nginx, pushgateway));
    exporter.stop();
    runtime.block_on(simulator.stop());
}
