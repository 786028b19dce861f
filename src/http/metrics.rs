//! `/metrics`: content negotiation, and a bound on concurrent renders.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use exporter_web::{AdmissionControl, ResponseBody, text_response, unavailable_response};
use hyper::header::{
    ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, VARY,
    X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Response, StatusCode};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};
use tracing::error;

use exporter_exposition::{ContentEncoding, EncodedBody, Format, negotiate};

/// Renders expositions.
pub trait MetricsSource: Send + Sync {
    /// The generation that a scrape which begins now has to show at least.
    fn generation(&self) -> u64;

    /// A rendered exposition of `generation` or later, if there is one. Does not block.
    fn ready(&self, format: Format, coding: ContentEncoding, generation: u64) -> Option<EncodedBody>;

    /// Renders the latest generation. Called on a thread that may block.
    ///
    /// # Errors
    /// When it cannot be compressed.
    fn render(&self, format: Format, coding: ContentEncoding) -> io::Result<EncodedBody>;
}

/// Scrapes that wait for a render at once. Two Prometheus replicas and a person are usual.
const MAX_RENDERS: usize = 32;

/// Scrapes that wait for one of these to finish.
const QUEUE_LEN: usize = 128;

/// How long a scrape waits; Prometheus gives up after 10 s by default.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(8);

/// Responds to scrapes.
pub(super) struct MetricsHandler {
    source: Arc<dyn MetricsSource>,
    /// Held until the body is ready, not while it is sent: bodies share their bytes, and the port bounds its connections and
    /// how long they may stall. Otherwise scrapers that do not read would keep others out.
    renders: AdmissionControl,
    /// Per format, held while it is rendered.
    render_locks: [Arc<Mutex<()>>; Format::ALL.len()],
}

/// Why a scrape gets no exposition.
enum ScrapeError {
    Busy,
    Failed(String),
}

impl MetricsHandler {
    pub(super) fn new(source: Arc<dyn MetricsSource>) -> Self {
        Self {
            source,
            renders: AdmissionControl::new(MAX_RENDERS, QUEUE_LEN),
            render_locks: Default::default(),
        }
    }

    pub(super) async fn respond(&self, headers: &HeaderMap) -> Response<ResponseBody> {
        let choice = negotiate(values(headers, ACCEPT), values(headers, ACCEPT_ENCODING));
        let Some(encoding) = choice.encoding else {
            let text = "metrics are sent uncompressed or as gzip, and Accept-Encoding refuses both\n";
            return text_response(StatusCode::NOT_ACCEPTABLE, text);
        };
        let body = match self.body(choice.format, encoding).await {
            Ok(body) => body,
            Err(ScrapeError::Busy) => return unavailable_response("too many scrapes at once\n"),
            Err(ScrapeError::Failed(reason)) => {
                error!(%reason, "rendering the metrics failed");
                let text = "rendering the metrics failed; see the log\n";
                return text_response(StatusCode::INTERNAL_SERVER_ERROR, text);
            }
        };
        let EncodedBody { chunks: shared, tail } = body;
        let mut response = Response::new(ResponseBody::from_chunks(shared, tail));
        let headers = response.headers_mut();
        let content_type = HeaderValue::try_from(choice.content_type);
        headers.insert(CONTENT_TYPE, content_type.unwrap_or(HeaderValue::from_static("text/plain")));
        headers.insert(VARY, HeaderValue::from_static("Accept, Accept-Encoding"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if let Some(name) = encoding.name() {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static(name));
        }
        response
    }

    async fn body(&self, format: Format, coding: ContentEncoding) -> Result<EncodedBody, ScrapeError> {
        let deadline = Instant::now() + QUEUE_TIMEOUT;
        let generation = self.source.generation();
        if let Some(body) = self.source.ready(format, coding, generation) {
            return Ok(body);
        }
        let _permit = self.renders.acquire((), QUEUE_TIMEOUT).await.ok_or(ScrapeError::Busy)?;
        let lock = Arc::clone(&self.render_locks[format as usize]).lock_owned();
        let lock = timeout_at(deadline, lock).await.map_err(|_| ScrapeError::Busy)?;
        // A render that finished meanwhile serves this scrape, even if more was committed since.
        if let Some(body) = self.source.ready(format, coding, generation) {
            return Ok(body);
        }
        let source = Arc::clone(&self.source);
        // The render keeps its lock if the scraper disconnects, since the work goes on.
        let rendering = tokio::task::spawn_blocking(move || {
            let body = source.render(format, coding);
            drop(lock);
            body
        });
        let rendered = rendering.await.map_err(|reason| ScrapeError::Failed(reason.to_string()))?;
        rendered.map_err(|reason| ScrapeError::Failed(reason.to_string()))
    }
}

fn values(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
    use std::sync::mpsc::{Receiver, Sender, channel};

    use bytes::Bytes;
    use hyper::body::Body;
    use hyper::header::RETRY_AFTER;
    use tokio::task::{JoinHandle, JoinSet, yield_now};

    use super::*;

    fn body(text: &'static str) -> EncodedBody {
        EncodedBody { chunks: Arc::from([]), tail: Bytes::from_static(text.as_bytes()) }
    }

    /// A source whose generation advances with every scrape, as if commits never ceased; each render waits for permission.
    struct Restless {
        generation: AtomicU64,
        rendered: std::sync::Mutex<Option<(u64, EncodedBody)>>,
        renders: AtomicUsize,
        proceed: std::sync::Mutex<Receiver<()>>,
    }

    impl Restless {
        fn new() -> (Arc<Self>, Sender<()>) {
            let (permission, proceed) = channel();
            let source = Self {
                generation: AtomicU64::new(0),
                rendered: std::sync::Mutex::new(None),
                renders: AtomicUsize::new(0),
                proceed: std::sync::Mutex::new(proceed),
            };
            (Arc::new(source), permission)
        }

        async fn wait_for_scrapes(&self, count: u64) {
            while self.generation.load(Ordering::SeqCst) < count {
                yield_now().await;
            }
        }
    }

    impl MetricsSource for Restless {
        fn generation(&self) -> u64 {
            self.generation.fetch_add(1, Ordering::SeqCst)
        }

        fn ready(&self, _: Format, _: ContentEncoding, generation: u64) -> Option<EncodedBody> {
            let rendered = self.rendered.lock().unwrap();
            rendered.as_ref().filter(|(number, _)| *number >= generation).map(|(_, body)| body.clone())
        }

        fn render(&self, _: Format, _: ContentEncoding) -> io::Result<EncodedBody> {
            let _ = self.proceed.lock().unwrap().recv();
            self.renders.fetch_add(1, Ordering::SeqCst);
            let rendered = body("lines");
            *self.rendered.lock().unwrap() = Some((self.generation.load(Ordering::SeqCst), rendered.clone()));
            Ok(rendered)
        }
    }

    fn scrape(metrics: &Arc<MetricsHandler>) -> JoinHandle<StatusCode> {
        let metrics = Arc::clone(metrics);
        tokio::spawn(async move { metrics.respond(&HeaderMap::new()).await.status() })
    }

    #[tokio::test]
    async fn one_render_serves_all_waiting_scrapes() {
        let (source, permission) = Restless::new();
        let metrics = Arc::new(MetricsHandler::new(source.clone()));
        let scrapes: Vec<_> = (0..10).map(|_| scrape(&metrics)).collect();
        source.wait_for_scrapes(10).await;
        permission.send(()).unwrap();
        drop(permission);
        for scrape in scrapes {
            assert_eq!(scrape.await.unwrap(), StatusCode::OK);
        }
        assert_eq!(source.renders.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn disconnected_scrape_does_not_stop_the_render() {
        let (source, permission) = Restless::new();
        let metrics = Arc::new(MetricsHandler::new(source.clone()));
        let first = scrape(&metrics);
        source.wait_for_scrapes(1).await;
        let second = scrape(&metrics);
        source.wait_for_scrapes(2).await;
        first.abort();
        permission.send(()).unwrap();
        drop(permission);
        assert_eq!(second.await.unwrap(), StatusCode::OK);
        assert_eq!(source.renders.load(Ordering::SeqCst), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn scrapes_beyond_the_queue_are_rejected() {
        let (source, permission) = Restless::new();
        let metrics = Arc::new(MetricsHandler::new(source.clone()));
        let mut scrapes: Vec<_> = (0..MAX_RENDERS + QUEUE_LEN).map(|_| scrape(&metrics)).collect();
        source.wait_for_scrapes(scrapes.len() as u64).await;
        let rejected = metrics.respond(&HeaderMap::new()).await;
        assert_eq!(rejected.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(rejected.headers()[RETRY_AFTER], "5");
        drop(permission);
        assert_eq!(scrapes.remove(0).await.unwrap(), StatusCode::OK);
    }

    /// Renders at once, or fails.
    struct Immediate(Result<&'static str, &'static str>);

    impl MetricsSource for Immediate {
        fn generation(&self) -> u64 {
            0
        }

        fn ready(&self, _: Format, _: ContentEncoding, _: u64) -> Option<EncodedBody> {
            None
        }

        fn render(&self, _: Format, _: ContentEncoding) -> io::Result<EncodedBody> {
            self.0.map(body).map_err(io::Error::other)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn stalled_readers_do_not_keep_scrapes_away() {
        let metrics = Arc::new(MetricsHandler::new(Arc::new(Immediate(Ok("lines")))));
        let mut unread = Vec::new();
        for _ in 0..200 {
            let response = metrics.respond(&HeaderMap::new()).await;
            assert_eq!(response.body().size_hint().exact(), Some(5), "none of it is sent");
            unread.push(response);
        }
        let mut scrapes: JoinSet<_> = (0..MAX_RENDERS + 1)
            .map(|_| {
                let metrics = Arc::clone(&metrics);
                async move { metrics.respond(&HeaderMap::new()).await.status() }
            })
            .collect();
        while let Some(status) = scrapes.join_next().await {
            assert_eq!(status.unwrap(), StatusCode::OK);
        }
        assert_eq!(metrics.renders.available(), MAX_RENDERS);
    }

    #[tokio::test]
    async fn headers_describe_the_body() {
        let metrics = MetricsHandler::new(Arc::new(Immediate(Ok("lines"))));
        let accept = "application/openmetrics-text;version=1.0.0;escaping=dots;q=0.6, */*;q=0.1";
        let mut headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))]);
        headers.append(ACCEPT_ENCODING, HeaderValue::from_static("br"));
        headers.append(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        let response = metrics.respond(&headers).await;
        let expected = "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=dots";
        assert_eq!(response.headers()[CONTENT_TYPE], expected);
        assert_eq!(response.headers()[CONTENT_ENCODING], "gzip");
        assert_eq!(response.headers()[VARY], "Accept, Accept-Encoding");
    }

    #[tokio::test]
    async fn failed_render_is_an_error_response() {
        let metrics = MetricsHandler::new(Arc::new(Immediate(Err("no memory"))));
        let response = metrics.respond(&HeaderMap::new()).await;
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    }
}
