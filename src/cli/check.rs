//! `check`: prints the configuration and its problems, without secrets.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use exporter_web::LoadedWebConfig;
use polyai_domain::clock::Clock;

use super::{CliError, check_live};
use crate::config::{
    self, Budget, ConfigErrors, ConfigInput, LoadedConfig, Settings, Target, budgets, format_duration,
};
use crate::text::pluralize;

/// The flags of `check`.
#[derive(Debug, Clone, clap::Args)]
pub struct CheckArgs {
    /// Configuration file in YAML, of which JSON is a part. Without it, the environment alone is checked.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The web configuration of the Prometheus exporters, with the certificates that it names. Wins over server.web_config_file.
    #[arg(long = "web.config.file", value_name = "FILE")]
    pub web_config_file: Option<PathBuf>,
    /// Also request one conversation of each target and diagnose the response.
    #[arg(long)]
    pub live: bool,
}

/// Checks the configuration and, with `--live`, the targets. Returns the exit code.
///
/// # Errors
/// If `out` cannot be written.
pub async fn run(
    flags: &CheckArgs,
    env: &BTreeMap<String, String>,
    out: &mut impl Write,
) -> Result<u8, CliError> {
    let web_config_file = flags.web_config_file.as_deref();
    let now = Clock::system().now();
    let file = flags.config.as_deref();
    let outcome = config::load(&ConfigInput { file, env, listen: &[], web_config_file, now });
    let (outcome, web) = with_web(outcome, now);
    if let Some(web) = web {
        writeln!(out, "web         {web}")?;
    }
    let verdict = print_report(&outcome, out)?;
    match outcome {
        Ok(loaded) if flags.live => Ok(u8::from(!check_live::check(&loaded.settings, out).await?)),
        Ok(_) | Err(_) => Ok(verdict.exit_code()),
    }
}

/// Checks the web configuration too, even if the rest is invalid: adds its problems and warnings, and returns its summary.
fn with_web(
    outcome: Result<LoadedConfig, ConfigErrors>,
    now: DateTime<Utc>,
) -> (Result<LoadedConfig, ConfigErrors>, Option<String>) {
    let file = match &outcome {
        Ok(loaded) => loaded.settings.server.web_config_file.as_deref(),
        Err(problems) => problems.web_config_file(),
    };
    let Some(file) = file.map(Path::to_path_buf) else { return (outcome, None) };
    match (outcome, LoadedWebConfig::read(Some(&file), now)) {
        (Ok(mut loaded), Ok(web)) => {
            loaded.warnings.extend_from_slice(web.warnings());
            (Ok(loaded), Some(format!("{}: {}", file.display(), web.summary())))
        }
        (Err(problems), Err(more)) => (Err(problems.merge(more)), None),
        (Ok(_), Err(problems)) | (Err(problems), Ok(_)) => (Err(problems), None),
    }
}

/// The result of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The configuration is valid; there may be warnings.
    Usable,
    /// The configuration is invalid.
    Refused,
}

impl Verdict {
    /// The exit code of the process.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Usable => 0,
            Self::Refused => 2,
        }
    }
}

/// Prints the configuration or its problems, and the verdict on the last line.
///
/// # Errors
/// If `out` cannot be written.
pub fn print_report(
    outcome: &Result<LoadedConfig, ConfigErrors>,
    out: &mut impl Write,
) -> io::Result<Verdict> {
    match outcome {
        Ok(loaded) => {
            settings(&loaded.settings, out)?;
            for warning in &loaded.warnings {
                writeln!(out, "warning: {warning}\n")?;
            }
            let targets = pluralize(loaded.settings.targets.len() as u64, "target");
            let warnings = match loaded.warnings.len() {
                0 => String::new(),
                count => format!(", with {}", pluralize(count as u64, "warning")),
            };
            writeln!(out, "OK: {} from {}{warnings}.", targets, loaded.origin)?;
            Ok(Verdict::Usable)
        }
        Err(problems) => {
            for diagnostic in problems.diagnostics() {
                writeln!(out, "problem: {diagnostic}\n")?;
            }
            let count = pluralize(problems.diagnostics().len() as u64, "problem");
            writeln!(out, "NOT OK: {count}; nothing was started.")?;
            Ok(Verdict::Refused)
        }
    }
}

fn settings(settings: &Settings, out: &mut impl Write) -> io::Result<()> {
    let polling = &settings.polling;
    let ages: Vec<String> = polling.recheck.iter().map(|age| format_duration(*age)).collect();
    let listen: Vec<String> = settings.server.listen.iter().map(ToString::to_string).collect();
    writeln!(out, "listen      {}", listen.join(", "))?;
    writeln!(out, "state       {}", settings.storage)?;
    writeln!(
        out,
        "polling     every {}; a conversation counts once seen finished for {}; {}",
        format_duration(polling.interval),
        format_duration(polling.settle),
        if ages.is_empty() {
            "never read again".to_owned()
        } else {
            format!("read again after {}", ages.join(", "))
        },
    )?;
    writeln!(
        out,
        "allowance   {} requests per minute and API key, {} at once\n",
        polling.requests_per_minute, polling.max_concurrent_requests
    )?;
    for budget in budgets(settings) {
        for target in &budget.targets {
            describe(target, out)?;
        }
        allowance(&budget, settings, out)?;
    }
    Ok(())
}

fn describe(target: &Target, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "target {}", target.key)?;
    writeln!(out, "  account   {}", target.account_id)?;
    writeln!(out, "  project   {}", target.project_id)?;
    writeln!(out, "  API       {} at {}", target.api_version, target.base_url)?;
    writeln!(out, "  API key   from {} (never shown)", target.api_key.origin())?;
    if let Some(file) = &target.ca_file {
        writeln!(out, "  CA file   {}", file.path.display())?;
    }
    writeln!(
        out,
        "  channels  {}",
        if target.channels.is_empty() { "as they come".to_owned() } else { target.channels.join(", ") }
    )
}

fn allowance(budget: &Budget<'_>, settings: &Settings, out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "  budget    {} on this API key: about {:.0} requests per minute when idle, {:.0} when busy, of {}; that \
         carries {:.0}\n",
        pluralize(budget.targets.len() as u64, "target"),
        budget.idle_per_minute,
        budget.busy_per_minute,
        settings.polling.requests_per_minute,
        budget.supported_targets,
    )
}
