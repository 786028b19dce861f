//! The routes.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use exporter_web::{Handler, ResponseBody, ResponseFuture, text_response};
use hyper::header::{ALLOW, HeaderValue};
use hyper::{Request, Response, StatusCode};
use tokio::time::timeout;

use super::metrics::{MetricsHandler, MetricsSource};
use super::status_routes::{StatusHandler, StatusRoute, StatusSource};

/// How long a response waits for a reload: less than [`exporter_web::Limits::request_timeout`].
const RELOAD_TIMEOUT: Duration = Duration::from_secs(60);

/// Whether the exporter is ready.
pub trait Readiness: Send + Sync {
    /// Returns a note for the response, if there is one.
    ///
    /// # Errors
    ///
    /// What is missing.
    fn ready(&self) -> Result<Option<String>, String>;
}

/// A reload in progress: what changed, or why nothing did.
pub type ReloadFuture<'a> = Pin<Box<dyn Future<Output = Result<String, String>> + Send + 'a>>;

/// Reloads the configuration.
pub trait ConfigReloader: Send + Sync {
    /// Requests a reload. One attempt runs at a time; requests during an attempt share the next. Dropping the future does not
    /// withdraw the request.
    fn reload(&self) -> ReloadFuture<'_>;
}

/// All routes. Clones share their handlers.
#[derive(Clone)]
pub struct Routes {
    metrics: Arc<MetricsHandler>,
    readiness: Arc<dyn Readiness>,
    reload: Option<Arc<dyn ConfigReloader>>,
    status: Option<Arc<StatusHandler>>,
}

impl Routes {
    /// Routes for `metrics` and `readiness`.
    pub fn new(metrics: Arc<dyn MetricsSource>, readiness: Arc<dyn Readiness>) -> Self {
        Self { metrics: Arc::new(MetricsHandler::new(metrics)), readiness, reload: None, status: None }
    }

    /// Adds `/-/reload`.
    pub fn with_reload(self, reloader: Arc<dyn ConfigReloader>) -> Self {
        Self { reload: Some(reloader), ..self }
    }

    /// Adds the status page and its JSON.
    pub fn with_status(self, source: Arc<dyn StatusSource>) -> Self {
        Self { status: Some(Arc::new(StatusHandler::new(source))), ..self }
    }

    async fn respond(&self, request: Request<()>) -> Response<ResponseBody> {
        let not_found = |text: &'static str| text_response(StatusCode::NOT_FOUND, text);
        let path = request.uri().path();
        let status_route = StatusRoute::find(path);
        let allow = match path {
            // As in Prometheus.
            "/-/reload" => "POST, PUT",
            "/metrics" | "/-/healthy" | "/-/ready" => "GET, HEAD",
            _ if status_route.is_some() => "GET, HEAD",
            _ => return not_found("not found; / lists what there is\n"),
        };
        if allow.split(", ").all(|allowed| allowed != request.method().as_str()) {
            let text = format!("use {}\n", allow.replace(", ", " or "));
            let mut response = text_response(StatusCode::METHOD_NOT_ALLOWED, text);
            response.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
            return response;
        }
        match (path, status_route, &self.status) {
            ("/metrics", ..) => self.metrics.respond(request.headers()).await,
            ("/-/healthy", ..) => text_response(StatusCode::OK, "healthy\n"),
            ("/-/ready", ..) => match self.readiness.ready() {
                Ok(None) => text_response(StatusCode::OK, "ready\n"),
                Ok(Some(note)) => text_response(StatusCode::OK, format!("ready; {note}\n")),
                Err(missing) => {
                    text_response(StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {missing}\n"))
                }
            },
            ("/-/reload", ..) => match &self.reload {
                Some(reloader) => reload(&**reloader).await,
                None => not_found("there is no configuration to reload\n"),
            },
            (_, Some(route), Some(status)) => {
                status.respond(route, request.uri().query().unwrap_or_default()).await
            }
            (_, _, _) => not_found("status page disabled\n"),
        }
    }
}

impl Handler for Routes {
    fn handle(&self, request: Request<()>) -> ResponseFuture<'_> {
        Box::pin(self.respond(request))
    }
}

/// 200 with what changed, or 500 with the reason, as Prometheus responds; 503 while the reload is in progress.
async fn reload(reloader: &dyn ConfigReloader) -> Response<ResponseBody> {
    let Ok(outcome) = timeout(RELOAD_TIMEOUT, reloader.reload()).await else {
        let text = "reload still in progress (probably waiting for a state commit); see the status page (/), the log or \
                    polyai_exporter_config_last_reload_successful for the result\n";
        return text_response(StatusCode::SERVICE_UNAVAILABLE, text);
    };
    match outcome {
        Ok(changes) => text_response(StatusCode::OK, format!("reloaded: {changes}\n")),
        Err(reason) => {
            let text = format!("not reloaded, the previous configuration stays active:\n{reason}\n");
            text_response(StatusCode::INTERNAL_SERVER_ERROR, text)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Stalled;

    impl ConfigReloader for Stalled {
        fn reload(&self) -> ReloadFuture<'_> {
            Box::pin(std::future::pending())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn stalled_reload_responds_before_the_request_timeout() {
        let started = tokio::time::Instant::now();
        let response = reload(&Stalled).await;
        assert_eq!(response.status(), 503);
        let limit = exporter_web::Limits::default().request_timeout;
        assert!(started.elapsed() < limit - Duration::from_secs(30), "{:?} of {limit:?}", started.elapsed());
    }
}
