//! The HTTP client of the Conversations API: one request, one answer.
//!
//! Owns: the connection, the key's header, the limits on time and size. Follows no redirects, because the key would go along
//! to wherever they point. Never: retries, or what an answer means for a target.

use std::error::Error as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::header::{DATE, HeaderMap, HeaderValue, RETRY_AFTER};
use tokio::time::Instant;

use super::pace::{ConcurrencyLimit, RateLimiter};
use super::page::Page;
use super::request::{Endpoint, PageRequest};
use super::server_clock::DateObservation;
use crate::clock::Clock;
use crate::config::{CaFile, Secret};
use crate::exporter_metrics::{ExporterMetrics, RequestOutcome};
use polyai_domain::fetch::{FetchError, FetchErrorKind};

/// The `endpoint` label of the list of conversations.
pub const LIST: &str = "conversations";

/// No page that the settings allow comes near it; a larger answer is not worth the memory.
const MAX_BODY_BYTES: usize = 128 << 20;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const CORRELATION_ID: &str = "x-polyai-correlation-id";

/// What a target's requests need besides their parameters.
#[derive(Debug, Clone)]
pub struct ApiCredentials {
    /// Where its conversations are listed.
    pub endpoint: Endpoint,
    /// Its key.
    pub key: Secret,
    /// The budget of that key.
    pub pace: RateLimiter,
}

/// The client. Clones share their connections.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    concurrency: ConcurrencyLimit,
    stats: ExporterMetrics,
    clock: Clock,
}

/// What came of a request.
#[derive(Debug)]
pub struct ApiResponse {
    /// The time at the API, if it answered at all.
    pub stamp: Option<DateObservation>,
    /// Bytes of the answer's body that came, after decompression.
    pub bytes: u64,
    /// The page.
    pub outcome: Result<Page, FetchError>,
}

/// Why there can be no client.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The bundle of `ca_file` cannot be used.
    #[error("ca_file {path}: {reason}")]
    Roots {
        /// The file.
        path: String,
        /// Why not.
        reason: String,
    },
    /// TLS cannot be set up.
    #[error("the HTTP client cannot be set up: {0}")]
    Setup(String),
}

impl Client {
    /// A client that trusts the system's roots, and those in `ca_file` besides.
    ///
    /// # Errors
    /// When `ca_file` is no PEM, or TLS cannot be set up.
    pub fn new(
        timeout: Duration,
        ca_file: Option<&CaFile>,
        concurrency: ConcurrencyLimit,
        stats: ExporterMetrics,
        clock: Clock,
    ) -> Result<Self, ClientError> {
        // Fails only if a provider is installed already, which then serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(timeout)
            .connect_timeout(CONNECT_TIMEOUT.min(timeout))
            .pool_max_idle_per_host(8)
            .user_agent(concat!("polyai-exporter/", env!("CARGO_PKG_VERSION")));
        let unusable =
            |path: &Path, reason: String| ClientError::Roots { path: path.display().to_string(), reason };
        if let Some(CaFile { path, pem }) = ca_file {
            let roots = reqwest::Certificate::from_pem_bundle(pem)
                .map_err(|error| unusable(path, error_chain(&error)))?;
            if roots.is_empty() {
                return Err(unusable(path, "holds no certificate; expected PEM".into()));
            }
            builder = builder.tls_certs_merge(roots);
        }
        let http = builder.build().map_err(|error| match ca_file {
            // What is in the bundle is looked at now; without one, there is nothing that could be wrong.
            Some(CaFile { path, .. }) => unusable(path, error_chain(&error)),
            None => ClientError::Setup(error_chain(&error)),
        })?;
        Ok(Self { http, concurrency, stats, clock })
    }

    /// Asks for one page, in its turn.
    pub async fn page(&self, access: &ApiCredentials, request: &PageRequest<'_>) -> ApiResponse {
        let permit = access.pace.acquire(&self.concurrency).await;
        let started = Instant::now();
        let mut bytes = 0;
        let mut status = None;
        let mut stamp = None;
        let outcome = self.exchange(access, request, &mut status, &mut stamp, &mut bytes).await;
        let code = match (&outcome, status) {
            (Err(error), None) => RequestOutcome::Failure(error.kind.as_str()),
            (_, Some(status)) => RequestOutcome::Status(status),
            (Ok(_), None) => RequestOutcome::Status(200),
        };
        self.stats.request(LIST, code, started.elapsed(), bytes);
        if let Err(FetchError { kind: FetchErrorKind::RateLimited, retry_after, .. }) = &outcome {
            access.pace.on_rate_limited(&permit, *retry_after);
        }
        ApiResponse { stamp, bytes, outcome }
    }

    async fn exchange(
        &self,
        access: &ApiCredentials,
        request: &PageRequest<'_>,
        status: &mut Option<u16>,
        stamp: &mut Option<DateObservation>,
        bytes: &mut u64,
    ) -> Result<Page, FetchError> {
        let correlation_id = correlation_id();
        let with_correlation_id = |error: FetchError| FetchError {
            correlation_id: error.correlation_id.or_else(|| Some(correlation_id.clone())),
            ..error
        };
        let mut key = HeaderValue::from_str(access.key.expose_secret()).map_err(|_| {
            let message = "the API key has characters that no HTTP header can carry";
            with_correlation_id(FetchError {
                kind: FetchErrorKind::Unauthorized,
                ..FetchError::bad_payload(message)
            })
        })?;
        key.set_sensitive(true);
        let asked = self.clock.read();
        let sent = self
            .http
            .get(access.endpoint.page(request))
            .header("x-api-key", key)
            .header(CORRELATION_ID, &correlation_id)
            .send()
            .await;
        let mut response = sent.map_err(|error| with_correlation_id(transport(error)))?;
        *status = Some(response.status().as_u16());
        let headers = response.headers().clone();
        *stamp =
            Some(DateObservation { date: http_date(headers.get(DATE)), asked, answered: self.clock.read() });
        let limit = if response.status().is_success() { MAX_BODY_BYTES } else { 64 << 10 };
        let mut body = Vec::with_capacity(limit.min(initial_capacity(response.content_length())));
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if body.len() + chunk.len() <= limit => body.extend_from_slice(&chunk),
                Ok(Some(_)) if response.status().is_success() => {
                    let message =
                        format!("the page is larger than {} MiB; lower polling.page_size", limit >> 20);
                    return Err(with_correlation_id(FetchError::bad_payload(message)));
                }
                Ok(Some(_) | None) => break,
                Err(error) => {
                    *bytes = body.len() as u64;
                    return Err(with_correlation_id(transport(error)));
                }
            }
        }
        *bytes = body.len() as u64;
        if response.status() == reqwest::StatusCode::OK {
            Page::read(&body).map_err(with_correlation_id)
        } else {
            Err(with_correlation_id(self.error_from_response(response.status().as_u16(), &headers, &body)))
        }
    }

    /// What an answer other than 200 says.
    fn error_from_response(&self, status: u16, headers: &HeaderMap, body: &[u8]) -> FetchError {
        let envelope: Envelope<'_> = serde_json::from_slice(body).unwrap_or_default();
        let error_code = envelope.error_code();
        let kind = match status {
            401 => FetchErrorKind::Unauthorized,
            403 => FetchErrorKind::Forbidden,
            404 if envelope.is_polyai_error() => FetchErrorKind::NotFound,
            404 => FetchErrorKind::WrongHost,
            408 => FetchErrorKind::Timeout,
            429 => FetchErrorKind::RateLimited,
            400..=499 => FetchErrorKind::Refused,
            _ => FetchErrorKind::ServerError,
        };
        let said = error_code.map(|code| format!(" ({code})")).unwrap_or_default();
        let message = match status {
            300..=399 => format!("HTTP {status}: a redirect, which is not followed; check base_url"),
            _ => format!("HTTP {status}{said}"),
        };
        FetchError {
            kind,
            status: Some(status),
            retry_after: retry_after(headers, self.clock.now()),
            correlation_id: headers
                .get(CORRELATION_ID)
                .and_then(|value| value.to_str().ok())
                .map(|id| id.chars().take(64).collect()),
            message,
        }
    }
}

/// The error bodies of the API: six keys today, fewer in older services.
#[derive(Default, serde::Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default)]
    error_code: super::wire::LenientString<'a>,
    #[serde(borrow, default)]
    error_message: super::wire::LenientString<'a>,
    #[serde(borrow, default)]
    error_id: super::wire::LenientString<'a>,
}

impl Envelope<'_> {
    fn is_polyai_error(&self) -> bool {
        [&self.error_code, &self.error_message, &self.error_id].iter().any(|text| !text.0.is_empty())
    }

    /// The code, if it has the form of one; anything else could be free text.
    fn error_code(&self) -> Option<&str> {
        let code = &*self.error_code.0;
        let is_code = code.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        (is_code && (1..=64).contains(&code.len())).then_some(code)
    }
}

/// An id per request, unique within this process and unlikely to repeat across processes.
fn correlation_id() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    static PROCESS: std::sync::LazyLock<u32> = std::sync::LazyLock::new(rand::random);
    format!("polyai-exporter-{:08x}-{}", *PROCESS, NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Room for a page of the usual size. A length is a promise, and memory is taken only for what has come.
fn initial_capacity(promised: Option<u64>) -> usize {
    promised.and_then(|length| usize::try_from(length).ok()).unwrap_or(64 << 10).min(1 << 20)
}

fn http_date(header: Option<&HeaderValue>) -> Option<DateTime<Utc>> {
    let text = header?.to_str().ok()?;
    DateTime::parse_from_rfc2822(text).ok().map(|date| date.to_utc())
}

/// `Retry-After` (RFC 9110, section 10.2.3): seconds, or a date. A date is one of the clock that wrote it, which its `Date`
/// shows; `here` serves where there is none.
fn retry_after(headers: &HeaderMap, here: DateTime<Utc>) -> Option<Duration> {
    let header = headers.get(RETRY_AFTER)?;
    if let Ok(seconds) = header.to_str().ok()?.trim().parse::<u32>() {
        return Some(Duration::from_secs(u64::from(seconds)));
    }
    let now = http_date(headers.get(DATE)).unwrap_or(here);
    http_date(Some(header)).map(|date| (date - now).to_std().unwrap_or_default())
}

fn transport(error: reqwest::Error) -> FetchError {
    let error = error.without_url();
    let kind = if error.is_timeout() { FetchErrorKind::Timeout } else { FetchErrorKind::Unreachable };
    FetchError { kind, ..FetchError::bad_payload(error_chain(&error)) }
}

/// An error with its causes, which is where the reason stands.
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

    /// The seconds to wait, where the clock here shows [`HERE`].
    fn wait(after: &'static str, date: Option<&'static str>) -> Option<u64> {
        let here = DateTime::parse_from_rfc2822(HERE).unwrap().to_utc();
        let mut headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(after))]);
        headers.extend(date.map(|date| (DATE, HeaderValue::from_static(date))));
        retry_after(&headers, here).map(|wait| wait.as_secs())
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        assert_eq!(wait("17", None), Some(17));
        assert_eq!(wait("Fri, 20 Nov 2026 10:01:30 GMT", None), Some(90));
        assert_eq!(wait("Fri, 20 Nov 2026 09:00:00 GMT", None), Some(0));
        assert_eq!(wait("-5", None), None);
        assert_eq!(wait("soon", None), None);
    }

    #[test]
    fn a_date_to_retry_after_is_one_of_the_clock_that_wrote_it() {
        let in_half_a_minute = "Fri, 20 Nov 2026 12:00:30 GMT";
        assert_eq!(wait(in_half_a_minute, Some("Fri, 20 Nov 2026 12:00:00 GMT")), Some(30));
        assert_eq!(wait("Fri, 20 Nov 2026 08:00:30 GMT", Some("Fri, 20 Nov 2026 08:00:00 GMT")), Some(30));
        assert_eq!(wait(in_half_a_minute, Some("no date")), Some(2 * 3600 + 30));
        assert_eq!(wait("17", Some("Fri, 20 Nov 2026 12:00:00 GMT")), Some(17));
    }
    #[test]
    fn a_promised_length_takes_no_memory_before_it_comes() {
        assert_eq!(
            [None, Some(3000), Some(100 << 20), Some(u64::MAX)].map(initial_capacity),
            [65_536, 3000, 1_048_576, 1_048_576]
        );
    }
}
