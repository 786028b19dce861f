//! A request for one page of the conversation list.
//!
//! Owns: the path and the query. Never: headers, which hold the key.

use std::fmt::Write as _;
use std::num::NonZeroU16;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::target::{ApiVersion, ClientEnv};
use polyai_domain::fetch::{Filter, Window};

/// Everything but unreserved characters (RFC 3986, section 2.3) is encoded, `+` of offsets included.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Where a target's conversations are listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    url: String,
    client_env: ClientEnv,
}

/// Where in the list a page starts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Position {
    /// At the beginning.
    #[default]
    First,
    /// Where this cursor of the page before points.
    Cursor(String),
    /// At this many records, where the API offers nothing better.
    Offset(u64),
}

/// One page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest<'a> {
    /// `start_time`, `end_time`
    pub window: Window,
    /// `in_progress`
    pub filter: Filter,
    /// `limit`
    pub limit: NonZeroU16,
    /// `cursor` or `offset`, never both.
    pub position: &'a Position,
}

impl Endpoint {
    /// The list of a project: `{base}/{version}/{account}/{project}/conversations`.
    pub fn new(
        base_url: &str,
        version: ApiVersion,
        account_id: &str,
        project_id: &str,
        client_env: ClientEnv,
    ) -> Self {
        let (account, project) = (encoded(account_id), encoded(project_id));
        Self { url: format!("{base_url}/{version}/{account}/{project}/conversations"), client_env }
    }

    /// The address of a page. `limit` and times are always sent where they are known, because defaults differ between the
    /// vendor's documents.
    pub fn page(&self, request: &PageRequest<'_>) -> String {
        let mut url = format!(
            "{}?client_env={}&limit={}&include_latency=true",
            self.url, self.client_env, request.limit
        );
        match request.filter {
            Filter::InProgress => url.push_str("&in_progress=true"),
            Filter::Finished => url.push_str("&in_progress=false"),
            Filter::Any => {}
        }
        for (name, moment) in [("start_time", request.window.from), ("end_time", request.window.to)] {
            if let Some(moment) = moment {
                // Writing to a String cannot fail.
                let _ = write!(url, "&{name}={}", encoded(&moment.to_string()));
            }
        }
        match request.position {
            Position::First => {}
            Position::Cursor(cursor) => {
                let _ = write!(url, "&cursor={}", encoded(cursor));
            }
            Position::Offset(offset) => {
                let _ = write!(url, "&offset={offset}");
            }
        }
        url
    }
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timestamp::Timestamp;

    #[test]
    fn a_page_asks_for_everything_by_name() {
        let endpoint = Endpoint::new(
            "https://api.us-1.platform.polyai.app",
            ApiVersion::V3,
            "ws-1",
            "a b",
            ClientEnv::Live,
        );
        let url = endpoint.page(&PageRequest {
            window: Window::between(Timestamp::from_millis(0), Timestamp::from_millis(61_500)),
            filter: Filter::Finished,
            limit: NonZeroU16::new(200).unwrap(),
            position: &Position::Cursor("a+b/=".into()),
        });
        assert_eq!(
            url,
            "https://api.us-1.platform.polyai.app/v3/ws-1/a%20b/conversations?client_env=live&limit=200\
             &include_latency=true&in_progress=false&start_time=1970-01-01T00%3A00%3A00.000Z\
             &end_time=1970-01-01T00%3A01%3A01.500Z&cursor=a%2Bb%2F%3D"
        );
    }
}
