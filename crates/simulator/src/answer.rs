//! Answers before they are sent.
//!
//! Owns: the error envelope, the pages of gateways and proxies, headers. Never: which answer a request deserves.

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use hyper::Response;
use hyper::header::{CONTENT_TYPE, DATE, HeaderValue, RETRY_AFTER};

use super::body::Body;
use super::faults::{RetryAfter, Truncation};
use super::gate::Refusal;
use super::render::string;
use super::stamp::http_date;
use super::state::Delivery;

/// The header in which requests and responses carry their correlation id.
pub(crate) const CORRELATION_ID: &str = "x-polyai-correlation-id";

/// A status, a body, and how it travels.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    content_type: &'static str,
    retry_after: Option<String>,
    body: Bytes,
    delivery: Delivery,
}

impl Answer {
    /// A body in JSON.
    pub(crate) fn json(status: u16, body: Vec<u8>) -> Self {
        Self {
            status,
            content_type: "application/json",
            retry_after: None,
            body: body.into(),
            delivery: Delivery::Whole,
        }
    }

    /// The same, travelling in this way.
    pub(crate) fn delivered(self, delivery: Delivery) -> Self {
        Self { delivery, ..self }
    }

    /// The documented envelope with its six keys.
    pub(crate) fn refusal(refusal: &Refusal, correlation_id: &str, now: DateTime<Utc>) -> Self {
        let mut body = br#"{"success":false,"error":"#.to_vec();
        string(&mut body, &refusal.message);
        body.extend_from_slice(br#","error_id":"#);
        string(&mut body, correlation_id);
        body.extend_from_slice(br#","error_code":"#);
        string(&mut body, refusal.code);
        body.extend_from_slice(br#","error_message":"#);
        string(&mut body, &refusal.message);
        body.extend_from_slice(br#","data":null}"#);
        let retry_after = refusal.retry_after.and_then(|retry_after| match retry_after {
            RetryAfter::Seconds(seconds) => Some(seconds.to_string()),
            RetryAfter::Date(seconds) => Some(http_date(now + TimeDelta::seconds(i64::from(seconds)))),
            RetryAfter::Missing => None,
        });
        Self { retry_after, ..Self::json(refusal.status, body) }
    }

    /// What the gateway says to an address that it does not know.
    pub(crate) fn no_route() -> Self {
        Self::json(404, br#"{"message":"no Route matched with those Values"}"#.to_vec())
    }

    /// What a proxy says when it does not reach the API.
    pub(crate) fn html(status: u16) -> Self {
        let page = "<!DOCTYPE html>\n<html><head><title>Something went wrong</title></head>\
                    <body><h1>Something went wrong</h1><p>Please try again later.</p></body></html>\n";
        Self { content_type: "text/html; charset=utf-8", ..Self::json(status, page.as_bytes().to_vec()) }
    }

    /// What it says, whatever the way it was to travel.
    pub(crate) fn into_body(self) -> Bytes {
        self.body
    }

    /// With the headers that every response has.
    pub(crate) fn into_response(self, correlation_id: &str, date: Option<DateTime<Utc>>) -> Response<Body> {
        let body = match self.delivery {
            Delivery::Whole => Body::whole(self.body),
            Delivery::Chunked => Body::chunked(&self.body),
            Delivery::Slow { pieces, pause } => Body::slow(&self.body, pieces, pause),
            Delivery::Cut(Truncation::Length) => Body::cut(&self.body, true),
            Delivery::Cut(Truncation::Chunks) => Body::cut(&self.body, false),
            Delivery::Cut(Truncation::Json) => Body::whole(self.body.slice(..self.body.len() / 2)),
        };
        let mut response = Response::new(body);
        *response.status_mut() = hyper::StatusCode::from_u16(self.status).unwrap_or_default();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        let mut text = |name: hyper::header::HeaderName, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        };
        if let Some(date) = date {
            text(DATE, &http_date(date));
        }
        text(hyper::header::HeaderName::from_static(CORRELATION_ID), correlation_id);
        if let Some(retry_after) = &self.retry_after {
            text(RETRY_AFTER, retry_after);
        }
        response
    }
}
