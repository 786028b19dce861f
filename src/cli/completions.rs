//! `completions`: what a shell needs to complete commands, flags and their values.
//!
//! Owns: nothing but the printing; the shells' languages are `clap_complete`'s.

use std::io::Write;

use clap::Command;
use clap_complete::{Shell, generate};

use super::CliError;

/// The flags of `completions`.
#[derive(Debug, Clone, clap::Args)]
pub struct Completions {
    /// The shell to write for.
    pub shell: Shell,
}

/// Writes the completions of `program` to `out`.
///
/// # Errors
/// When `out` cannot be written.
pub fn run(flags: &Completions, mut program: Command, out: &mut impl Write) -> Result<(), CliError> {
    let name = program.get_name().to_owned();
    // Into memory first: `generate` takes a failed write for a bug.
    let mut script = Vec::new();
    generate(flags.shell, &mut program, &name, &mut script);
    if flags.shell == Shell::Bash {
        script = fix_bash_names(&name, &String::from_utf8_lossy(&script)).into_bytes();
    }
    out.write_all(&script)
        .and_then(|()| out.flush())
        .map_err(|error| CliError::run_time(&format!("cannot write the completions: {error}")))
}

/// `clap_complete` 4.6.11 writes a name with a dash in two ways into its script for bash, which then finds no flags: with
/// `__` where it notes the command, with `__subcmd__` where it looks it up.
fn fix_bash_names(name: &str, script: &str) -> String {
    script.replace(&name.replace('-', "__subcmd__"), &name.replace('-', "__"))
}
