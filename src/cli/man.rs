//! `man`: the manual pages, one per command.
//!
//! Owns: the sections that flags do not tell: exit codes, the environment, files and signals. Flags are `clap`'s to
//! describe, keys the configuration's.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Command;

use super::CliError;
use crate::config::{reference, variable};

/// The flags of `man`.
#[derive(Debug, Clone, clap::Args)]
pub struct ManArgs {
    /// The command whose page is wanted; without it, the page of the program.
    #[arg(value_name = "COMMAND", conflicts_with = "output_dir")]
    pub command: Option<String>,
    /// Write every page into this folder, as polyai-exporter.1 and polyai-exporter-COMMAND.1.
    #[arg(long, value_name = "DIR")]
    pub output_dir: Option<PathBuf>,
}

/// Prints the page that is wanted to `out`, or writes all of them.
///
/// # Errors
/// When there is no such command, or a page cannot be written.
pub fn run(flags: &ManArgs, program: Command, out: &mut impl Write) -> Result<(), CliError> {
    let mut pages = pages(program).map_err(|error| CliError::run_time(&error))?.into_iter();
    if let Some(folder) = &flags.output_dir {
        return pages
            .try_for_each(|page| page.write(folder))
            .map_err(|error| CliError::run_time(&format!("--output-dir {}: {error}", folder.display())));
    }
    let wanted = flags.command.as_deref().unwrap_or_default();
    let page = pages.find(|page| page.command == wanted).ok_or_else(|| {
        CliError::configuration(&format!("there is no command {wanted:?}; --help lists them"))
    })?;
    out.write_all(&page.text)
        .and_then(|()| out.flush())
        .map_err(|error| CliError::run_time(&format!("cannot write the page: {error}")))
}

/// One page.
struct Page {
    /// Empty for the program's own.
    command: String,
    /// Without the section's number.
    name: String,
    text: Vec<u8>,
}

impl Page {
    fn write(&self, folder: &Path) -> io::Result<()> {
        std::fs::write(folder.join(format!("{}.1", self.name)), &self.text)
    }
}

fn pages(program: Command) -> io::Result<Vec<Page>> {
    let mut program = program.disable_help_subcommand(true);
    program.build();
    let name = program.get_name().to_owned();
    let mut pages = vec![page(program.clone(), String::new(), name.clone())?];
    for command in program.get_subcommands() {
        let (command_name, page_name) =
            (command.get_name().to_owned(), format!("{name}-{}", command.get_name()));
        pages.push(page(command.clone(), command_name, page_name)?);
    }
    Ok(pages)
}

fn page(shown: Command, command: String, name: String) -> io::Result<Page> {
    let has_commands = shown.has_subcommands();
    let man = clap_mangen::Man::new(shown);
    // No date: the same source gives the same page.
    let mut text = format!(
        ".TH \"{}\" 1 \"\" \"polyai\\-exporter {}\" \"polyai\\-exporter\"\n",
        roff(&name.to_uppercase()),
        env!("CARGO_PKG_VERSION"),
    )
    .into_bytes();
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    if has_commands {
        man.render_subcommands_section(&mut text)?;
    }
    if has_commands || command == "serve" {
        text.extend_from_slice(environment_and_files().as_bytes());
    }
    text.extend_from_slice(exit_status(&command).as_bytes());
    if !has_commands {
        text.extend_from_slice(b".SH \"SEE ALSO\"\n.BR polyai\\-exporter (1)\n");
    }
    Ok(Page { command, name, text })
}

fn exit_status(command: &str) -> String {
    let meanings: &[(&str, &str)] = match command {
        "healthcheck" => &[
            ("0", "The daemon answers, and is well."),
            ("1", "It does not, it is not, or it cannot be found."),
            ("2", "The command line is wrong."),
        ],
        "check" => &[
            ("0", "All is well."),
            ("1", "With --live: a target needs attention."),
            ("2", "The command line or the configuration is wrong."),
        ],
        _ => &[
            ("0", "All went well; of a daemon, it stopped in order when it was told to."),
            (
                "1",
                "Something failed at run time: a port that is taken, state that cannot be used, a stop that took too long.",
            ),
            ("2", "The command line or the configuration is wrong."),
        ],
    };
    let mut text = ".SH \"EXIT STATUS\"\n".to_owned();
    for (code, meaning) in meanings {
        entry(&mut text, code, meaning);
    }
    text
}

/// What the daemon reads besides its flags.
fn environment_and_files() -> String {
    let mut text = ".SH ENVIRONMENT\n".to_owned();
    text.push_str(&roff(
        "Every key of the configuration can be set by a variable, which wins over the file; lists of values are comma \
         separated. Entries of targets are numbered from 0.",
    ));
    text.push('\n');
    for key in reference() {
        entry(&mut text, &variable(key), key.description);
    }
    entry(
        &mut text,
        "POLYAI_API_KEY, POLYAI_BASE_URL, POLYAI_ACCOUNT_ID, POLYAI_PROJECT_ID",
        "Without a configuration file: the one target, as in PolyAI's quickstart.",
    );
    entry(
        &mut text,
        "SSL_CERT_FILE, SSL_CERT_DIR",
        "Where the certificates are that the API's is verified with.",
    );
    text.push_str(".SH FILES\n");
    for (file, meaning) in [
        (
            "--config FILE",
            "The configuration: YAML, or TOML or JSON by extension. polyai-exporter check tells what is wrong with it.",
        ),
        (
            "./data",
            "The state, unless storage.path names another folder: what has been counted. Keep it; two daemons must not share it.",
        ),
        (
            "/etc/polyai-exporter/polyai.yaml",
            "The configuration of the service that the package for Debian brings.",
        ),
        ("/var/lib/polyai-exporter/data", "The state of that service."),
    ] {
        entry(&mut text, file, meaning);
    }
    text.push_str(".SH SIGNALS\n");
    entry(
        &mut text,
        "SIGHUP",
        "Of serve: read the configuration again. What is wrong is in the log, and the old one stays.",
    );
    entry(
        &mut text,
        "SIGTERM, SIGINT",
        "Stop in order: finish what was read, write it, answer the last scrapes. A second one ends the process at once.",
    );
    text
}

fn entry(text: &mut String, term: &str, meaning: &str) {
    text.push_str(&format!(".TP\n\\fB{}\\fR\n{}\n", roff(term), roff(&meaning.replace('`', ""))));
}

/// Text as a page takes it: dashes that can be copied, and no line that could be taken for a request.
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
