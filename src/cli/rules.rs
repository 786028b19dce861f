//! `polyai-exporter rules`: the recording and alert rules, with the user's own thresholds.
//!
//! Owns: the options, the files' reading and what is printed. Never: the rules.

use std::io;
use std::path::{Path, PathBuf};

use super::CliError;
use crate::rules::{Format, Source, Values, render};

/// Print the recording and alert rules for Prometheus.
///
/// alerts/thresholds.yml has every value with its default and the reason for it. A file of your own needs only what is to be
/// otherwise. Later files win over earlier ones, and --set over files.
#[derive(Debug, Clone, PartialEq, clap::Args)]
pub struct Rules {
    /// A YAML file with values; may be given several times.
    #[arg(long = "values", value_name = "FILE")]
    pub values: Vec<PathBuf>,
    /// One value, such as alerts.PolyAIHandoffRateHigh.ratio=0.6; may be given several times.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// What the rules are for: a file for Prometheus, or a PrometheusRule object for the Prometheus Operator.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Writes the rules to `out`, and what deserves a look to `notes`.
///
/// # Errors
/// If a file cannot be read, a value cannot work (exit code 2), or `out` is gone.
pub fn run(flags: &Rules, out: &mut impl io::Write, notes: &mut impl io::Write) -> Result<(), CliError> {
    let mut sources = Vec::new();
    for path in &flags.values {
        sources.push(Source::File(path.display().to_string(), read(path)?));
    }
    sources.extend(flags.set.iter().cloned().map(Source::Assignment));
    let values = Values::load(&sources).map_err(|problems| CliError::configuration(&problems))?;
    let rules = render(&values, flags.format).map_err(|fault| CliError::run_time(&fault))?;
    for key in values.placeholders() {
        // Nothing can be done if standard error is closed.
        let _ = writeln!(notes, "note: {key} is an example that leads nowhere; set it to where yours is");
    }
    out.write_all(rules.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| CliError::run_time(&format!("cannot write the rules: {error}")))
}

fn read(path: &Path) -> Result<String, CliError> {
    std::fs::read_to_string(path)
        .map_err(|error| CliError::configuration(&format!("--values {}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        rules: Rules,
    }

    fn run_with(arguments: &[&str]) -> (Result<(), CliError>, String, String) {
        let flags = Line::parse_from([&["rules"], arguments].concat()).rules;
        let (mut out, mut notes) = (Vec::new(), Vec::new());
        let outcome = run(&flags, &mut out, &mut notes);
        (outcome, String::from_utf8(out).unwrap(), String::from_utf8(notes).unwrap())
    }

    #[test]
    fn rules_go_to_one_stream_and_notes_to_the_other() {
        let (outcome, out, notes) = run_with(&[]);
        assert_eq!(outcome, Ok(()));
        assert!(out.starts_with("# Recording and alert rules") && out.contains("\ngroups:\n"));
        assert!(
            notes.starts_with("note: common.dashboard_url is an example") && notes.lines().count() == 1,
            "{notes}"
        );
        let (_, _, notes) = run_with(&["--set", "common.dashboard_url=http://localhost:3000/"]);
        assert_eq!(notes, "");
    }

    #[test]
    fn a_value_that_cannot_work_is_bad_configuration() {
        let (outcome, out, _) = run_with(&["--set", "alerts.PolyAIHandoffRateHigh.ratio=60"]);
        assert_eq!(outcome.unwrap_err().code, 2);
        assert_eq!(out, "");
        let (outcome, ..) = run_with(&["--values", "no/such/file.yml"]);
        assert!(outcome.unwrap_err().message.starts_with("--values no/such/file.yml: "));
    }
}
