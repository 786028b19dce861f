//! The web configuration file of the Prometheus exporters: TLS, client certificates, users, headers, and a limit of requests.
//!
//! Owns: the format of prometheus/exporter-toolkit (its docs/web-configuration.md), the certificates and users that it leads
//! to, and their exchange while the port is open. Never: a socket, and never a secret in a message.
//!
//! The way of a file: text becomes checked values (`file`), which with the certificates that they name (`tls`) become
//! what the port serves with (`served`); [`WebConfig`] holds the one in force and exchanges it as a whole.
//!
//! Where the same words would mean something else here than in the original, or the original would be silent about something
//! that an operator has to know:
//!
//! - TLS 1.0 and 1.1 do not exist here. As `min_version` they are raised to 1.2 with a warning; as `max_version` they are
//!   refused.
//! - The suites with CBC are left out with a warning; so is `CurveP521`. A list of which nothing is left is refused.
//! - `cipher_suites` with suites of TLS 1.3 chooses among these too; without them all three are offered, as in the original.
//! - Certificates are never verified against the system's roots: client authentication that verifies needs a client CA.
//! - `RequestClientCert` and `RequireAnyClientCert` verify nothing, as in the original, which gets a warning here.
//! - Settings of TLS without a certificate are refused; the original would serve plain HTTP. So are `cert` beside `cert_file`
//!   (and so on), an empty `client_allowed_sans`, a CA without a certificate, and a `burst` of 0, which would refuse everything.
//! - `rate_limit.interval` has a unit; a bare number, which the original reads as nanoseconds, is refused.
//! - Headers are on every answer. A blank one is not sent, as the original documents. A `Content-Security-Policy` is sent
//!   beside a page's own, so that both hold.
//! - All of it is exchanged on the fly, `http2` and the limit included, but not in the middle of a write: once three looks, a
//!   second apart, have found the same. Connections made before get the new certificate when their next answer ends them; whose
//!   own certificate is no longer accepted gets none.

mod certificate;
mod client;
mod file;
mod header;
mod limit;
mod live;
mod offer;
mod reader;
mod served;
mod suites;
mod tls;
mod users;

pub use live::{InstallOutcome, LoadedWebConfig, WebConfig};
pub(crate) use served::WebState;
pub(crate) use users::AuthResult;
