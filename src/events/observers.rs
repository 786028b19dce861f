//! What the API client, the recorder and the HTTP port report, logged and counted.

use std::fmt::Display;
use std::io;
use std::time::Duration;

use chrono::{DateTime, Utc};
use exporter_schema::{ConfigErrors, Diagnostic};
use exporter_web::{Observer, Peer};
use polyai_api::{FetchError, ListObserver, PartialRecord, ResponseInfo};
use polyai_domain::conversation::RejectedRecord;
use polyai_domain::target::TargetKey;
use polyai_engine::ledger::store::StoreError;
use polyai_engine::recorder::task::RecorderObserver;
use tracing::{debug, error, info, warn};

use super::{Event, Events, LISTENER};
use crate::exporter_metrics::RequestOutcome;

/// The events of one target's list.
#[derive(Debug)]
pub struct TargetEvents {
    /// The target.
    pub target: TargetKey,
    /// The log and the counters.
    pub events: Events,
}

impl ListObserver for TargetEvents {
    fn on_request(&self, info: &ResponseInfo, error: Option<&FetchError>) {
        let outcome = match (info.status, error) {
            (None, Some(error)) => RequestOutcome::Failure(error.kind),
            (status, _) => RequestOutcome::Status(status.unwrap_or(200)),
        };
        self.events.stats.request(outcome, info.duration, info.bytes);
        if let Some(error) = error {
            self.events.request_failed(&self.target, error);
        }
    }

    fn on_rejected(&self, record: &RejectedRecord) {
        let detail = "further rejected records of this read are only counted";
        self.events.record_rejected(&self.target, record, detail);
    }

    fn on_partial(&self, record: &PartialRecord) {
        self.events.record_partially_read(&self.target, record.id.as_deref(), &record.unreadable);
    }
}

impl RecorderObserver for Events {
    fn on_commit(&self, duration: Duration) {
        self.stats.committed(duration);
        self.commit_recovered();
    }

    fn on_exposed(&self, target: &TargetKey, conversations: u64) {
        self.caught_up(target, conversations);
    }

    fn on_commit_failed(&self, duration: Duration, error: &StoreError, retry_in: Duration) {
        self.stats.commit_failed(duration);
        self.commit_failed(error, retry_in);
    }

    fn on_recovery(&self) {
        self.commit_recovered();
    }

    fn on_label_limit(&self, target: &TargetKey, label: &'static str) {
        self.label_limit_reached(target, label);
    }
}

impl Events {
    /// Counts `event`. If a line is due, returns the number of lines suppressed since the last one.
    fn on_port_event(&self, event: Event, kind: &'static str) -> Option<u64> {
        self.count_limited(None, event, kind, LISTENER)
    }
}

impl Observer for Events {
    fn on_accept_failed(&self, reason: &io::Error) {
        if let Some(suppressed) = self.on_port_event(Event::AcceptFailed, "") {
            error!(%reason, suppressed, "accepting a connection failed; retrying");
        }
    }

    fn on_connection_evicted(&self, limit: usize) {
        if let Some(suppressed) = self.on_port_event(Event::ConnectionEvicted, "") {
            warn!(limit, suppressed, "idle connection evicted: limit reached");
        }
    }

    fn on_connection_rejected(&self, limit: usize) {
        if let Some(suppressed) = self.on_port_event(Event::ConnectionRefused, "") {
            warn!(limit, suppressed, "connection rejected: limit reached");
        }
    }

    fn on_tls_handshake_failed(&self, peer: Peer, kind: &'static str, reason: &dyn Display) {
        match self.on_port_event(Event::TlsHandshakeFailed, kind) {
            Some(suppressed) => warn!(%peer, kind, %reason, suppressed, "TLS handshake failed"),
            None => debug!(%peer, kind, %reason, "TLS handshake failed"),
        }
    }

    fn on_authentication_failed(&self, peer: Peer) {
        match self.on_port_event(Event::AuthenticationFailed, "") {
            Some(suppressed) => warn!(%peer, suppressed, "authentication failed"),
            None => debug!(%peer, "authentication failed"),
        }
    }

    fn on_request_limited(&self, peer: Peer) {
        if let Some(suppressed) = self.on_port_event(Event::RequestRateLimited, "") {
            warn!(%peer, suppressed, "request rejected: rate_limit of the web configuration exceeded");
        }
    }

    fn on_config_reloaded(&self, certificate_expiry: Option<DateTime<Utc>>, warnings: &[Diagnostic]) {
        self.stats.web_config_loaded(certificate_expiry);
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
