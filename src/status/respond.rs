//! From a question to the finished document. Pure.
//!
//! Owns: which page answers which question. Never: connections, or where what is shown comes from.

use hyper::StatusCode;
use serde::Serialize;

use super::build_view::StatusInputs;
use super::page;
use super::query::Query;
use crate::http::{RenderedDocument, StatusRoute};

#[derive(Serialize)]
struct Refusal {
    error: &'static str,
}

/// Writes `document` as `query` asks for it; a target that does not exist is a 404 in words.
pub fn answer(sight: &StatusInputs<'_>, document: StatusRoute, query: &str) -> RenderedDocument {
    let query = Query::read(query);
    match document {
        StatusRoute::Overview => {
            let rows = sight.rows();
            let status = sight.status(&rows);
            html(StatusCode::OK, page::overview(&status, rows, &query))
        }
        StatusRoute::Target => {
            let about = sight.about();
            match query.target().and_then(|key| sight.target(&key)) {
                Some(target) => html(StatusCode::OK, page::target(&about, &target, &query)),
                None => html(StatusCode::NOT_FOUND, page::target_not_found(&about, &query)),
            }
        }
        StatusRoute::StatusJson => json(StatusCode::OK, &sight.status(&sight.rows())),
        StatusRoute::TargetsJson => json(StatusCode::OK, &sight.targets(sight.rows(), &query)),
        StatusRoute::TargetJson => match query.target().and_then(|key| sight.target(&key)) {
            Some(target) => json(StatusCode::OK, &target),
            None => {
                let error = "no such target; give project, region and client_env as /api/v1/targets has them";
                json(StatusCode::NOT_FOUND, &Refusal { error })
            }
        },
        StatusRoute::Style => RenderedDocument {
            status: StatusCode::OK,
            content_type: "text/css; charset=utf-8",
            body: page::STYLE.into(),
        },
    }
}

fn html(status: StatusCode, page: maud::Markup) -> RenderedDocument {
    RenderedDocument { status, content_type: "text/html; charset=utf-8", body: page.into_string().into() }
}

fn json(status: StatusCode, view: &impl Serialize) -> RenderedDocument {
    const CONTENT_TYPE: &str = "application/json";
    match serde_json::to_vec(view) {
        Ok(body) => RenderedDocument { status, content_type: CONTENT_TYPE, body: body.into() },
        // Every key is a string and every number finite, so it does not happen.
        Err(_) => RenderedDocument {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            content_type: CONTENT_TYPE,
            body: r#"{"error":"the answer could not be written"}"#.into(),
        },
    }
}
