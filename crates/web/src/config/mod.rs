//! Prometheus' web configuration file: TLS, client certificates, users, headers and a rate limit.
//!
//! The format is that of [exporter-toolkit](https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md). A
//! file and the certificates that it names become what the server uses (`server_state`); [`WebConfig`] holds the active one and
//! replaces it as a whole.
//!
//! The README of this crate lists the differences from exporter-toolkit.

mod active;
mod basic_auth;
mod certificate;
mod client_auth;
mod keys;
mod rate_limit;
mod response_headers;
mod server_state;
mod tls;
mod tls_params;
mod tls_section;

pub use active::{InstallOutcome, LoadedWebConfig, WebConfig};
pub(crate) use basic_auth::AuthResult;
pub(crate) use server_state::WebState;
