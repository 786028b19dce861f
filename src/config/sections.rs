//! The sections `server`, `storage`, `polling` and `metrics`: from the raw tree to checked settings.
//!
//! Owns: defaults where a key is absent, and rules over several keys. Never: targets.

use std::num::{NonZeroU16, NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

use super::reader::{Reader, Section};
use super::settings::{Dimension, Metrics, Polling, Server, Storage};
use super::shape::format_duration;
use exporter_schema::Node;

pub(super) fn server(reader: &mut Reader, root: &Node, folder: &Path) -> Server {
    let section = Section::top(root, "server");
    Server {
        listen: reader.addresses(&section, "listen").unwrap_or(Server::default().listen),
        web_config_file: reader.text(&section, "web_config_file").map(|path| folder.join(path)),
    }
}

pub(super) fn storage(reader: &mut Reader, root: &Node) -> Storage {
    let section = Section::top(root, "storage");
    let path = reader.text(&section, "path").map(PathBuf::from);
    if reader.bool(&section, "ephemeral").unwrap_or(false) {
        return Storage::Ephemeral;
    }
    path.map_or_else(Storage::default, Storage::Directory)
}

pub(super) fn polling(reader: &mut Reader, root: &Node, now: DateTime<Utc>) -> Polling {
    let section = Section::top(root, "polling");
    let before = reader.complaints.len();
    let preset = Polling::default();
    let polling = Polling {
        interval: reader.duration(&section, "interval").unwrap_or(preset.interval),
        settle: reader.duration(&section, "settle").unwrap_or(preset.settle),
        recheck: reader.durations(&section, "recheck").unwrap_or(preset.recheck),
        initial_lookback: reader.duration(&section, "initial_lookback").unwrap_or(preset.initial_lookback),
        anchor: reader.time(&section, "anchor"),
        page_size: reader
            .count(&section, "page_size")
            .and_then(|count| NonZeroU16::new(u16::try_from(count).ok()?))
            .unwrap_or(preset.page_size),
        timeout: reader.duration(&section, "timeout").unwrap_or(preset.timeout),
        requests_per_minute: reader
            .count(&section, "requests_per_minute")
            .and_then(NonZeroU32::new)
            .unwrap_or(preset.requests_per_minute),
        max_concurrent_requests: reader
            .count(&section, "max_concurrent_requests")
            .and_then(|count| NonZeroUsize::new(usize::try_from(count).ok()?))
            .unwrap_or(preset.max_concurrent_requests),
    };
    // Only where each value is right by itself: a rule that is broken by a default would be told of a wrong value.
    if reader.complaints.len() == before {
        check_settle_before_recheck(reader, &section, &polling);
        warn_lookback_ignored(reader, &section, &polling);
        warn_future_anchor(reader, &section, &polling, now);
    }
    polling
}

/// A conversation that settles after its recheck would be counted late for no reason.
fn check_settle_before_recheck(reader: &mut Reader, section: &Section<'_>, polling: &Polling) {
    let Some(first) = polling.recheck.first().filter(|age| **age <= polling.settle) else { return };
    let entry = section.entry("recheck").or_else(|| section.entry("settle"));
    let (place, path) = entry.map_or_else(
        || (section.place(), section.path.clone()),
        |entry| (entry.node.location.clone(), entry.path),
    );
    let sentence = format!(
        "found a recheck age of {}, which is not longer than polling.settle ({}); raise the one or lower the other",
        format_duration(*first),
        format_duration(polling.settle),
    );
    reader.complain(&place, &path, sentence);
}

fn warn_lookback_ignored(reader: &mut Reader, section: &Section<'_>, polling: &Polling) {
    if polling.anchor.is_some()
        && !polling.initial_lookback.is_zero()
        && let Some(entry) = section.entry("initial_lookback")
    {
        reader.warn(
            &entry.node.location,
            &entry.path,
            "has no effect beside polling.anchor; remove one of the two",
        );
    }
}

/// Not an error, since it may be meant, and a machine without a battery does not know the year when it starts.
fn warn_future_anchor(reader: &mut Reader, section: &Section<'_>, polling: &Polling, now: DateTime<Utc>) {
    let tomorrow = now.checked_add_signed(TimeDelta::days(1)).unwrap_or(now);
    if let Some(anchor) = polling.anchor.filter(|&anchor| anchor > tomorrow)
        && let Some(entry) = section.entry("anchor")
    {
        let sentence = format!(
            "found {}, which lies in the future: nothing counts until then; write the moment since when conversations count",
            anchor.to_rfc3339_opts(SecondsFormat::Secs, true),
        );
        reader.warn(&entry.node.location, &entry.path, sentence);
    }
}

pub(super) fn metrics(reader: &mut Reader, root: &Node) -> Metrics {
    let section = Section::top(root, "metrics");
    let preset = Metrics::default();
    let labels = reader
        .some_of(&section, "labels", |text| Dimension::ALL.into_iter().find(|label| label.as_str() == text))
        .map(|mut labels| {
            labels.sort_unstable();
            labels
        });
    Metrics {
        labels: labels.unwrap_or(preset.labels),
        max_label_values: reader
            .count(&section, "max_label_values")
            .and_then(|count| NonZeroUsize::new(usize::try_from(count).ok()?))
            .unwrap_or(preset.max_label_values),
        native_histograms: reader.bool(&section, "native_histograms").unwrap_or(preset.native_histograms),
        openmetrics_created: reader
            .bool(&section, "openmetrics_created")
            .unwrap_or(preset.openmetrics_created),
        recent_window: reader.duration(&section, "recent_window").unwrap_or(preset.recent_window),
        latency_buckets: reader.bounds(&section, "latency_buckets").unwrap_or(preset.latency_buckets),
        duration_buckets: reader.bounds(&section, "duration_buckets").unwrap_or(preset.duration_buckets),
    }
}
