//! The sections `server`, `storage`, `polling` and `metrics`: defaults of absent keys, and rules over several keys.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use exporter_schema::{Report, Section, format_duration};

use super::settings::{Dimension, Metrics, Polling, Server, Storage};
use polyai_domain::conversation::Amount;

pub(super) fn server(root: &Section<'_>, directory: &Path) -> Server {
    let section = root.section("server");
    let listen: Option<Vec<String>> = section.get("listen");
    let listen =
        listen.map(|addresses| addresses.iter().filter_map(|address| address.parse().ok()).collect());
    Server {
        listen: listen.unwrap_or_else(|| Server::default().listen),
        web_config_file: section.get("web_config_file").map(|path: String| directory.join(path)),
    }
}

pub(super) fn storage(report: &mut Report, root: &Section<'_>) -> Storage {
    let section = root.section("storage");
    if section.get("ephemeral").unwrap_or(false) {
        return Storage::Ephemeral;
    }
    let Some(path) = section.get("path").map(|path: String| PathBuf::from(path)) else {
        return Storage::default();
    };
    if let Some(file) = path.ancestors().find(|path| path.exists()).filter(|path| !path.is_dir()) {
        let text =
            format!("{} is not a directory; give a directory, in which the state is created", file.display());
        report.errors.push(section.diagnostic("path", text));
    }
    Storage::Directory(path)
}

pub(super) fn polling(report: &mut Report, root: &Section<'_>, now: DateTime<Utc>) -> Polling {
    let section = root.section("polling");
    let default = Polling::default();
    let anchor: Option<String> = section.get("anchor");
    let polling = Polling {
        interval: section.get("interval").unwrap_or(default.interval),
        settle: section.get("settle").unwrap_or(default.settle),
        recheck: section.get("recheck").unwrap_or(default.recheck),
        initial_lookback: section.get("initial_lookback").unwrap_or(default.initial_lookback),
        anchor: anchor.and_then(|time| Some(DateTime::parse_from_rfc3339(&time).ok()?.to_utc())),
        page_size: non_zero(&section, "page_size").unwrap_or(default.page_size),
        timeout: section.get("timeout").unwrap_or(default.timeout),
        requests_per_minute: non_zero(&section, "requests_per_minute").unwrap_or(default.requests_per_minute),
        max_concurrent_requests: non_zero(&section, "max_concurrent_requests")
            .unwrap_or(default.max_concurrent_requests),
    };
    // Only if each value is valid alone: a rule that is broken by a default would blame the wrong value.
    if !report.has_errors_in("polling") {
        check_settle_before_recheck(report, &section, &polling);
        warn_lookback_ignored(report, &section, &polling);
        warn_future_anchor(report, &section, &polling, now);
    }
    polling
}

fn non_zero<T: TryFrom<NonZeroU32>>(section: &Section<'_>, name: &str) -> Option<T> {
    NonZeroU32::new(section.get(name)?)?.try_into().ok()
}

/// A conversation that settled after its recheck would count late for no reason.
fn check_settle_before_recheck(report: &mut Report, section: &Section<'_>, polling: &Polling) {
    let Some(first) = polling.recheck.first().filter(|age| **age <= polling.settle) else { return };
    let text = format!(
        "found a recheck age of {}, which is not longer than polling.settle ({}); raise the one or lower the other",
        format_duration(*first),
        format_duration(polling.settle),
    );
    let name = if section.entry("recheck").is_some() { "recheck" } else { "settle" };
    report.errors.push(section.diagnostic(name, text));
}

fn warn_lookback_ignored(report: &mut Report, section: &Section<'_>, polling: &Polling) {
    if polling.anchor.is_some() && !polling.initial_lookback.is_zero() {
        let text = "has no effect together with polling.anchor; remove one of the two";
        report.warnings.push(section.diagnostic("initial_lookback", text));
    }
}

/// Not an error, since it may be intended, and a machine without a battery does not know the year when it starts.
fn warn_future_anchor(report: &mut Report, section: &Section<'_>, polling: &Polling, now: DateTime<Utc>) {
    let tomorrow = now.checked_add_signed(TimeDelta::days(1)).unwrap_or(now);
    if let Some(anchor) = polling.anchor.filter(|&anchor| anchor > tomorrow) {
        let text = format!(
            "found {}, which is in the future: nothing counts until then; write the time since when conversations count",
            anchor.to_rfc3339_opts(SecondsFormat::Secs, true),
        );
        report.warnings.push(section.diagnostic("anchor", text));
    }
}

/// The longest reply that a caller waits for is far shorter.
const MAX_FIRST_LATENCY_BUCKET: f64 = 60.0;

pub(super) fn metrics(report: &mut Report, root: &Section<'_>) -> Metrics {
    let section = root.section("metrics");
    let default = Metrics::default();
    let names: Option<Vec<String>> = section.get("labels");
    let labels = names.map(|names| {
        let is_named = |label: &Dimension| names.iter().any(|name| name == label.as_str());
        Dimension::ALL.into_iter().filter(is_named).collect()
    });
    let bounds = |name| {
        let bounds: Option<Vec<f64>> = section.get(name);
        // As they are counted, in whole millionths.
        bounds.map(|bounds| bounds.into_iter().filter_map(Amount::from_units).map(Amount::units).collect())
    };
    let latency_buckets = bounds("latency_buckets").unwrap_or(default.latency_buckets);
    if let Some(first) = latency_buckets.first().filter(|first| **first > MAX_FIRST_LATENCY_BUCKET) {
        let text =
            format!("the first bound is {first} seconds, longer than any reply; give the bounds in seconds");
        report.warnings.push(section.diagnostic("latency_buckets", text));
    }
    Metrics {
        labels: labels.unwrap_or(default.labels),
        max_label_values: non_zero(&section, "max_label_values").unwrap_or(default.max_label_values),
        native_histograms: section.get("native_histograms").unwrap_or(default.native_histograms),
        openmetrics_created: section.get("openmetrics_created").unwrap_or(default.openmetrics_created),
        recent_window: section.get("recent_window").unwrap_or(default.recent_window),
        latency_buckets,
        duration_buckets: bounds("duration_buckets").unwrap_or(default.duration_buckets),
    }
}
