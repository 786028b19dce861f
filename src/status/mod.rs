//! The status page at `/`, a page per target, and the same as JSON.
//!
//! The histories of the pollers, samples of the committed series and the configuration become a view, from which both the
//! pages and the JSON are rendered, so that they always agree.

mod build_view;
mod configuration;
mod diagnosis;
mod format;
mod handoff_trend;
mod page;
mod poll_history;
mod query;
mod target_state;
mod target_totals;
mod thresholds;
mod view;

use hyper::StatusCode;
use serde::Serialize;

pub use configuration::{ConfigurationStatus, Reload};
pub use handoff_trend::{SAMPLE_INTERVAL, Trends};
pub use poll_history::{Poll, PollHistories, PollHistory, ProblemInterval, Progress, Report};
pub use view::{ProcessInfo, StatusInputs};

use crate::http::{RenderedDocument, StatusRoute};
use query::Query;

#[cfg(test)]
mod tests;

/// Renders the document of `route`.
pub fn render(inputs: &StatusInputs<'_>, route: StatusRoute, query_string: &str) -> RenderedDocument {
    let query = Query::parse(query_string);
    match route {
        StatusRoute::Overview => {
            let rows = inputs.rows();
            html(StatusCode::OK, page::overview(&inputs.process.build, &inputs.status(&rows), rows, &query))
        }
        StatusRoute::Target => match inputs.target(&query) {
            Some(target) => html(StatusCode::OK, page::target(&inputs.process.build, &target, &query)),
            None => html(StatusCode::NOT_FOUND, page::target_not_found(&inputs.process.build, &query)),
        },
        StatusRoute::StatusJson => json(StatusCode::OK, &inputs.status(&inputs.rows())),
        StatusRoute::TargetsJson => match Query::parse_strictly(query_string) {
            Ok(query) => json(StatusCode::OK, &inputs.targets(&query)),
            Err(error) => json(StatusCode::BAD_REQUEST, &serde_json::json!({ "error": error })),
        },
        StatusRoute::TargetJson => match inputs.target(&query) {
            Some(target) => json(StatusCode::OK, &target),
            None => {
                let error = "no such target; give project, region and client_env as in /api/v1/targets";
                json(StatusCode::NOT_FOUND, &serde_json::json!({ "error": error }))
            }
        },
        StatusRoute::Style => document(StatusCode::OK, "text/css; charset=utf-8", page::STYLE),
    }
}

fn document(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<bytes::Bytes>,
) -> RenderedDocument {
    RenderedDocument { status, content_type, body: body.into() }
}

fn html(status: StatusCode, page: maud::Markup) -> RenderedDocument {
    document(status, "text/html; charset=utf-8", page.into_string())
}

fn json(status: StatusCode, view: &impl Serialize) -> RenderedDocument {
    match serde_json::to_vec(view) {
        Ok(body) => document(status, "application/json", body),
        // Unreachable: every key is a string.
        Err(_) => document(StatusCode::INTERNAL_SERVER_ERROR, "text/plain", "serialization failed\n"),
    }
}
