//! The commands of the binary, each as a function of its options.
//!
//! Owns: what a command prints and in which order it starts things. Never: parsing of configuration, business rules.

pub mod simulate;
