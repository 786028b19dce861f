//! Response headers that the operator adds: `http_server_config.headers`.

use exporter_schema::Section;
use hyper::header::{
    CONTENT_SECURITY_POLICY, HeaderMap, HeaderName, HeaderValue, STRICT_TRANSPORT_SECURITY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS, X_XSS_PROTECTION,
};

/// The supported headers; the schema has their permitted values.
const HEADERS: [(&str, HeaderName); 5] = [
    ("Content-Security-Policy", CONTENT_SECURITY_POLICY),
    ("X-Frame-Options", X_FRAME_OPTIONS),
    ("X-Content-Type-Options", X_CONTENT_TYPE_OPTIONS),
    ("X-XSS-Protection", X_XSS_PROTECTION),
    ("Strict-Transport-Security", STRICT_TRANSPORT_SECURITY),
];

/// Headers added to every response.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Headers(Vec<(HeaderName, HeaderValue)>);

impl Headers {
    pub(super) fn parse(section: &Section<'_>) -> Self {
        let headers = HEADERS.into_iter().filter_map(|(name, header)| {
            Some((header, HeaderValue::from_str(&section.get::<String>(name)?).ok()?))
        });
        Self(headers.collect())
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
