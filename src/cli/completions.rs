//! `completions`: what a shell needs to complete commands, flags and their values.
//!
//! Owns: nothing but the printing; the shells' languages are `clap_complete`'s.

use std::io::Write;

use clap::Command;
use clap_complete::{Shell, generate};

use super::Failure;

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
pub fn run(flags: &Completions, mut program: Command, out: &mut impl Write) -> Result<(), Failure> {
    let name = program.get_name().to_owned();
    // Into memory first: `generate` takes a failed write for a bug.
    let mut script = Vec::new();
    generate(flags.shell, &mut program, name, &mut script);
    out.write_all(&script)
        .and_then(|()| out.flush())
        .map_err(|error| Failure::run_time(&format!("cannot write the completions: {error}")))
}
