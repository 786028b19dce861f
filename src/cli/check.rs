//! `check`: what the configuration says, in words, and whether it can be used.
//!
//! Owns: the printed form of settings, warnings and problems. Never: a connection, and never a secret.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};

use super::{CliError, check_live};
use crate::clock::Clock;
use crate::config::{
    self, Budget, ConfigErrors, ConfigInput, LoadedConfig, Settings, Storage, Target, budgets,
    format_duration,
};
use crate::web::LoadedWebConfig;

/// The flags of `check`.
#[derive(Debug, Clone, clap::Args)]
pub struct CheckArgs {
    /// Configuration file: YAML, or TOML or JSON by extension. Without it, the environment alone is checked.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The web configuration of the Prometheus exporters, with the certificates that it names. Wins over server.web_config_file.
    #[arg(long = "web.config.file", value_name = "FILE")]
    pub web_config_file: Option<PathBuf>,
    /// Also ask each target for one conversation, and say in words what the answer means.
    #[arg(long)]
    pub live: bool,
}

/// Checks the configuration and, if asked to, the targets; answers the exit code: 0 only if all is well.
///
/// # Errors
/// When `out` cannot be written.
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
        writeln!(out, "web         {web}").map_err(|error| CliError::run_time(&error))?;
    }
    let verdict = print_report(&outcome, out).map_err(|error| CliError::run_time(&error))?;
    match (outcome, flags.live) {
        (Ok(loaded), true) => {
            let all_well = check_live::check(&loaded.settings, out).await?;
            Ok(u8::from(!all_well))
        }
        (Ok(_) | Err(_), _) => Ok(verdict.exit_code()),
    }
}

/// Checks the web configuration as well, if there is one, whatever is wrong with the rest: its problems and warnings join those of
/// the configuration. What it amounts to comes beside them, in words.
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
        (Ok(mut loaded), Ok(prepared)) => {
            loaded.warnings.extend_from_slice(prepared.warnings());
            (Ok(loaded), Some(format!("{}: {}", file.display(), prepared.summary())))
        }
        (Err(problems), Err(more)) => (Err(problems.merge(more)), None),
        (Ok(_), Err(problems)) | (Err(problems), Ok(_)) => (Err(problems), None),
    }
}

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It can be used; there may be warnings.
    Usable,
    /// It cannot be used.
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

/// Prints what was loaded, or all that is wrong, and ends with the verdict in one line.
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
            let targets = pluralize(loaded.settings.targets.len(), "target");
            let warnings = match loaded.warnings.len() {
                0 => String::new(),
                count => format!(", with {}", pluralize(count, "warning")),
            };
            writeln!(out, "OK: {} from {}{warnings}.", targets, loaded.origin)?;
            Ok(Verdict::Usable)
        }
        Err(problems) => {
            for complaint in problems.diagnostics() {
                writeln!(out, "problem: {complaint}\n")?;
            }
            let count = pluralize(problems.diagnostics().len(), "problem");
            writeln!(out, "NOT OK: {count}; nothing was started.")?;
            Ok(Verdict::Refused)
        }
    }
}

fn settings(settings: &Settings, out: &mut impl Write) -> io::Result<()> {
    let polling = &settings.polling;
    let state = match &settings.storage {
        Storage::Directory(path) => path.display().to_string(),
        Storage::Ephemeral => "in memory, gone with the process".to_owned(),
    };
    let ages: Vec<String> = polling.recheck.iter().map(|age| format_duration(*age)).collect();
    let listen: Vec<String> = settings.server.listen.iter().map(ToString::to_string).collect();
    writeln!(out, "listen      {}", listen.join(", "))?;
    writeln!(out, "state       {state}")?;
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
        pluralize(budget.targets.len(), "target"),
        budget.idle_per_minute,
        budget.busy_per_minute,
        settings.polling.requests_per_minute,
        budget.supported_targets,
    )
}

fn pluralize(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
