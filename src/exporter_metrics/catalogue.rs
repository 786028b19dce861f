//! The exporter's own metrics, each declared once: name, type, labels, help.
//!
//! Owns: the words. Never: values.

use std::borrow::Cow;

use crate::exposition::Kind;

/// What the documentation says of one metric.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricDoc {
    /// The full name.
    pub name: Cow<'static, str>,
    /// The type.
    pub kind: Kind,
    /// The label names.
    pub labels: &'static [&'static str],
    /// The help text.
    pub help: Cow<'static, str>,
}

/// A metric as the code declares it.
#[derive(Debug)]
pub(super) struct MetricDef {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) labels: &'static [&'static str],
    pub(super) help: &'static str,
    /// Upper bounds of a histogram, in the unit of the name; empty for the others.
    pub(super) bounds: &'static [f64],
}

const fn counter(name: &'static str, labels: &'static [&'static str], help: &'static str) -> MetricDef {
    MetricDef { name, kind: Kind::Counter, labels, help, bounds: &[] }
}

const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> MetricDef {
    MetricDef { name, kind: Kind::Gauge, labels, help, bounds: &[] }
}

const fn histogram(
    name: &'static str,
    labels: &'static [&'static str],
    bounds: &'static [f64],
    help: &'static str,
) -> MetricDef {
    MetricDef { name, kind: Kind::Histogram, labels, help, bounds }
}

pub(super) const API_REQUESTS: MetricDef = counter(
    "polyai_exporter_api_requests_total",
    &["endpoint", "code"],
    "Requests sent to the PolyAI API, by endpoint and HTTP status; a request without an answer has the kind of failure as code.",
);
pub(super) const API_REQUEST_DURATION: MetricDef = histogram(
    "polyai_exporter_api_request_duration_seconds",
    &["endpoint"],
    &[0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0],
    "Time from sending a request to the PolyAI API to the end of the answer's body, or to the failure.",
);
pub(super) const API_RESPONSE_BYTES: MetricDef = counter(
    "polyai_exporter_api_response_bytes_total",
    &[],
    "Bytes of answer bodies received from the PolyAI API, after decompression.",
);
pub(super) const POLL_DURATION: MetricDef = histogram(
    "polyai_exporter_poll_duration_seconds",
    &[],
    &[0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0],
    "Time that one poll of one target took, with all its requests.",
);
pub(super) const POLLS_SKIPPED: MetricDef = counter(
    "polyai_exporter_polls_skipped_total",
    &[],
    "Polls that were due while the previous one of the same target was still running, and therefore left out.",
);
pub(super) const SERIES: MetricDef =
    gauge("polyai_exporter_series", &[], "Conversation series held, over all targets; a histogram is one.");
pub(super) const STATE_BYTES: MetricDef =
    gauge("polyai_exporter_state_bytes", &[], "Size of the state file.");
pub(super) const CONFIG_LAST_RELOAD_SUCCESSFUL: MetricDef = gauge(
    "polyai_exporter_config_last_reload_successful",
    &[],
    "1 if the last attempt to read the configuration succeeded, 0 if it failed and the one before is still in force.",
);
pub(super) const CONFIG_LAST_RELOAD_SUCCESS_TIMESTAMP: MetricDef = gauge(
    "polyai_exporter_config_last_reload_success_timestamp_seconds",
    &[],
    "When the configuration in force was read.",
);
pub(super) const BUILD_INFO: MetricDef = gauge(
    "polyai_exporter_build_info",
    &["version", "revision", "rustversion"],
    "1, labelled with the version of the exporter and, where the build knew them, its revision and compiler.",
);
pub(super) const COMMITS: MetricDef = counter(
    "polyai_exporter_commits_total",
    &["outcome"],
    "Transactions on the state, committed or failed; what failed is tried again.",
);
pub(super) const COMMIT_DURATION: MetricDef = histogram(
    "polyai_exporter_commit_duration_seconds",
    &[],
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5],
    "Time that a transaction on the state took, failed or not.",
);
pub(super) const RECORDS_REJECTED: MetricDef = counter(
    "polyai_exporter_records_rejected_total",
    &["kind"],
    "Conversations of an API answer that could not be understood and were not counted, by what was wrong.",
);
pub(super) const LOG_LINES_LOST: MetricDef = counter(
    "polyai_exporter_log_lines_lost_total",
    &[],
    "Log lines that could not be written to standard error.",
);
pub(super) const EVENTS: MetricDef = counter(
    "polyai_exporter_events_total",
    &["event"],
    "Notable events by name. Each is also logged; repeats are logged at debug level.",
);

pub(super) const WEB_CONFIG_LAST_RELOAD_SUCCESSFUL: MetricDef = gauge(
    "polyai_exporter_web_config_last_reload_successful",
    &[],
    "1 if the web configuration (TLS, users) is in force as it stands on disk, 0 if it has changed and cannot be used.",
);

pub(super) const WEB_CERTIFICATE_EXPIRY: MetricDef = gauge(
    "polyai_exporter_web_certificate_expiry_timestamp_seconds",
    &[],
    "When the certificate that this port serves with ends to be valid, by its own account; absent without TLS.",
);

/// All of the above, sorted by name.
pub(super) const ALL: [&MetricDef; 17] = [
    &API_REQUEST_DURATION,
    &API_REQUESTS,
    &API_RESPONSE_BYTES,
    &BUILD_INFO,
    &COMMIT_DURATION,
    &COMMITS,
    &CONFIG_LAST_RELOAD_SUCCESS_TIMESTAMP,
    &CONFIG_LAST_RELOAD_SUCCESSFUL,
    &EVENTS,
    &LOG_LINES_LOST,
    &POLL_DURATION,
    &POLLS_SKIPPED,
    &RECORDS_REJECTED,
    &SERIES,
    &STATE_BYTES,
    &WEB_CERTIFICATE_EXPIRY,
    &WEB_CONFIG_LAST_RELOAD_SUCCESSFUL,
];
