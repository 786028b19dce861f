//! The `polyai-exporter` command.

use std::collections::BTreeMap;
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
    /// Log level (error, warn, info, debug, trace).
    #[arg(long = "log.level", value_name = "LEVEL", default_value = "info", global = true, value_parser = logging::LevelFilterSpec::parse)]
    log_level: logging::LevelFilterSpec,
    /// Log format (auto, text, json).
    #[arg(long = "log.format", value_name = "FORMAT", default_value = "auto", global = true)]
    log_format: logging::Format,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon.
    Serve(cli::serve::ServeArgs),
    /// Print the configuration and its problems; with --live, also query each target.
    Check(cli::check::CheckArgs),
    /// Run the exporter against a built-in simulator (no account needed, no files left behind).
    #[cfg(feature = "demo")]
    Demo(cli::demo::DemoArgs),
    /// Run the simulated Conversations API alone.
    #[cfg(feature = "demo")]
    Simulate(cli::simulate::Simulate),
    /// Print Prometheus recording and alerting rules with custom thresholds.
    Rules(cli::rules::Rules),
    /// Query the local daemon's health endpoint; exits 0 if healthy, 1 otherwise.
    Healthcheck(cli::healthcheck::Healthcheck),
    /// Generate shell completions.
    Completions(cli::completions::Completions),
    /// Print the manual page of a command, or write all pages to a directory.
    Man(cli::man::ManArgs),
}

fn main() -> ExitCode {
    let flags = Cli::parse();
    run(&flags).unwrap_or_else(|error| {
        logging::fatal(flags.log_format, &error.message);
        ExitCode::from(error.code)
    })
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
        let out = &mut std::io::stdout();
        match &flags.command {
            Command::Serve(flags) => cli::serve::run(flags, &env, stop).await?,
            Command::Check(flags) => return Ok(cli::check::run(flags, &env, out).await?.into()),
            #[cfg(feature = "demo")]
            Command::Demo(flags) => cli::demo::run(flags, stop, out).await?,
            #[cfg(feature = "demo")]
            Command::Simulate(flags) => cli::simulate::run(flags.clone(), stop, out).await?,
            Command::Rules(flags) => cli::rules::run(flags, out, &mut std::io::stderr())?,
            Command::Healthcheck(flags) => cli::healthcheck::run(flags, &env, out).await?,
            Command::Completions(flags) => cli::completions::run(flags, Cli::command(), out)?,
            Command::Man(flags) => cli::man::run(flags, Cli::command(), out)?,
        }
        Ok(ExitCode::SUCCESS)
    });
    // Dropping the runtime would wait for blocking work that cannot be cancelled: DNS, a hung disk, a password hash. Everything
    // that matters has finished, and an interrupted write leaves the state intact.
    runtime.shutdown_background();
    outcome
}

/// The environment. Variables that are not UTF-8 are none of ours.
fn environment() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// A token that the first signal cancels; the second signal exits.
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
