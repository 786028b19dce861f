//! Stories that run through the public interface of the library.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a story whose scene cannot be set has failed")]

mod config;
mod process;
