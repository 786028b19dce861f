//! The checked configuration: typed values within the ranges given here.

use std::collections::BTreeMap;
use std::fmt;
use std::num::{NonZeroU16, NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, Utc};
use polyai_api::CaBundle;
pub use polyai_engine::dimension::Dimension;

use super::base_url;
use super::{ListenAddress, Secret};
use polyai_domain::target::{ApiVersion, LatencyUnit, TargetKey};

/// The configuration of the daemon.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The listeners.
    pub server: Server,
    /// The place of its state.
    pub storage: Storage,
    /// The polls.
    pub polling: Polling,
    /// The exposed series.
    pub metrics: Metrics,
    /// The targets: at least one, one per project, region and client environment, keys unique, sorted by key.
    pub targets: Vec<Target>,
}

/// Section `server`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// `listen`, at least one, without repeats; default `0.0.0.0:9890`. Port 0 takes a free port.
    pub listen: Vec<ListenAddress>,
    /// `web_config_file`: the web configuration; without it plain HTTP, without authentication.
    pub web_config_file: Option<PathBuf>,
}

/// Section `storage`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Storage {
    /// `path`, a directory; default `./data`.
    Directory(PathBuf),
    /// `ephemeral: true`: all in memory, gone with the process.
    Ephemeral,
}

impl fmt::Display for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) => write!(f, "{}", path.display()),
            Self::Ephemeral => f.write_str("in memory, gone with the process"),
        }
    }
}

/// Section `polling`.
#[derive(Debug, Clone, PartialEq)]
pub struct Polling {
    /// How often each target is polled; 1 s to 1 h, default 30 s.
    pub interval: Duration,
    /// How long a conversation must have been seen finished before it counts; 0 s to 1 h, default 10 s.
    pub settle: Duration,
    /// Ages at which each period is read again, ascending, each longer than `settle`; may be empty.
    pub recheck: Vec<Duration>,
    /// How far before the very first start conversations count; default 0 s, at most 90 days.
    pub initial_lookback: Duration,
    /// A fixed start instead of the first start of the daemon: conversations that ended since then count.
    pub anchor: Option<DateTime<Utc>>,
    /// Conversations per page, 1 to 1000; default 200.
    pub page_size: NonZeroU16,
    /// The timeout of a request with its body; 1 s to 10 min, default 60 s.
    pub timeout: Duration,
    /// The request budget of each API key, 1 to 60,000; default 30.
    pub requests_per_minute: NonZeroU32,
    /// Concurrent requests over all targets, 1 to 1000; default 8.
    pub max_concurrent_requests: NonZeroUsize,
}

/// Section `metrics`.
#[derive(Debug, Clone, PartialEq)]
pub struct Metrics {
    /// The optional dimensions, without repeats, in the order of [`Dimension::ALL`]; default `[channel]`.
    pub labels: Vec<Dimension>,
    /// Distinct values per label and target, beyond which values fold into `other`; 1 to 10000, default 50.
    pub max_label_values: NonZeroUsize,
    /// Whether histograms are exposed as native histograms, too; default true. Their buckets are kept either way.
    pub native_histograms: bool,
    /// Whether OpenMetrics has `_created` lines; default false.
    pub openmetrics_created: bool,
    /// The window of the `polyai_recent_*` gauges; 1 min to 24 h, default 15 min.
    pub recent_window: Duration,
    /// `latency_buckets`: upper bounds in seconds, whole millionths, ascending, 1 to 50 of them.
    pub latency_buckets: Vec<f64>,
    /// `duration_buckets`: upper bounds in seconds, whole millionths, ascending, 1 to 50 of them.
    pub duration_buckets: Vec<f64>,
}

/// One entry of `targets`, for one of its client environments.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// Its identity: name (default: project id), region, client environment.
    pub key: TargetKey,
    /// `account_id` (workspace).
    pub account_id: String,
    /// `project_id` (agent).
    pub project_id: String,
    /// `api_version`; default v3.
    pub api_version: ApiVersion,
    /// `latency_unit`: the unit in which the API sends latencies; default seconds.
    pub latency_unit: LatencyUnit,
    /// `api_key_env`, `api_key_file` or `api_key`.
    pub api_key: Secret,
    /// `base_url`, or the region's host; without a trailing slash.
    pub base_url: String,
    /// `ca_file`: a PEM bundle to trust in addition to the roots of the system.
    pub ca_file: Option<CaFile>,
    /// `channels`: label values whose series exist with value 0 from the first scrape; default `[VOICE-SIP]`.
    pub channels: Vec<String>,
}

impl Target {
    /// The host of `base_url`, with the port unless it is the default of the scheme.
    pub fn host(&self) -> String {
        base_url::host(&self.base_url)
    }

    /// `base_url` without user name, password, query and fragment.
    pub fn base_url_shown(&self) -> String {
        base_url::display(&self.base_url)
    }
}

/// A bundle of certificates with its content when the configuration was read.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct CaFile {
    /// The path of the file.
    pub path: PathBuf,
    /// The content: it is read once, and a replaced bundle is another one.
    pub bundle: CaBundle,
}

impl fmt::Debug for CaFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CaFile").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Settings {
    /// The number of targets that share each API key.
    pub fn targets_per_key(&self) -> BTreeMap<&str, usize> {
        let mut shared = BTreeMap::new();
        for target in &self.targets {
            *shared.entry(target.api_key.expose_secret()).or_insert(0) += 1;
        }
        shared
    }
}
