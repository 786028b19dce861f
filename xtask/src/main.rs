//! Writes the generated files of the repository, and checks that they are current.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a file that cannot be generated has to stop the task"
)]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command that reports to its user")]

mod chart;
mod dashboards;
mod documents;
mod generate;
mod protobuf;
mod repository;

use std::process::ExitCode;

const USAGE: &str = "\
Usage: cargo xtask generate [--check]

Writes all files that are generated from code. With --check, writes nothing and fails if a file is not current.";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["generate"] => {
            for line in generate::write() {
                println!("{line}");
            }
            ExitCode::SUCCESS
        }
        ["generate", "--check"] => {
            let report = generate::check();
            report.skipped.iter().for_each(|line| println!("{line}"));
            report.outdated.iter().for_each(|line| eprintln!("{line}"));
            if report.outdated.is_empty() {
                println!("all generated files are current");
                ExitCode::SUCCESS
            } else {
                eprintln!("run `cargo xtask generate` to write them");
                ExitCode::FAILURE
            }
        }
        ["help" | "--help" | "-h"] => {
            println!("{USAGE}");
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}
