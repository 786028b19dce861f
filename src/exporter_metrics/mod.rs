//! The exporter's own metrics: requests, polls, commits, events, build and process.
//!
//! Owns: their registry (never the global one) and typed ways to count. Never: conversation metrics, which the vectors
//! of the `prometheus` crate could merge by mistake.

mod catalogue;
mod event;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts,
    Registry,
};

use catalogue::MetricDef;
pub use catalogue::MetricDoc;
pub use event::Event;

use crate::exposition::{self, Family, from_prometheus};
use crate::logging;
use crate::timestamp::Timestamp;

/// The exporter's own metrics. Clones share the numbers.
#[derive(Debug, Clone)]
pub struct ExporterMetrics(Arc<Metrics>);

#[derive(Debug)]
struct Metrics {
    started: Timestamp,
    registry: Registry,
    api_requests: IntCounterVec,
    api_request_duration: HistogramVec,
    api_response_bytes: IntCounter,
    poll_duration: Histogram,
    polls_skipped: IntCounter,
    series: IntGauge,
    state_bytes: IntGauge,
    config_last_reload_successful: IntGauge,
    config_last_reload_success_timestamp: Gauge,
    commits: IntCounterVec,
    commit_duration: Histogram,
    records_rejected: IntCounterVec,
    events: IntCounterVec,
    log_lines_lost: IntCounter,
    /// Without labels, and without a series while there is no certificate.
    web_certificate_expiry: GaugeVec,
    web_config_last_reload_successful: IntGauge,
}

/// How a request to the API ended: the `code` label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RequestOutcome {
    /// With an answer of this HTTP status.
    Status(u16),
    /// Without one; a word of a closed set, such as `timeout` or `connect`.
    Failure(&'static str),
}

/// What this build is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BuildInfo {
    /// The version of the package.
    pub version: &'static str,
    /// The revision of the source, if the build was told (`POLYAI_EXPORTER_REVISION`).
    pub revision: Option<&'static str>,
    /// The version of the compiler, if the build was told (`POLYAI_EXPORTER_RUSTVERSION`).
    pub rustversion: Option<&'static str>,
}

impl BuildInfo {
    /// The build that is running.
    pub const CURRENT: Self = Self {
        version: env!("CARGO_PKG_VERSION"),
        revision: option_env!("POLYAI_EXPORTER_REVISION"),
        rustversion: option_env!("POLYAI_EXPORTER_RUSTVERSION"),
    };
}

impl ExporterMetrics {
    /// All metrics at zero, and the events among them by name; they count since `started`.
    pub fn new(build: BuildInfo, started: Timestamp) -> Self {
        let registry = Registry::new();
        let metrics = Metrics {
            api_requests: counters(&registry, &catalogue::API_REQUESTS),
            api_request_duration: histograms(&registry, &catalogue::API_REQUEST_DURATION),
            api_response_bytes: counter(&registry, &catalogue::API_RESPONSE_BYTES),
            poll_duration: histogram(&registry, &catalogue::POLL_DURATION),
            polls_skipped: counter(&registry, &catalogue::POLLS_SKIPPED),
            series: gauge(&registry, &catalogue::SERIES),
            state_bytes: gauge(&registry, &catalogue::STATE_BYTES),
            config_last_reload_successful: gauge(&registry, &catalogue::CONFIG_LAST_RELOAD_SUCCESSFUL),
            config_last_reload_success_timestamp: time(
                &registry,
                &catalogue::CONFIG_LAST_RELOAD_SUCCESS_TIMESTAMP,
            ),
            commits: counters(&registry, &catalogue::COMMITS),
            commit_duration: histogram(&registry, &catalogue::COMMIT_DURATION),
            records_rejected: counters(&registry, &catalogue::RECORDS_REJECTED),
            events: counters(&registry, &catalogue::EVENTS),
            log_lines_lost: counter(&registry, &catalogue::LOG_LINES_LOST),
            web_certificate_expiry: optional_gauge(&registry, &catalogue::WEB_CERTIFICATE_EXPIRY),
            web_config_last_reload_successful: gauge(
                &registry,
                &catalogue::WEB_CONFIG_LAST_RELOAD_SUCCESSFUL,
            ),
            started,
            registry,
        };
        for event in Event::ALL {
            metrics.events.with_label_values(&[event.as_str()]);
        }
        for outcome in [COMMITTED, FAILED] {
            metrics.commits.with_label_values(&[outcome]);
        }
        build_info(&metrics.registry, build).set(1);
        metrics.web_config_last_reload_successful.set(1);
        #[cfg(target_os = "linux")]
        register(&metrics.registry, prometheus::process_collector::ProcessCollector::for_self());
        Self(Arc::new(metrics))
    }

    /// A request to `endpoint` of the API ended; `bytes` of its body came, decompressed.
    pub fn request(&self, endpoint: &'static str, code: RequestOutcome, duration: Duration, bytes: u64) {
        let status;
        let code = match code {
            RequestOutcome::Status(number) => {
                status = number.to_string();
                &status
            }
            RequestOutcome::Failure(kind) => kind,
        };
        self.0.api_requests.with_label_values(&[endpoint, code]).inc();
        self.0.api_request_duration.with_label_values(&[endpoint]).observe(duration.as_secs_f64());
        self.0.api_response_bytes.inc_by(bytes);
    }

    /// A poll of a target ended, well or not.
    pub fn poll(&self, duration: Duration) {
        self.0.poll_duration.observe(duration.as_secs_f64());
    }

    /// A transaction on the state was committed.
    pub fn committed(&self, duration: Duration) {
        self.commit(COMMITTED, duration);
    }

    /// A transaction on the state failed; say so with [`Events::commit_failed`](crate::events::Events::commit_failed).
    pub fn commit_failed(&self, duration: Duration) {
        self.commit(FAILED, duration);
    }

    fn commit(&self, outcome: &str, duration: Duration) {
        self.0.commits.with_label_values(&[outcome]).inc();
        self.0.commit_duration.observe(duration.as_secs_f64());
    }

    /// So many conversation series are held.
    pub fn set_series(&self, series: usize) {
        self.0.series.set(i64::try_from(series).unwrap_or(i64::MAX));
    }

    /// The state file has so many bytes.
    pub fn set_state_bytes(&self, bytes: u64) {
        self.0.state_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// The configuration was read and is in force since `at`.
    pub fn config_loaded(&self, at: DateTime<Utc>) {
        self.0.config_last_reload_successful.set(1);
        self.0.config_last_reload_success_timestamp.set(seconds(at));
    }

    /// The configuration could not be read; the one before stays.
    pub fn config_reload_failed(&self) {
        self.0.config_last_reload_successful.set(0);
    }

    /// The web configuration is in force as it stands on disk; the certificate in it ends to be valid at `expiry`.
    pub fn web_config_in_force(&self, expiry: Option<DateTime<Utc>>) {
        self.0.web_config_last_reload_successful.set(1);
        match expiry {
            Some(at) => self.0.web_certificate_expiry.with_label_values::<&str>(&[]).set(seconds(at)),
            None => self.0.web_certificate_expiry.reset(),
        }
    }

    /// The web configuration on disk cannot be used; the one before stays.
    pub fn web_config_reload_failed(&self) {
        self.0.web_config_last_reload_successful.set(0);
    }

    /// One of [`Events`](crate::events::Events) happened, which alone calls this.
    pub(crate) fn event(&self, event: Event) {
        self.0.events.with_label_values(&[event.as_str()]).inc();
    }

    /// A tick was refused; called by [`Events`](crate::events::Events) alone.
    pub(crate) fn poll_skipped(&self) {
        self.0.polls_skipped.inc();
    }

    /// A record was rejected; called by [`Events`](crate::events::Events) alone.
    pub(crate) fn record_rejected(&self, kind: &'static str) {
        self.0.records_rejected.with_label_values(&[kind]).inc();
    }

    /// All families as they stand now, sorted by name; those that have counted nothing yet and whose labels are not
    /// known before are absent.
    pub fn gather(&self) -> Vec<Family> {
        let lost = logging::lost_lines();
        self.0.log_lines_lost.inc_by(lost.saturating_sub(self.0.log_lines_lost.get()));
        let started = exposition::Timestamp::from_millis(self.0.started.millis());
        from_prometheus(&self.0.registry.gather(), Some(started))
    }

    /// Every metric that [`Self::gather`] may give, sorted by name, for the documentation.
    pub fn catalogue() -> Vec<MetricDoc> {
        let declared = catalogue::ALL.into_iter().map(|metric| MetricDoc {
            name: metric.name.into(),
            kind: metric.kind,
            labels: metric.labels,
            help: metric.help.into(),
        });
        let mut entries: Vec<_> = declared.chain(process_entries()).collect();
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        entries
    }
}

/// Values of the `outcome` label.
const COMMITTED: &str = "committed";
const FAILED: &str = "failed";

#[cfg(target_os = "linux")]
fn process_entries() -> impl Iterator<Item = MetricDoc> {
    use prometheus::core::Collector;

    let families = prometheus::process_collector::ProcessCollector::for_self().collect();
    from_prometheus(&families, None).into_iter().map(|Family { meta, .. }| MetricDoc {
        name: meta.name,
        kind: meta.kind,
        labels: &[],
        help: meta.help,
    })
}

#[cfg(not(target_os = "linux"))]
fn process_entries() -> impl Iterator<Item = MetricDoc> {
    std::iter::empty()
}

const VALID: &str = "the catalogue declares valid names, each once";

fn register(registry: &Registry, metric: impl prometheus::core::Collector + 'static) {
    registry.register(Box::new(metric)).expect(VALID);
}

fn counter(registry: &Registry, declared: &MetricDef) -> IntCounter {
    let metric = IntCounter::new(declared.name, declared.help).expect(VALID);
    register(registry, metric.clone());
    metric
}

fn counters(registry: &Registry, declared: &MetricDef) -> IntCounterVec {
    let options = Opts::new(declared.name, declared.help);
    let metric = IntCounterVec::new(options, declared.labels).expect(VALID);
    register(registry, metric.clone());
    metric
}

fn gauge(registry: &Registry, declared: &MetricDef) -> IntGauge {
    let metric = IntGauge::new(declared.name, declared.help).expect(VALID);
    register(registry, metric.clone());
    metric
}

fn time(registry: &Registry, declared: &MetricDef) -> Gauge {
    let metric = Gauge::new(declared.name, declared.help).expect(VALID);
    register(registry, metric.clone());
    metric
}

fn optional_gauge(registry: &Registry, declared: &MetricDef) -> GaugeVec {
    let options = Opts::new(declared.name, declared.help);
    let metric = GaugeVec::new(options, declared.labels).expect(VALID);
    register(registry, metric.clone());
    metric
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds of this age of the world are exact in a double")]
fn seconds(at: DateTime<Utc>) -> f64 {
    at.timestamp_millis() as f64 / 1000.0
}

fn histogram(registry: &Registry, declared: &MetricDef) -> Histogram {
    let options = HistogramOpts::new(declared.name, declared.help).buckets(declared.bounds.to_vec());
    let metric = Histogram::with_opts(options).expect(VALID);
    register(registry, metric.clone());
    metric
}

fn histograms(registry: &Registry, declared: &MetricDef) -> HistogramVec {
    let options = HistogramOpts::new(declared.name, declared.help).buckets(declared.bounds.to_vec());
    let metric = HistogramVec::new(options, declared.labels).expect(VALID);
    register(registry, metric.clone());
    metric
}

/// What the build does not know is left out: an empty label is the same as none.
fn build_info(registry: &Registry, build: BuildInfo) -> IntGauge {
    let mut options = Opts::new(catalogue::BUILD_INFO.name, catalogue::BUILD_INFO.help);
    let values = [Some(build.version), build.revision, build.rustversion];
    for (name, value) in catalogue::BUILD_INFO.labels.iter().zip(values) {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            options = options.const_label(*name, value);
        }
    }
    let metric = IntGauge::with_opts(options).expect(VALID);
    register(registry, metric.clone());
    metric
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exposition::{Labels, Value};

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
        stats.request("conversations", RequestOutcome::Status(200), Duration::from_millis(300), 1000);
        stats.request("conversations", RequestOutcome::Failure("timeout"), Duration::from_secs(60), 24);
        stats.poll(Duration::from_secs(1));
        stats.committed(Duration::from_millis(20));
        stats.record_rejected("no_id");
        stats.web_config_in_force(Some(DateTime::UNIX_EPOCH));
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
        stats.web_config_in_force(None);
        let name = "polyai_exporter_web_certificate_expiry_timestamp_seconds";
        assert_eq!(value_of(&stats, name, &[]), None);
        stats.web_config_in_force(DateTime::from_timestamp(1_790_000_000, 0));
        assert_eq!(value_of(&stats, name, &[]), Some(Value::Gauge(1_790_000_000.0)));
        stats.web_config_reload_failed();
        assert_eq!(value_of(&stats, name, &[]), Some(Value::Gauge(1_790_000_000.0)), "it is still served");
        stats.web_config_in_force(None);
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
