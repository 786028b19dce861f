//! The exporter's own metrics: requests, polls, commits, events, build and process.
//!
//! Their registry is not the global one. Conversation metrics have other storage: the vectors of the `prometheus` crate
//! could merge them by mistake.

mod event;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use exporter_exposition::{Family, Kind, from_prometheus};
use polyai_api::FetchErrorKind;
use polyai_domain::conversation::RejectedKind;
use polyai_domain::timestamp::Timestamp;
use prometheus::core::Collector;
use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts,
    Registry,
};

pub use event::Event;

use crate::logging;

/// The documentation of a metric.
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

/// A type of the `prometheus` crate that can be made from its documentation.
trait Define: Collector + Clone + Sized + 'static {
    const KIND: Kind;

    /// `bounds` are the upper bounds of a histogram, and empty for other types.
    fn define(doc: &MetricDoc, bounds: &[f64]) -> prometheus::Result<Self>;

    fn register(registry: &Registry, doc: &MetricDoc, bounds: &[f64]) -> Self {
        let metric = Self::define(doc, bounds).expect(VALID);
        registry.register(Box::new(metric.clone())).expect(VALID);
        metric
    }
}

const VALID: &str = "definitions are valid and unique";

macro_rules! define {
    ($($type:ident is $kind:ident: |$doc:ident, $bounds:ident| $make:expr;)+) => {
        $(impl Define for $type {
            const KIND: Kind = Kind::$kind;

            fn define($doc: &MetricDoc, $bounds: &[f64]) -> prometheus::Result<Self> {
                $make
            }
        })+
    };
}

define! {
    IntCounter is Counter: |doc, _bounds| IntCounter::with_opts(opts(doc));
    IntCounterVec is Counter: |doc, _bounds| IntCounterVec::new(opts(doc), doc.labels);
    IntGauge is Gauge: |doc, _bounds| IntGauge::with_opts(opts(doc));
    Gauge is Gauge: |doc, _bounds| Gauge::with_opts(opts(doc));
    GaugeVec is Gauge: |doc, _bounds| GaugeVec::new(opts(doc), doc.labels);
    Histogram is Histogram: |doc, bounds| Histogram::with_opts(histogram_opts(doc, bounds));
    HistogramVec is Histogram: |doc, bounds| HistogramVec::new(histogram_opts(doc, bounds), doc.labels);
}

fn opts(doc: &MetricDoc) -> Opts {
    Opts::new(&*doc.name, &*doc.help)
}

fn histogram_opts(doc: &MetricDoc, bounds: &[f64]) -> HistogramOpts {
    HistogramOpts { common_opts: opts(doc), buckets: bounds.to_vec() }
}

const fn doc<T: Define>(
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
) -> MetricDoc {
    MetricDoc { name: Cow::Borrowed(name), kind: T::KIND, labels, help: Cow::Borrowed(help) }
}

/// Declares each metric once: field, type, name, labels, bounds of a histogram, help.
macro_rules! metrics {
    ($($(#[$doc:meta])* $field:ident: $type:ident = $name:literal $labels:tt $([$($bound:literal),+])? => $help:literal,)+) => {
        #[derive(Debug)]
        struct Metrics {
            started: Timestamp,
            registry: Registry,
            $($(#[$doc])* $field: $type,)+
        }

        impl Metrics {
            fn new(registry: Registry, started: Timestamp) -> Self {
                Self {
                    $($field: Define::register(
                        &registry,
                        &doc::<$type>($name, &$labels, $help),
                        &[$($($bound),+)?],
                    ),)+
                    started,
                    registry,
                }
            }
        }

        const DOCS: &[MetricDoc] = &[BUILD_INFO, $(doc::<$type>($name, &$labels, $help),)+];
    };
}

const BUILD_INFO: MetricDoc = doc::<IntGauge>(
    "polyai_exporter_build_info",
    &["version", "revision", "rustversion"],
    "Version, revision and compiler of this build, as far as known; constant 1.",
);

metrics! {
    api_requests: IntCounterVec = "polyai_exporter_api_requests_total" ["endpoint", "code"] =>
        "Requests sent to the PolyAI API by endpoint and HTTP status, or by kind of failure without a response.",
    api_request_duration: HistogramVec = "polyai_exporter_api_request_duration_seconds" ["endpoint"]
        [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0] =>
        "Time from sending a request to the PolyAI API to the end of the response body or the failure.",
    api_response_bytes: IntCounter = "polyai_exporter_api_response_bytes_total" [] =>
        "Bytes of response bodies received from the PolyAI API, after decompression.",
    poll_duration: Histogram = "polyai_exporter_poll_duration_seconds" []
        [0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0] =>
        "Duration of a poll of one target with all its requests.",
    polls_skipped: IntCounter = "polyai_exporter_polls_skipped_total" [] =>
        "Polls skipped because the previous poll of the same target was still running.",
    series: IntGauge = "polyai_exporter_series" [] =>
        "Conversation series in memory (a histogram counts as one).",
    state_bytes: IntGauge = "polyai_exporter_state_bytes" [] => "Size of the state file.",
    config_last_reload_successful: IntGauge = "polyai_exporter_config_last_reload_successful" [] =>
        "1 if the last configuration reload succeeded, 0 if it failed and the previous configuration stays active.",
    config_last_reload_success_timestamp: Gauge =
        "polyai_exporter_config_last_reload_success_timestamp_seconds" [] =>
        "Time at which the active configuration was loaded.",
    commits: IntCounterVec = "polyai_exporter_commits_total" ["outcome"] =>
        "State transactions by outcome; failed ones are retried.",
    commit_duration: Histogram = "polyai_exporter_commit_duration_seconds" []
        [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5] =>
        "Duration of state transactions, successful or not.",
    records_rejected: IntCounterVec = "polyai_exporter_records_rejected_total" ["kind"] =>
        "Conversation records that could not be parsed and were not counted, by reason.",
    log_lines_lost: IntCounter = "polyai_exporter_log_lines_lost_total" [] =>
        "Log lines that could not be written to standard error.",
    events: IntCounterVec = "polyai_exporter_events_total" ["event"] =>
        "Notable events by name. Each is also logged; repeats are logged at debug level.",
    web_config_last_reload_successful: IntGauge = "polyai_exporter_web_config_last_reload_successful" [] =>
        "1 if the web configuration (TLS, users) on disk is active, 0 if it has changed and is invalid.",
    /// A vector, so that it has no series without a certificate.
    web_certificate_expiry: GaugeVec = "polyai_exporter_web_certificate_expiry_timestamp_seconds" [] =>
        "Expiry (notAfter) of the certificate served on this port; absent without TLS.",
}

/// The exporter's own metrics. Clones share the values.
#[derive(Debug, Clone)]
pub struct ExporterMetrics(Arc<Metrics>);

/// The result of a request to the API: the `code` label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestOutcome {
    /// A response with this HTTP status.
    Status(u16),
    /// No response.
    Failure(FetchErrorKind),
}

/// The version of this build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BuildInfo {
    /// The version of the package.
    pub version: &'static str,
    /// The revision of the source, from `POLYAI_EXPORTER_REVISION` at build time.
    pub revision: Option<&'static str>,
    /// The version of the compiler, from `POLYAI_EXPORTER_RUSTVERSION` at build time.
    pub rustversion: Option<&'static str>,
}

impl BuildInfo {
    /// The running build.
    pub const CURRENT: Self = Self {
        version: env!("CARGO_PKG_VERSION"),
        revision: option_env!("POLYAI_EXPORTER_REVISION"),
        rustversion: option_env!("POLYAI_EXPORTER_RUSTVERSION"),
    };
}

/// The values of the `outcome` label, and what they mean.
pub const OUTCOMES: [(&str, &str); 2] = [
    (COMMITTED, "The transaction is on disk."),
    (FAILED, "The transaction failed, and is retried until it succeeds."),
];
const COMMITTED: &str = "committed";
const FAILED: &str = "failed";

/// The codes that alerts and dashboards count. Others appear with their first response.
const CODES: [&str; 11] =
    ["200", "401", "403", "404", "429", "500", "502", "503", "504", "timeout", "unreachable"];

impl ExporterMetrics {
    /// The `endpoint` label of the conversation list.
    pub const LIST_ENDPOINT: &str = "conversations";

    /// All metrics at zero, with every known label value; they count since `started`.
    pub fn new(build: BuildInfo, started: Timestamp) -> Self {
        let metrics = Metrics::new(Registry::new(), started);
        for code in CODES {
            metrics.api_requests.with_label_values(&[Self::LIST_ENDPOINT, code]);
        }
        metrics.api_request_duration.with_label_values(&[Self::LIST_ENDPOINT]);
        for event in Event::ALL {
            metrics.events.with_label_values(&[event.as_str()]);
        }
        for (outcome, _) in OUTCOMES {
            metrics.commits.with_label_values(&[outcome]);
        }
        for kind in RejectedKind::ALL {
            metrics.records_rejected.with_label_values(&[kind.as_str()]);
        }
        metrics.web_config_last_reload_successful.set(1);
        let build_info = build_info(build);
        build_info.set(1);
        metrics.registry.register(Box::new(build_info)).expect(VALID);
        #[cfg(target_os = "linux")]
        metrics
            .registry
            .register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))
            .expect(VALID);
        Self(Arc::new(metrics))
    }

    /// A request to the conversation list ended, with `bytes` of decompressed body.
    pub fn request(&self, outcome: RequestOutcome, duration: Duration, bytes: u64) {
        let code = match outcome {
            RequestOutcome::Status(status) => Cow::Owned(status.to_string()),
            RequestOutcome::Failure(kind) => Cow::Borrowed(kind.as_str()),
        };
        self.0.api_requests.with_label_values(&[Self::LIST_ENDPOINT, &*code]).inc();
        let histogram = self.0.api_request_duration.with_label_values(&[Self::LIST_ENDPOINT]);
        histogram.observe(duration.as_secs_f64());
        self.0.api_response_bytes.inc_by(bytes);
    }

    /// A poll of a target ended, successfully or not.
    pub fn poll(&self, duration: Duration) {
        self.0.poll_duration.observe(duration.as_secs_f64());
    }

    /// A state transaction was committed.
    pub fn committed(&self, duration: Duration) {
        self.commit(COMMITTED, duration);
    }

    /// A state transaction failed.
    pub(crate) fn commit_failed(&self, duration: Duration) {
        self.commit(FAILED, duration);
    }

    fn commit(&self, outcome: &str, duration: Duration) {
        self.0.commits.with_label_values(&[outcome]).inc();
        self.0.commit_duration.observe(duration.as_secs_f64());
    }

    /// Sets the number of conversation series.
    pub fn set_series(&self, series: usize) {
        self.0.series.set(i64::try_from(series).unwrap_or(i64::MAX));
    }

    /// Sets the size of the state file.
    pub fn set_state_bytes(&self, bytes: u64) {
        self.0.state_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// A configuration was loaded at `at` and is active.
    pub fn config_loaded(&self, at: DateTime<Utc>) {
        self.0.config_last_reload_successful.set(1);
        self.0.config_last_reload_success_timestamp.set(seconds(at));
    }

    /// A reload failed; the previous configuration stays active.
    pub fn config_reload_failed(&self) {
        self.0.config_last_reload_successful.set(0);
    }

    /// The web configuration on disk is active, with a certificate that expires at `expiry`.
    pub fn web_config_loaded(&self, expiry: Option<DateTime<Utc>>) {
        self.0.web_config_last_reload_successful.set(1);
        match expiry {
            Some(at) => self.0.web_certificate_expiry.with_label_values::<&str>(&[]).set(seconds(at)),
            None => self.0.web_certificate_expiry.reset(),
        }
    }

    /// The web configuration on disk is invalid; the previous one stays active.
    pub fn web_config_reload_failed(&self) {
        self.0.web_config_last_reload_successful.set(0);
    }

    /// Counts an event. Only [`Events`](crate::events::Events) calls this and the next two.
    pub(crate) fn event(&self, event: Event) {
        self.0.events.with_label_values(&[event.as_str()]).inc();
    }

    /// Counts a skipped poll.
    pub(crate) fn poll_skipped(&self) {
        self.0.polls_skipped.inc();
    }

    /// Counts a rejected record.
    pub(crate) fn record_rejected(&self, kind: RejectedKind) {
        self.0.records_rejected.with_label_values(&[kind.as_str()]).inc();
    }

    /// All families with their current values, sorted by name.
    pub fn gather(&self) -> Vec<Family> {
        let lost = logging::lost_lines();
        self.0.log_lines_lost.inc_by(lost.saturating_sub(self.0.log_lines_lost.get()));
        let started = exporter_exposition::Timestamp::from_millis(self.0.started.millis());
        from_prometheus(&self.0.registry.gather(), Some(started))
    }

    /// Every metric that [`Self::gather`] may return, sorted by name, for the documentation.
    pub fn catalogue() -> Vec<MetricDoc> {
        let mut docs = DOCS.to_vec();
        #[cfg(target_os = "linux")]
        {
            let families = prometheus::process_collector::ProcessCollector::for_self().collect();
            let process = from_prometheus(&families, None).into_iter();
            docs.extend(process.map(|Family { meta, .. }| MetricDoc {
                name: meta.name,
                kind: meta.kind,
                labels: &[],
                help: meta.help,
            }));
        }
        docs.sort_by(|a, b| a.name.cmp(&b.name));
        docs
    }
}

#[expect(clippy::cast_precision_loss, reason = "current times in milliseconds are exact in a double")]
fn seconds(at: DateTime<Utc>) -> f64 {
    at.timestamp_millis() as f64 / 1000.0
}

/// Unknown labels are omitted: an empty label is the same as none.
fn build_info(build: BuildInfo) -> IntGauge {
    let values = [Some(build.version), build.revision, build.rustversion];
    let labels = BUILD_INFO.labels.iter().zip(values);
    let options = labels.fold(opts(&BUILD_INFO), |options, (name, value)| {
        match value.filter(|value| !value.is_empty()) {
            Some(value) => options.const_label(*name, value),
            None => options,
        }
    });
    IntGauge::with_opts(options).expect(VALID)
}

#[cfg(test)]
mod tests {
    use super::*;
    use exporter_exposition::{Labels, Value};

    mod lint;

    fn value_of(stats: &ExporterMetrics, name: &str, labels: &[(&'static str, &str)]) -> Option<Value> {
        let labels = Labels::new(labels.iter().copied());
        let families = stats.gather();
        let family = families.iter().find(|family| family.meta.name == name)?;
        family.series.iter().find(|series| series.labels == labels).map(|series| series.value.clone())
    }

    /// One of everything, so that each family has a series.
    fn busy() -> ExporterMetrics {
        let stats = ExporterMetrics::new(
            BuildInfo { version: "1.2.3", revision: Some("abc"), rustversion: None },
            Timestamp::from_millis(0),
        );
        stats.request(RequestOutcome::Status(200), Duration::from_millis(300), 1000);
        stats.request(RequestOutcome::Failure(FetchErrorKind::Timeout), Duration::from_secs(60), 24);
        stats.poll(Duration::from_secs(1));
        stats.committed(Duration::from_millis(20));
        stats.record_rejected(RejectedKind::BadId);
        stats.web_config_loaded(Some(DateTime::UNIX_EPOCH));
        stats
    }

    #[test]
    fn requests_are_counted_by_endpoint_and_code() {
        let stats = busy();
        for code in ["200", "timeout"] {
            let labels = [("code", code), ("endpoint", "conversations")];
            assert_eq!(
                value_of(&stats, "polyai_exporter_api_requests_total", &labels),
                Some(Value::total(1))
            );
        }
        let bytes = value_of(&stats, "polyai_exporter_api_response_bytes_total", &[]);
        assert_eq!(bytes, Some(Value::total(1024)));
    }

    #[test]
    fn known_label_values_exist_at_zero_from_the_start() {
        let stats = ExporterMetrics::new(BuildInfo::CURRENT, Timestamp::from_millis(0));
        let kinds = RejectedKind::ALL.map(|kind| ("records_rejected", "kind", kind.as_str()));
        let events = Event::ALL.iter().map(|event| ("events", "event", event.as_str()));
        let commits = [COMMITTED, FAILED].map(|outcome| ("commits", "outcome", outcome));
        for (metric, label, value) in kinds.into_iter().chain(events).chain(commits) {
            let name = format!("polyai_exporter_{metric}_total");
            assert_eq!(value_of(&stats, &name, &[(label, value)]), Some(Value::total(0)), "{name} {value}");
        }
        for code in CODES {
            let labels = [("code", code), ("endpoint", ExporterMetrics::LIST_ENDPOINT)];
            assert_eq!(
                value_of(&stats, "polyai_exporter_api_requests_total", &labels),
                Some(Value::total(0)),
                "{code}"
            );
        }
        let empty: Vec<_> = stats.gather().into_iter().filter(|family| family.series.is_empty()).collect();
        assert!(empty.is_empty(), "{empty:?}");
        let gathered: Vec<_> = stats.gather().into_iter().map(|family| family.meta.name).collect();
        let missing = DOCS.iter().filter(|doc| !gathered.contains(&doc.name)).map(|doc| &*doc.name);
        assert_eq!(missing.collect::<Vec<_>>(), ["polyai_exporter_web_certificate_expiry_timestamp_seconds"]);
    }

    #[test]
    fn build_info_omits_unknown_labels() {
        let labels = [("revision", "abc"), ("version", "1.2.3")];
        assert_eq!(value_of(&busy(), "polyai_exporter_build_info", &labels), Some(Value::Gauge(1.0)));
    }

    #[test]
    fn rejected_reload_keeps_success_timestamp() {
        let stats = busy();
        stats.config_loaded(DateTime::from_timestamp_millis(1_790_000_000_500).unwrap());
        stats.config_reload_failed();
        let name = "polyai_exporter_config_last_reload_successful";
        assert_eq!(value_of(&stats, name, &[]), Some(Value::Gauge(0.0)));
        let name = "polyai_exporter_config_last_reload_success_timestamp_seconds";
        assert_eq!(value_of(&stats, name, &[]), Some(Value::Gauge(1_790_000_000.5)));
    }

    #[test]
    fn certificate_expiry_exists_only_with_tls() {
        let stats = busy();
        stats.web_config_loaded(None);
        let name = "polyai_exporter_web_certificate_expiry_timestamp_seconds";
        assert_eq!(value_of(&stats, name, &[]), None);
        stats.web_config_loaded(DateTime::from_timestamp(1_790_000_000, 0));
        assert_eq!(value_of(&stats, name, &[]), Some(Value::Gauge(1_790_000_000.0)));
        stats.web_config_reload_failed();
        assert_eq!(value_of(&stats, name, &[]), Some(Value::Gauge(1_790_000_000.0)), "it is still served");
        stats.web_config_loaded(None);
        assert_eq!(value_of(&stats, name, &[]), None);
    }

    #[test]
    fn names_and_help_follow_conventions() {
        assert_eq!(lint::lint(&busy().gather()), Vec::<String>::new());
    }

    #[test]
    fn catalogue_matches_gathered_families() {
        let gathered: Vec<_> = busy()
            .gather()
            .into_iter()
            .map(|Family { meta, .. }| (meta.name, meta.kind, meta.help))
            .collect();
        let listed: Vec<_> = ExporterMetrics::catalogue()
            .into_iter()
            .map(|entry| (entry.name, entry.kind, entry.help))
            .collect();
        assert_eq!(gathered, listed);
    }
}
