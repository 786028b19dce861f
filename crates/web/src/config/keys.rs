//! The declared keys of the web configuration, those of exporter-toolkit.

use std::borrow::Cow;
use std::time::Duration;

use exporter_schema::{DefaultValue, Key, ListType, Located, Node, Order, Schema, Section, Value, ValueType};
use hyper::header::HeaderValue;

use super::client_auth::ClientAuth;
use super::tls_params::{CIPHER_SUITES, CURVES, VERSIONS};

pub(super) static SCHEMA: Schema<'static> = Schema { keys: &KEYS, unsupported: &[], variable: None };

static KEYS: [Key; 22] = [
    key("tls_server_config.cert", TEXT),
    key("tls_server_config.key", TEXT),
    key("tls_server_config.client_ca", TEXT),
    key("tls_server_config.cert_file", TEXT),
    key("tls_server_config.key_file", TEXT),
    key("tls_server_config.client_auth_type", ValueType::OneOf(&names(&ClientAuth::ALL))),
    key("tls_server_config.client_ca_file", TEXT),
    key("tls_server_config.client_allowed_sans", ValueType::List(&const { list(TEXT, "a list of text") })),
    key("tls_server_config.min_version", ValueType::OneOf(&names(&VERSIONS))),
    key("tls_server_config.max_version", ValueType::OneOf(&names(&VERSIONS))),
    key("tls_server_config.cipher_suites", CIPHER_SUITE_LIST),
    key("tls_server_config.prefer_server_cipher_suites", ValueType::Bool),
    key("tls_server_config.curve_preferences", CURVE_LIST),
    key("http_server_config.http2", ValueType::Bool),
    key("http_server_config.headers.Content-Security-Policy", HEADER),
    key("http_server_config.headers.X-Frame-Options", ValueType::OneOf(&["deny", "sameorigin"])),
    key("http_server_config.headers.X-Content-Type-Options", ValueType::OneOf(&["nosniff"])),
    key("http_server_config.headers.X-XSS-Protection", HEADER),
    key("http_server_config.headers.Strict-Transport-Security", HEADER),
    // Checked with the users, since the value may be a password.
    key("basic_auth_users.*", ValueType::Any),
    key("rate_limit.interval", ValueType::Duration { min: Duration::ZERO, max: MAX_INTERVAL }),
    // 0 would refuse every request.
    key("rate_limit.burst", ValueType::Integer { min: 1, max: u32::MAX }),
];

const fn key(path: &'static str, value_type: ValueType) -> Key {
    Key { path: Cow::Borrowed(path), value_type, default: DefaultValue::Derived(""), description: "" }
}

/// Far longer than any scrape interval.
const MAX_INTERVAL: Duration = Duration::from_secs(24 * 3600);

const TEXT: ValueType =
    ValueType::Text { accepts: |text| !text.trim().is_empty(), expected: "text that is not empty" };
const HEADER: ValueType = ValueType::Text {
    accepts: |text| HeaderValue::from_str(text).is_ok(),
    expected: "visible ASCII in one line, as an HTTP header can carry it",
};
const CIPHER_SUITE_LIST: ValueType = ValueType::List(
    &const { list(ValueType::OneOf(&const { names(&CIPHER_SUITES) }), "a list of names of cipher suites") },
);
const CURVE_LIST: ValueType = ValueType::List(
    &const { list(ValueType::OneOf(&const { names(&CURVES) }), "a list of names of curves") },
);

const fn list(item: ValueType, expected: &'static str) -> ListType {
    ListType { item, min_items: 0, max_items: usize::MAX, order: Order::Any, expected }
}

/// The names of `choices`.
const fn names<T: Copy, const N: usize>(choices: &[(&'static str, T); N]) -> [&'static str; N] {
    let mut names = [""; N];
    let mut index = 0;
    while index < N {
        names[index] = choices[index].0;
        index += 1;
    }
    names
}

/// The choice that the key `name` names.
pub(super) fn choice<T: Copy>(
    section: &Section<'_>,
    name: &str,
    choices: &[(&str, T)],
) -> Option<Located<T>> {
    let text = section.located::<String>(name)?;
    let (_, value) = choices.iter().find(|(name, _)| *name == text.value)?;
    Some(text.map(|_| *value))
}

/// Removes blank values, which exporter-toolkit reads as absent, and makes text of the numbers of headers, as in
/// `X-XSS-Protection: 0`. Users stay as they are: one without a password is an error.
pub(super) fn normalize(root: &mut Node) {
    let Value::Table(sections) = &mut root.value else { return };
    for (_, section) in sections.iter_mut().filter(|(name, _)| *name != "basic_auth_users") {
        remove_blank(section);
        if let Value::Table(entries) = &mut section.value
            && let Some(Node { value: Value::Table(headers), .. }) = entries.get_mut("headers")
        {
            for header in headers.values_mut() {
                if let Value::Integer(number) = header.value {
                    header.value = Value::Text(number.to_string());
                }
            }
        }
    }
}

fn remove_blank(node: &mut Node) {
    if let Value::Table(entries) = &mut node.value {
        entries.retain(|_, entry| {
            entry.value != Value::Null && entry.as_text().is_none_or(|text| !text.trim().is_empty())
        });
        entries.values_mut().for_each(remove_blank);
    }
}
