//! Stories that run through the public interface of the library. To get to know the program, start with `one_conversation`.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a story whose scene cannot be set has failed")]

mod architecture;
mod config;
mod doc_links;
mod http_server;
mod licenses;
mod model;
mod one_conversation;
mod pagination;
mod process;
mod scenarios;
mod support;
mod wire_fixtures;
