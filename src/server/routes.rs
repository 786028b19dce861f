//! From a path and a method to an answer.
//!
//! Owns: the table of routes and the answers that need no other module. Never: sockets; it reads no request body.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::body::Body;
use hyper::header::{ALLOW, CONNECTION, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use hyper::{Method, Request, Response, StatusCode};

use super::body::Answer;
use super::metrics::{Exposition, MetricsPage};
use super::status::{Document, Reception, StatusPages};

/// Scrapes that are answered at once. Two Prometheus replicas and a person are usual; each answer shares its bytes with the
/// others, but one that is read slowly keeps them alive.
const CONCURRENT_SCRAPES: usize = 32;

/// How long a scrape waits for its turn; Prometheus gives up after 10 s by default.
const SCRAPE_PATIENCE: Duration = Duration::from_secs(8);

/// Whether the exporter can be relied on yet.
pub trait Readiness: Send + Sync {
    /// # Errors
    ///
    /// A sentence for people: what is missing.
    fn ready(&self) -> Result<(), String>;
}

/// All routes. Clones share.
#[derive(Clone)]
pub struct Routes(Arc<Table>);

struct Table {
    metrics: MetricsPage,
    readiness: Arc<dyn Readiness>,
    status: StatusPages,
}

enum Route {
    Status(Document),
    Metrics,
    Healthy,
    Ready,
}

impl Route {
    fn find(path: &str) -> Option<Self> {
        match path {
            "/metrics" => Some(Self::Metrics),
            "/-/healthy" => Some(Self::Healthy),
            "/-/ready" => Some(Self::Ready),
            _ => Document::find(path).map(Self::Status),
        }
    }
}

impl Routes {
    /// Routes that answer from `exposition`, `readiness` and `reception`.
    pub fn new(
        exposition: Arc<dyn Exposition>,
        readiness: Arc<dyn Readiness>,
        reception: Arc<dyn Reception>,
    ) -> Self {
        Self(Arc::new(Table {
            metrics: MetricsPage::new(exposition, CONCURRENT_SCRAPES, SCRAPE_PATIENCE),
            readiness,
            status: StatusPages::new(reception),
        }))
    }

    /// The answer to `request`. A request with a body closes its connection, because nobody reads the body.
    pub async fn answer<B: Body>(&self, request: Request<B>) -> Response<Answer> {
        let mut response = match Route::find(request.uri().path()) {
            None => plain(StatusCode::NOT_FOUND, "not found; / lists what there is\n"),
            Some(_) if !matches!(*request.method(), Method::GET | Method::HEAD) => {
                let mut refusal = plain(StatusCode::METHOD_NOT_ALLOWED, "use GET or HEAD\n");
                refusal.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
                refusal
            }
            Some(Route::Status(document)) => {
                self.0.status.answer(document, request.uri().query().unwrap_or_default()).await
            }
            Some(Route::Metrics) => self.0.metrics.answer(request.headers()).await,
            Some(Route::Healthy) => plain(StatusCode::OK, "healthy\n"),
            Some(Route::Ready) => match self.0.readiness.ready() {
                Ok(()) => plain(StatusCode::OK, "ready\n"),
                Err(missing) => plain(StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {missing}\n")),
            },
        };
        if !request.body().is_end_stream() {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// A line of text.
pub(super) fn plain(status: StatusCode, text: impl Into<Bytes>) -> Response<Answer> {
    let mut response = Response::new(Answer::from(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
