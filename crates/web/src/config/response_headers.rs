//! Response headers that the operator adds: `http_server_config.headers`.

use exporter_schema::{Value, join_list};
use hyper::header::{
    CONTENT_SECURITY_POLICY, HeaderMap, HeaderName, HeaderValue, STRICT_TRANSPORT_SECURITY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS, X_XSS_PROTECTION,
};

use super::parse::{Parser, Section, unknown_key};

/// The supported headers with their permitted values; none listed means any.
const HEADERS: [(&str, HeaderName, &[&str]); 5] = [
    ("Content-Security-Policy", CONTENT_SECURITY_POLICY, &[]),
    ("X-Frame-Options", X_FRAME_OPTIONS, &["deny", "sameorigin"]),
    ("X-Content-Type-Options", X_CONTENT_TYPE_OPTIONS, &["nosniff"]),
    ("X-XSS-Protection", X_XSS_PROTECTION, &[]),
    ("Strict-Transport-Security", STRICT_TRANSPORT_SECURITY, &[]),
];

/// Headers added to every response.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Headers(Vec<(HeaderName, HeaderValue)>);

impl Headers {
    pub(super) fn parse(parser: &mut Parser, section: &Section<'_>) -> Self {
        let mut headers = Vec::new();
        for (name, node) in section.entries() {
            let Some((_, header, permitted)) = HEADERS.iter().find(|(known, ..)| *known == name) else {
                let names = HEADERS.map(|(name, ..)| name);
                parser.error(&node, unknown_key(name, "`http_server_config.headers`", &names));
                continue;
            };
            let text = match &node.value.value {
                Value::Text(text) => Some(text.clone()),
                // `X-XSS-Protection: 0`, which exporter-toolkit reads as text.
                Value::Integer(number) => Some(number.to_string()),
                Value::Null => Some(String::new()),
                Value::Bool(_) | Value::Float(_) | Value::List(_) | Value::Table(_) => None,
            };
            let is_permitted = |text: &&String| permitted.is_empty() || permitted.contains(&text.as_str());
            match text.as_ref().filter(is_permitted).map(|text| HeaderValue::from_str(text)) {
                _ if text.as_deref() == Some("") => {}
                Some(Ok(value)) => headers.push((header.clone(), value)),
                Some(Err(_)) => {
                    let text = "no HTTP header can carry this value; write visible ASCII in one line";
                    parser.error(&node, text);
                }
                None if permitted.is_empty() => parser.unexpected(&node, "text"),
                None => parser.unexpected(&node, &join_list(permitted.iter().copied(), "or")),
            }
        }
        Self(headers)
    }

    /// Adds the headers to `response`, replacing its own. Only a `Content-Security-Policy` is appended: browsers enforce all of
    /// them.
    pub(crate) fn add_to(&self, response: &mut HeaderMap) {
        for (name, value) in &self.0 {
            if name == CONTENT_SECURITY_POLICY {
                response.append(name, value.clone());
            } else {
                response.insert(name, value.clone());
            }
        }
    }
}
