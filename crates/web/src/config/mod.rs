//! Prometheus' web configuration file: TLS, client certificates, users, headers and a rate limit.
//!
//! The format is that of [exporter-toolkit](https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md). A
//! file and the certificates that it names become what the server uses (`server_state`); [`WebConfig`] holds the active one and
//! replaces it as a whole.
//!
//! Differences from exporter-toolkit, apart from stricter checks:
//!
//! - TLS 1.0 and 1.1 do not exist. As `min_version` they are raised to 1.2 with a warning; as `max_version` they are an error.
//! - Cipher suites with CBC and `CurveP521` are left out with a warning. A list of which nothing remains is an error.
//! - `cipher_suites` with suites of TLS 1.3 selects among these, too; without them all three are offered, as in exporter-toolkit.
//! - Certificates are never verified against the system's roots: verifying client authentication requires a client CA.
//! - `RequestClientCert` and `RequireAnyClientCert` verify nothing, as in exporter-toolkit, and cause a warning.
//! - TLS settings without a certificate are an error; exporter-toolkit would serve plain HTTP. So are `cert` together with
//!   `cert_file` (and so on), an empty `client_allowed_sans`, a CA without a certificate, and a `burst` of 0.
//! - `rate_limit.interval` has a unit; a bare number, which exporter-toolkit reads as nanoseconds, is an error.
//! - Headers are added to every response. A blank one is not sent, as exporter-toolkit documents. A `Content-Security-Policy` is
//!   sent in addition to that of a page, so that both apply.
//! - Everything is reloaded without a restart, `http2` and the rate limit included, once three reads, a second apart, have found the
//!   same content. Older connections get the new certificate when their next response closes them; a client whose own certificate
//!   is no longer accepted gets no response.

mod active;
mod basic_auth;
mod certificate;
mod choices;
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
