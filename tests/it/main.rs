//! Integration tests. To get to know the program, start with `one_conversation`.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test whose setup fails has failed")]

mod architecture;
mod check;
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
