//! The HTTP port as clients see it: TLS, client certificates, users and limits, over real sockets.

mod basic_auth;
mod client_auth;
mod fixture;
mod host;
mod load;
mod raw_http2;
mod reload;
pub(crate) mod test_ca;
mod tls;
pub(crate) mod web_config_fixtures;
