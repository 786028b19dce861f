//! Tests of real processes: the binary with its state on disk, the simulated API, and a real Prometheus.

mod alert_pipeline;
mod api_tls;
mod browser;
mod cli;
mod contention;
mod crash;
mod daemon;
mod deploy;
mod disk;
mod fixture;
mod formats;
mod healthcheck;
mod history;
mod http_server;
mod install_guide;
mod load;
mod log;
mod packaging;
mod prometheus;
mod reload;
mod scrape;
mod stack;
mod stop;
mod web;

/// Reports that a test is skipped, and why.
#[expect(clippy::print_stderr, reason = "a test has no other way to say it")]
fn skip(reason: &str) {
    eprintln!("skipped: {reason}");
}

/// Whether a test has what it needs. If not, it is skipped, or fails in CI.
fn has(found: bool, missing: &str) -> bool {
    #[expect(clippy::disallowed_methods, reason = "the one question to the environment")]
    let is_ci = std::env::var("CI").is_ok_and(|ci| !ci.is_empty());
    assert!(found || !is_ci, "needed in CI: {missing}");
    if !found {
        skip(missing);
    }
    found
}
