//! The query of a list request, read as strictly as the API reads it.
//!
//! Owns: names, forms and contradictions of parameters, and the error codes for them. Never: the rows.

use chrono::{DateTime, Utc};
use percent_encoding::percent_decode_str;

use super::cursor::Cursor;
use super::dice::{hash, mix_text};
use super::quirks::{Paging, Quirks};
use polyai_domain::target::{ApiVersion, ClientEnv};

/// A list request in words of its own.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Query {
    pub(crate) start_time: Option<DateTime<Utc>>,
    pub(crate) end_time: Option<DateTime<Utc>>,
    pub(crate) client_env: ClientEnv,
    pub(crate) limit: usize,
    pub(crate) cursor: Option<Cursor>,
    pub(crate) offset: usize,
    pub(crate) channels: Vec<String>,
    pub(crate) variant_id: Option<String>,
    pub(crate) variant_name: Option<String>,
    pub(crate) in_progress: Option<bool>,
    pub(crate) include_latency: bool,
    pub(crate) retrieval: Option<Retrieval>,
    /// Of all parameters that must stay the same over a walk.
    pub(crate) fingerprint: u64,
}

/// The retrieval modes of v3.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Retrieval {
    /// `query_type=transcript`, with `turn_type`: the text occurs in what was said.
    Transcript { query: String, user: bool, agent: bool },
    /// `query_type=semantic`: here, every word occurs somewhere in what was said.
    Semantic { query: String },
    /// `sample=random`
    Sample,
}

/// A 400.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BadQuery {
    pub(crate) code: &'static str,
    pub(crate) message: String,
}

const INVALID: &str = "CONVERSATIONS_VALIDATION_FAILED";
const FILTER: &str = "GET_CONVERSATIONS_FILTER_PARSE_ERROR";

fn bad<T>(code: &'static str, message: impl Into<String>) -> Result<T, BadQuery> {
    Err(BadQuery { code, message: message.into() })
}

/// Splits `query` into decoded names and values; `+` is a space, as in forms.
pub(crate) fn pairs(query: &str) -> impl Iterator<Item = (String, String)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let decode =
            |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
        (decode(name), decode(value))
    })
}

impl Query {
    /// Reads `query`, the part of the URL after `?`. Unknown parameters have no effect.
    pub(crate) fn parse(query: &str, version: ApiVersion, quirks: &Quirks) -> Result<Self, BadQuery> {
        let mut asked = Self {
            start_time: None,
            end_time: None,
            client_env: ClientEnv::Live,
            limit: default_limit(version, quirks),
            cursor: None,
            offset: 0,
            channels: Vec::new(),
            variant_id: None,
            variant_name: None,
            in_progress: None,
            include_latency: false,
            retrieval: None,
            fingerprint: 0,
        };
        let mut modes = Modes::default();
        for (name, value) in pairs(query) {
            if !matches!(name.as_str(), "cursor" | "offset" | "limit") {
                asked.fingerprint = hash(&[asked.fingerprint, mix_text(&name), mix_text(&value)]);
            }
            match name.as_str() {
                "start_time" => asked.start_time = Some(moment(&name, &value)?),
                "end_time" => asked.end_time = Some(moment(&name, &value)?),
                "client_env" => match ClientEnv::parse(&value) {
                    Some(env) => asked.client_env = env,
                    None => {
                        return bad(
                            INVALID,
                            format!("client_env: {value:?} is not sandbox, pre-release or live"),
                        );
                    }
                },
                "limit" => asked.limit = limit(&value, max_limit(version, quirks))?,
                "cursor" if !value.is_empty() && cursors(version, quirks) => match Cursor::decode(&value) {
                    Some(cursor) => asked.cursor = Some(cursor),
                    None => return bad(FILTER, "cursor is malformed"),
                },
                "offset" => match value.parse() {
                    Ok(offset) => asked.offset = offset,
                    Err(_) => return bad(INVALID, format!("offset: {value:?} is not a whole number from 0")),
                },
                "channel" if version != ApiVersion::V1 => asked.channels.push(value),
                "variant_id" => asked.variant_id = Some(value),
                "variant_name" => asked.variant_name = Some(value),
                "in_progress" => asked.in_progress = Some(boolean(&name, &value)?),
                "include_latency" => asked.include_latency = boolean(&name, &value)?,
                "query_type" => modes.query_type = Some(value),
                "query" => modes.query = Some(value),
                "turn_type" => modes.turn_type = Some(value),
                "sample" => modes.sample = Some(value),
                _ => {}
            }
        }
        if asked.variant_id.is_some() && asked.variant_name.is_some() {
            return bad(INVALID, "variant_id and variant_name exclude each other");
        }
        if version == ApiVersion::V3 {
            asked.retrieval = modes.check(asked.start_time.is_some() && asked.end_time.is_some())?;
        }
        if asked.cursor.as_ref().is_some_and(|cursor| cursor.fingerprint != asked.fingerprint) {
            return bad(FILTER, "cursor belongs to a request with other parameters");
        }
        if asked.cursor.is_some() {
            asked.offset = 0;
        }
        Ok(asked)
    }
}

/// Whether this project pages with cursors in this version.
pub(crate) fn cursors(version: ApiVersion, quirks: &Quirks) -> bool {
    let offered = !matches!(quirks.paging, Paging::OffsetOnly | Paging::OffsetUnsaid);
    match version {
        ApiVersion::V1 => false,
        ApiVersion::V2 => offered && quirks.chunked,
        ApiVersion::V3 => offered,
    }
}

fn max_limit(version: ApiVersion, quirks: &Quirks) -> usize {
    match version {
        ApiVersion::V1 => 5000,
        ApiVersion::V2 | ApiVersion::V3 => quirks.max_limit as usize,
    }
}

fn default_limit(version: ApiVersion, quirks: &Quirks) -> usize {
    match version {
        ApiVersion::V1 => 5,
        ApiVersion::V2 | ApiVersion::V3 => quirks.default_limit as usize,
    }
}

#[derive(Default)]
struct Modes {
    query_type: Option<String>,
    query: Option<String>,
    turn_type: Option<String>,
    sample: Option<String>,
}

impl Modes {
    fn check(self, timed: bool) -> Result<Option<Retrieval>, BadQuery> {
        let retrieval = match (self.query_type.as_deref(), self.sample.as_deref()) {
            (Some(_), Some(_)) => return bad(INVALID, "sample and query_type exclude each other"),
            (None, Some("random")) => Retrieval::Sample,
            (None, Some(other)) => return bad(INVALID, format!("sample: {other:?} is not random")),
            (None, None) if self.query.is_some() => return bad(INVALID, "query needs query_type"),
            (None, None) => return Ok(None),
            (Some(kind), None) => {
                let Some(query) = self.query.filter(|query| !query.trim().is_empty()) else {
                    return bad(INVALID, "query_type needs query");
                };
                match (kind, self.turn_type.as_deref()) {
                    ("transcript", None) => Retrieval::Transcript { query, user: true, agent: true },
                    ("transcript", Some("user")) => Retrieval::Transcript { query, user: true, agent: false },
                    ("transcript", Some("agent")) => {
                        Retrieval::Transcript { query, user: false, agent: true }
                    }
                    ("semantic", None) => Retrieval::Semantic { query },
                    ("semantic", Some(_)) => return bad(INVALID, "turn_type needs query_type=transcript"),
                    ("transcript", Some(other)) => {
                        return bad(INVALID, format!("turn_type: {other:?} is not user or agent"));
                    }
                    (other, _) => {
                        return bad(INVALID, format!("query_type: {other:?} is not transcript or semantic"));
                    }
                }
            }
        };
        if !timed {
            return bad(INVALID, "retrieval modes need start_time and end_time");
        }
        Ok(Some(retrieval))
    }
}

fn limit(value: &str, max: usize) -> Result<usize, BadQuery> {
    match value.parse() {
        Ok(limit) if (1..=max).contains(&limit) => Ok(limit),
        _ => bad(INVALID, format!("limit: {value:?} is not between 1 and {max}")),
    }
}

fn boolean(name: &str, value: &str) -> Result<bool, BadQuery> {
    match value.to_ascii_lowercase().as_str() {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => bad(INVALID, format!("{name}: {value:?} is not true or false")),
    }
}

/// ISO 8601; a moment without a zone is UTC.
fn moment(name: &str, value: &str) -> Result<DateTime<Utc>, BadQuery> {
    if let Ok(moment) = DateTime::parse_from_rfc3339(value) {
        return Ok(moment.to_utc());
    }
    match value.parse::<chrono::NaiveDateTime>() {
        Ok(naive) => Ok(naive.and_utc()),
        Err(_) => {
            let hint = if value.contains(' ') { " (a + must be sent as %2B)" } else { "" };
            bad(INVALID, format!("{name}: {value:?} is not an ISO 8601 date-time{hint}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(query: &str) -> Result<Query, BadQuery> {
        Query::parse(query, ApiVersion::V3, &Quirks::default())
    }

    #[test]
    fn what_is_left_out_has_the_documented_default() {
        let asked = parse("").unwrap();
        assert_eq!((asked.limit, asked.client_env, asked.in_progress), (1000, ClientEnv::Live, None));
        assert!(!asked.include_latency);
        assert_eq!(Query::parse("", ApiVersion::V1, &Quirks::default()).unwrap().limit, 5);
    }

    #[test]
    fn times_may_carry_a_zone_an_encoded_offset_or_nothing() {
        let expected = DateTime::from_timestamp_millis(1_625_148_900_000);
        for value in ["2021-07-01T14:15:00.000Z", "2021-07-01T15:15:00%2B01:00", "2021-07-01T14:15:00"] {
            assert_eq!(parse(&format!("start_time={value}")).unwrap().start_time, expected, "{value}");
        }
    }

    #[test]
    fn each_bad_value_is_refused_with_a_sentence() {
        let cases = [
            ("limit=0", "limit"),
            ("limit=1001", "between 1 and 1000"),
            ("limit=many", "limit"),
            ("offset=-1", "offset"),
            ("cursor=%20%20", "cursor is malformed"),
            ("client_env=prod", "client_env"),
            ("in_progress=maybe", "in_progress"),
            ("start_time=yesterday", "start_time"),
            ("start_time=2021-07-01T15:15:00+01:00", "%2B"),
            ("variant_id=a&variant_name=b", "exclude"),
            ("query_type=semantic", "needs query"),
            ("query_type=semantic&query=x", "need start_time"),
            ("query_type=semantic&query=x&sample=random", "exclude"),
            ("sample=first", "random"),
        ];
        for (query, part) in cases {
            let problem = parse(query).unwrap_err();
            assert!(problem.message.contains(part), "{query}: {}", problem.message);
        }
    }

    #[test]
    fn a_cursor_belongs_to_its_walk_but_the_page_size_may_change() {
        let walk = parse("in_progress=false&limit=10").unwrap();
        let position = super::super::cursor::Position { rank: 1, id: "CA01".into() };
        let cursor = Cursor { position, fingerprint: walk.fingerprint, nonce: 0 }.encode();
        assert!(parse(&format!("in_progress=false&limit=20&cursor={cursor}")).is_ok());
        assert!(parse(&format!("in_progress=true&limit=10&cursor={cursor}")).is_err());
        let both = parse(&format!("in_progress=false&limit=10&cursor={cursor}&offset=5")).unwrap();
        assert_eq!(both.offset, 0, "the cursor wins");
    }

    proptest! {
        #[test]
        fn no_query_is_a_crash(query in ".*") {
            let _ = parse(&query);
        }

        #[test]
        fn no_value_is_a_crash(
            name in "start_time|end_time|limit|offset|cursor|channel|in_progress|query_type|query|turn_type|sample",
            value in "[-+%0-9a-zA-Z:.]{0,40}",
        ) {
            let _ = parse(&format!("{name}={value}"));
        }
    }
}
