//! The names of things that happen.
//!
//! Owns: the values of the `event` label of `polyai_exporter_events_total`. Never: what is done about them.

/// Something out of the ordinary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "each is explained by the function of `Events` that reports it")]
pub enum Event {
    AcceptFailed,
    CatchingUp,
    ClockSkew,
    CommitFailed,
    ConfigRejected,
    ConfigReloaded,
    ConnectionRefused,
    ConversationVanished,
    LabelFolded,
    LiveListCapped,
    PollFailed,
    ProblemStarted,
    RecordRejected,
    RequestFailed,
    TickRefused,
    WalkAbandoned,
}

impl Event {
    /// All events, sorted by name.
    pub const ALL: [Self; 16] = [
        Self::AcceptFailed,
        Self::CatchingUp,
        Self::ClockSkew,
        Self::CommitFailed,
        Self::ConfigRejected,
        Self::ConfigReloaded,
        Self::ConnectionRefused,
        Self::ConversationVanished,
        Self::LabelFolded,
        Self::LiveListCapped,
        Self::PollFailed,
        Self::ProblemStarted,
        Self::RecordRejected,
        Self::RequestFailed,
        Self::TickRefused,
        Self::WalkAbandoned,
    ];

    /// The value of the `event` label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AcceptFailed => "accept_failed",
            Self::CatchingUp => "catching_up",
            Self::ClockSkew => "clock_skew",
            Self::CommitFailed => "commit_failed",
            Self::ConfigRejected => "config_rejected",
            Self::ConfigReloaded => "config_reloaded",
            Self::ConnectionRefused => "connection_refused",
            Self::ConversationVanished => "conversation_vanished",
            Self::LabelFolded => "label_folded",
            Self::LiveListCapped => "live_list_capped",
            Self::PollFailed => "poll_failed",
            Self::ProblemStarted => "problem_started",
            Self::RecordRejected => "record_rejected",
            Self::RequestFailed => "request_failed",
            Self::TickRefused => "tick_refused",
            Self::WalkAbandoned => "walk_abandoned",
        }
    }
}
