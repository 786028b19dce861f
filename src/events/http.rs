//! What the HTTP port reports, logged and counted.

use std::fmt::Display;
use std::io;

use chrono::{DateTime, Utc};
use exporter_schema::{ConfigErrors, Diagnostic};
use exporter_web::{Observer, Peer};
use tracing::{debug, error, info, warn};

use super::{Event, Events, Key, LISTENER};

impl Events {
    /// Counts `event`; if it may be logged, returns how many of its kind were not.
    fn on_port_event(&self, event: Event, kind: &'static str) -> Option<u64> {
        self.stats.event(event);
        self.repeats.try_log(Key { target: None, event, detail: [kind, ""] }, LISTENER)
    }
}

impl Observer for Events {
    fn on_accept_failed(&self, reason: &io::Error) {
        if let Some(unsaid) = self.on_port_event(Event::AcceptFailed, "") {
            error!(%reason, unsaid, "accepting a connection failed; retrying");
        }
    }

    fn on_connection_evicted(&self, limit: usize) {
        if let Some(unsaid) = self.on_port_event(Event::ConnectionEvicted, "") {
            warn!(limit, unsaid, "idle connection evicted: limit reached");
        }
    }

    fn on_connection_rejected(&self, limit: usize) {
        if let Some(unsaid) = self.on_port_event(Event::ConnectionRefused, "") {
            warn!(limit, unsaid, "connection rejected: limit reached");
        }
    }

    fn on_tls_handshake_failed(&self, peer: Peer, kind: &'static str, reason: &dyn Display) {
        match self.on_port_event(Event::TlsHandshakeFailed, kind) {
            Some(unsaid) => warn!(%peer, kind, %reason, unsaid, "TLS handshake failed"),
            None => debug!(%peer, kind, %reason, "TLS handshake failed"),
        }
    }

    fn on_authentication_failed(&self, peer: Peer) {
        match self.on_port_event(Event::AuthenticationFailed, "") {
            Some(unsaid) => warn!(%peer, unsaid, "authentication failed"),
            None => debug!(%peer, "authentication failed"),
        }
    }

    fn on_request_limited(&self, peer: Peer) {
        if let Some(unsaid) = self.on_port_event(Event::RequestRateLimited, "") {
            warn!(%peer, unsaid, "request rejected: rate_limit of the web configuration exceeded");
        }
    }

    fn on_config_reloaded(&self, certificate_expiry: Option<DateTime<Utc>>, warnings: &[Diagnostic]) {
        self.stats.web_config_in_force(certificate_expiry);
        info!("web configuration reloaded");
        for warning in warnings {
            warn!(%warning, "web configuration");
        }
    }

    fn on_config_rejected(&self, errors: &ConfigErrors) {
        self.stats.event(Event::WebConfigReloadFailed);
        self.stats.web_config_reload_failed();
        error!(%errors, "web configuration reload failed; the previous one stays active");
    }
}
