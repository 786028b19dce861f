//! Stories of real processes: the built binary with its state on disk, the simulated API, and a real Prometheus.

mod busy;
mod chain;
mod cli;
mod crash;
mod daemon;
mod deploy;
mod disk;
mod history;
mod prometheus;
mod scene;
mod scrape;
mod stack;
mod web;

/// Says that a story is left out, and why; `tests/run` and the reader of its output should know.
#[expect(clippy::print_stderr, reason = "a test has no other way to say it")]
fn leave_out(reason: &str) {
    eprintln!("left out: {reason}");
}
