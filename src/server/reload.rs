//! `POST /-/reload`: has the configuration read again.
//!
//! Owns: the answer in words and its status, and how long it is waited for. Never: the configuration.

use std::pin::Pin;
use std::time::Duration;

use hyper::{Response, StatusCode};
use tokio::time::timeout;

use super::body::ResponseBody;
use super::routes::text_response;

/// The outcome of a reload that is under way: what changed, or why nothing was changed.
pub type ReloadFuture<'a> = Pin<Box<dyn Future<Output = Result<String, String>> + Send + 'a>>;

/// Whoever can read the configuration again.
pub trait ConfigReloader: Send + Sync {
    /// Reads it. One attempt at a time; all who ask meanwhile share the next. Whoever drops the answer has asked all the same.
    fn reload(&self) -> ReloadFuture<'_>;
}

/// How long the outcome is waited for: less than an answer may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// 200 with what changed, or 500 with the reason, as Prometheus answers; 503 while there is no outcome.
pub(super) async fn answer(configuration: &dyn ConfigReloader) -> Response<ResponseBody> {
    let Ok(outcome) = timeout(PATIENCE, configuration.reload()).await else {
        let text = "not reloaded yet: it still waits, most likely for the disk of the state, and goes on by itself. Its outcome \
                    will be on the status page (/), in the log, and in polyai_exporter_config_last_reload_successful\n";
        return text_response(StatusCode::SERVICE_UNAVAILABLE, text);
    };
    match outcome {
        Ok(changes) => text_response(StatusCode::OK, format!("reloaded: {changes}\n")),
        Err(reason) => {
            let text = format!("not reloaded, the configuration before stays in force:\n{reason}\n");
            text_response(StatusCode::INTERNAL_SERVER_ERROR, text)
        }
    }
}
