//! What happens on the port, for the logs and metrics of its owner.

use std::fmt::Display;
use std::io;

use chrono::{DateTime, Utc};
use exporter_schema::{ConfigErrors, Diagnostic};

use crate::stream::Peer;

/// Is notified of events on the port. Methods are called on the tasks that serve connections, so they must not block.
pub trait Observer: Send + Sync {
    /// A connection could not be accepted for a local reason, such as too many open files.
    fn on_accept_failed(&self, _reason: &io::Error) {}

    /// An idle connection was closed in favor of a new one, because `limit` of them were open.
    fn on_connection_evicted(&self, _limit: usize) {}

    /// A connection was rejected, because `limit` of them are open and none is idle.
    fn on_connection_rejected(&self, _limit: usize) {}

    /// A TLS handshake failed; `kind` is one of a fixed set of words.
    fn on_tls_handshake_failed(&self, _peer: Peer, _kind: &'static str, _reason: &dyn Display) {}

    /// A request had no credentials, or wrong ones. The user name is withheld: people type passwords into that field.
    fn on_authentication_failed(&self, _peer: Peer) {}

    /// A request exceeded the `rate_limit` of the web configuration.
    fn on_request_limited(&self, _peer: Peer) {}

    /// The web configuration was reloaded; `certificate_expiry` is that of the new server certificate.
    fn on_config_reloaded(&self, _certificate_expiry: Option<DateTime<Utc>>, _warnings: &[Diagnostic]) {}

    /// The web configuration has changed and is invalid; the previous one stays active. Called once per change.
    fn on_config_rejected(&self, _errors: &ConfigErrors) {}
}

/// Ignores all events.
impl Observer for () {}
