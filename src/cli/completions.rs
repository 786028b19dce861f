//! `completions`: generates shell completions.

use std::io::Write;

use clap::Command;
use clap_complete::{Shell, generate};

use super::{CliError, write_all};

/// The flags of `completions`.
#[derive(Debug, Clone, clap::Args)]
pub struct Completions {
    /// The shell to write for.
    pub shell: Shell,
}

/// Writes the completions of `program` to `out`.
///
/// # Errors
/// If `out` cannot be written.
pub fn run(flags: &Completions, mut program: Command, out: &mut impl Write) -> Result<(), CliError> {
    let name = program.get_name().to_owned();
    // Into memory first: `generate` panics if a write fails.
    let mut script = Vec::new();
    generate(flags.shell, &mut program, &name, &mut script);
    if flags.shell == Shell::Bash {
        script = fix_bash_names(&name, &String::from_utf8_lossy(&script)).into_bytes();
    }
    write_all(out, &script, "the completions")
}

/// Works around `clap_complete` 4.6.11, whose bash script finds no flags for a name with a dash: it writes the dash as `__` in
/// one place and as `__subcmd__` in another.
fn fix_bash_names(name: &str, script: &str) -> String {
    script.replace(&name.replace('-', "__subcmd__"), &name.replace('-', "__"))
}
