//! What can be wrong with a target: stable codes, each with a sentence for people.
//!
//! Owns: the list behind the `problem` label of `polyai_target_problem`. Never: detection; pollers, the API client and
//! the recorder each report what they see.

/// A problem of one target. The code is a public interface; alerts and runbooks are keyed by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "each variant is explained by `advice`, which is what people read")]
pub enum Problem {
    Unauthorized,
    Forbidden,
    NotFound,
    WrongHost,
    RateLimited,
    ServerError,
    Unreachable,
    Timeout,
    BadPayload,
    TranscriptOff,
    LatencyMissing,
    PartialFields,
    StuckConversations,
    ClockSkew,
    Storage,
    ExporterFault,
}

impl Problem {
    /// All problems, in the order of the documentation.
    pub const ALL: [Self; 16] = [
        Self::Unauthorized,
        Self::Forbidden,
        Self::NotFound,
        Self::WrongHost,
        Self::RateLimited,
        Self::ServerError,
        Self::Unreachable,
        Self::Timeout,
        Self::BadPayload,
        Self::TranscriptOff,
        Self::LatencyMissing,
        Self::PartialFields,
        Self::StuckConversations,
        Self::ClockSkew,
        Self::Storage,
        Self::ExporterFault,
    ];

    /// The value of the `problem` label.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::WrongHost => "wrong_host",
            Self::RateLimited => "rate_limited",
            Self::ServerError => "server_error",
            Self::Unreachable => "unreachable",
            Self::Timeout => "timeout",
            Self::BadPayload => "bad_payload",
            Self::TranscriptOff => "transcript_off",
            Self::LatencyMissing => "latency_missing",
            Self::PartialFields => "partial_fields",
            Self::StuckConversations => "stuck_conversations",
            Self::ClockSkew => "clock_skew",
            Self::Storage => "storage",
            Self::ExporterFault => "exporter_fault",
        }
    }

    /// What is wrong, in a few words that may follow a colon.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Unauthorized => "the API refuses the key",
            Self::Forbidden => "the key may not read this project",
            Self::NotFound => "the API does not know this project",
            Self::WrongHost => "the address is not the Conversations API",
            Self::RateLimited => "too many requests for this key",
            Self::ServerError => "the API answers with server errors",
            Self::Unreachable => "no connection to the API",
            Self::Timeout => "the API does not answer in time",
            Self::BadPayload => "answers of the API cannot be understood",
            Self::TranscriptOff => "transcripts are hidden, so latency and barge-ins cannot be measured",
            Self::LatencyMissing => "turns carry no latency",
            Self::PartialFields => "records carry little more than id and start time",
            Self::StuckConversations => "a conversation has been open for more than a day",
            Self::ClockSkew => "this machine's clock and the API's differ",
            Self::Storage => "the state cannot be written",
            Self::ExporterFault => "the exporter has failed, through a fault of its own",
        }
    }

    /// What it means and what to do, in two sentences, following the vendor's troubleshooting pages.
    pub const fn advice(self) -> &'static str {
        match self {
            Self::Unauthorized => {
                "The API refused the key: it is missing, wrong, expired, or belongs to another region. Check the key under API Keys in Agent Studio of this region, and its expiry date."
            }
            Self::Forbidden => {
                "The key is valid but may not read this project. Give it the \"Conversations data\" permission and include this agent in its selection (both are fixed when a key is created)."
            }
            Self::NotFound => {
                "The API does not know this account or project in this region. Check account_id, project_id and region; ids of one region do not exist in another."
            }
            Self::WrongHost => {
                "The answer is a 404 that does not come from the Conversations API. Use the host family api.{us-1,uk-1,euw-1}.platform.polyai.app, not api.{us,uk,eu}.poly.ai; with base_url, check the address and any proxy in between."
            }
            Self::RateLimited => {
                "The API answers 429: too many requests for this key. Polling continues more slowly; lower polling.requests_per_minute, raise polling.interval, or give targets keys of their own."
            }
            Self::ServerError => {
                "The API answers with a server error (5xx). Nothing to do here: polling retries and reads the gap afterwards; if it lasts, send the correlation id from the log to PolyAI."
            }
            Self::Unreachable => {
                "No connection to the API: name resolution, network, proxy or TLS failed. Check egress rules, DNS and the system's CA certificates (or ca_file)."
            }
            Self::Timeout => {
                "The API did not answer in time. If it happens only for this project, lower polling.page_size; otherwise raise polling.timeout or check the network."
            }
            Self::BadPayload => {
                "The API's answer, or records in it, could not be understood. Readable records were counted; the log names the others by id."
            }
            Self::TranscriptOff => {
                "Conversations have turns (num_turns > 0) but the turns are hidden, so turn latency and barge-ins cannot be measured. Switch on \"Conversation transcript\" under API Keys > Configuration in Agent Studio."
            }
            Self::LatencyMissing => {
                "Turns are there but carry no latency, so the latency histograms stay empty. v1 and v2 may not provide it; on v3 ask PolyAI to enable include_latency for the project."
            }
            Self::PartialFields => {
                "Records carry little more than id and start time. Check the key's \"Conversations data\" permission, the selected response metrics, and on v1 the field whitelist."
            }
            Self::StuckConversations => {
                "A conversation has been in progress for more than a day. It is still followed; if it is a leftover of a crash on their side, send its id, which the log has, to PolyAI."
            }
            Self::ClockSkew => {
                "This machine's clock and the API's differ. Windows are computed in the API's time, so nothing is lost, but ages shown here are off; fix NTP."
            }
            Self::Storage => {
                "The state could not be written (disk full, or an I/O error). The last committed numbers are served and the write is retried; free space or check the disk."
            }
            Self::ExporterFault => {
                "Reading this target ran into a fault of the exporter. It begins anew a minute later with what was committed, so nothing is lost; please report the panic that the log has."
            }
        }
    }
}
