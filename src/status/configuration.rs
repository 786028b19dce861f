//! The configuration in force, as it may be shown: every value but the secrets.
//!
//! Owns: the masked lines, and the hash over them. Structures are taken apart field by field, so that a new key cannot be
//! forgotten here. Pure.

use std::fmt::Write;

use crate::config::{Metrics, Polling, Server, Settings, Storage, Target, format_duration};
use crate::timestamp::Timestamp;

/// Where the configuration came from and how the last attempt to read it went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigurationStatus {
    /// For people: `polyai.yaml and 2 environment variables`.
    pub origin: String,
    /// When the configuration in force was read.
    pub loaded_at: Timestamp,
    /// The last attempt to read it again.
    pub last_reload: Option<Reload>,
}

/// An attempt to read the configuration again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reload {
    /// When.
    pub at: Timestamp,
    /// What changed, or why nothing was changed; for people.
    pub outcome: Result<String, String>,
}

/// A key of the file, and its value in force.
pub(super) type Line = (&'static str, String);

/// The hash of a configuration: SHA-256 over its lines without secrets, in hexadecimal. The same settings have the same hash,
/// wherever they came from; a key that was replaced does not change it.
pub fn hash(settings: &Settings) -> String {
    let mut text = String::new();
    let mut add = |lines: Vec<Line>| {
        for (key, value) in lines {
            // Values may hold line ends; the length makes the form unambiguous.
            let _ = writeln!(text, "{key} {} {value}", value.len());
        }
    };
    let Settings { server, storage, polling, metrics, targets } = settings;
    add(server_lines(server));
    add(storage_lines(storage));
    add(polling_lines(polling));
    add(metrics_lines(metrics));
    for target in targets {
        // Where a key is found is no setting.
        add(target_lines(target).into_iter().filter(|(key, _)| *key != "api_key").collect());
    }
    let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    digest.as_ref().iter().fold(String::with_capacity(64), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// What concerns all targets.
pub(super) fn shared_lines(settings: &Settings) -> Vec<Line> {
    let Settings { server, storage, polling, metrics, targets: _ } = settings;
    [server_lines(server), storage_lines(storage), polling_lines(polling), metrics_lines(metrics)].concat()
}

/// What concerns one target.
pub(super) fn target_lines(target: &Target) -> Vec<Line> {
    let Target { key, account_id, project_id, api_version, api_key, base_url: _, ca_file, channels } = target;
    vec![
        ("name", key.project.clone()),
        ("region", key.region.to_string()),
        ("client_env", key.client_env.to_string()),
        ("account_id", account_id.clone()),
        ("project_id", project_id.clone()),
        ("api_version", api_version.to_string()),
        ("api_key", format!("set, from {}", api_key.origin())),
        ("base_url", target.base_url_shown()),
        (
            "ca_file",
            ca_file
                .as_ref()
                .map_or_else(|| "the system's roots".to_owned(), |file| file.path.display().to_string()),
        ),
        ("channels", channels.join(", ")),
    ]
}

fn server_lines(server: &Server) -> Vec<Line> {
    let Server { listen, web_config_file } = server;
    let listen: Vec<String> = listen.iter().map(ToString::to_string).collect();
    let web = web_config_file.as_ref().map(|path| path.display().to_string());
    vec![
        ("server.listen", listen.join(", ")),
        (
            "server.web_config_file",
            web.unwrap_or_else(|| "none: plain HTTP, without authentication".to_owned()),
        ),
    ]
}

fn storage_lines(storage: &Storage) -> Vec<Line> {
    match storage {
        Storage::Directory(path) => vec![("storage.path", path.display().to_string())],
        Storage::Ephemeral => vec![("storage.ephemeral", "true".to_owned())],
    }
}

fn polling_lines(polling: &Polling) -> Vec<Line> {
    let Polling {
        interval,
        settle,
        recheck,
        initial_lookback,
        anchor,
        page_size,
        timeout,
        requests_per_minute,
        max_concurrent_requests,
    } = polling;
    let recheck: Vec<String> = recheck.iter().map(|&age| format_duration(age)).collect();
    vec![
        ("polling.interval", format_duration(*interval)),
        ("polling.settle", format_duration(*settle)),
        ("polling.recheck", recheck.join(", ")),
        ("polling.initial_lookback", format_duration(*initial_lookback)),
        (
            "polling.anchor",
            anchor.map_or_else(|| "the first start".to_owned(), |anchor| Timestamp::from(anchor).to_string()),
        ),
        ("polling.page_size", page_size.to_string()),
        ("polling.timeout", format_duration(*timeout)),
        ("polling.requests_per_minute", requests_per_minute.to_string()),
        ("polling.max_concurrent_requests", max_concurrent_requests.to_string()),
    ]
}

fn metrics_lines(metrics: &Metrics) -> Vec<Line> {
    let Metrics {
        labels,
        max_label_values,
        native_histograms,
        openmetrics_created,
        recent_window,
        latency_buckets,
        duration_buckets,
    } = metrics;
    let labels: Vec<&str> = labels.iter().map(|label| label.as_str()).collect();
    let bounds = |bounds: &[f64]| {
        let bounds: Vec<String> = bounds.iter().map(f64::to_string).collect();
        bounds.join(", ")
    };
    vec![
        ("metrics.labels", labels.join(", ")),
        ("metrics.max_label_values", max_label_values.to_string()),
        ("metrics.native_histograms", native_histograms.to_string()),
        ("metrics.openmetrics_created", openmetrics_created.to_string()),
        ("metrics.recent_window", format_duration(*recent_window)),
        ("metrics.latency_buckets", bounds(latency_buckets)),
        ("metrics.duration_buckets", bounds(duration_buckets)),
    ]
}
