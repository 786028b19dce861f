//! Logs and counts what happens on the port.

use std::fmt::Display;
use std::io;

use chrono::{DateTime, Utc};
use exporter_schema::{ConfigErrors, Diagnostic};
use exporter_web::{Observer, Peer};

use crate::events::Events;

/// Passes what happens on the port to the exporter's events.
#[derive(Debug, Clone)]
pub struct EventObserver(pub Events);

impl Observer for EventObserver {
    fn on_accept_failed(&self, reason: &io::Error) {
        self.0.accept_failed(reason);
    }

    fn on_connection_evicted(&self, limit: usize) {
        self.0.connection_evicted(limit);
    }

    fn on_connection_rejected(&self, limit: usize) {
        self.0.connection_refused(limit);
    }

    fn on_tls_handshake_failed(&self, peer: Peer, kind: &'static str, reason: &dyn Display) {
        self.0.tls_handshake_failed(&peer, kind, reason);
    }

    fn on_authentication_failed(&self, peer: Peer) {
        self.0.authentication_failed(&peer);
    }

    fn on_request_limited(&self, peer: Peer) {
        self.0.request_rate_limited(&peer);
    }

    fn on_config_reloaded(&self, certificate_expiry: Option<DateTime<Utc>>, warnings: &[Diagnostic]) {
        self.0.web_config_reloaded(certificate_expiry, warnings);
    }

    fn on_config_rejected(&self, errors: &ConfigErrors) {
        self.0.web_config_reload_failed(errors);
    }
}
