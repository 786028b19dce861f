//! Who asks for a page, gets it: from the question to the finished document.
//!
//! Owns: gathering what there is at the moment of the question, and nothing of it. Never: connections.

use std::sync::Arc;

use arc_swap::ArcSwap;
use hyper::StatusCode;
use serde::Serialize;

use super::configuration::ConfigurationStatus;
use super::journals::Journals;
use super::page;
use super::query::Query;
use super::trend::Trends;
use super::view::{Process, Sight};
use crate::clock::Clock;
use crate::config::Settings;
use crate::moment::Moment;
use crate::recorder::task::Published;
use crate::server::{Document, Reception, Written};

/// The settings in force and where they came from; replaced as a whole by a reload.
#[derive(Debug, Clone)]
pub struct Configured {
    /// The settings.
    pub settings: Arc<Settings>,
    /// Where they came from, and how the last attempt to read them went.
    pub status: ConfigurationStatus,
}

/// Everything that a page is made from.
#[derive(Debug, Clone)]
pub struct Desk {
    /// This machine's clock.
    pub clock: Clock,
    /// What is committed.
    pub published: Published,
    /// What pollers have noted.
    pub journals: Journals,
    /// What the handoff rates were.
    pub trends: Trends,
    /// What is configured.
    pub configured: Arc<ArcSwap<Configured>>,
    /// The process.
    pub process: Process,
}

#[derive(Serialize)]
struct Refusal {
    error: &'static str,
}

impl Reception for Desk {
    fn write(&self, document: Document, query: &str) -> Written {
        let configured = self.configured.load_full();
        let generation = self.published.load_full();
        let sight = Sight {
            now: Moment::from(self.clock.now()),
            settings: &configured.settings,
            generation: &generation,
            journals: &self.journals,
            trends: &self.trends,
            configuration: &configured.status,
            process: &self.process,
        };
        let query = Query::read(query);
        match document {
            Document::Overview => {
                let rows = sight.rows();
                let status = sight.status(&rows);
                html(StatusCode::OK, page::overview(&status, rows, &query))
            }
            Document::Target => {
                let about = sight.about();
                match query.target().and_then(|key| sight.target(&key)) {
                    Some(target) => html(StatusCode::OK, page::target(&about, &target, &query)),
                    None => html(StatusCode::NOT_FOUND, page::no_target(&about)),
                }
            }
            Document::StatusJson => json(StatusCode::OK, &sight.status(&sight.rows())),
            Document::TargetsJson => json(StatusCode::OK, &sight.targets(sight.rows(), &query)),
            Document::TargetJson => match query.target().and_then(|key| sight.target(&key)) {
                Some(target) => json(StatusCode::OK, &target),
                None => {
                    let error =
                        "no such target; give project, region and client_env as /api/v1/targets has them";
                    json(StatusCode::NOT_FOUND, &Refusal { error })
                }
            },
            Document::Style => Written {
                status: StatusCode::OK,
                content_type: "text/css; charset=utf-8",
                body: page::STYLE.into(),
            },
        }
    }
}

fn html(status: StatusCode, page: maud::Markup) -> Written {
    Written { status, content_type: "text/html; charset=utf-8", body: page.into_string().into() }
}

fn json(status: StatusCode, view: &impl Serialize) -> Written {
    const CONTENT_TYPE: &str = "application/json";
    match serde_json::to_vec(view) {
        Ok(body) => Written { status, content_type: CONTENT_TYPE, body: body.into() },
        // Every key is a string and every number finite, so it does not happen.
        Err(_) => Written {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            content_type: CONTENT_TYPE,
            body: r#"{"error":"the answer could not be written"}"#.into(),
        },
    }
}
