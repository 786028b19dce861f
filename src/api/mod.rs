//! Everything that knows the PolyAI wire: types, requests, pages, retry, pace.
//!
//! Owns: one method per endpoint, errors with a bounded kind, the budget of each key. Never: metrics or the ledger; what a
//! failure means for a target is decided by its poller.

pub mod by_field;
pub mod client;
mod not_a_number;
pub mod pace;
pub mod page;
pub mod pages;
mod record;
pub mod request;
pub mod server_clock;
pub mod wire;

pub use client::Client;
pub use polyai_domain::fetch::{FetchError, FetchErrorKind, Filter, Window};
