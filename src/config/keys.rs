//! Every key of the configuration, in one table: the checker, the detection of unknown keys and the reference for people
//! all read it.
//!
//! Owns: paths, formats, ranges, defaults and descriptions, and the list of keys that this version refuses because it
//! cannot do what they ask. Never: the reading of values.

use std::time::Duration;

use crate::target::{ApiVersion, ClientEnv, Region};

use super::settings::Dimension;
use super::shape::ValueType;

/// One key.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Key {
    /// The full path; `targets[].region` stands for each entry of the list.
    pub path: &'static str,
    /// What may be written.
    pub shape: ValueType,
    /// What holds if the key is absent.
    pub default: DefaultValue,
    /// What it is for, in a sentence.
    pub description: &'static str,
}

/// What holds if a key is absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DefaultValue {
    /// This value, as written in YAML.
    Value(&'static str),
    /// Something that depends on other keys, in words.
    Derived(&'static str),
    /// Nothing: the key must be given.
    Required,
}

const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

const fn minutes(count: u64) -> Duration {
    Duration::from_secs(count * 60)
}

const fn days(count: u64) -> Duration {
    Duration::from_secs(count * 24 * 3600)
}

const fn key(path: &'static str, shape: ValueType, default: DefaultValue, about: &'static str) -> Key {
    Key { path, shape, default, description: about }
}

use DefaultValue::{Derived, Required, Value};

const REGIONS: &[&str] =
    &[Region::Us1.as_str(), Region::Uk1.as_str(), Region::Euw1.as_str(), Region::Studio.as_str()];
const CLIENT_ENVS: &[&str] =
    &[ClientEnv::Live.as_str(), ClientEnv::Sandbox.as_str(), ClientEnv::PreRelease.as_str()];
const VERSIONS: &[&str] = &[ApiVersion::V3.as_str(), ApiVersion::V2.as_str(), ApiVersion::V1.as_str()];
const DIMENSIONS: &[&str] = &[Dimension::Channel.as_str(), Dimension::Variant.as_str()];

/// Every key that this version reads, in the order of the documentation.
pub(super) const KEYS: &[Key] = &[
    key(
        "server.listen",
        ValueType::Addresses,
        Value("\"0.0.0.0:9890\""),
        "Where to serve `/metrics`: one address or a list; port 0 takes a free port.",
    ),
    key(
        "server.web_config_file",
        ValueType::Path,
        Value("null"),
        "The web configuration of the Prometheus exporters (TLS, client certificates, users, headers), relative to the folder of the configuration file; without it plain HTTP for everyone.",
    ),
    key(
        "storage.path",
        ValueType::Path,
        Value("./data"),
        "The directory of the state, relative to the working directory.",
    ),
    key(
        "storage.ephemeral",
        ValueType::Switch,
        Value("false"),
        "Keep the state in memory only; `storage.path` is then not used.",
    ),
    key(
        "polling.interval",
        ValueType::Duration { min: seconds(1), max: minutes(60) },
        Value("30s"),
        "How often open and newly started conversations are asked for.",
    ),
    key(
        "polling.settle",
        ValueType::Duration { min: seconds(0), max: minutes(60) },
        Value("10s"),
        "A conversation counts once it has been seen finished for this long.",
    ),
    key(
        "polling.recheck",
        ValueType::Durations { min: minutes(1), max: days(30) },
        Value("[5m, 1h, 24h]"),
        "Ages, each longer than `polling.settle`, at which each stretch of time is read again for late and amended records; may be empty.",
    ),
    key(
        "polling.initial_lookback",
        ValueType::Duration { min: seconds(0), max: days(90) },
        Value("0s"),
        "The very first start counts what ended up to this long before it.",
    ),
    key(
        "polling.anchor",
        ValueType::Time,
        Value("null"),
        "A fixed time instead: count what ended since then, so that replicas agree.",
    ),
    key(
        "polling.page_size",
        ValueType::Count { min: 1, max: 1000 },
        Value("200"),
        "Conversations per request.",
    ),
    key(
        "polling.timeout",
        ValueType::Duration { min: seconds(1), max: minutes(10) },
        Value("60s"),
        "For a whole request with its answer.",
    ),
    key(
        "polling.requests_per_minute",
        ValueType::Count { min: 1, max: 60_000 },
        Value("30"),
        "The request budget of each API key. PolyAI publishes no limit; 429 has been met at about 60 to 100 per minute.",
    ),
    key(
        "polling.max_concurrent_requests",
        ValueType::Count { min: 1, max: 1000 },
        Value("8"),
        "Requests under way at once, over all targets.",
    ),
    key(
        "metrics.labels",
        ValueType::SomeOf(DIMENSIONS),
        Value("[channel]"),
        "The optional labels of conversation series; may be empty.",
    ),
    key(
        "metrics.max_label_values",
        ValueType::Count { min: 1, max: 10_000 },
        Value("50"),
        "Distinct values per label and target; the rest folds into `other`, and is counted.",
    ),
    key(
        "metrics.native_histograms",
        ValueType::Switch,
        Value("true"),
        "Show each histogram as a native one too, where Prometheus asks for the format that can carry it.",
    ),
    key(
        "metrics.openmetrics_created",
        ValueType::Switch,
        Value("false"),
        "Tell since when each series counts in `_created` lines of OpenMetrics.",
    ),
    key(
        "metrics.recent_window",
        ValueType::Duration { min: minutes(1), max: days(1) },
        Value("15m"),
        "The window of the `polyai_recent_*` gauges.",
    ),
    key(
        "metrics.latency_buckets",
        ValueType::Bounds,
        Value("[0.25, 0.5, 0.8, 1, 1.5, 2, 2.5, 3, 3.5, 5, 8, 10, 15]"),
        "Upper bounds of the latency histograms, in seconds.",
    ),
    key(
        "metrics.duration_buckets",
        ValueType::Bounds,
        Value("[5, 15, 30, 60, 120, 180, 300, 600, 900, 1800, 3600]"),
        "Upper bounds of the duration histograms, in seconds.",
    ),
    key("targets[].name", ValueType::Text, Derived("the project id"), "The `project` label."),
    key(
        "targets[].region",
        ValueType::OneOf(REGIONS),
        Required,
        "The region that the project lives in. Without a file it follows from the base URL.",
    ),
    key("targets[].account_id", ValueType::Id, Required, "The workspace id, such as `ws-00000001`."),
    key(
        "targets[].project_id",
        ValueType::Id,
        Required,
        "The agent's project id, such as `PROJECT-0000001`.",
    ),
    key(
        "targets[].client_env",
        ValueType::SomeOf(CLIENT_ENVS),
        Value("[live]"),
        "The environments to read: one set of series each.",
    ),
    key(
        "targets[].api_version",
        ValueType::OneOf(VERSIONS),
        Value("v3"),
        "The version of the Conversations API.",
    ),
    key(
        "targets[].api_key_env",
        ValueType::Credential,
        Derived("one of the three is required"),
        "The name of the environment variable that holds the API key.",
    ),
    key(
        "targets[].api_key_file",
        ValueType::Credential,
        Derived("one of the three is required"),
        "The file that holds the API key, relative to the folder of the configuration file.",
    ),
    key(
        "targets[].api_key",
        ValueType::Credential,
        Derived("one of the three is required"),
        "The API key itself.",
    ),
    key(
        "targets[].base_url",
        ValueType::Url,
        Derived("the host of the region"),
        "Another address of the API, such as a proxy or the simulator.",
    ),
    key(
        "targets[].ca_file",
        ValueType::Path,
        Derived("the system's roots alone"),
        "A PEM bundle of certificates to trust as well, relative to the folder of the configuration file.",
    ),
    key(
        "targets[].channels",
        ValueType::Texts,
        Value("[VOICE-SIP]"),
        "Channels whose series exist at 0 from the first scrape; may be empty.",
    ),
    key(
        "targets[].collectors",
        ValueType::SomeOf(&["conversations"]),
        Value("[conversations]"),
        "What to collect.",
    ),
];

/// What the design has and this version has not: refused, so that nobody relies on it. Each line goes away with the
/// change that brings it. A value after `=` is refused alone; a section is refused whole.
pub(super) const UNSUPPORTED: &[&str] = &[
    "polling.sources_interval",
    "targets[].platform_api_key",
    "targets[].platform_api_key_env",
    "targets[].platform_api_key_file",
    "targets[].platform_base_url",
    "targets[].details",
    "targets[].collectors=concurrency",
    "targets[].collectors=alerts",
    "targets[].collectors=deployments",
    "custom_metrics",
    "searches",
    "webhook",
];

/// The key at `pattern`, which has `[]` for any index.
pub(super) fn find(pattern: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.path == pattern)
}

/// What stands at a path that is no key itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyKind {
    /// A key with a value.
    Key,
    /// A section with keys of its own.
    Section,
    /// A list of sections.
    Sections,
    /// Something that this version cannot do.
    NotYet,
    Unknown,
}

/// What `pattern` is.
pub(super) fn classify(pattern: &str) -> KeyKind {
    let leads = |suffix: &str| {
        KEYS.iter().any(|key| key.path.strip_prefix(pattern).is_some_and(|rest| rest.starts_with(suffix)))
    };
    if UNSUPPORTED.contains(&pattern) {
        KeyKind::NotYet
    } else if find(pattern).is_some() {
        KeyKind::Key
    } else if leads(".") {
        KeyKind::Section
    } else if leads("[]") {
        KeyKind::Sections
    } else {
        KeyKind::Unknown
    }
}

/// The names that may stand in the section at `pattern` (empty for the top), without repeats, in the table's order.
pub(super) fn names_in(pattern: &str) -> Vec<&'static str> {
    let mut names = Vec::new();
    for key in KEYS {
        let rest = if pattern.is_empty() {
            Some(key.path)
        } else {
            key.path.strip_prefix(pattern).and_then(|rest| rest.strip_prefix('.'))
        };
        let name = rest.and_then(|rest| rest.split(['.', '[']).next());
        if let Some(name) = name
            && !names.contains(&name)
        {
            names.push(name);
        }
    }
    names
}

/// `section.name`, or the name alone at the top.
pub(super) fn join(section: &str, name: &str) -> String {
    if section.is_empty() { name.to_owned() } else { format!("{section}.{name}") }
}
