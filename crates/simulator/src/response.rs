//! Responses: records, the error envelope, pages of gateways, and bodies that are slow or end early.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use http_body_util::Channel;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, DATE, HeaderName, HeaderValue, RETRY_AFTER};
use serde_json::json;

use super::faults::{RetryAfter, Truncation};

pub(crate) const CORRELATION_ID: &str = "x-polyai-correlation-id";

/// A status, a body, and the way in which it is sent.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    content_type: &'static str,
    retry_after: Option<String>,
    pub(crate) body: Bytes,
    delivery: Delivery,
}

/// An error of the API.
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
        let (content_type, delivery) = ("application/json", Delivery::Whole);
        Self { status, content_type, retry_after: None, body: body.into(), delivery }
    }

    pub(crate) fn with_delivery(self, delivery: Delivery) -> Self {
        Self { delivery, ..self }
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
        let (body, length) = send(self.body, self.delivery);
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

/// The way in which a body is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// At once, with its length.
    Whole,
    /// In chunks of at most 16 KiB, without a length.
    Chunked,
    /// In pieces with a pause before each.
    Slow { pieces: usize, pause: Duration },
    /// Only the first half.
    Truncated(Truncation),
}

pub(crate) type Body = Channel<Bytes, io::Error>;

/// Sends `bytes` in a task of its own. Returns the body and `Content-Length`; `None` sends chunks.
fn send(bytes: Bytes, delivery: Delivery) -> (Body, Option<usize>) {
    let length = bytes.len();
    let half = bytes.slice(..length / 2);
    let (bytes, size, pause, aborts) = match delivery {
        Delivery::Whole => (bytes, length, Duration::ZERO, false),
        Delivery::Chunked => (bytes, 16 * 1024, Duration::ZERO, false),
        Delivery::Slow { pieces, pause } => (bytes, length.div_ceil(pieces.max(1)), pause, false),
        Delivery::Truncated(Truncation::Json) => return send(half, Delivery::Whole),
        Delivery::Truncated(Truncation::Length | Truncation::Chunks) => (half, length, Duration::ZERO, true),
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
    let chunked = matches!(delivery, Delivery::Chunked | Delivery::Truncated(Truncation::Chunks));
    (body, (!chunked).then_some(length))
}
