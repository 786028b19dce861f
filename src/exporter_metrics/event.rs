//! The values of the `event` label of `polyai_exporter_events_total`.

macro_rules! events {
    ($($variant:ident = $label:literal,)+) => {
        /// A notable event; the function of `Events` that reports it documents it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[expect(missing_docs, reason = "each is documented where it is reported")]
        pub enum Event {
            $($variant,)+
        }

        impl Event {
            /// All events, sorted by name.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The value of the `event` label.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $label,)+
                }
            }
        }
    };
}

events! {
    AcceptFailed = "accept_failed",
    AuthenticationFailed = "authentication_failed",
    CatchingUp = "catching_up",
    ClockSkew = "clock_skew",
    CommitFailed = "commit_failed",
    ConfigReloadFailed = "config_reload_failed",
    ConfigReloaded = "config_reloaded",
    ConnectionEvicted = "connection_evicted",
    ConnectionRefused = "connection_refused",
    ConversationMissing = "conversation_missing",
    ConversationStuck = "conversation_stuck",
    FetchAbandoned = "fetch_abandoned",
    LabelLimitReached = "label_limit_reached",
    OpenConversationsTruncated = "open_conversations_truncated",
    PollFailed = "poll_failed",
    PollSkipped = "poll_skipped",
    PollerPanicked = "poller_panicked",
    ProblemStarted = "problem_started",
    RecordPartiallyRead = "record_partially_read",
    RecordRejected = "record_rejected",
    RequestFailed = "request_failed",
    RequestRateLimited = "request_rate_limited",
    TlsHandshakeFailed = "tls_handshake_failed",
    WebConfigReloadFailed = "web_config_reload_failed",
}
