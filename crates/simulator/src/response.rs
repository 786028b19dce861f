//! Responses: records, the error envelope, pages of gateways, and bodies that are slow or end early.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use http_body_util::Channel;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, DATE, HeaderName, HeaderValue, RETRY_AFTER};
use serde_json::json;

use super::faults::{FaultKind, RetryAfter, Truncation};

pub(crate) const CORRELATION_ID: &str = "x-polyai-correlation-id";

/// A status, a body, and the way in which it is sent.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) content_type: &'static str,
    pub(crate) retry_after: Option<String>,
    pub(crate) body: Bytes,
    pub(crate) is_chunked: bool,
    pub(crate) faults: Vec<FaultKind>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApiError {
    pub(crate) status: u16,
    pub(crate) code: &'static str,
    pub(crate) message: String,
    pub(crate) retry_after: RetryAfter,
}

impl ApiError {
    pub(crate) fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), retry_after: RetryAfter::Missing }
    }

    pub(crate) fn invalid_key() -> Self {
        Self::new(401, "AUTH_USER_INVALID_TOKEN", "The API key is invalid or has expired")
    }

    pub(crate) fn forbidden() -> Self {
        Self::new(403, "ACCOUNT_INSUFFICIENT_PERMISSIONS", "The API key has no permission for this project")
    }

    pub(crate) fn project_not_found() -> Self {
        Self::new(404, "PROJECT_NOT_FOUND", "Project not found")
    }

    pub(crate) fn rate_limited(retry_after: RetryAfter) -> Self {
        Self { retry_after, ..Self::new(429, "RATE_LIMIT_EXCEEDED", "Too many requests") }
    }
}

impl Response {
    pub(crate) fn json(status: u16, body: impl Into<Bytes>) -> Self {
        let (content_type, body, faults) = ("application/json", body.into(), Vec::new());
        Self { status, content_type, retry_after: None, body, is_chunked: false, faults }
    }

    /// The documented envelope with its six keys.
    pub(crate) fn error(error: &ApiError, correlation_id: &str, now: DateTime<Utc>) -> Self {
        let body = json!({
            "success": false,
            "error": error.message,
            "error_id": correlation_id,
            "error_code": error.code,
            "error_message": error.message,
            "data": null,
        });
        let retry_after = match error.retry_after {
            RetryAfter::Seconds(seconds) => Some(seconds.to_string()),
            RetryAfter::Date(seconds) => Some(http_date(now + TimeDelta::seconds(i64::from(seconds)))),
            RetryAfter::Missing => None,
        };
        Self { retry_after, ..Self::json(error.status, body.to_string()) }
    }

    /// The response of the gateway to an unknown path.
    pub(crate) fn no_route() -> Self {
        Self::json(404, r#"{"message":"no Route matched with those Values"}"#)
    }

    /// The response of a proxy that does not reach the API.
    pub(crate) fn html(status: u16) -> Self {
        let page = "<!DOCTYPE html>\n<html><head><title>Something went wrong</title></head>\
                    <body><h1>Something went wrong</h1><p>Please try again later.</p></body></html>\n";
        Self { content_type: "text/html; charset=utf-8", ..Self::json(status, page) }
    }

    /// Adds the headers that every response has.
    pub(crate) fn into_http(
        self,
        correlation_id: &str,
        date: Option<DateTime<Utc>>,
    ) -> hyper::Response<Body> {
        let (body, length) = send(self.body, self.is_chunked, &self.faults);
        let headers = [
            (CONTENT_TYPE, Some(self.content_type.to_owned())),
            (CONTENT_LENGTH, length.map(|length| length.to_string())),
            (DATE, date.map(http_date)),
            (HeaderName::from_static(CORRELATION_ID), Some(correlation_id.to_owned())),
            (RETRY_AFTER, self.retry_after),
        ];
        let mut response = hyper::Response::new(body);
        *response.status_mut() = hyper::StatusCode::from_u16(self.status).unwrap_or_default();
        for (name, value) in headers {
            if let Some(Ok(value)) = value.map(HeaderValue::try_from) {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }
}

fn http_date(moment: DateTime<Utc>) -> String {
    moment.format("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

pub(crate) type Body = Channel<Bytes, io::Error>;

/// Sends `bytes` in a task of its own, as the last of `faults` requires. Returns the body and `Content-Length`; `None` sends chunks.
fn send(mut bytes: Bytes, is_chunked: bool, faults: &[FaultKind]) -> (Body, Option<usize>) {
    let length = bytes.len();
    let is_of_body =
        |fault: &&FaultKind| matches!(fault, FaultKind::SlowBody { .. } | FaultKind::Truncated(_));
    let (size, pause, has_length, aborts) = match faults.iter().rfind(is_of_body) {
        Some(FaultKind::SlowBody { pieces, pause }) => {
            (length.div_ceil(*pieces.max(&1)), *pause, true, false)
        }
        Some(FaultKind::Truncated(Truncation::Json)) => return send(bytes.slice(..length / 2), false, &[]),
        Some(FaultKind::Truncated(truncation)) => {
            bytes.truncate(length / 2);
            (length, Duration::ZERO, *truncation == Truncation::Length, true)
        }
        _ if is_chunked => (16 * 1024, Duration::ZERO, false, false),
        _ => (length, Duration::ZERO, true, false),
    };
    let (mut sender, body) = Channel::new(1);
    tokio::spawn(async move {
        for from in (0..bytes.len()).step_by(size.max(1)) {
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
            let piece = bytes.slice(from..(from + size).min(bytes.len()));
            if sender.send_data(piece).await.is_err() {
                return;
            }
        }
        if aborts {
            // The first half leaves before the connection closes.
            tokio::time::sleep(Duration::from_millis(1)).await;
            sender.abort(io::Error::other("truncated by a fault"));
        }
    });
    (body, has_length.then_some(length))
}
