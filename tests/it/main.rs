//! Stories that run through the public interface of the library. To get to know the program, start with `one_conversation`.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a story whose scene cannot be set has failed")]

mod config;
mod http_server;
mod layers;
mod links;
mod model;
mod one_conversation;
mod process;
mod records;
mod stories;
mod support;
mod walks;
