//! `man`: generates the manual pages, one per command.
//!
//! `clap_mangen` renders the flags; exit status, environment, files and signals are added.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Command;

use super::{CliError, write_all};
use crate::config::{reference, variable};

/// The flags of `man`.
#[derive(Debug, Clone, clap::Args)]
pub struct ManArgs {
    /// The command of the page; without it, the page of the program.
    #[arg(value_name = "COMMAND", conflicts_with = "output_dir")]
    pub command: Option<String>,
    /// Write every page into this directory, as polyai-exporter.1 and polyai-exporter-COMMAND.1.
    #[arg(long, value_name = "DIR")]
    pub output_dir: Option<PathBuf>,
}

/// Prints a page to `out`, or writes all of them to files.
///
/// # Errors
/// If the command is unknown, or a page cannot be written.
pub fn run(flags: &ManArgs, program: Command, out: &mut impl Write) -> Result<(), CliError> {
    let mut program = program.disable_help_subcommand(true);
    program.build();
    if let Some(directory) = &flags.output_dir {
        let name = program.get_name();
        let write = |command: &Command, file: String| {
            std::fs::write(directory.join(file), page(command, command.has_subcommands())?)
        };
        let commands = program.get_subcommands();
        return write(&program, format!("{name}.1"))
            .and_then(|()| {
                commands
                    .into_iter()
                    .try_for_each(|command| write(command, format!("{name}-{}.1", command.get_name())))
            })
            .map_err(|error| CliError::run_time(&format!("--output-dir {}: {error}", directory.display())));
    }
    let command = match &flags.command {
        None => &program,
        Some(name) => program.find_subcommand(name).ok_or_else(|| {
            CliError::configuration(&format!("there is no command {name:?}; --help lists them"))
        })?,
    };
    write_all(out, &page(command, flags.command.is_none())?, "the page")
}

fn page(command: &Command, is_program: bool) -> io::Result<Vec<u8>> {
    let man = clap_mangen::Man::new(command.clone());
    let title = command.get_display_name().unwrap_or(command.get_name()).to_uppercase();
    // No date: the same source gives the same page.
    let mut text = format!(
        ".TH \"{}\" 1 \"\" \"polyai\\-exporter {}\" \"polyai\\-exporter\"\n",
        roff(&title),
        env!("CARGO_PKG_VERSION"),
    )
    .into_bytes();
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    if is_program {
        man.render_subcommands_section(&mut text)?;
    }
    if is_program || command.get_name() == "serve" {
        section(&mut text, "ENVIRONMENT", &[]);
        text.extend_from_slice(ENVIRONMENT.as_bytes());
        for key in reference() {
            entry(&mut text, &variable(key), key.description);
        }
        for (name, meaning) in OTHER_VARIABLES {
            entry(&mut text, name, meaning);
        }
        section(&mut text, "FILES", &FILES);
        section(&mut text, "SIGNALS", &SIGNALS);
    }
    let exit_status = match command.get_name() {
        "healthcheck" => HEALTHCHECK_STATUS,
        "check" => CHECK_STATUS,
        _ => EXIT_STATUS,
    };
    section(&mut text, "\"EXIT STATUS\"", &exit_status);
    if !is_program {
        text.extend_from_slice(b".SH \"SEE ALSO\"\n.BR polyai\\-exporter (1)\n");
    }
    Ok(text)
}

type Entry = (&'static str, &'static str);

const BAD_USAGE: Entry = ("2", "The command line or the configuration is invalid.");
const EXIT_STATUS: [Entry; 3] = [
    ("0", "Success; for a daemon, an orderly shutdown."),
    ("1", "A failure at run time: a port that is taken, unusable state, a shutdown that took too long."),
    BAD_USAGE,
];
const CHECK_STATUS: [Entry; 3] =
    [("0", "No problem was found."), ("1", "With --live: a target needs attention."), BAD_USAGE];
const HEALTHCHECK_STATUS: [Entry; 3] = [
    ("0", "The daemon is healthy."),
    ("1", "The daemon is unhealthy, does not answer, or its address is unknown."),
    ("2", "The command line is invalid."),
];
const ENVIRONMENT: &str = "Every key of the configuration can be set by a variable, which takes precedence over the file; \
    lists of values are comma separated. Entries of targets are numbered from 0.\n";
const OTHER_VARIABLES: [Entry; 2] = [
    (
        "POLYAI_API_KEY, POLYAI_BASE_URL, POLYAI_ACCOUNT_ID, POLYAI_PROJECT_ID",
        "Without a configuration file: the only target, as in PolyAI's quickstart.",
    ),
    ("SSL_CERT_FILE, SSL_CERT_DIR", "The root certificates to verify the API's certificate with."),
];
const FILES: [Entry; 4] = [
    (
        "--config FILE",
        "The configuration in YAML, of which JSON is a part. polyai-exporter check prints its problems.",
    ),
    (
        "./data",
        "The state, unless storage.path names another directory: the counted conversations. Keep it; two daemons must not share it.",
    ),
    ("/etc/polyai-exporter/polyai.yaml", "The configuration of the service of the Debian package."),
    ("/var/lib/polyai-exporter/data", "The state of that service."),
];
const SIGNALS: [Entry; 2] = [
    ("SIGHUP", "serve: reload the configuration. Problems are logged, and the previous one stays active."),
    (
        "SIGTERM, SIGINT",
        "Shut down in order: commit what was read and answer open scrapes. A second signal exits immediately.",
    ),
];

fn section(text: &mut Vec<u8>, title: &str, entries: &[Entry]) {
    text.extend_from_slice(format!(".SH {title}\n").as_bytes());
    for (term, meaning) in entries {
        entry(text, term, meaning);
    }
}

fn entry(text: &mut Vec<u8>, term: &str, meaning: &str) {
    let entry = format!(".TP\n\\fB{}\\fR\n{}\n", roff(term), roff(&meaning.replace('`', "")));
    text.extend_from_slice(entry.as_bytes());
}

/// Escapes dashes, so that they can be copied, and lines that roff would take for a request.
fn roff(text: &str) -> String {
    let escaped = text.replace('\\', "\\e").replace('-', "\\-");
    if escaped.starts_with(['.', '\'']) { format!("\\&{escaped}") } else { escaped }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped_in_roff() {
        assert_eq!(roff("./data"), "\\&./data");
        assert_eq!(roff("--config a\\b"), "\\-\\-config a\\eb");
    }
}
