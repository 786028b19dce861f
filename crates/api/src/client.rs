//! The HTTP client of the Conversations API: one request, one response.
//!
//! Redirects are not followed, because the client would send the key along to another host.

use std::error::Error as _;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use polyai_domain::clock::Clock;
use polyai_domain::fetch::{FetchError, FetchErrorKind};
use polyai_domain::phone_number;
use polyai_domain::target::LatencyUnit;
use reqwest::header::{DATE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Proxy, Response, StatusCode, Url};
use tokio::time::{Instant, timeout};

use crate::decode::Page;
use crate::proxy::{ProxySettings, address as proxy_address, tunnel_status};
use crate::rate_limit::{ConcurrencyLimit, RateLimiter};
use crate::redact::{self, redact};
use crate::request::{Endpoint, PageRequest};
use crate::server_clock::DateObservation;
use crate::tls::{self, CaBundle};
use crate::wire;

/// Larger than any page of up to 1,000 records should be.
const MAX_BODY_BYTES: usize = 128 << 20;
const MAX_ERROR_BODY_BYTES: usize = 64 << 10;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const CORRELATION_ID: &str = "x-polyai-correlation-id";

/// An API key, hidden in debug output.
#[derive(Clone)]
pub struct ApiKey(String);

impl ApiKey {
    /// The key `value`, which from now on is overwritten in all that servers send.
    pub fn new(value: impl Into<String>) -> Self {
        let value = value.into();
        redact::register(&value);
        Self(value)
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(hidden)")
    }
}

/// The list of a project and the right to read it.
#[derive(Debug, Clone)]
pub struct ApiCredentials {
    /// The list's address.
    pub endpoint: Endpoint,
    /// The key.
    pub api_key: ApiKey,
    /// The unit of its latencies.
    pub latency_unit: LatencyUnit,
    /// The rate limit of the key.
    pub rate_limiter: RateLimiter,
}

/// The client. Clones share their connections.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    proxies: Arc<ProxySettings>,
    concurrency: ConcurrencyLimit,
    clock: Clock,
    correlation_prefix: Arc<str>,
    next_request: Arc<AtomicU64>,
}

/// The response to a request, or its failure.
#[derive(Debug)]
pub struct ApiResponse {
    /// Facts about the exchange, whatever its result.
    pub info: ResponseInfo,
    /// The page.
    pub result: Result<Page, FetchError>,
}

/// Facts about a request and its response.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ResponseInfo {
    /// The HTTP status; absent without a response.
    pub status: Option<u16>,
    /// The API's time; absent without a response.
    pub date: Option<DateObservation>,
    /// From sending the request to the end of the body.
    pub duration: Duration,
    /// Bytes of the body, after decompression.
    pub bytes: u64,
}

/// The reason a client could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// A proxy variable of the environment is invalid; its value may contain a password.
    #[error("{0}: found text that is not the address of a proxy (not shown); write http://HOST:PORT")]
    Proxy(&'static str),
    /// TLS could not be set up.
    #[error("the HTTP client cannot be set up: {0}")]
    Setup(String),
}

impl Client {
    /// Creates a client that trusts the system's root certificates and those in `ca_bundle`, and uses the proxies of the
    /// environment. Correlation ids begin with the product name of `user_agent`, which is `product/version`.
    ///
    /// # Errors
    /// If a proxy variable is invalid, or TLS cannot be set up.
    pub fn new(
        user_agent: &str,
        timeout: Duration,
        ca_bundle: Option<&CaBundle>,
        concurrency: ConcurrencyLimit,
        clock: Clock,
    ) -> Result<Self, ClientError> {
        let tls = tls::client_config(ca_bundle).map_err(|error| ClientError::Setup(error.to_string()))?;
        #[expect(clippy::disallowed_methods, reason = "they apply to a process as a whole, as in curl")]
        let variable = |name: &str| std::env::var(name).ok();
        let proxies = Arc::new(ProxySettings::from_env(variable).map_err(ClientError::Proxy)?);
        let used = Arc::clone(&proxies);
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .proxy(Proxy::custom(move |url| used.find(url).cloned()))
            .redirect(reqwest::redirect::Policy::none())
            .timeout(timeout)
            .connect_timeout(CONNECT_TIMEOUT.min(timeout))
            .pool_max_idle_per_host(8)
            .user_agent(user_agent)
            .build()
            .map_err(|error| ClientError::Setup(error_chain(&error)))?;
        let product = user_agent.split('/').next().unwrap_or(user_agent);
        let correlation_prefix = format!("{product}-{:08x}", rand::random::<u32>()).into();
        Ok(Self { http, proxies, concurrency, clock, correlation_prefix, next_request: Arc::default() })
    }

    /// The clock of this machine.
    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Requests a page, as soon as the rate limit of the key and the concurrency limit permit it.
    pub async fn page(&self, credentials: &ApiCredentials, request: &PageRequest<'_>) -> ApiResponse {
        let permit = credentials.rate_limiter.acquire(&self.concurrency).await;
        let started = Instant::now();
        let number = self.next_request.fetch_add(1, Ordering::Relaxed);
        let correlation_id = format!("{}-{number}", self.correlation_prefix);
        let mut info = ResponseInfo::default();
        let mut result = self.exchange(credentials, request, &correlation_id, &mut info).await;
        info.duration = started.elapsed();
        if let Err(error) = &mut result {
            let is_from_polyai = error.status.is_some()
                && !matches!(error.kind, FetchErrorKind::WrongHost | FetchErrorKind::Redirected);
            error.correlation_id =
                error.correlation_id.take().or(Some(correlation_id)).filter(|_| is_from_polyai);
            if error.kind == FetchErrorKind::RateLimited {
                credentials.rate_limiter.on_rate_limited(&permit, error.retry_after);
            }
        }
        ApiResponse { info, result }
    }

    async fn exchange(
        &self,
        credentials: &ApiCredentials,
        request: &PageRequest<'_>,
        correlation_id: &str,
        info: &mut ResponseInfo,
    ) -> Result<Page, FetchError> {
        let mut api_key = HeaderValue::from_str(&credentials.api_key.0).map_err(|_| FetchError {
            kind: FetchErrorKind::Unauthorized,
            ..FetchError::bad_payload("the API key contains characters that are invalid in an HTTP header")
        })?;
        api_key.set_sensitive(true);
        let sent = self.clock.read();
        let request = self
            .http
            .get(credentials.endpoint.page_url(request))
            .header("x-api-key", api_key)
            .header(CORRELATION_ID, correlation_id);
        let mut response = match request.send().await {
            Ok(response) => response,
            Err(error) => return Err(self.connect_error(error).await),
        };
        let received = self.clock.read();
        info.date = Some(DateObservation { date: http_date(response.headers().get(DATE)), sent, received });
        let status = response.status();
        info.status = Some(status.as_u16());
        let limit = if status.is_success() { MAX_BODY_BYTES } else { MAX_ERROR_BODY_BYTES };
        let mut body = Vec::with_capacity(limit.min(initial_capacity(response.content_length())));
        // A failed request is judged by its status, with as much of its body as arrives.
        while let Some(chunk) = response.chunk().await.or_else(|error| {
            if status.is_success() { Err(body_error(error, info.bytes)) } else { Ok(None) }
        })? {
            if body.len() + chunk.len() <= limit {
                body.extend_from_slice(&chunk);
                info.bytes = body.len() as u64;
            } else if status.is_success() {
                let message = format!("the page is larger than {} MiB; lower polling.page_size", limit >> 20);
                return Err(FetchError::bad_payload(message));
            } else {
                break;
            }
        }
        redact(&mut body);
        if status == StatusCode::OK {
            let page = Page::decode(&body)?;
            return Ok(page.expecting(credentials.endpoint.client_env(), credentials.latency_unit));
        }
        let mut correlation_id =
            response.headers().get(CORRELATION_ID).map(|id| id.as_bytes().to_vec()).unwrap_or_default();
        redact(&mut correlation_id);
        Err(FetchError {
            correlation_id: String::from_utf8(correlation_id)
                .ok()
                .filter(|id| !id.is_empty() && id.chars().all(|letter| (' '..='~').contains(&letter)))
                .map(|id| phone_number::redact(&id).chars().take(64).collect()),
            ..self.status_error(&response, &body)
        })
    }

    /// The error of a request without a response. A proxy that refuses to connect is not the network, and is named.
    async fn connect_error(&self, error: reqwest::Error) -> FetchError {
        let url = error.url().cloned();
        let failed = transport_error(error);
        let Some((url, proxy)) = url.as_ref().and_then(|url| Some((url, self.proxies.find(url)?))) else {
            return failed;
        };
        let shown = proxy_address(proxy);
        let status = if failed.message.contains("proxy authorization required") {
            Some(407)
        } else if failed.message.contains("tunnel error: unsuccessful") {
            timeout(CONNECT_TIMEOUT, tunnel_status(proxy, url))
                .await
                .ok()
                .flatten()
                .filter(|status| *status != 200)
        } else {
            return FetchError { message: format!("via the proxy {shown}: {}", failed.message), ..failed };
        };
        let reason = match status {
            Some(407) => {
                "HTTP 407; it wants a user name and password in its variable of the environment".to_owned()
            }
            Some(status) => format!("HTTP {status}"),
            None => "its status is not known".to_owned(),
        };
        let message = format!("the proxy {shown} refuses a connection to the API: {reason}");
        FetchError { kind: FetchErrorKind::WrongHost, status, message, ..failed }
    }

    /// The error of a response other than 200.
    fn status_error(&self, response: &Response, body: &[u8]) -> FetchError {
        let envelope: Envelope<'_> = serde_json::from_slice(body).unwrap_or_default();
        let status = response.status().as_u16();
        let kind = match status {
            408 => FetchErrorKind::Timeout,
            429 => FetchErrorKind::RateLimited,
            // A page of something in between says nothing about the key or the project.
            400..=499 if !envelope.is_polyai_error() => FetchErrorKind::WrongHost,
            401 => FetchErrorKind::Unauthorized,
            403 => FetchErrorKind::Forbidden,
            404 => FetchErrorKind::NotFound,
            400..=499 => FetchErrorKind::BadRequest,
            300..=399 => FetchErrorKind::Redirected,
            _ => FetchErrorKind::ServerError,
        };
        let message = match (status, envelope.error_code(), self.proxies.find(response.url())) {
            (300..=399, ..) => format!("HTTP {status}: a redirect, which is not followed; check base_url"),
            (_, Some(code), _) => format!("HTTP {status} ({code})"),
            (_, None, Some(proxy)) => format!("HTTP {status}, via the proxy {}", proxy_address(proxy)),
            (_, None, None) => format!("HTTP {status}"),
        };
        FetchError {
            kind,
            status: Some(status),
            retry_after: retry_after(response.headers(), self.clock.now()),
            correlation_id: None,
            message,
        }
    }
}

/// The API's error body: six keys today, fewer in older services.
#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct Envelope<'a> {
    #[serde(borrow)]
    error_code: wire::LenientString<'a>,
    error_message: wire::LenientString<'a>,
    error_id: wire::LenientString<'a>,
}

impl Envelope<'_> {
    fn is_polyai_error(&self) -> bool {
        [&self.error_code, &self.error_message, &self.error_id].iter().any(|text| !text.0.is_empty())
    }

    /// The code, if it looks like one; anything else could be free text.
    fn error_code(&self) -> Option<&str> {
        let code = &*self.error_code.0;
        let is_code = code.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        (is_code && (1..=64).contains(&code.len())).then(|| phone_number::redact(code))
    }
}

/// The capacity to reserve for a body of the announced length: that of a usual page, since the length may be wrong.
fn initial_capacity(content_length: Option<u64>) -> usize {
    content_length.and_then(|length| usize::try_from(length).ok()).unwrap_or(64 << 10).min(1 << 20)
}

fn http_date(header: Option<&HeaderValue>) -> Option<DateTime<Utc>> {
    let text = header?.to_str().ok()?;
    DateTime::parse_from_rfc2822(text).ok().map(|date| date.to_utc())
}

/// `Retry-After` (RFC 9110, section 10.2.3) is seconds or a date. A date is compared with the `Date` of the same response,
/// because both come from one clock; `now` replaces an absent one.
fn retry_after(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    let header = headers.get(RETRY_AFTER)?;
    if let Ok(seconds) = header.to_str().ok()?.trim().parse::<u32>() {
        return Some(Duration::from_secs(u64::from(seconds)));
    }
    let now = http_date(headers.get(DATE)).unwrap_or(now);
    http_date(Some(header)).map(|date| (date - now).to_std().unwrap_or_default())
}

fn transport_error(error: reqwest::Error) -> FetchError {
    let host = error.url().and_then(Url::host_str).unwrap_or_default();
    let explained = tls::handshake_failure(&error, host);
    let kind = if error.is_timeout() { FetchErrorKind::Timeout } else { FetchErrorKind::Unreachable };
    FetchError {
        kind,
        ..FetchError::bad_payload(explained.unwrap_or_else(|| error_chain(&error.without_url())))
    }
}

/// The error of a response whose body breaks off after `bytes`, or cannot be decompressed.
fn body_error(error: reqwest::Error, bytes: u64) -> FetchError {
    let error = transport_error(error);
    if error.kind == FetchErrorKind::Timeout {
        return error;
    }
    let message = format!("the response is cut off after {bytes} bytes: {}", error.message);
    FetchError { kind: FetchErrorKind::CutOff, message, ..error }
}

/// The messages of an error and its sources; reqwest names the cause only in the latter.
fn error_chain(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: &str = "Fri, 20 Nov 2026 10:00:00 GMT";

    /// The seconds to wait if the local clock shows [`HERE`].
    fn wait(after: &'static str, date: Option<&'static str>) -> Option<u64> {
        let here = DateTime::parse_from_rfc2822(HERE).unwrap().to_utc();
        let mut headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(after))]);
        headers.extend(date.map(|date| (DATE, HeaderValue::from_static(date))));
        retry_after(&headers, here).map(|wait| wait.as_secs())
    }

    #[test]
    fn retry_after_accepts_seconds_and_dates() {
        assert_eq!(wait("17", None), Some(17));
        assert_eq!(wait("Fri, 20 Nov 2026 10:01:30 GMT", None), Some(90));
        assert_eq!(wait("Fri, 20 Nov 2026 09:00:00 GMT", None), Some(0));
        assert_eq!(wait("-5", None), None);
        assert_eq!(wait("soon", None), None);
    }

    #[test]
    fn retry_after_date_is_relative_to_response_date() {
        let in_half_a_minute = "Fri, 20 Nov 2026 12:00:30 GMT";
        assert_eq!(wait(in_half_a_minute, Some("Fri, 20 Nov 2026 12:00:00 GMT")), Some(30));
        assert_eq!(wait("Fri, 20 Nov 2026 08:00:30 GMT", Some("Fri, 20 Nov 2026 08:00:00 GMT")), Some(30));
        assert_eq!(wait(in_half_a_minute, Some("no date")), Some(2 * 3600 + 30));
        assert_eq!(wait("17", Some("Fri, 20 Nov 2026 12:00:00 GMT")), Some(17));
    }

    #[test]
    fn announced_length_does_not_reserve_its_memory() {
        assert_eq!(
            [None, Some(3000), Some(100 << 20), Some(u64::MAX)].map(initial_capacity),
            [65_536, 3000, 1_048_576, 1_048_576]
        );
    }
}
