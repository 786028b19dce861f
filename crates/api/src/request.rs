//! Addresses of the pages of a conversation list.

use std::fmt::Write as _;
use std::num::NonZeroU16;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use polyai_domain::fetch::{Filter, Window};
use polyai_domain::target::{ApiVersion, ClientEnv};

/// Every character except the unreserved ones of RFC 3986, section 2.3.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The address of a project's conversation list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    url: String,
    client_env: ClientEnv,
}

/// The start of a page within the list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Position {
    /// The beginning.
    #[default]
    First,
    /// The cursor from the previous page.
    Cursor(String),
    /// The number of records before it, if the API names no cursor.
    Offset(u64),
}

/// A request for one page.
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
    /// The list at `{base}/{version}/{account}/{project}/conversations`.
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

    /// The environment that is asked for.
    pub(crate) const fn client_env(&self) -> ClientEnv {
        self.client_env
    }

    /// The URL of a page. `limit` is always sent, because PolyAI's documents disagree about its default.
    pub fn page_url(&self, request: &PageRequest<'_>) -> String {
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
            Position::First => url,
            Position::Cursor(cursor) => url + "&cursor=" + &encoded(cursor),
            Position::Offset(offset) => format!("{url}&offset={offset}"),
        }
    }
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

#[cfg(test)]
mod tests {
    use polyai_domain::timestamp::Timestamp;

    use super::*;

    #[test]
    fn url_contains_all_parameters() {
        let endpoint = Endpoint::new(
            "https://api.us-1.platform.polyai.app",
            ApiVersion::V3,
            "ws-1",
            "a b",
            ClientEnv::Live,
        );
        let url = endpoint.page_url(&PageRequest {
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
