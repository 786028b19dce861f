//! `/metrics`: which representation a scraper gets, and how many may ask at once.
//!
//! Owns: the choice of encoding, compression and the bound on concurrent scrapes. Never: what is exposed.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http_body_util::Full;
use hyper::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER, VARY,
};
use hyper::{Response, StatusCode};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tracing::error;

use super::routes::plain;
use crate::exposition::text;

/// Where the numbers come from.
pub trait Exposition: Send + Sync {
    /// All families in the text format 0.0.4. May take a while; it is called off the threads that serve connections.
    fn text(&self) -> Bytes;
}

/// The answer to scrapes.
pub(super) struct MetricsPage {
    source: Arc<dyn Exposition>,
    rendering: Arc<Semaphore>,
    patience: Duration,
}

impl MetricsPage {
    /// At most `concurrent` scrapes are rendered at once; the others wait for up to `patience`.
    pub(super) fn new(source: Arc<dyn Exposition>, concurrent: usize, patience: Duration) -> Self {
        Self { source, rendering: Arc::new(Semaphore::new(concurrent)), patience }
    }

    pub(super) async fn answer(&self, headers: &HeaderMap) -> Response<Full<Bytes>> {
        let rendering = Arc::clone(&self.rendering);
        let Ok(Ok(permit)) = timeout(self.patience, rendering.acquire_owned()).await else {
            let mut busy = plain(StatusCode::SERVICE_UNAVAILABLE, "too many scrapes at once\n");
            busy.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
            return busy;
        };
        let source = Arc::clone(&self.source);
        let gzip = accepts_gzip(headers);
        // The permit goes along, since the work goes on if the scraper hangs up.
        let rendered = tokio::task::spawn_blocking(move || {
            let body = source.text();
            let body = if gzip { compressed(&body).map(Bytes::from) } else { Ok(body) };
            drop(permit);
            body
        });
        let body = match rendered.await {
            Ok(Ok(body)) => body,
            Ok(Err(reason)) => return failed(&reason),
            Err(reason) => return failed(&reason),
        };

        let mut response = Response::new(Full::new(body));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(text::CONTENT_TYPE));
        headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
        if gzip {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        response
    }
}

fn failed(reason: &dyn std::error::Error) -> Response<Full<Bytes>> {
    error!(%reason, "a scrape could not be rendered");
    plain(StatusCode::INTERNAL_SERVER_ERROR, "the metrics could not be rendered; the log says why\n")
}

/// Level 1: expositions repeat themselves so much that higher levels cost far more than they save.
fn compressed(body: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 8 + 64), Compression::fast());
    encoder.write_all(body)?;
    encoder.finish()
}

/// Whether `Accept-Encoding` allows gzip with a weight above zero (RFC 9110, section 12.5.3).
fn accepts_gzip(headers: &HeaderMap) -> bool {
    let mut named = None;
    let mut any = None;
    let codings = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    for coding in codings.flat_map(|value| value.split(',')) {
        let (name, parameters) = coding.split_once(';').unwrap_or((coding, ""));
        let acceptable = weight(parameters) > 0.0;
        match name.trim().to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => named = Some(acceptable),
            "*" => any = Some(acceptable),
            _ => {}
        }
    }
    named.or(any).unwrap_or(false)
}

/// The `q` among `parameters`, 1 without one; one that is no number counts as a refusal.
fn weight(parameters: &str) -> f64 {
    let mut pairs = parameters.split(';').filter_map(|parameter| parameter.split_once('='));
    match pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case("q")) {
        Some((_, value)) => value.trim().parse().unwrap_or(0.0),
        None => 1.0,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc::channel;

    use tokio::task::JoinSet;

    use super::*;

    #[test]
    fn gzip_is_chosen_by_weight_and_not_by_substring() {
        let cases = [
            ("gzip", true),
            ("deflate, GZIP;q=0.5", true),
            ("gzip;q=0", false),
            ("gzip; q=0.000, *", false),
            ("gzip ; Q=1.0", true),
            ("*", true),
            ("*;q=0", false),
            ("*;q=0, gzip;q=0.1", true),
            ("identity", false),
            ("notgzip", false),
            ("gzip;q=much", false),
            ("", false),
        ];
        for (value, accepted) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(value));
            assert_eq!(accepts_gzip(&headers), accepted, "{value}");
        }
        assert!(!accepts_gzip(&HeaderMap::new()), "no header is no wish");
    }

    struct Crowd {
        inside: AtomicUsize,
        most: AtomicUsize,
    }

    impl Exposition for Crowd {
        fn text(&self) -> Bytes {
            let inside = self.inside.fetch_add(1, Ordering::SeqCst) + 1;
            self.most.fetch_max(inside, Ordering::SeqCst);
            // Long enough for a third to come in, if it could.
            let (_open, silence) = channel::<()>();
            let _ = silence.recv_timeout(Duration::from_millis(20));
            self.inside.fetch_sub(1, Ordering::SeqCst);
            Bytes::new()
        }
    }

    #[tokio::test]
    async fn scrapes_beyond_the_bound_wait_their_turn() {
        let crowd = Arc::new(Crowd { inside: AtomicUsize::new(0), most: AtomicUsize::new(0) });
        let page = Arc::new(MetricsPage::new(Arc::clone(&crowd) as _, 2, Duration::from_secs(20)));
        let mut scrapes = JoinSet::new();
        for _ in 0..10 {
            let page = Arc::clone(&page);
            scrapes.spawn(async move { page.answer(&HeaderMap::new()).await.status() });
        }
        assert_eq!(scrapes.join_all().await, vec![StatusCode::OK; 10]);
        assert_eq!(crowd.most.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn a_scrape_that_waits_too_long_is_told_to_come_back() {
        let crowd = Crowd { inside: AtomicUsize::new(0), most: AtomicUsize::new(0) };
        let page = MetricsPage::new(Arc::new(crowd), 0, Duration::from_millis(10));
        let answer = page.answer(&HeaderMap::new()).await;
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.headers()[RETRY_AFTER], "5");
    }

    #[test]
    fn gzip_may_stand_in_a_second_header() {
        let mut headers = HeaderMap::new();
        headers.append(ACCEPT_ENCODING, HeaderValue::from_static("br"));
        headers.append(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        assert!(accepts_gzip(&headers));
    }
}
