//! From a path and a method to an answer.
//!
//! Owns: the table of routes and the answers that need no other module. Never: sockets; it reads no request body.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::body::Body;
use hyper::header::{ALLOW, CONNECTION, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use hyper::{Method, Request, Response, StatusCode};

use super::body::ResponseBody;
use super::metrics::{MetricsHandler, MetricsSource};
use super::reload::{self, ConfigReloader};
use super::status::{StatusHandler, StatusRoute, StatusSource};

/// Scrapes that are answered at once. Two Prometheus replicas and a person are usual; each answer shares its bytes with the
/// others, but one that is read slowly keeps them alive.
const CONCURRENT_SCRAPES: usize = 32;

/// How long a scrape waits for its turn; Prometheus gives up after 10 s by default.
const SCRAPE_QUEUE_TIMEOUT: Duration = Duration::from_secs(8);

/// Whether the exporter can be relied on yet.
pub trait Readiness: Send + Sync {
    /// # Errors
    ///
    /// A sentence for people: what is missing.
    fn ready(&self) -> Result<(), String>;
}

/// All routes. Clones share.
#[derive(Clone)]
pub struct Routes(Arc<RouterState>);

#[derive(Clone)]
struct RouterState {
    metrics: Arc<MetricsHandler>,
    readiness: Arc<dyn Readiness>,
    reload: Option<Arc<dyn ConfigReloader>>,
    status: Option<Arc<StatusHandler>>,
}

enum Route {
    Status(StatusRoute),
    Metrics,
    Healthy,
    Ready,
    Reload,
}

impl Route {
    fn find(path: &str) -> Option<Self> {
        match path {
            "/metrics" => Some(Self::Metrics),
            "/-/healthy" => Some(Self::Healthy),
            "/-/ready" => Some(Self::Ready),
            "/-/reload" => Some(Self::Reload),
            _ => StatusRoute::find(path).map(Self::Status),
        }
    }

    /// The methods that it takes, as `Allow` lists them.
    const fn allow(&self) -> &'static str {
        match self {
            Self::Status(_) | Self::Metrics | Self::Healthy | Self::Ready => "GET, HEAD",
            // As Prometheus takes them.
            Self::Reload => "POST, PUT",
        }
    }

    fn allows(&self, method: &Method) -> bool {
        self.allow().split(", ").any(|allowed| allowed == method.as_str())
    }
}

impl Routes {
    /// Routes that answer from `exposition` and `readiness`.
    pub fn new(exposition: Arc<dyn MetricsSource>, readiness: Arc<dyn Readiness>) -> Self {
        Self(Arc::new(RouterState {
            metrics: Arc::new(MetricsHandler::new(exposition, CONCURRENT_SCRAPES, SCRAPE_QUEUE_TIMEOUT)),
            readiness,
            reload: None,
            status: None,
        }))
    }

    /// The same, and `/-/reload` that asks `configuration`.
    pub fn with_reload(self, configuration: Arc<dyn ConfigReloader>) -> Self {
        Self(Arc::new(RouterState { reload: Some(configuration), ..(*self.0).clone() }))
    }

    /// The same, and the pages for people from `reception`.
    pub fn with_status(self, reception: Arc<dyn StatusSource>) -> Self {
        Self(Arc::new(RouterState {
            status: Some(Arc::new(StatusHandler::new(reception))),
            ..(*self.0).clone()
        }))
    }

    /// The answer to `request`. A request with a body closes its connection, because nobody reads the body.
    pub async fn answer<B: Body>(&self, request: Request<B>) -> Response<ResponseBody> {
        let mut response = match Route::find(request.uri().path()) {
            None => text_response(StatusCode::NOT_FOUND, "not found; / lists what there is\n"),
            Some(route) if !route.allows(request.method()) => {
                let (allow, words) = (route.allow(), route.allow().replace(", ", " or "));
                let mut refusal = text_response(StatusCode::METHOD_NOT_ALLOWED, format!("use {words}\n"));
                refusal.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
                refusal
            }
            Some(Route::Status(document)) => match &self.0.status {
                Some(pages) => pages.answer(document, request.uri().query().unwrap_or_default()).await,
                None => text_response(StatusCode::NOT_FOUND, "there are no pages for people here\n"),
            },
            Some(Route::Metrics) => self.0.metrics.answer(request.headers()).await,
            Some(Route::Healthy) => text_response(StatusCode::OK, "healthy\n"),
            Some(Route::Ready) => match self.0.readiness.ready() {
                Ok(()) => text_response(StatusCode::OK, "ready\n"),
                Err(missing) => {
                    text_response(StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {missing}\n"))
                }
            },
            Some(Route::Reload) => match &self.0.reload {
                Some(configuration) => reload::answer(&**configuration).await,
                None => text_response(
                    StatusCode::NOT_FOUND,
                    "there is no configuration that could be read again\n",
                ),
            },
        };
        if !request.body().is_end_stream() {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// A line of text.
pub(super) fn text_response(status: StatusCode, text: impl Into<Bytes>) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::from(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
