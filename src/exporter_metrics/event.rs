//! The values of the `event` label of `polyai_exporter_events_total`.

macro_rules! events {
    ($($variant:ident $label:literal $meaning:literal)+) => {
        /// A notable event.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Event {
            $(#[doc = $meaning] $variant,)+
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

            /// The meaning of the event, for the documents.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning,)+ }
            }
        }
    };
}

events! {
    AcceptFailed "accept_failed" "A connection could not be accepted, usually for lack of file descriptors."
    AuthenticationFailed "authentication_failed" "A request had no valid user name and password."
    CatchingUp "catching_up" "A long window is being read, after a first start or an outage."
    CaughtUp "caught_up" "A new state has been read up to the present; the conversation series of its target are exposed from then on."
    ClockSkew "clock_skew" "The clocks of the exporter and of the API differ."
    CommitFailed "commit_failed" "A transaction failed; it is retried."
    ConfigReloadFailed "config_reload_failed" "A reload was rejected; the previous configuration stays active."
    ConfigReloaded "config_reloaded" "The configuration was reloaded."
    ConnectionEvicted "connection_evicted" "All connections were in use, and the one that was idle longest was closed."
    ConnectionRefused "connection_refused" "A connection was closed at once, because all were in use."
    ConversationMissing "conversation_missing" "An open conversation is no longer listed, neither open nor finished; there is nothing to count."
    ConversationStuck "conversation_stuck" "A conversation has been open for more than a day."
    FetchAbandoned "fetch_abandoned" "The fetch of a window was given up; it is read again later."
    LabelLimitReached "label_limit_reached" "A label value was replaced by `other`, because `metrics.max_label_values` is reached."
    OpenConversationsTruncated "open_conversations_truncated" "More conversations are open than are read in a poll."
    PollFailed "poll_failed" "A poll failed; the next one reads the same window again."
    PollSkipped "poll_skipped" "A poll was due while the previous one of the target was running."
    PollerPanicked "poller_panicked" "A bug interrupted the polling of a target; it restarts after a minute."
    ProblemStarted "problem_started" "A target has a problem that it did not have before."
    RecordPartiallyRead "record_partially_read" "A record counts without a field that could not be read."
    RecordRejected "record_rejected" "A record could not be parsed or belongs to another environment, and is not counted."
    RequestFailed "request_failed" "A request to the API failed; it may be retried."
    RequestRateLimited "request_rate_limited" "A request to this port was rejected by `rate_limit`."
    TlsHandshakeFailed "tls_handshake_failed" "A TLS handshake on this port failed."
    WebConfigReloadFailed "web_config_reload_failed" "A change of the web configuration was rejected; the previous one stays active."
}
