//! `POST /-/reload`: reloads the configuration.

use std::pin::Pin;
use std::time::Duration;

use exporter_web::{ResponseBody, text_response};
use hyper::{Response, StatusCode};
use tokio::time::timeout;

/// A reload in progress: what changed, or why nothing did.
pub type ReloadFuture<'a> = Pin<Box<dyn Future<Output = Result<String, String>> + Send + 'a>>;

/// Reloads the configuration.
pub trait ConfigReloader: Send + Sync {
    /// Requests a reload. One attempt runs at a time; requests during an attempt share the next. Dropping the future does not
    /// withdraw the request.
    fn reload(&self) -> ReloadFuture<'_>;
}

/// How long a response waits for the outcome: less than [`exporter_web::Limits::request_timeout`].
const RELOAD_TIMEOUT: Duration = Duration::from_secs(60);

/// 200 with what changed, or 500 with the reason, as Prometheus responds; 503 while the reload is in progress.
pub(super) async fn respond(reloader: &dyn ConfigReloader) -> Response<ResponseBody> {
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
        let response = respond(&Stalled).await;
        assert_eq!(response.status(), 503);
        let limit = exporter_web::Limits::default().request_timeout;
        assert!(started.elapsed() < limit - Duration::from_secs(30), "{:?} of {limit:?}", started.elapsed());
    }
}
