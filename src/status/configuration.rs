//! The active settings as lines without secrets, and their hash.
//!
//! Structures are destructured without `..`, so that a new setting cannot be forgotten.

use std::fmt::Write;

use serde::Serialize;

use super::format::as_text;
use crate::config::{Metrics, Polling, Server, Settings, Storage, Target, format_duration};
use polyai_domain::timestamp::Timestamp;

/// The origin of the active configuration, and the last attempt to reload it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConfigurationStatus {
    /// Such as `polyai.yaml and 2 environment variables`.
    pub origin: String,
    /// When the active configuration was loaded.
    #[serde(serialize_with = "as_text")]
    pub loaded_at: Timestamp,
    /// The last reload attempt.
    pub last_reload: Option<Reload>,
}

/// A reload attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reload {
    /// Time of the attempt.
    #[serde(serialize_with = "as_text")]
    pub at: Timestamp,
    /// Whether the new configuration is active.
    pub succeeded: bool,
    /// What changed, or why the reload failed.
    pub detail: String,
}

type Line = (&'static str, String);

/// SHA-256 of all settings without secrets, in hexadecimal. Their origin does not change it.
pub(super) fn hash(settings: &Settings) -> String {
    // The source of a key is not a setting.
    let target_lines = settings.targets.iter().flat_map(target_settings).filter(|(key, _)| *key != "api_key");
    let mut text = String::new();
    for (key, value) in global_settings(settings).into_iter().chain(target_lines) {
        // Values may contain line breaks; the length makes the text unambiguous.
        let _ = writeln!(text, "{key} {} {value}", value.len());
    }
    hex_digest(text.as_bytes())
}

/// SHA-256 in hexadecimal.
pub(super) fn hex_digest(data: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, data);
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn join<T: ToString>(values: &[T]) -> String {
    values.iter().map(T::to_string).collect::<Vec<_>>().join(", ")
}

/// The settings of one target.
pub(super) fn target_settings(target: &Target) -> Vec<Line> {
    let Target {
        key,
        account_id,
        project_id,
        api_version,
        latency_unit,
        api_key,
        base_url: _,
        ca_file,
        channels,
    } = target;
    let ca_file = ca_file.as_ref().map(|file| file.path.display().to_string());
    vec![
        ("name", key.project.clone()),
        ("region", key.region.to_string()),
        ("client_env", key.client_env.to_string()),
        ("account_id", account_id.clone()),
        ("project_id", project_id.clone()),
        ("api_version", api_version.to_string()),
        ("latency_unit", latency_unit.to_string()),
        ("api_key", format!("set, from {}", api_key.origin())),
        ("base_url", target.base_url_shown()),
        ("ca_file", ca_file.unwrap_or_else(|| "the system's roots".to_owned())),
        ("channels", join(channels)),
    ]
}

/// The settings that apply to all targets.
pub(super) fn global_settings(settings: &Settings) -> Vec<Line> {
    let Settings { server, storage, polling, metrics, targets: _ } = settings;
    let Server { listen, web_config_file } = server;
    let web_config_file = web_config_file.as_ref().map(|path| path.display().to_string());
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
    let anchor = anchor.map(|anchor| Timestamp::from(anchor).to_string());
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
    vec![
        ("server.listen", join(listen)),
        (
            "server.web_config_file",
            web_config_file.unwrap_or_else(|| "none: plain HTTP, without authentication".to_owned()),
        ),
        match storage {
            Storage::Directory(path) => ("storage.path", path.display().to_string()),
            Storage::Ephemeral => ("storage.ephemeral", "true".to_owned()),
        },
        ("polling.interval", format_duration(*interval)),
        ("polling.settle", format_duration(*settle)),
        ("polling.recheck", join(&recheck)),
        ("polling.initial_lookback", format_duration(*initial_lookback)),
        ("polling.anchor", anchor.unwrap_or_else(|| "the first start".to_owned())),
        ("polling.page_size", page_size.to_string()),
        ("polling.timeout", format_duration(*timeout)),
        ("polling.requests_per_minute", requests_per_minute.to_string()),
        ("polling.max_concurrent_requests", max_concurrent_requests.to_string()),
        ("metrics.labels", join(&labels)),
        ("metrics.max_label_values", max_label_values.to_string()),
        ("metrics.native_histograms", native_histograms.to_string()),
        ("metrics.openmetrics_created", openmetrics_created.to_string()),
        ("metrics.recent_window", format_duration(*recent_window)),
        ("metrics.latency_buckets", join(latency_buckets)),
        ("metrics.duration_buckets", join(duration_buckets)),
    ]
}
