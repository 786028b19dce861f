//! The declared keys of the configuration: the checker and the reference are both made from them.

use std::borrow::Cow;
use std::time::Duration;

use exporter_schema::{DefaultValue, Key, ListType, Order, Schema, ValueType};
use exporter_web::ListenAddress;

use super::settings::Dimension;
use polyai_domain::conversation::Amount;
use polyai_domain::target::{ApiVersion, ClientEnv, LatencyUnit, Region};

/// The schema of the configuration.
pub(super) static SCHEMA: Schema<'static> =
    Schema { keys: &KEYS, unsupported: UNSUPPORTED, variable: Some(variable_of) };

/// Two underscores: Kubernetes injects `POLYAI_EXPORTER_...` for a service named polyai-exporter.
pub(super) const PREFIX: &str = "POLYAI_EXPORTER__";

const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

const fn minutes(count: u64) -> Duration {
    Duration::from_secs(count * 60)
}

const fn days(count: u64) -> Duration {
    Duration::from_secs(count * 24 * 3600)
}

/// Each key with its type, default and description.
macro_rules! key_table {
    ($($path:literal: $value_type:expr, $default:expr, $description:literal;)*) => {
        [$(Key {
            path: Cow::Borrowed($path),
            value_type: $value_type,
            default: $default,
            description: $description,
        }),*]
    };
}

use DefaultValue::{Derived, Required, Value};

const REGIONS: &[&str] =
    &[Region::Us1.as_str(), Region::Uk1.as_str(), Region::Euw1.as_str(), Region::Studio.as_str()];
const CLIENT_ENVS: &[&str] =
    &[ClientEnv::Live.as_str(), ClientEnv::Sandbox.as_str(), ClientEnv::PreRelease.as_str()];
const LATENCY_UNITS: &[&str] = &[LatencyUnit::Seconds.as_str(), LatencyUnit::Milliseconds.as_str()];
const VERSIONS: &[&str] = &[ApiVersion::V3.as_str(), ApiVersion::V2.as_str(), ApiVersion::V1.as_str()];
const DIMENSIONS: &[&str] = &[Dimension::Channel.as_str(), Dimension::Variant.as_str()];

const fn text(accepts: fn(&str) -> bool, expected: &'static str) -> ValueType {
    ValueType::Text { accepts, expected }
}

const TEXT: ValueType = text(is_text, "text that is not empty, without control characters");
const PATH: ValueType = text(is_text, "a path");
const CREDENTIAL: ValueType = text(is_text, "text that is not empty");
const URL: ValueType = text(is_text, "a URL such as \"https://proxy.example.com/polyai\"");
/// A segment of a URL, as PolyAI's studio shows it.
const ID: ValueType = text(
    |text| {
        is_text(text)
            && !text.contains(|letter: char| letter.is_whitespace() || "/\\?#%".contains(letter))
            && !text.starts_with('.')
    },
    "an id as in the URL of PolyAI's studio: no spaces, /, ?, # or %, and no dot at its start",
);
const TIME: ValueType = text(
    |text| chrono::DateTime::parse_from_rfc3339(text).is_ok(),
    "a time with its zone, such as \"2026-01-31T00:00:00Z\"",
);

const fn distinct(item: ValueType, min_items: usize, expected: &'static str) -> ListType {
    ListType { item, min_items, max_items: usize::MAX, order: Order::Distinct, expected }
}

const ADDRESSES: ValueType = ValueType::List(
    &const {
        let check = |text: &str| text.parse::<ListenAddress>().map(|_| ()).map_err(|error| error.to_string());
        let expected = ListenAddress::EXPECTED;
        distinct(ValueType::Parsed { check, expected }, 1, expected)
    },
);
const TEXTS: ValueType = ValueType::List(&const { distinct(TEXT, 0, "a list of text, such as [VOICE-SIP]") });
const LABELS: ValueType =
    ValueType::List(&const { distinct(ValueType::OneOf(DIMENSIONS), 0, "a list of channel or variant") });
const CLIENT_ENV_LIST: ValueType = ValueType::List(
    &const { distinct(ValueType::OneOf(CLIENT_ENVS), 1, "a list of live, sandbox or pre-release, at least one") },
);
const COLLECTORS: ValueType =
    ValueType::List(&const { distinct(ValueType::OneOf(&["conversations"]), 0, "a list of conversations") });
const RECHECK_AGES: ValueType = ValueType::List(&ListType {
    item: ValueType::Duration { min: minutes(1), max: days(30) },
    min_items: 0,
    max_items: usize::MAX,
    order: Order::Ascending(1e-9),
    expected: "ascending durations from 1m to 30days, such as [5m, 1h]",
});
/// Upper bounds of a histogram. Observations are whole millionths.
const BOUNDS: ValueType = ValueType::List(&ListType {
    item: ValueType::Number {
        accepts: |bound| Amount::from_units(bound).is_some_and(|bound| bound > Amount(0)),
        expected: "a number from 0.000001 to 34560000",
    },
    min_items: 1,
    max_items: 50,
    order: Order::Ascending(1e-6),
    expected: "1 to 50 ascending numbers from 0.000001 to 34560000, such as [0.5, 1, 2.5]",
});

/// Text that says something and fits into a line.
fn is_text(text: &str) -> bool {
    !text.trim().is_empty() && !text.contains(char::is_control)
}

/// Every key that this version reads, in the order of the documentation.
pub(super) static KEYS: [Key; 34] = key_table! {
    "server.listen": ADDRESSES, Value("\"0.0.0.0:9890\""),
        "Where to serve `/metrics`: one address or a list; port 0 takes a free port.";
    "server.web_config_file": PATH, Value("null"),
        "The web configuration of the Prometheus exporters (TLS, client certificates, users, headers), relative to the directory of the configuration file; without it plain HTTP without authentication.";
    "storage.path": PATH, Value("./data"),
        "The directory of the state, relative to the working directory.";
    "storage.ephemeral": ValueType::Bool, Value("false"),
        "Keep the state in memory only; `storage.path` is then not used.";
    "polling.interval": ValueType::Duration { min: seconds(1), max: minutes(60) }, Value("30s"),
        "How often running and newly started conversations are requested.";
    "polling.settle": ValueType::Duration { min: seconds(0), max: minutes(60) }, Value("10s"),
        "A conversation counts once it has been seen finished for this long.";
    "polling.recheck": RECHECK_AGES, Value("[5m, 1h, 24h]"),
        "Ages, each longer than `polling.settle`, at which each period is read again for late and amended records; may be empty.";
    "polling.initial_lookback": ValueType::Duration { min: seconds(0), max: days(90) }, Value("0s"),
        "At the first start, conversations that ended up to this long before it are counted. They are exposed when all have been read.";
    "polling.anchor": TIME, Value("null"),
        "A fixed start instead: conversations that ended since then are counted, so that replicas agree. A new state also reads the last age of `polling.recheck` before it.";
    "polling.page_size": ValueType::Integer { min: 1, max: 1000 }, Value("200"),
        "Conversations per request.";
    "polling.timeout": ValueType::Duration { min: seconds(1), max: minutes(10) }, Value("60s"),
        "The timeout of a request with its response.";
    "polling.requests_per_minute": ValueType::Integer { min: 1, max: 60_000 }, Value("30"),
        "The request budget of each API key. PolyAI publishes no limit; responses with status 429 were observed at about 60 to 100 per minute.";
    "polling.max_concurrent_requests": ValueType::Integer { min: 1, max: 1000 }, Value("8"),
        "Concurrent requests, over all targets.";
    "metrics.labels": LABELS, Value("[channel]"),
        "The optional labels of conversation series; may be empty.";
    "metrics.max_label_values": ValueType::Integer { min: 1, max: 10_000 }, Value("50"),
        "Distinct values per label and target; further values are folded into `other`, and counted.";
    "metrics.native_histograms": ValueType::Bool, Value("true"),
        "Expose each histogram as a native histogram, too, where Prometheus requests a format that supports it.";
    "metrics.openmetrics_created": ValueType::Bool, Value("false"),
        "Expose the start time of each series in `_created` lines of OpenMetrics.";
    "metrics.recent_window": ValueType::Duration { min: minutes(1), max: days(1) }, Value("15m"),
        "The window of the `polyai_recent_*` gauges.";
    "metrics.latency_buckets": BOUNDS, Value("[0.25, 0.5, 0.8, 1, 1.5, 2, 2.5, 3, 3.5, 5, 8, 10, 15]"),
        "Upper bounds of the latency histograms, in seconds.";
    "metrics.duration_buckets": BOUNDS, Value("[5, 15, 30, 60, 120, 180, 300, 600, 900, 1800, 3600]"),
        "Upper bounds of the duration histograms, in seconds.";
    "targets[].name": TEXT, Derived("the project id"),
        "The `project` label.";
    "targets[].region": ValueType::OneOf(REGIONS), Required,
        "The region of the project. Without a file it is derived from the base URL.";
    "targets[].account_id": ID, Required,
        "The workspace id, such as `ws-00000001`.";
    "targets[].project_id": ID, Required,
        "The project id of the agent, such as `PROJECT-0000001`.";
    "targets[].client_env": CLIENT_ENV_LIST, Value("[live]"),
        "The client environments to read, each with series of its own.";
    "targets[].api_version": ValueType::OneOf(VERSIONS), Value("v3"),
        "The version of the Conversations API. PolyAI ended its support of v1 on 31 August 2026.";
    "targets[].latency_unit": ValueType::OneOf(LATENCY_UNITS), Value("seconds"),
        "The unit of `latency` in the API's records. The documented one is right for all known projects; the problem `latency_unit` says where it is not.";
    "targets[].api_key_env": CREDENTIAL, Derived("one of the three is required"),
        "The name of the environment variable that holds the API key.";
    "targets[].api_key_file": CREDENTIAL, Derived("one of the three is required"),
        "The file that holds the API key, relative to the directory of the configuration file.";
    "targets[].api_key": CREDENTIAL, Derived("one of the three is required"),
        "The API key itself.";
    "targets[].base_url": URL, Derived("the host of the region"),
        "Another address of the API, such as a proxy or the simulator.";
    "targets[].ca_file": PATH, Derived("the roots of the system alone"),
        "A PEM bundle of further certificates to trust, issuers or that of the API itself, relative to the directory of the configuration file.";
    "targets[].channels": TEXTS, Value("[VOICE-SIP]"),
        "Channels whose series exist with value 0 from the first scrape; may be empty.";
    "targets[].collectors": COLLECTORS, Value("[conversations]"),
        "What to collect.";
};

/// Planned keys, sections and (after `=`) values, refused so that nobody relies on them.
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

/// Every key that this version reads, in the order of the documentation.
pub fn reference() -> &'static [Key] {
    SCHEMA.keys
}

/// [`reference()`] as a Markdown table.
pub fn reference_markdown() -> String {
    let mut text = "| key | value | default | meaning |\n| --- | --- | --- | --- |\n".to_owned();
    for key in reference() {
        let default = match key.default {
            DefaultValue::Value(value) => format!("`{value}`"),
            DefaultValue::Derived(words) => words.to_owned(),
            DefaultValue::Required => "required".to_owned(),
        };
        let Key { path, value_type, description, .. } = key;
        text.push_str(&format!("| `{path}` | {value_type} | {default} | {description} |\n"));
    }
    text
}

/// The environment variable that sets `key`; for a key of a list's entries, of the first entry.
pub fn variable(key: &Key) -> String {
    variable_of(&key.path)
}

/// The variable that sets the key at `path`; of a list of sections, that of the first entry.
pub(super) fn variable_of(path: &str) -> String {
    let path = path.replace("[]", ".0").replace('[', ".").replace(']', "");
    format!("{PREFIX}{}", path.replace('.', "__").to_ascii_uppercase())
}
