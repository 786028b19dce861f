//! The query of a list request, parsed as strictly as the API does.

use chrono::{DateTime, NaiveDateTime, Utc};
use polyai_domain::target::{ApiVersion, ClientEnv};

use super::cursor::Cursor;
use super::quirks::{Paging, Quirks};
use super::response::ApiError;
use super::rng::{hash, hash_text};

#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Query {
    pub(crate) start_time: Option<DateTime<Utc>>,
    pub(crate) end_time: Option<DateTime<Utc>>,
    pub(crate) client_env: Option<ClientEnv>,
    pub(crate) limit: usize,
    pub(crate) cursor: Option<Cursor>,
    pub(crate) offset: usize,
    pub(crate) channels: Vec<String>,
    pub(crate) in_progress: Option<bool>,
    pub(crate) include_latency: bool,
    /// A hash of all parameters that must stay the same over a walk.
    pub(crate) fingerprint: u64,
}

fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::new(400, "CONVERSATIONS_VALIDATION_FAILED", message)
}

fn bad_cursor(message: &str) -> ApiError {
    ApiError::new(400, "GET_CONVERSATIONS_FILTER_PARSE_ERROR", message)
}

impl Query {
    /// Parses `query`, the part of the URL after `?`. Unknown parameters have no effect.
    pub(crate) fn parse(query: &str, version: ApiVersion, quirks: &Quirks) -> Result<Self, ApiError> {
        let prose_limits = quirks.prose_limits || version == ApiVersion::V1;
        let (max_limit, default_limit) = if prose_limits { (5000, 5) } else { (1000, 1000) };
        let mut parsed = Self { limit: default_limit, ..Self::default() };
        for (name, value) in form_urlencoded::parse(query.as_bytes()).into_owned() {
            let name = name.as_str();
            if !matches!(name, "cursor" | "offset" | "limit") {
                parsed.fingerprint = hash(&[parsed.fingerprint, hash_text(name), hash_text(&value)]);
            }
            let not = |what: &str| invalid(format!("{name}: {value:?} is not {what}"));
            match name {
                "start_time" => parsed.start_time = Some(timestamp(name, &value)?),
                "end_time" => parsed.end_time = Some(timestamp(name, &value)?),
                "client_env" => {
                    let env = ClientEnv::parse(&value);
                    parsed.client_env = Some(env.ok_or_else(|| not("sandbox, pre-release or live"))?);
                }
                "limit" => {
                    let limit = value.parse().ok().filter(|limit| (1..=max_limit).contains(limit));
                    parsed.limit = limit.ok_or_else(|| not(&format!("between 1 and {max_limit}")))?;
                }
                "cursor" if !value.is_empty() && supports_cursors(version, quirks) => {
                    let cursor = Cursor::decode(&value).ok_or_else(|| bad_cursor("cursor is malformed"))?;
                    parsed.cursor = Some(cursor);
                }
                "offset" => parsed.offset = value.parse().map_err(|_| not("a whole number from 0"))?,
                "channel" if version != ApiVersion::V1 => parsed.channels.push(value),
                "in_progress" => parsed.in_progress = Some(boolean(name, &value)?),
                "include_latency" => parsed.include_latency = boolean(name, &value)?,
                _ => {}
            }
        }
        if quirks.ignores_limit {
            parsed.limit = 1000;
        }
        if let Some(cursor) = &parsed.cursor {
            if cursor.fingerprint != parsed.fingerprint {
                return Err(bad_cursor("cursor belongs to a request with other parameters"));
            }
            parsed.offset = 0;
        }
        Ok(parsed)
    }
}

/// Whether this project pages with cursors in this version.
pub(crate) fn supports_cursors(version: ApiVersion, quirks: &Quirks) -> bool {
    let offered = !matches!(quirks.paging, Paging::OffsetOnly | Paging::OffsetUnannounced);
    match version {
        ApiVersion::V1 => false,
        ApiVersion::V2 => offered && quirks.chunked,
        ApiVersion::V3 => offered,
    }
}

fn boolean(name: &str, value: &str) -> Result<bool, ApiError> {
    match value.to_ascii_lowercase().as_str() {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(invalid(format!("{name}: {value:?} is not true or false"))),
    }
}

/// Parses ISO 8601; a time without a zone is UTC.
fn timestamp(name: &str, value: &str) -> Result<DateTime<Utc>, ApiError> {
    let zoned = DateTime::parse_from_rfc3339(value).map(|moment| moment.to_utc());
    zoned.or_else(|_| value.parse::<NaiveDateTime>().map(|naive| naive.and_utc())).map_err(|_| {
        let hint = if value.contains(' ') { " (a + must be sent as %2B)" } else { "" };
        invalid(format!("{name}: {value:?} is not an ISO 8601 date-time{hint}"))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(query: &str) -> Result<Query, ApiError> {
        Query::parse(query, ApiVersion::V3, &Quirks::default())
    }

    #[test]
    fn absent_parameters_have_documented_defaults() {
        let query = parse("").unwrap();
        assert_eq!((query.limit, query.client_env, query.in_progress), (1000, None, None));
        assert!(!query.include_latency);
        assert_eq!(Query::parse("", ApiVersion::V1, &Quirks::default()).unwrap().limit, 5);
    }

    #[test]
    fn times_may_have_a_zone_an_offset_or_neither() {
        let expected = DateTime::from_timestamp_millis(1_625_148_900_000);
        for value in ["2021-07-01T14:15:00.000Z", "2021-07-01T15:15:00%2B01:00", "2021-07-01T14:15:00"] {
            assert_eq!(parse(&format!("start_time={value}")).unwrap().start_time, expected, "{value}");
        }
    }

    #[test]
    fn bad_values_are_rejected_with_a_message() {
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
        ];
        for (query, part) in cases {
            let problem = parse(query).unwrap_err();
            assert!(problem.message.contains(part), "{query}: {}", problem.message);
        }
    }

    #[test]
    fn cursor_belongs_to_its_walk_but_not_its_limit() {
        let walk = parse("in_progress=false&limit=10").unwrap();
        let position = crate::cursor::Position { rank: 1, id: "CA01".into() };
        let cursor = Cursor { position, fingerprint: walk.fingerprint, nonce: 0 }.encode();
        assert!(parse(&format!("in_progress=false&limit=20&cursor={cursor}")).is_ok());
        assert!(parse(&format!("in_progress=true&limit=10&cursor={cursor}")).is_err());
        let both = parse(&format!("in_progress=false&limit=10&cursor={cursor}&offset=5")).unwrap();
        assert_eq!(both.offset, 0, "the cursor wins");
    }

    proptest! {
        #[test]
        fn arbitrary_query_does_not_panic(query in ".*") {
            let _ = parse(&query);
        }

        #[test]
        fn arbitrary_value_does_not_panic(
            name in "start_time|end_time|limit|offset|cursor|channel|in_progress|include_latency",
            value in "[-+%0-9a-zA-Z:.]{0,40}",
        ) {
            let _ = parse(&format!("{name}={value}"));
        }
    }
}
