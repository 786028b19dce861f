//! What a client asks of the conversation list, and what it gets: windows, results and failures.

use std::fmt;
use std::time::Duration;

use crate::conversation::{Conversation, RejectedRecord};
use crate::problem::Problem;
use crate::timestamp::Timestamp;

/// The first and the last moment that four digits of a year can tell; the API refuses any other.
const SUPPORTED_RANGE: (Timestamp, Timestamp) =
    (Timestamp::from_millis(-62_135_596_800_000), Timestamp::from_millis(253_402_300_799_999));

/// A stretch of start times. The API does not document whether its bounds are included, so walks overlap a little.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// `start_time`; none reads from the beginning.
    pub from: Option<Timestamp>,
    /// `end_time`; none reads to the end.
    pub to: Option<Timestamp>,
}

impl Window {
    /// All times.
    pub const ALL: Self = Self { from: None, to: None };

    /// From one moment to another. Bounds stay within the years 1 to 9999.
    pub fn between(from: Timestamp, to: Timestamp) -> Self {
        Self { from: Some(clamp_year(from)), to: Some(clamp_year(to)) }
    }

    /// From a moment on, within the same years.
    pub fn since(from: Timestamp) -> Self {
        Self { from: Some(clamp_year(from)), to: None }
    }

    /// From bound to bound, where there are both.
    pub fn length(self) -> Option<Duration> {
        Some(self.to?.saturating_duration_since(self.from?))
    }
}

fn clamp_year(moment: Timestamp) -> Timestamp {
    moment.clamp(SUPPORTED_RANGE.0, SUPPORTED_RANGE.1)
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

/// Which conversations of a window are asked for (`in_progress`).
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
    /// What kind of failure.
    pub kind: FetchErrorKind,
    /// The HTTP status, if there was an answer.
    pub status: Option<u16>,
    /// What the API says to wait (`Retry-After`).
    pub retry_after: Option<Duration>,
    /// `X-PolyAI-Correlation-Id`, which the vendor's support asks for.
    pub correlation_id: Option<String>,
    /// In words, without URL parameters, headers or bodies.
    pub message: String,
}

/// The kinds of failure; bounded, for use as a label and for deciding what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FetchErrorKind {
    /// 401
    Unauthorized,
    /// 403
    Forbidden,
    /// 404 with the API's own error envelope.
    NotFound,
    /// 404 from something that is not the Conversations API.
    WrongHost,
    /// 429
    RateLimited,
    /// Any other 4xx.
    Refused,
    /// 5xx, and redirects, which are not followed.
    ServerError,
    /// No connection, or it broke.
    Unreachable,
    /// No whole answer within `polling.timeout`.
    Timeout,
    /// An answer that cannot be understood.
    BadPayload,
}

impl FetchErrorKind {
    /// A word for labels and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::WrongHost => "wrong_host",
            Self::RateLimited => "rate_limited",
            Self::Refused => "refused",
            Self::ServerError => "server_error",
            Self::Unreachable => "unreachable",
            Self::Timeout => "timeout",
            Self::BadPayload => "bad_payload",
        }
    }

    /// Whether the same request may succeed a moment later.
    pub const fn is_transient(self) -> bool {
        match self {
            Self::ServerError | Self::Unreachable | Self::Timeout | Self::BadPayload => true,
            Self::Unauthorized
            | Self::Forbidden
            | Self::NotFound
            | Self::WrongHost
            | Self::RateLimited
            | Self::Refused => false,
        }
    }

    /// Whether only a person can mend it: then the target is asked rarely.
    pub const fn is_permanent(self) -> bool {
        matches!(self, Self::Unauthorized | Self::Forbidden | Self::NotFound | Self::WrongHost)
    }

    /// Whether another window of the same list may be had all the same; else the target as a whole cannot.
    pub const fn is_window_specific(self) -> bool {
        matches!(self, Self::Refused | Self::ServerError | Self::Timeout | Self::BadPayload)
    }

    /// The problem that a target has when its poll failed so.
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
            Self::Refused | Self::BadPayload => Problem::BadPayload,
        }
    }
}

impl fmt::Display for FetchErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FetchError {
    /// An answer whose content cannot be used.
    pub fn bad_payload(message: impl Into<String>) -> Self {
        Self {
            kind: FetchErrorKind::BadPayload,
            status: None,
            retry_after: None,
            correlation_id: None,
            message: message.into(),
        }
    }
}

/// What requests cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RequestStats {
    /// Requests, second tries included.
    pub requests: u32,
    /// Of these, those that brought a page.
    pub pages: u32,
    /// Of their bodies, after decompression.
    pub bytes: u64,
}

/// Everything that a walk saw.
#[derive(Debug, Default)]
pub struct FetchedPages {
    /// Conversations, in no order, each once.
    pub conversations: Vec<Conversation>,
    /// Records that cannot be counted.
    pub rejected: RejectedRecords,
    /// Whether the last page was reached.
    pub complete: bool,
}

impl FetchedPages {
    /// The number of records of either kind.
    pub fn len(&self) -> usize {
        self.conversations.len() + self.rejected.len()
    }

    /// Whether there are no records.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What to do when there is more than a walk may hold, in records of either kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Stop there; what was read is of use.
    StopAt(usize),
    /// Give it up; a smaller window is read instead.
    RefuseAt(usize),
    /// Read to the end.
    None,
}

/// Why a walk came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum WalkError {
    /// A request failed.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// There was more than [`Limit::RefuseAt`].
    #[error("the stretch holds more than {0} conversations")]
    TooLarge(usize),
}

/// How many are kept by name; the log names ten in ten minutes.
const MAX_NAMED: usize = 300;

/// All that a walk met.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RejectedRecords {
    named: Vec<RejectedRecord>,
    count: usize,
}

impl RejectedRecords {
    /// Takes those of a page, and hands back the ones that are not kept by name.
    pub fn extend(&mut self, mut rejected: Vec<RejectedRecord>) -> Vec<RejectedRecord> {
        self.count += rejected.len();
        let room = MAX_NAMED.saturating_sub(self.named.len()).min(rejected.len());
        let beyond = rejected.split_off(room);
        self.named.append(&mut rejected);
        beyond
    }

    /// How many there were.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there were none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

/// The first of them, in the order in which they came.
impl<'a> IntoIterator for &'a RejectedRecords {
    type Item = &'a RejectedRecord;
    type IntoIter = std::slice::Iter<'a, RejectedRecord>;

    fn into_iter(self) -> Self::IntoIter {
        self.named.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conversation::RejectedKind;

    #[test]
    fn its_bounds_can_be_told_in_four_digits_of_a_year() {
        let (first, last) = (Timestamp::from_millis(i64::MIN), Timestamp::from_millis(i64::MAX));
        let text = Window::between(first, last).to_string();
        assert_eq!(text, "0001-01-01T00:00:00.000Z to 9999-12-31T23:59:59.999Z");
        assert_eq!(Window::since(first).to_string(), "since 0001-01-01T00:00:00.000Z");
    }

    #[test]
    fn all_are_counted_and_the_first_are_kept_by_name() {
        let page = |from: usize| -> Vec<RejectedRecord> {
            let ids = (from..from + 200).map(|n| Some(n.to_string()));
            ids.map(|id| RejectedRecord { id, kind: RejectedKind::BadStart }).collect()
        };
        let mut rejects = RejectedRecords::default();
        let beyond: Vec<usize> = [0, 200, 400].map(|from| rejects.extend(page(from)).len()).to_vec();
        assert_eq!(beyond, [0, 100, 200]);
        assert_eq!(rejects.len(), 600);
        let named: Vec<_> = rejects.into_iter().filter_map(|rejected| rejected.id.clone()).collect();
        assert_eq!(named, (0..300).map(|n| n.to_string()).collect::<Vec<_>>());
    }
}
