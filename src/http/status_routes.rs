//! The status page and its JSON: routes, security headers, and a bound on concurrent renders.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use exporter_web::{AdmissionControl, ResponseBody, text_response, unavailable_response};
use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Response, StatusCode};
use tracing::error;

/// Only the style sheet of this site and inline images: no scripts, no frames, nothing from elsewhere.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; \
                      frame-ancestors 'none'";

/// Documents rendered at once; a thousand targets take some milliseconds each.
const MAX_RENDERS: usize = 4;
const QUEUE_LEN: usize = 64;
const QUEUE_TIMEOUT: Duration = Duration::from_secs(8);

/// A document for people, or the same as JSON.
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

/// A document ready to be sent.
#[derive(Debug, Clone)]
pub struct RenderedDocument {
    /// 200, or 404 for an unknown target.
    pub status: StatusCode,
    /// `Content-Type`
    pub content_type: &'static str,
    /// The content.
    pub body: Bytes,
}

/// Renders documents.
pub trait StatusSource: Send + Sync {
    /// Renders a document; `query` is what follows the question mark. Called on a thread that may block.
    fn write(&self, document: StatusRoute, query: &str) -> RenderedDocument;
}

/// Responds to requests for documents.
pub(super) struct StatusHandler {
    source: Arc<dyn StatusSource>,
    renders: AdmissionControl,
}

impl StatusHandler {
    pub(super) fn new(source: Arc<dyn StatusSource>) -> Self {
        Self { source, renders: AdmissionControl::new(MAX_RENDERS, QUEUE_LEN) }
    }

    pub(super) async fn respond(&self, route: StatusRoute, query: &str) -> Response<ResponseBody> {
        let Some(permit) = self.renders.acquire((), QUEUE_TIMEOUT).await else {
            return unavailable_response("too many pages at once\n");
        };
        let (source, query) = (Arc::clone(&self.source), query.to_owned());
        // The render keeps its permit if the client disconnects, since the work goes on.
        let rendering = tokio::task::spawn_blocking(move || {
            let document = source.write(route, &query);
            drop(permit);
            document
        });
        match rendering.await {
            Ok(document) => into_response(route, document),
            Err(reason) => {
                error!(%reason, "rendering a status page failed");
                let text = "rendering the page failed; see the log\n";
                text_response(StatusCode::INTERNAL_SERVER_ERROR, text)
            }
        }
    }
}

fn into_response(route: StatusRoute, document: RenderedDocument) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::from(document.body));
    *response.status_mut() = document.status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(document.content_type));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // Pages refer to the style sheet with a hash; everything else is current.
    let cache_control = if route == StatusRoute::Style { "max-age=86400" } else { "no-store" };
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(cache_control));
    response
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc::{Receiver, channel};

    use tokio::task::yield_now;

    use super::*;

    /// Waits for permission.
    struct Waiting(Mutex<Receiver<()>>);

    impl StatusSource for Waiting {
        fn write(&self, _: StatusRoute, _: &str) -> RenderedDocument {
            let _ = self.0.lock().unwrap().recv();
            RenderedDocument { status: StatusCode::OK, content_type: "text/plain", body: Bytes::new() }
        }
    }

    #[tokio::test]
    async fn disconnected_reader_keeps_its_render_permit() {
        let (permission, wait) = channel();
        let status = Arc::new(StatusHandler::new(Arc::new(Waiting(Mutex::new(wait)))));
        let reader = {
            let status = Arc::clone(&status);
            tokio::spawn(async move { status.respond(StatusRoute::Overview, "").await.status() })
        };
        while status.renders.available() == MAX_RENDERS {
            yield_now().await;
        }
        reader.abort();
        assert!(reader.await.unwrap_err().is_cancelled());
        assert_eq!(status.renders.available(), MAX_RENDERS - 1, "the page is still being rendered");
        permission.send(()).unwrap();
        while status.renders.available() < MAX_RENDERS {
            yield_now().await;
        }
        drop(permission);
        assert_eq!(status.respond(StatusRoute::Overview, "").await.status(), StatusCode::OK);
    }

    #[tokio::test(start_paused = true)]
    async fn pages_wait_for_a_permit_and_then_get_503() {
        let (_permission, wait) = channel();
        let status = StatusHandler::new(Arc::new(Waiting(Mutex::new(wait))));
        let mut permits = Vec::new();
        for _ in 0..MAX_RENDERS {
            permits.extend(status.renders.acquire((), QUEUE_TIMEOUT).await);
        }
        let started = tokio::time::Instant::now();
        let rejected = status.respond(StatusRoute::Overview, "").await;
        assert_eq!(rejected.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(rejected.headers()["retry-after"], "5");
        assert_eq!(started.elapsed(), QUEUE_TIMEOUT);
    }

    struct Broken;

    impl StatusSource for Broken {
        fn write(&self, _: StatusRoute, _: &str) -> RenderedDocument {
            panic!("on purpose")
        }
    }

    #[tokio::test]
    async fn panicking_render_frees_its_permit() {
        let status = StatusHandler::new(Arc::new(Broken));
        for _ in 0..2 * MAX_RENDERS {
            let response = status.respond(StatusRoute::Overview, "").await;
            assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        }
    }
}
