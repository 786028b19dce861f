//! Catching up: 100,000 conversations of about 8 KB, from an API that answers at once, into a durable state.
//!
//! Measures the release binary as a separate process (wall time until the last one is counted and durable, CPU, peak memory)
//! and, in the same run, the CPU of nothing but a typed, borrowing serde_json parse of the same bytes. Figures are ratios; no
//! time is asserted.
//!
//! `cargo bench --bench catch_up [-- COUNT BYTES]`

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark prints its figures and may panic")]

mod process;

use std::hint::black_box;
use std::net::SocketAddr;
use std::path::Path;

use chrono::TimeDelta;
use polyai_api::wire;
use polyai_domain::clock::Clock;
use polyai_domain::target::Region;
use polyai_simulator::{Project, Simulator, World};
use process::{Exporter, free_port, mega, sum};
use tokio::time::Instant;

type Page<'a> = wire::Page<'a, Vec<wire::Conversation<'a>>>;

fn main() {
    let numbers: Vec<u64> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    let count = numbers.first().copied().unwrap_or(100_000);
    let bytes = usize::try_from(numbers.get(1).copied().unwrap_or(8_000)).unwrap();
    let clock = Clock::system();
    let until = clock.now() - TimeDelta::hours(1);
    let from = until - TimeDelta::hours(24);
    let project = Project::new("bulk", Region::Us1).with_bulk(count, bytes, from, until);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let simulator = runtime.block_on(Simulator::on_loopback(World::new([project]), clock)).unwrap();
    let list = format!("http://{}/us-1/v3/ws-00000001/PROJECT-BULK/conversations", simulator.addr);

    for page_size in [200, 1000] {
        let pages = fetch_all(simulator.addr, &list, page_size);
        let total: usize = pages.iter().map(Vec::len).sum();
        let parse = cpu_of(|| {
            for page in &pages {
                black_box(serde_json::from_slice::<Page<'_>>(page).unwrap());
            }
        });
        drop(pages);
        println!("page_size {page_size}: {count} conversations, {:.0} MB", mega(total as u64));
        println!("  bare parse     {:6.2} s CPU  ({:.0} MB/s)", parse, mega(total as u64) / parse);

        let directory = tempfile::tempdir().unwrap();
        let config = config(directory.path(), simulator.addr, page_size, &from.to_rfc3339());
        let started = Instant::now();
        let mut exporter = Exporter::start(&config);
        let listening = exporter.wait_for(|metrics| !metrics.is_empty());
        exporter.wait_for(|metrics| sum(metrics, "polyai_conversations_total") >= count);
        let wall = started.elapsed();
        let (user, system, peak) = exporter.usage();
        let cpu = user + system;
        exporter.stop();
        println!("  start          {:6.2} s until /metrics answers", listening.as_secs_f64());
        println!(
            "  exporter       {:6.2} s wall, {cpu:.2} s CPU ({system:.2} in the system), {:.1} MB peak RSS",
            wall.as_secs_f64(),
            mega(peak)
        );
        println!("  ratio          {:6.2} x the CPU of the bare parse", cpu / parse);
        let state = std::fs::metadata(directory.path().join("state/state.redb")).unwrap().len();
        println!("  state          {:6.1} MB on disk", mega(state));

        let started = Instant::now();
        let mut again = Exporter::start(&config);
        again.wait_for(|metrics| sum(metrics, "polyai_conversations_total") >= count);
        println!(
            "  restart        {:6.2} s until the same totals are served",
            started.elapsed().as_secs_f64()
        );
        again.stop();
    }
    runtime.block_on(simulator.stop());
}

fn config(directory: &Path, simulator: SocketAddr, page_size: u16, anchor: &str) -> std::path::PathBuf {
    let path = directory.join("exporter.yaml");
    let text = format!(
        "server: {{listen: \"127.0.0.1:{}\"}}\nstorage: {{path: {}}}\n\
         polling: {{interval: 30s, page_size: {page_size}, requests_per_minute: 60000, anchor: \"{anchor}\"}}\n\
         targets:\n  - {{name: bulk, region: us-1, account_id: ws-00000001, project_id: PROJECT-BULK, api_key: demo-key, base_url: \"http://{simulator}/us-1\"}}\n",
        free_port(),
        directory.join("state").display(),
    );
    std::fs::write(&path, text).unwrap();
    path
}

/// Every page of the list, as the exporter would get it.
fn fetch_all(simulator: SocketAddr, list: &str, page_size: u16) -> Vec<Vec<u8>> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = reqwest::Client::new();
        let mut pages = Vec::new();
        let mut cursor = None;
        loop {
            let mut url = format!("{list}?limit={page_size}&include_latency=true&in_progress=false");
            if let Some(cursor) = &cursor {
                url.push_str(&format!("&cursor={cursor}"));
            }
            let answer = client.get(url).header("x-api-key", "demo-key").send().await.unwrap();
            assert!(answer.status().is_success(), "{simulator}: {}", answer.status());
            let body = answer.bytes().await.unwrap().to_vec();
            let page: Page<'_> = serde_json::from_slice(&body).unwrap();
            cursor = page.cursor.map(|cursor| cursor.0.to_string()).filter(|cursor| !cursor.is_empty());
            pages.push(body);
            if cursor.is_none() {
                return pages;
            }
        }
    })
}

/// The CPU seconds that this thread spends on `work`.
fn cpu_of(work: impl FnOnce()) -> f64 {
    let spent = || -> f64 {
        let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
        stat.split_whitespace().next().unwrap().parse::<f64>().unwrap() / 1e9
    };
    let before = spent();
    work();
    spent() - before
}
