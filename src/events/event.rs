//! The names of things that happen.
//!
//! Owns: the values of the `event` label of `polyai_exporter_events_total`. Never: what is done about them.

/// Something out of the ordinary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "each is explained by the function of `Events` that reports it")]
pub enum Event {
    AcceptFailed,
    AuthenticationFailed,
    CatchingUp,
    ClockSkew,
    CommitFailed,
    ConfigRejected,
    ConfigReloaded,
    ConnectionDisplaced,
    ConnectionRefused,
    ConversationStuck,
    ConversationVanished,
    LabelFolded,
    LiveListCapped,
    PollFailed,
    PollerPanicked,
    ProblemStarted,
    RecordRejected,
    RequestFailed,
    RequestLimited,
    TickRefused,
    TlsHandshakeFailed,
    WalkAbandoned,
    WebConfigRejected,
}

impl Event {
    /// All events, sorted by name.
    pub const ALL: [Self; 23] = [
        Self::AcceptFailed,
        Self::AuthenticationFailed,
        Self::CatchingUp,
        Self::ClockSkew,
        Self::CommitFailed,
        Self::ConfigRejected,
        Self::ConfigReloaded,
        Self::ConnectionDisplaced,
        Self::ConnectionRefused,
        Self::ConversationStuck,
        Self::ConversationVanished,
        Self::LabelFolded,
        Self::LiveListCapped,
        Self::PollFailed,
        Self::PollerPanicked,
        Self::ProblemStarted,
        Self::RecordRejected,
        Self::RequestFailed,
        Self::RequestLimited,
        Self::TickRefused,
        Self::TlsHandshakeFailed,
        Self::WalkAbandoned,
        Self::WebConfigRejected,
    ];

    /// The value of the `event` label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AcceptFailed => "accept_failed",
            Self::AuthenticationFailed => "authentication_failed",
            Self::CatchingUp => "catching_up",
            Self::ClockSkew => "clock_skew",
            Self::CommitFailed => "commit_failed",
            Self::ConfigRejected => "config_rejected",
            Self::ConfigReloaded => "config_reloaded",
            Self::ConnectionDisplaced => "connection_displaced",
            Self::ConnectionRefused => "connection_refused",
            Self::ConversationStuck => "conversation_stuck",
            Self::ConversationVanished => "conversation_vanished",
            Self::LabelFolded => "label_folded",
            Self::LiveListCapped => "live_list_capped",
            Self::PollFailed => "poll_failed",
            Self::PollerPanicked => "poller_panicked",
            Self::ProblemStarted => "problem_started",
            Self::RecordRejected => "record_rejected",
            Self::RequestFailed => "request_failed",
            Self::RequestLimited => "request_limited",
            Self::TickRefused => "tick_refused",
            Self::TlsHandshakeFailed => "tls_handshake_failed",
            Self::WalkAbandoned => "walk_abandoned",
            Self::WebConfigRejected => "web_config_rejected",
        }
    }
}
