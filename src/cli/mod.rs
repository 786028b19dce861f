//! The commands.
//!
//! Owns: what each command prints and its exit code. Never: the work itself.

pub mod check;
