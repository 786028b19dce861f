//! `rules`: prints the Prometheus rules with custom thresholds.

use std::io;
use std::path::PathBuf;

use exporter_schema::TrackedFiles;

use super::{CliError, write_all};
use crate::alert_rules::{DEFAULT_VALUES, Format, Source, Values, render};

/// A file with every threshold has about 20 KiB.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Print Prometheus recording and alerting rules with custom thresholds.
///
/// --print-values prints every value with its default and the reason for it. A values file needs only the values that differ.
/// Later files take precedence over earlier ones, and --set over files.
#[derive(Debug, Clone, PartialEq, clap::Args)]
pub struct Rules {
    /// A YAML file with values; may be repeated.
    #[arg(long = "values", value_name = "FILE")]
    pub values: Vec<PathBuf>,
    /// One value, such as alerts.PolyAIHandoffRateHigh.ratio=0.6; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// The form of the output: a file for Prometheus, or a PrometheusRule object for the Prometheus Operator.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// Print the default values as a values file with explanations, instead of rules.
    #[arg(long, conflicts_with_all = ["values", "set", "format"])]
    pub print_values: bool,
}

/// Writes the rules to `out`, and notes about them to `notes`.
///
/// # Errors
/// If a file cannot be read or a value is invalid (exit code 2), or `out` cannot be written.
pub fn run(flags: &Rules, out: &mut impl io::Write, notes: &mut impl io::Write) -> Result<(), CliError> {
    if flags.print_values {
        return write_all(out, DEFAULT_VALUES.as_bytes(), "the values");
    }
    let mut sources = Vec::new();
    for path in &flags.values {
        let name = path.display().to_string();
        let text = TrackedFiles::allow_pipes()
            .read_text(path, MAX_FILE_BYTES)
            .map_err(|error| CliError::configuration(&format!("--values {name}: {error}")))?;
        sources.push(Source::File(name, text));
    }
    sources.extend(flags.set.iter().cloned().map(Source::Assignment));
    let values = Values::load(&sources).map_err(|problems| CliError::configuration(&problems))?;
    let rules = render(&values, flags.format).map_err(|error| CliError::run_time(&error))?;
    let placeholders = values.placeholders().into_iter();
    let examples = placeholders.map(|key| format!("{key} is an example; set it to your address"));
    let unused = values.without_effect(flags.format).into_iter().map(|diagnostic| diagnostic.to_string());
    for note in examples.chain(unused) {
        // Nothing can be done if standard error is closed.
        let _ = writeln!(notes, "note: {note}");
    }
    write_all(out, rules.as_bytes(), "the rules")
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
    fn rules_and_notes_go_to_separate_streams() {
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
    fn printed_values_change_nothing_as_a_values_file() {
        let (_, values, notes) = run_with(&["--print-values"]);
        assert!(values.contains("PolyAIHandoffRateHigh:") && notes.is_empty());
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), values).unwrap();
        let with_file = run_with(&["--values", file.path().to_str().unwrap()]);
        assert_eq!(with_file, run_with(&[]), "the same rules and notes");
    }

    #[test]
    fn invalid_value_has_exit_code_2() {
        let (outcome, out, _) = run_with(&["--set", "alerts.PolyAIHandoffRateHigh.ratio=60"]);
        assert_eq!(outcome.unwrap_err().code, 2);
        assert_eq!(out, "");
        let (outcome, ..) = run_with(&["--values", "no/such/file.yml"]);
        assert!(outcome.unwrap_err().message.starts_with("--values no/such/file.yml: "));
    }

    #[test]
    fn byte_order_mark_in_values_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("values.yml");
        std::fs::write(&path, "\u{feff}alerts:\n  PolyAIHandoffRateHigh: {ratio: 0.6}\n").unwrap();
        let (outcome, out, _) = run_with(&["--values", path.to_str().unwrap()]);
        assert_eq!(outcome, Ok(()));
        assert!(out.contains("> 0.6\n"));
    }
}
