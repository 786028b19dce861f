//! The route table.

use std::sync::Arc;

use exporter_web::{Handler, ResponseBody, ResponseFuture, text_response};
use hyper::header::{ALLOW, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};

use super::metrics::{MetricsHandler, MetricsSource};
use super::reload::{self, ConfigReloader};
use super::status_routes::{StatusHandler, StatusRoute, StatusSource};

/// Whether the exporter is ready.
pub trait Readiness: Send + Sync {
    /// # Errors
    ///
    /// What is missing.
    fn ready(&self) -> Result<(), String>;
}

/// All routes. Clones share their handlers.
#[derive(Clone)]
pub struct Routes {
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

    /// The permitted methods, as in the `Allow` header.
    const fn allow(&self) -> &'static str {
        match self {
            Self::Status(_) | Self::Metrics | Self::Healthy | Self::Ready => "GET, HEAD",
            // As in Prometheus.
            Self::Reload => "POST, PUT",
        }
    }

    fn allows(&self, method: &Method) -> bool {
        self.allow().split(", ").any(|allowed| allowed == method.as_str())
    }
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
        let Some(route) = Route::find(request.uri().path()) else {
            return not_found("not found; / lists what there is\n");
        };
        if !route.allows(request.method()) {
            let (allow, text) = (route.allow(), format!("use {}\n", route.allow().replace(", ", " or ")));
            let mut response = text_response(StatusCode::METHOD_NOT_ALLOWED, text);
            response.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
            return response;
        }
        match route {
            Route::Status(route) => match &self.status {
                Some(status) => status.respond(route, request.uri().query().unwrap_or_default()).await,
                None => not_found("status page disabled\n"),
            },
            Route::Metrics => self.metrics.respond(request.headers()).await,
            Route::Healthy => text_response(StatusCode::OK, "healthy\n"),
            Route::Ready => match self.readiness.ready() {
                Ok(()) => text_response(StatusCode::OK, "ready\n"),
                Err(missing) => {
                    text_response(StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {missing}\n"))
                }
            },
            Route::Reload => match &self.reload {
                Some(reloader) => reload::respond(&**reloader).await,
                None => not_found("there is no configuration to reload\n"),
            },
        }
    }
}

impl Handler for Routes {
    fn handle(&self, request: Request<()>) -> ResponseFuture<'_> {
        Box::pin(self.respond(request))
    }
}
