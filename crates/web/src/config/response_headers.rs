//! Response headers that the operator adds: `http_server_config.headers`.

use exporter_schema::{Report, Section, Value, join_list};
use hyper::header::{
    CONTENT_SECURITY_POLICY, HeaderMap, HeaderName, HeaderValue, STRICT_TRANSPORT_SECURITY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS, X_XSS_PROTECTION,
};

/// The supported headers with their permitted values; none listed means any.
const HEADERS: [(&str, HeaderName, &[&str]); 5] = [
    ("Content-Security-Policy", CONTENT_SECURITY_POLICY, &[]),
    ("X-Frame-Options", X_FRAME_OPTIONS, &["deny", "sameorigin"]),
    ("X-Content-Type-Options", X_CONTENT_TYPE_OPTIONS, &["nosniff"]),
    ("X-XSS-Protection", X_XSS_PROTECTION, &[]),
    ("Strict-Transport-Security", STRICT_TRANSPORT_SECURITY, &[]),
];

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Headers(Vec<(HeaderName, HeaderValue)>);

impl Headers {
    pub(super) fn parse(section: &Section<'_>, report: &mut Report) -> Self {
        let mut headers = Vec::new();
        for (name, header, permitted) in HEADERS {
            let Some(entry) = section.entry(name) else { continue };
            let text = match &entry.value.value {
                Value::Text(text) => Some(text.clone()),
                // `X-XSS-Protection: 0`, which exporter-toolkit reads as text.
                Value::Integer(number) => Some(number.to_string()),
                Value::Null | Value::Bool(_) | Value::Float(_) | Value::List(_) | Value::Table(_) => None,
            };
            if text.as_deref() == Some("") {
                continue;
            }
            let text = text.filter(|text| permitted.is_empty() || permitted.contains(&text.as_str()));
            let advice = match text.map(HeaderValue::try_from) {
                Some(Ok(value)) => {
                    headers.push((header, value));
                    continue;
                }
                Some(Err(_)) => {
                    "no HTTP header can carry this value; write visible ASCII in one line".to_owned()
                }
                None => {
                    let permitted = join_list(permitted.iter().copied(), "or");
                    let expected = if permitted.is_empty() { "text" } else { &permitted };
                    format!("found {}; write {expected}", entry.value.describe(&entry.key))
                }
            };
            report.errors.push(entry.diagnostic(advice));
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
