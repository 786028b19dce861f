//! `/metrics`: which page a scraper gets, and how many may ask at once.
//!
//! Owns: the bound on concurrent scrapes, and that one render serves all who wait for it. Never: what is exposed.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper::header::{
    ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER,
    VARY, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Response, StatusCode};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};
use tracing::error;

use super::body::ResponseBody;
use super::routes::text_response;
use crate::exposition::{ContentEncoding, EncodedBody, Format, negotiate};
use crate::turns::Admission;

/// Where the pages come from.
pub trait MetricsSource: Send + Sync {
    /// What a scrape that begins now has to show at least.
    fn generation(&self) -> u64;

    /// A page that shows `generation` or later, if one is ready. Takes no time.
    fn ready(&self, format: Format, coding: ContentEncoding, generation: u64) -> Option<EncodedBody>;

    /// Makes a page of the newest generation. May take a while; it is called off the threads that serve connections.
    ///
    /// # Errors
    /// When it cannot be compressed.
    fn render(&self, format: Format, coding: ContentEncoding) -> io::Result<EncodedBody>;
}

/// Scrapes that wait for their turn.
const QUEUE_LEN: usize = 128;

/// The answer to scrapes.
pub(super) struct MetricsHandler {
    source: Arc<dyn MetricsSource>,
    /// At answers that are being made or sent.
    turns: Admission,
    /// For each format, whoever has its page made.
    render_locks: [Arc<Mutex<()>>; Format::ALL.len()],
    queue_timeout: Duration,
}

/// Why a scrape gets no page.
enum Refusal {
    Busy,
    Failed(String),
}

impl MetricsHandler {
    /// At most `concurrent` answers are made or sent at once; [`QUEUE_LEN`] others wait for up to `queue_timeout`.
    pub(super) fn new(source: Arc<dyn MetricsSource>, concurrent: usize, queue_timeout: Duration) -> Self {
        Self {
            source,
            turns: Admission::new(concurrent, QUEUE_LEN),
            render_locks: Default::default(),
            queue_timeout,
        }
    }

    pub(super) async fn answer(&self, headers: &HeaderMap) -> Response<ResponseBody> {
        let deadline = Instant::now() + self.queue_timeout;
        let choice = negotiate(values(headers, ACCEPT), values(headers, ACCEPT_ENCODING));
        let Some(turn) = self.turns.acquire(self.queue_timeout).await else { return refused(&Refusal::Busy) };
        let page = match self.page(choice.format, choice.encoding, deadline).await {
            Ok(page) => page,
            Err(refusal) => return refused(&refusal),
        };

        let mut response = Response::new(ResponseBody::page(page, turn));
        let headers = response.headers_mut();
        let content_type = HeaderValue::try_from(choice.content_type);
        headers.insert(CONTENT_TYPE, content_type.unwrap_or(HeaderValue::from_static("text/plain")));
        headers.insert(VARY, HeaderValue::from_static("Accept, Accept-Encoding"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if let Some(name) = choice.encoding.name() {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static(name));
        }
        response
    }

    async fn page(
        &self,
        format: Format,
        coding: ContentEncoding,
        deadline: Instant,
    ) -> Result<EncodedBody, Refusal> {
        let generation = self.source.generation();
        if let Some(page) = self.source.ready(format, coding, generation) {
            return Ok(page);
        }
        let maker = Arc::clone(&self.render_locks[format as usize]);
        let Ok(making) = timeout_at(deadline, maker.lock_owned()).await else { return Err(Refusal::Busy) };
        // Whoever was before may have made what this one came for, even if more was committed meanwhile.
        if let Some(page) = self.source.ready(format, coding, generation) {
            return Ok(page);
        }
        let source = Arc::clone(&self.source);
        // The turn goes along, since the work goes on if the scraper hangs up.
        let made = tokio::task::spawn_blocking(move || {
            let page = source.render(format, coding);
            drop(making);
            page
        });
        match made.await {
            Ok(Ok(page)) => Ok(page),
            Ok(Err(reason)) => Err(Refusal::Failed(reason.to_string())),
            Err(reason) => Err(Refusal::Failed(reason.to_string())),
        }
    }
}

fn values(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok())
}

fn refused(refusal: &Refusal) -> Response<ResponseBody> {
    match refusal {
        Refusal::Busy => {
            let mut busy = text_response(StatusCode::SERVICE_UNAVAILABLE, "too many scrapes at once\n");
            busy.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
            busy
        }
        Refusal::Failed(reason) => {
            error!(%reason, "a scrape could not be rendered");
            let sentence = "the metrics could not be rendered; the log says why\n";
            text_response(StatusCode::INTERNAL_SERVER_ERROR, sentence)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
    use std::sync::mpsc::{Receiver, Sender, channel};

    use bytes::Bytes;
    use hyper::body::Body;
    use tokio::task::JoinSet;

    use super::*;

    fn page(text: &'static str) -> EncodedBody {
        EncodedBody::new(Arc::from([]), Bytes::from_static(text.as_bytes()))
    }

    fn accept(value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(value))])
    }

    /// A source whose generation moves with every look, as if commits never ceased; each render waits for a word.
    struct Restless {
        generation: AtomicU64,
        made: std::sync::Mutex<Option<(u64, EncodedBody)>>,
        renders: AtomicUsize,
        go_on: std::sync::Mutex<Receiver<()>>,
    }

    impl Restless {
        fn new() -> (Arc<Self>, Sender<()>) {
            let (word, go_on) = channel();
            let source = Self {
                generation: AtomicU64::new(0),
                made: std::sync::Mutex::new(None),
                renders: AtomicUsize::new(0),
                go_on: std::sync::Mutex::new(go_on),
            };
            (Arc::new(source), word)
        }
    }

    impl MetricsSource for Restless {
        fn generation(&self) -> u64 {
            self.generation.fetch_add(1, Ordering::SeqCst)
        }

        fn ready(&self, _: Format, _: ContentEncoding, generation: u64) -> Option<EncodedBody> {
            let made = self.made.lock().unwrap();
            made.as_ref().filter(|(number, _)| *number >= generation).map(|(_, page)| page.clone())
        }

        fn render(&self, _: Format, _: ContentEncoding) -> io::Result<EncodedBody> {
            let _ = self.go_on.lock().unwrap().recv();
            self.renders.fetch_add(1, Ordering::SeqCst);
            let made = page("lines");
            *self.made.lock().unwrap() = Some((self.generation.load(Ordering::SeqCst), made.clone()));
            Ok(made)
        }
    }

    #[tokio::test]
    async fn one_render_serves_all_who_wait_for_it() {
        let (source, word) = Restless::new();
        let metrics = Arc::new(MetricsHandler::new(source.clone(), 20, Duration::from_secs(20)));
        let mut scrapes = JoinSet::new();
        for _ in 0..10 {
            let metrics = Arc::clone(&metrics);
            scrapes.spawn(async move { metrics.answer(&HeaderMap::new()).await.status() });
        }
        while source.generation.load(Ordering::SeqCst) < 10 {
            tokio::task::yield_now().await;
        }
        word.send(()).unwrap();
        drop(word);
        assert_eq!(scrapes.join_all().await, vec![StatusCode::OK; 10]);
        assert_eq!(source.renders.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_scrape_that_hangs_up_does_not_stop_the_render_for_the_others() {
        let (source, word) = Restless::new();
        let metrics = Arc::new(MetricsHandler::new(source.clone(), 20, Duration::from_secs(20)));
        let scrape =
            |metrics: Arc<MetricsHandler>| async move { metrics.answer(&HeaderMap::new()).await.status() };
        let first = tokio::spawn(scrape(metrics.clone()));
        while source.generation.load(Ordering::SeqCst) < 1 {
            tokio::task::yield_now().await;
        }
        let second = tokio::spawn(scrape(metrics));
        while source.generation.load(Ordering::SeqCst) < 2 {
            tokio::task::yield_now().await;
        }
        first.abort();
        word.send(()).unwrap();
        drop(word);
        assert_eq!(second.await.unwrap(), StatusCode::OK);
        assert_eq!(source.renders.load(Ordering::SeqCst), 1);
    }

    struct Still;

    impl MetricsSource for Still {
        fn generation(&self) -> u64 {
            0
        }

        fn ready(&self, _: Format, _: ContentEncoding, _: u64) -> Option<EncodedBody> {
            Some(page("lines"))
        }

        fn render(&self, _: Format, _: ContentEncoding) -> io::Result<EncodedBody> {
            Err(io::Error::other("nobody should ask"))
        }
    }

    #[tokio::test]
    async fn answers_beyond_the_bound_wait_until_one_has_been_sent() {
        let metrics = MetricsHandler::new(Arc::new(Still), 1, Duration::from_millis(30));
        let unread = metrics.answer(&HeaderMap::new()).await;
        assert_eq!(unread.body().size_hint().exact(), Some(5));
        let refused = metrics.answer(&HeaderMap::new()).await;
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(refused.headers()[RETRY_AFTER], "5");
        drop(unread);
        assert_eq!(metrics.answer(&HeaderMap::new()).await.status(), StatusCode::OK);
    }

    #[tokio::test]
    async fn the_head_says_what_the_body_is() {
        let metrics = MetricsHandler::new(Arc::new(Still), 1, Duration::from_secs(5));
        let mut headers = accept("application/openmetrics-text;version=1.0.0;escaping=dots;q=0.6, */*;q=0.1");
        headers.append(ACCEPT_ENCODING, HeaderValue::from_static("br"));
        headers.append(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        let answer = metrics.answer(&headers).await;
        let expected = "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=dots";
        assert_eq!(answer.headers()[CONTENT_TYPE], expected);
        assert_eq!(answer.headers()[CONTENT_ENCODING], "gzip");
        assert_eq!(answer.headers()[VARY], "Accept, Accept-Encoding");
    }

    struct Broken;

    impl MetricsSource for Broken {
        fn generation(&self) -> u64 {
            0
        }

        fn ready(&self, _: Format, _: ContentEncoding, _: u64) -> Option<EncodedBody> {
            None
        }

        fn render(&self, _: Format, _: ContentEncoding) -> io::Result<EncodedBody> {
            Err(io::Error::other("no room"))
        }
    }

    #[tokio::test]
    async fn a_render_that_fails_is_an_error_and_not_an_empty_exposition() {
        let metrics = MetricsHandler::new(Arc::new(Broken), 1, Duration::from_secs(5));
        let answer = metrics.answer(&HeaderMap::new()).await;
        assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
    }
}
