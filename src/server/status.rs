//! The pages for people and the same as JSON: how many may ask at once, and what the browser may do with them.
//!
//! Owns: the bound, and the headers that keep a page from loading, running or being framed. Never: what a page says.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, REFERRER_POLICY, RETRY_AFTER,
    X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Response, StatusCode};
use tracing::error;

use super::body::ResponseBody;
use super::routes::text_response;
use crate::turns::Admission;

/// No script, no frame, nothing from elsewhere; our style sheet, and the icon that stands in the page itself.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; \
                      frame-ancestors 'none'";

/// Pages that are written at once; a thousand targets take some milliseconds each.
const CONCURRENT: usize = 4;
/// Pages that wait for their turn.
const WAITING: usize = 64;
const PATIENCE: Duration = Duration::from_secs(8);

/// What can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusRoute {
    /// `/`
    Overview,
    /// `/target?project=&region=&client_env=`
    Target,
    /// `/style.css`
    Style,
    /// `/api/v1/status`
    StatusJson,
    /// `/api/v1/targets`
    TargetsJson,
    /// `/api/v1/target?project=&region=&client_env=`
    TargetJson,
}

impl StatusRoute {
    /// The document at `path`.
    pub(super) fn find(path: &str) -> Option<Self> {
        match path {
            "/" => Some(Self::Overview),
            "/target" => Some(Self::Target),
            "/style.css" => Some(Self::Style),
            "/api/v1/status" => Some(Self::StatusJson),
            "/api/v1/targets" => Some(Self::TargetsJson),
            "/api/v1/target" => Some(Self::TargetJson),
            _ => None,
        }
    }
}

/// A document as it is sent.
#[derive(Debug, Clone)]
pub struct RenderedDocument {
    /// 200, or 404 where it is about something that does not exist.
    pub status: StatusCode,
    /// `Content-Type`
    pub content_type: &'static str,
    /// The text.
    pub body: Bytes,
}

/// Where the documents come from.
pub trait StatusSource: Send + Sync {
    /// Writes a document; `query` is what follows the question mark. May take a while; it is called off the threads that
    /// serve connections.
    fn write(&self, document: StatusRoute, query: &str) -> RenderedDocument;
}

/// The answers to people.
pub(super) struct StatusHandler {
    source: Arc<dyn StatusSource>,
    turns: Admission,
    patience: Duration,
}

impl StatusHandler {
    pub(super) fn new(source: Arc<dyn StatusSource>) -> Self {
        Self::bounded(source, CONCURRENT, PATIENCE)
    }

    /// At most `concurrent` documents are written at once; [`WAITING`] others wait for up to `patience`.
    fn bounded(source: Arc<dyn StatusSource>, concurrent: usize, patience: Duration) -> Self {
        Self { source, turns: Admission::new(concurrent, WAITING), patience }
    }

    pub(super) async fn answer(&self, document: StatusRoute, query: &str) -> Response<ResponseBody> {
        let Some(turn) = self.turns.acquire(self.patience).await else {
            let mut busy = text_response(StatusCode::SERVICE_UNAVAILABLE, "too many pages at once\n");
            busy.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
            return busy;
        };
        let (source, query) = (Arc::clone(&self.source), query.to_owned());
        // The turn goes along, since the work goes on if the reader hangs up.
        let writing = tokio::task::spawn_blocking(move || {
            let written = source.write(document, &query);
            drop(turn);
            written
        });
        match writing.await {
            Ok(written) => into_response(document, written),
            Err(reason) => {
                error!(%reason, "a status page could not be written");
                let sentence = "the page could not be written; the log says why\n";
                text_response(StatusCode::INTERNAL_SERVER_ERROR, sentence)
            }
        }
    }
}

fn into_response(document: StatusRoute, written: RenderedDocument) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::from(written.body));
    *response.status_mut() = written.status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(written.content_type));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // The page names its style sheet with a hash; all else is of the moment.
    let kept = if document == StatusRoute::Style { "max-age=86400" } else { "no-store" };
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(kept));
    response
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc::{Receiver, channel};

    use super::*;

    /// Writes once it is told to.
    struct Waiting(Mutex<Receiver<()>>);

    impl StatusSource for Waiting {
        fn write(&self, _: StatusRoute, _: &str) -> RenderedDocument {
            let _ = self.0.lock().unwrap().recv();
            RenderedDocument { status: StatusCode::OK, content_type: "text/plain", body: Bytes::new() }
        }
    }

    #[tokio::test]
    async fn beyond_the_bound_pages_wait_and_a_reader_who_leaves_frees_no_place_too_early() {
        let (word, go_on) = channel();
        let source = Arc::new(Waiting(Mutex::new(go_on)));
        let pages = Arc::new(StatusHandler::bounded(source, 1, Duration::from_millis(50)));
        let first = Arc::clone(&pages);
        let reader = tokio::spawn(async move { first.answer(StatusRoute::Overview, "").await.status() });
        while pages.turns.available() > 0 {
            tokio::task::yield_now().await;
        }
        reader.abort();
        let refused = pages.answer(StatusRoute::Overview, "").await;
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE, "the first is still being written");
        assert_eq!(refused.headers()[RETRY_AFTER], "5");
        word.send(()).unwrap();
        drop(word);
        while pages.turns.available() == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(pages.answer(StatusRoute::Overview, "").await.status(), StatusCode::OK);
    }

    /// Fails as no page should.
    struct Broken;

    impl StatusSource for Broken {
        fn write(&self, _: StatusRoute, _: &str) -> RenderedDocument {
            panic!("told so")
        }
    }

    #[tokio::test]
    async fn a_page_that_cannot_be_written_is_an_error_in_words_and_blocks_no_other() {
        let pages = StatusHandler::bounded(Arc::new(Broken), 1, Duration::from_millis(50));
        for _ in 0..3 {
            let answer = pages.answer(StatusRoute::Overview, "").await;
            assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
        }
    }
}
