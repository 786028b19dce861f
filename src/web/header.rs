//! Headers that the operator adds to every answer.
//!
//! Owns: the closed set of them, as the original has it, and how they meet those of an answer. Never: other headers.

use hyper::header::{
    CONTENT_SECURITY_POLICY, HeaderMap, HeaderName, HeaderValue, STRICT_TRANSPORT_SECURITY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS, X_XSS_PROTECTION,
};

use super::reader::{Reader, Section, advice};
use crate::config::{Value, display_key, join_list};

/// Each header and the values that it may have; any, if none are listed.
const HEADERS: [(&str, HeaderName, &[&str]); 5] = [
    ("Content-Security-Policy", CONTENT_SECURITY_POLICY, &[]),
    ("X-Frame-Options", X_FRAME_OPTIONS, &["deny", "sameorigin"]),
    ("X-Content-Type-Options", X_CONTENT_TYPE_OPTIONS, &["nosniff"]),
    ("X-XSS-Protection", X_XSS_PROTECTION, &[]),
    ("Strict-Transport-Security", STRICT_TRANSPORT_SECURITY, &[]),
];

/// What is added to each answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Headers(Vec<(HeaderName, HeaderValue)>);

impl Headers {
    /// Adds them to `answer`. The policy of a page holds beside the operator's: browsers obey both. Anything else is the
    /// operator's word.
    pub(crate) fn add_to(&self, answer: &mut HeaderMap) {
        for (name, value) in &self.0 {
            if name == CONTENT_SECURITY_POLICY {
                answer.append(name, value.clone());
            } else {
                answer.insert(name, value.clone());
            }
        }
    }
}

pub(super) fn read(reader: &mut Reader, section: &Section<'_>) -> Headers {
    let mut headers = Vec::new();
    for (name, node) in section.entries() {
        let key = section.key(&display_key(name));
        let Some((_, header, allowed)) = HEADERS.iter().find(|(known, ..)| *known == name) else {
            let names = HEADERS.map(|(name, ..)| name);
            reader.complain(node, &key, advice(name, "`http_server_config.headers`", &names));
            continue;
        };
        let text = match &node.value {
            Value::Text(text) => Some(text.clone()),
            // `X-XSS-Protection: 0`, which the original reads as text.
            Value::Integer(number) => Some(number.to_string()),
            Value::Null | Value::Bool(_) | Value::Float(_) | Value::List(_) | Value::Table(_) => None,
        };
        let is_blank = node.value == Value::Null || text.as_deref() == Some("");
        let fits = |text: &String| allowed.is_empty() || allowed.contains(&text.as_str());
        match text.filter(fits).as_deref().map(HeaderValue::from_str) {
            _ if is_blank => {}
            Some(Ok(value)) => headers.push((header.clone(), value)),
            Some(Err(_)) => {
                reader.complain(
                    node,
                    &key,
                    "no HTTP header can carry this value; write visible ASCII in one line",
                );
            }
            None if allowed.is_empty() => reader.misfit(node, &key, "text"),
            None => reader.misfit(node, &key, &join_list(allowed.iter().copied(), "or")),
        }
    }
    Headers(headers)
}
