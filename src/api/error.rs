//! Why a request came to nothing: one type, with a bounded kind for labels and decisions, and a message for people.

use std::fmt;
use std::time::Duration;

use crate::problem::Problem;

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
