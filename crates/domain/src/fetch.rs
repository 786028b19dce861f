//! Requests for conversations and their results, as plain data.

use std::fmt;
use std::time::Duration;

use crate::conversation::{Conversation, RejectedRecord};
use crate::named_enum::named_enum;
use crate::problem::Problem;
use crate::timestamp::Timestamp;

/// The start of the year 1; the API rejects earlier times.
const MIN_TIME: Timestamp = Timestamp::from_millis(-62_135_596_800_000);
/// The end of the year 9999; the API rejects later times.
const MAX_TIME: Timestamp = Timestamp::from_millis(253_402_300_799_999);

/// A range of start times. The API does not document whether its bounds are inclusive, so windows overlap a little.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// `start_time`; `None` starts at the first conversation.
    pub from: Option<Timestamp>,
    /// `end_time`; `None` ends at the last conversation.
    pub to: Option<Timestamp>,
}

impl Window {
    /// All times.
    pub const ALL: Self = Self { from: None, to: None };

    /// A window with both bounds, which are clamped to the years 1 to 9999.
    pub fn between(from: Timestamp, to: Timestamp) -> Self {
        Self { from: Some(clamp_year(from)), to: Some(clamp_year(to)) }
    }

    /// A window without an end.
    pub fn since(from: Timestamp) -> Self {
        Self { from: Some(clamp_year(from)), to: None }
    }

    /// Whether `time` is certainly inside, wherever the API puts the bounds.
    pub fn contains(self, time: Timestamp) -> bool {
        self.from.is_none_or(|from| from < time) && self.to.is_none_or(|to| time < to)
    }

    /// The time between the bounds; `None` without one of them.
    pub fn length(self) -> Option<Duration> {
        Some(self.to?.saturating_duration_since(self.from?))
    }
}

fn clamp_year(time: Timestamp) -> Timestamp {
    time.clamp(MIN_TIME, MAX_TIME)
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.from, self.to) {
            (Some(from), Some(to)) => write!(f, "{from} to {to}"),
            (Some(from), None) => write!(f, "since {from}"),
            (None, Some(to)) => write!(f, "until {to}"),
            (None, None) => f.write_str("all times"),
        }
    }
}

/// The conversations of a window to read (`in_progress`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filter {
    /// `in_progress=true`
    InProgress,
    /// `in_progress=false`
    Finished,
    /// Both.
    Any,
}

/// A request that failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct FetchError {
    /// The kind of failure.
    pub kind: FetchErrorKind,
    /// The HTTP status; absent without a response.
    pub status: Option<u16>,
    /// The delay that the API requests (`Retry-After`).
    pub retry_after: Option<Duration>,
    /// `X-PolyAI-Correlation-Id`, for PolyAI's support.
    pub correlation_id: Option<String>,
    /// The cause, without URL parameters, headers or bodies.
    pub message: String,
}

impl FetchError {
    /// A response whose content is unusable.
    pub fn bad_payload(message: impl Into<String>) -> Self {
        let kind = FetchErrorKind::BadPayload;
        Self { kind, status: None, retry_after: None, correlation_id: None, message: message.into() }
    }
}

named_enum! {
    /// The kind of a failure, as a label and for decisions.
    FetchErrorKind {
        /// 401
        Unauthorized "unauthorized"
        /// 403
        Forbidden "forbidden"
        /// 404 with the API's own error body.
        NotFound "not_found"
        /// 4xx from something that is not the Conversations API, or a proxy that refuses a connection to it.
        WrongHost "wrong_host"
        /// 429
        RateLimited "rate_limited"
        /// 3xx: redirects are not followed.
        Redirected "redirected"
        /// Any other 4xx with the API's own error body.
        BadRequest "bad_request"
        /// 5xx
        ServerError "server_error"
        /// The connection failed or was lost.
        Unreachable "unreachable"
        /// No complete response within the timeout.
        Timeout "timeout"
        /// A response that breaks off.
        CutOff "cut_off"
        /// A response that cannot be parsed.
        BadPayload "bad_payload"
    }
}

impl FetchErrorKind {
    /// Whether the same request may succeed a moment later.
    pub const fn is_transient(self) -> bool {
        matches!(
            self,
            Self::ServerError | Self::Unreachable | Self::Timeout | Self::CutOff | Self::BadPayload
        )
    }

    /// Whether the failure lasts until the configuration or the key is changed.
    pub const fn is_permanent(self) -> bool {
        matches!(self, Self::Unauthorized | Self::Forbidden | Self::NotFound)
    }

    /// Whether another window of the same list may succeed.
    pub const fn is_window_specific(self) -> bool {
        matches!(
            self,
            Self::WrongHost
                | Self::BadRequest
                | Self::ServerError
                | Self::Timeout
                | Self::CutOff
                | Self::BadPayload
        )
    }

    /// The problem of a target whose poll failed this way.
    pub const fn problem(self) -> Problem {
        match self {
            Self::Unauthorized => Problem::Unauthorized,
            Self::Forbidden => Problem::Forbidden,
            Self::NotFound => Problem::NotFound,
            Self::WrongHost => Problem::WrongHost,
            Self::RateLimited => Problem::RateLimited,
            Self::ServerError => Problem::ServerError,
            Self::Unreachable => Problem::Unreachable,
            Self::Timeout => Problem::Timeout,
            Self::CutOff => Problem::CutOff,
            Self::Redirected => Problem::Redirected,
            Self::BadRequest => Problem::BadRequest,
            Self::BadPayload => Problem::BadPayload,
        }
    }
}

/// The number and size of requests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct RequestStats {
    /// Requests, including retries.
    pub requests: u32,
    /// Requests that returned a page.
    pub pages: u32,
    /// Bytes of all bodies, after decompression.
    pub bytes: u64,
}

/// All records of a window.
#[derive(Debug, Default)]
pub struct FetchedPages {
    /// The conversations, each once, in no order.
    pub conversations: Vec<Conversation>,
    /// The records that could not be converted.
    pub rejected: RejectedRecords,
    /// The records of another environment than was asked for.
    pub foreign: RejectedRecords,
    /// How many of `conversations` start more than a day outside of the window that was asked for.
    pub outside: usize,
    /// Whether the last page was reached.
    pub complete: bool,
}

impl FetchedPages {
    /// The number of records of any kind.
    pub fn len(&self) -> usize {
        self.conversations.len() + self.rejected.len() + self.foreign.len()
    }

    /// Whether there are no records.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A limit on the number of records to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Stop there and return the records read so far.
    StopAt(usize),
    /// Fail; the caller reads a smaller window instead.
    RefuseAt(usize),
    /// Read to the end.
    Unlimited,
}

/// The reason a window could not be read.
#[derive(Debug, thiserror::Error)]
pub enum WindowError {
    /// A request failed.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// There are more records than [`Limit::RefuseAt`] permits, or more pages, bytes or time than a fetch may take.
    #[error(
        "the window holds more than {0} conversations, or takes more pages, bytes or time than a fetch may"
    )]
    TooLarge(usize),
    /// The same, but most conversations start outside of the window: a smaller one would hold as many.
    #[error("the API ignores the window, and the list holds more than {0} conversations")]
    WindowIgnored(usize),
}

/// The rejected records of a window: their number and the first 300.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RejectedRecords {
    first: Vec<RejectedRecord>,
    count: usize,
}

impl RejectedRecords {
    /// Limits the memory for a list in which every record is malformed.
    const MAX_KEPT: usize = 300;

    /// Adds the records of a page, and returns those that are only counted.
    pub fn extend(&mut self, mut rejected: Vec<RejectedRecord>) -> Vec<RejectedRecord> {
        self.count += rejected.len();
        let kept = Self::MAX_KEPT.saturating_sub(self.first.len()).min(rejected.len());
        let dropped = rejected.split_off(kept);
        self.first.append(&mut rejected);
        dropped
    }

    /// The number of rejected records.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether no record was rejected.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

/// The records that are kept, in the order of the list.
impl<'a> IntoIterator for &'a RejectedRecords {
    type Item = &'a RejectedRecord;
    type IntoIter = std::slice::Iter<'a, RejectedRecord>;

    fn into_iter(self) -> Self::IntoIter {
        self.first.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conversation::RejectedKind;

    #[test]
    fn window_is_clamped_to_four_digit_years() {
        let (first, last) = (Timestamp::from_millis(i64::MIN), Timestamp::from_millis(i64::MAX));
        let text = Window::between(first, last).to_string();
        assert_eq!(text, "0001-01-01T00:00:00.000Z to 9999-12-31T23:59:59.999Z");
        assert_eq!(Window::since(first).to_string(), "since 0001-01-01T00:00:00.000Z");
    }

    #[test]
    fn all_rejected_are_counted_and_the_first_kept() {
        let page = |from: usize| -> Vec<RejectedRecord> {
            let ids = (from..from + 200).map(|n| Some(n.to_string()));
            ids.map(|id| RejectedRecord { id, kind: RejectedKind::BadStart }).collect()
        };
        let mut rejected = RejectedRecords::default();
        let dropped: Vec<usize> = [0, 200, 400].map(|from| rejected.extend(page(from)).len()).to_vec();
        assert_eq!(dropped, [0, 100, 200]);
        assert_eq!(rejected.len(), 600);
        let kept: Vec<_> = rejected.into_iter().filter_map(|record| record.id.clone()).collect();
        assert_eq!(kept, (0..300).map(|n| n.to_string()).collect::<Vec<_>>());
    }
}
