//! The declared keys of the file.

use std::borrow::Cow;
use std::time::Duration;

use exporter_schema::{
    DefaultValue, Key, ListType, Order, Schema, Section, Value, ValueType, closest, join_list,
};

use super::client_auth::ClientAuth;
use super::tls_params::{CIPHER_SUITES, CURVES, VERSIONS};

pub(super) static SCHEMA: Schema<'static> = Schema { keys: &KEYS, unsupported: &[], variable: None };

static KEYS: [Key; 22] = [
    key("tls_server_config.cert", TEXT),
    key("tls_server_config.key", TEXT),
    key("tls_server_config.client_ca", TEXT),
    key("tls_server_config.cert_file", TEXT),
    key("tls_server_config.key_file", TEXT),
    key("tls_server_config.client_auth_type", name(|text| check_optional_name(text, &ClientAuth::ALL))),
    key("tls_server_config.client_ca_file", TEXT),
    key("tls_server_config.client_allowed_sans", ValueType::List(&list(NON_BLANK))),
    key("tls_server_config.min_version", name(|text| check_optional_name(text, &VERSIONS))),
    key("tls_server_config.max_version", name(|text| check_optional_name(text, &VERSIONS))),
    key(
        "tls_server_config.cipher_suites",
        ValueType::List(&list(name(|text| check_name(text, &CIPHER_SUITES)))),
    ),
    key("tls_server_config.prefer_server_cipher_suites", ValueType::Bool),
    key(
        "tls_server_config.curve_preferences",
        ValueType::List(&list(name(|text| check_name(text, &CURVES)))),
    ),
    key("http_server_config.http2", ValueType::Bool),
    key("http_server_config.headers.Content-Security-Policy", ValueType::Any),
    key("http_server_config.headers.X-Frame-Options", ValueType::Any),
    key("http_server_config.headers.X-Content-Type-Options", ValueType::Any),
    key("http_server_config.headers.X-XSS-Protection", ValueType::Any),
    key("http_server_config.headers.Strict-Transport-Security", ValueType::Any),
    // Checked elsewhere: the value may be a password, which a message must not repeat.
    key("basic_auth_users.*", ValueType::Any),
    // Far longer than any scrape interval.
    key(
        "rate_limit.interval",
        ValueType::Duration { min: Duration::ZERO, max: Duration::from_secs(24 * 3600) },
    ),
    key("rate_limit.burst", ValueType::Integer { min: 1, max: u32::MAX }),
];

/// Blank text is the same as an absent key, as in exporter-toolkit.
const TEXT: ValueType = ValueType::Text { accepts: |_| true, expected: "text" };
const NON_BLANK: ValueType =
    ValueType::Text { accepts: |text| !text.trim().is_empty(), expected: "text that is not empty" };

const fn key(path: &'static str, value_type: ValueType) -> Key {
    let default = DefaultValue::Value("null");
    Key { path: Cow::Borrowed(path), value_type, default, description: "" }
}

const fn name(check: fn(&str) -> Result<(), String>) -> ValueType {
    ValueType::Parsed { check, expected: "text" }
}

const fn list(item: ValueType) -> ListType {
    ListType { item, min_items: 0, max_items: usize::MAX, order: Order::Any, expected: "a list of text" }
}

/// As [`check_name`], but blank text is the same as an absent key.
fn check_optional_name<T>(text: &str, choices: &[(&str, T)]) -> Result<(), String> {
    if text.trim().is_empty() { Ok(()) } else { check_name(text, choices) }
}

/// Accepts the names of `choices`; the error says what to write instead.
fn check_name<T>(text: &str, choices: &[(&str, T)]) -> Result<(), String> {
    let names = choices.iter().map(|(name, _)| *name);
    if names.clone().any(|name| name == text) {
        return Ok(());
    }
    Err(match closest(text, names.clone()) {
        Some(similar) => format!("did you mean `{similar}`?"),
        None => format!("write {}", join_list(names, "or")),
    })
}

/// Whether any key of the section has a value.
pub(super) fn is_set(section: &Section<'_>) -> bool {
    section.entries().any(|(_, node)| match &node.value {
        Value::Null => false,
        Value::Text(text) => !text.trim().is_empty(),
        Value::Bool(_) | Value::Integer(_) | Value::Float(_) | Value::List(_) | Value::Table(_) => true,
    })
}
