//! The sections `server`, `storage`, `polling` and `metrics`: defaults of absent keys, and rules over several keys.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use exporter_schema::{FromNode, Location, Node, Report, Section, format_duration, join_path};

use super::keys::SCHEMA;
use super::settings::{Dimension, Metrics, Polling, Server, Storage};
use polyai_domain::conversation::Amount;

/// What `read` makes of the key `name`, or of its declared default.
pub(super) fn setting<T>(section: &Section<'_>, name: &str, read: impl Fn(&Node) -> Option<T>) -> T {
    let pattern = section.path().split_once('[').map(|(list, _)| format!("{list}[]"));
    let default = || SCHEMA.default_of(&join_path(pattern.as_deref().unwrap_or(section.path()), name));
    let value = section.entry(name).and_then(|entry| read(entry.value));
    value.or_else(|| read(&default()?)).expect("every key that is read here has a valid default")
}

/// A number of which the schema excludes zero.
fn non_zero<T: TryFrom<NonZeroU32>>(node: &Node) -> Option<T> {
    NonZeroU32::new(u32::from_node(node)?)?.try_into().ok()
}

pub(super) fn server(root: &Section<'_>, directory: &Path) -> Server {
    let section = root.section("server");
    let addresses = |node: &Node| {
        let addresses = Vec::<String>::from_node(node)?;
        Some(addresses.iter().filter_map(|address| address.parse().ok()).collect())
    };
    Server {
        listen: setting(&section, "listen", addresses),
        web_config_file: section.get("web_config_file").map(|path: String| directory.join(path)),
    }
}

pub(super) fn storage(report: &mut Report, root: &Section<'_>) -> Storage {
    let section = root.section("storage");
    if setting(&section, "ephemeral", bool::from_node) {
        return Storage::Ephemeral;
    }
    let path = PathBuf::from(setting(&section, "path", String::from_node));
    let existing = || path.ancestors().find(|path| path.exists()).filter(|path| !path.is_dir());
    if section.entry("path").is_some()
        && let Some(file) = existing()
    {
        let text =
            format!("{} is not a directory; give a directory, in which the state is created", file.display());
        report.errors.push(section.diagnostic("path", text));
    }
    Storage::Directory(path)
}

pub(super) fn polling(report: &mut Report, root: &Section<'_>, now: DateTime<Utc>) -> Polling {
    let section = root.section("polling");
    let duration = |name| setting(&section, name, FromNode::from_node);
    let anchor: Option<String> = section.get("anchor");
    let polling = Polling {
        interval: duration("interval"),
        settle: duration("settle"),
        recheck: setting(&section, "recheck", FromNode::from_node),
        initial_lookback: duration("initial_lookback"),
        anchor: anchor.and_then(|time| Some(DateTime::parse_from_rfc3339(&time).ok()?.to_utc())),
        page_size: setting(&section, "page_size", non_zero),
        timeout: duration("timeout"),
        requests_per_minute: setting(&section, "requests_per_minute", non_zero),
        max_concurrent_requests: setting(&section, "max_concurrent_requests", non_zero),
    };
    // Only if each value is valid alone: a rule that is broken by a default would blame the wrong value.
    if !report.has_errors_in("polling") {
        check_settle_before_recheck(report, &section, &polling);
        warn_lookback_ignored(report, &section, &polling);
        warn_future_anchor(report, &section, &polling, now);
    }
    polling
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
    let labels = |node: &Node| {
        let names = Vec::<String>::from_node(node)?;
        let is_named = |label: &Dimension| names.iter().any(|name| name == label.as_str());
        Some(Dimension::ALL.into_iter().filter(is_named).collect())
    };
    let bounds = |node: &Node| -> Option<Vec<f64>> {
        let bounds = Vec::<f64>::from_node(node)?.into_iter();
        // As they are counted, in whole millionths.
        Some(bounds.filter_map(Amount::from_units).map(Amount::units).collect())
    };
    let latency_buckets = setting(&section, "latency_buckets", bounds);
    if let Some(first) = latency_buckets.first().filter(|first| **first > MAX_FIRST_LATENCY_BUCKET) {
        let text =
            format!("the first bound is {first} seconds, longer than any reply; give the bounds in seconds");
        report.warnings.push(section.diagnostic("latency_buckets", text));
    }
    Metrics {
        labels: setting(&section, "labels", labels),
        max_label_values: setting(&section, "max_label_values", non_zero),
        native_histograms: setting(&section, "native_histograms", bool::from_node),
        openmetrics_created: setting(&section, "openmetrics_created", bool::from_node),
        recent_window: setting(&section, "recent_window", FromNode::from_node),
        latency_buckets,
        duration_buckets: setting(&section, "duration_buckets", bounds),
    }
}

/// Each section as an empty document has it.
macro_rules! default_sections {
    ($($section:ident: |$root:ident| $read:expr;)+) => {
        $(impl Default for $section {
            fn default() -> Self {
                let document = Node::table(Location::Program);
                let $root = &Section::root(&document);
                $read
            }
        })+
    };
}

default_sections! {
    Server: |root| server(root, Path::new(""));
    Storage: |root| storage(&mut Report::default(), root);
    Polling: |root| polling(&mut Report::default(), root, DateTime::UNIX_EPOCH);
    Metrics: |root| metrics(&mut Report::default(), root);
}
