//! `POST /-/reload`: has the configuration read again.
//!
//! Owns: the answer in words and its status. Never: the configuration.

use std::pin::Pin;

use hyper::{Response, StatusCode};

use super::body::Answer;
use super::routes::plain;

/// The outcome of a reload that is under way: what changed, or why nothing was changed.
pub type Reloading<'a> = Pin<Box<dyn Future<Output = Result<String, String>> + Send + 'a>>;

/// Whoever can read the configuration again.
pub trait Reload: Send + Sync {
    /// Reads it. One attempt at a time; others wait for their turn.
    fn reload(&self) -> Reloading<'_>;
}

/// 200 with what changed, or 500 with the reason, as Prometheus answers.
pub(super) async fn answer(configuration: &dyn Reload) -> Response<Answer> {
    match configuration.reload().await {
        Ok(changes) => plain(StatusCode::OK, format!("reloaded: {changes}\n")),
        Err(reason) => {
            let text = format!("not reloaded, the configuration before stays in force:\n{reason}\n");
            plain(StatusCode::INTERNAL_SERVER_ERROR, text)
        }
    }
}
