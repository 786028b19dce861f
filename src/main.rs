//! The `polyai-exporter` command.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
use polyai_exporter::cli::{self, CliError};
use polyai_exporter::{logging, shutdown};
use tokio_util::sync::CancellationToken;

/// Prometheus exporter and monitoring daemon for voice agents on PolyAI.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Least severe log lines to write: error, warn, info, debug, trace.
    #[arg(long = "log.level", value_name = "LEVEL", default_value = "info", global = true, value_parser = logging::LevelFilterSpec::parse)]
    log_level: logging::LevelFilterSpec,
    /// Form of log lines: auto, text, json.
    #[arg(long = "log.format", value_name = "FORMAT", default_value = "auto", global = true)]
    log_format: logging::Format,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon.
    Serve(cli::serve::ServeArgs),
    /// Read the configuration and print every problem; with --live, also ask each target and diagnose the answer.
    Check(cli::check::CheckArgs),
    /// Run the exporter against a built-in simulator (no account needed, no files left behind).
    #[cfg(feature = "demo")]
    Demo(cli::demo::DemoArgs),
    /// Run the simulated Conversations API alone.
    #[cfg(feature = "demo")]
    Simulate(cli::simulate::Simulate),
    /// Print the recording and alert rules for Prometheus, with thresholds of your own.
    Rules(cli::rules::Rules),
    /// Ask the daemon on this machine how it is: exit code 0 if it is well, 1 if not.
    Healthcheck(cli::healthcheck::Healthcheck),
    /// Print what a shell needs to complete commands and flags.
    Completions(cli::completions::Completions),
    /// Print the manual page of a command, or write them all to a folder.
    Man(cli::man::ManArgs),
}

fn main() -> ExitCode {
    let flags = Cli::parse();
    match run(&flags) {
        Ok(code) => code,
        Err(failure) => {
            // Nothing can be done if standard error is closed.
            let _ = writeln!(std::io::stderr(), "polyai-exporter: {failure}");
            ExitCode::from(failure.code)
        }
    }
}

fn run(flags: &Cli) -> Result<ExitCode, CliError> {
    logging::install(flags.log_format, &flags.log_level).map_err(|error| CliError::run_time(&error))?;
    let env = environment();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| CliError::run_time(&format!("cannot start the runtime: {error}")))?;
    let outcome = runtime.block_on(async {
        let stop = stop_on_signals()?;
        match &flags.command {
            Command::Serve(flags) => cli::serve::run(flags, &env, stop).await.map(|()| ExitCode::SUCCESS),
            #[cfg(feature = "demo")]
            Command::Demo(flags) => {
                cli::demo::run(flags, stop, &mut std::io::stdout()).await.map(|()| ExitCode::SUCCESS)
            }
            #[cfg(feature = "demo")]
            Command::Simulate(flags) => cli::simulate::run(flags.clone(), stop, std::io::stdout())
                .await
                .map(|()| ExitCode::SUCCESS)
                .map_err(|error| CliError::run_time(&error)),
            Command::Rules(flags) => cli::rules::run(flags, &mut std::io::stdout(), &mut std::io::stderr())
                .map(|()| ExitCode::SUCCESS),
            Command::Check(flags) => {
                cli::check::run(flags, &env, &mut std::io::stdout()).await.map(ExitCode::from)
            }
            Command::Healthcheck(flags) => {
                cli::healthcheck::run(flags, &env, &mut std::io::stdout()).await.map(|()| ExitCode::SUCCESS)
            }
            Command::Completions(flags) => {
                cli::completions::run(flags, Cli::command(), &mut std::io::stdout())
                    .map(|()| ExitCode::SUCCESS)
            }
            Command::Man(flags) => {
                cli::man::run(flags, Cli::command(), &mut std::io::stdout()).map(|()| ExitCode::SUCCESS)
            }
        }
    });
    // Dropping the runtime would wait for work that nothing can call off: the look-up of a name, a disk that hangs, a password
    // under check. What had to be waited for was, by then nobody listens for a second signal, and a state that is cut off in the
    // middle of a write is whole.
    runtime.shutdown_background();
    outcome
}

/// The environment, read once. A variable that is no text cannot be one of ours.
fn environment() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// A token that the first signal cancels; the second ends the process.
fn stop_on_signals() -> Result<CancellationToken, CliError> {
    let signals = shutdown::Signals::install()
        .map_err(|error| CliError::run_time(&format!("cannot listen for signals: {error}")))?;
    let stop = CancellationToken::new();
    let watched = stop.clone();
    tokio::spawn(async move {
        signals.watch(watched).await;
        std::process::exit(1);
    });
    Ok(stop)
}
