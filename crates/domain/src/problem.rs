//! Problems of a target: stable codes, each with advice for operators.
//!
//! The pollers and the recorder detect them; this module only lists them.

macro_rules! problems {
    ($($variant:ident $code:literal $title:literal $advice:literal)*) => {
        /// A problem of one target. The code is a public interface; alerts and runbooks refer to it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
        pub enum Problem {
            $(#[doc = $advice] #[serde(rename = $code)] $variant,)*
        }

        impl Problem {
            /// All problems, in the order of the documentation.
            pub const ALL: [Self; [$($code),*].len()] = [$(Self::$variant),*];

            /// The value of the `problem` label.
            pub const fn code(self) -> &'static str {
                match self { $(Self::$variant => $code,)* }
            }

            /// A short description that may follow a colon.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)* }
            }

            /// What the problem means and what to do, in two sentences, after PolyAI's troubleshooting pages.
            pub const fn advice(self) -> &'static str {
                match self { $(Self::$variant => $advice,)* }
            }
        }
    };
}

problems! {
    Unauthorized "unauthorized" "the API refuses the key"
    "The API refused the key: it is missing, wrong, expired, or belongs to another region. Check the key under API Keys in Agent Studio of this region, and its expiry date."

    Forbidden "forbidden" "the key may not read this project"
    "The key is valid but may not read this project. Give it the \"Conversations data\" permission and include this agent in its selection (both are fixed when a key is created)."

    NotFound "not_found" "the API does not know this project"
    "The API does not know this account or project in this region. Check account_id, project_id and region; ids of one region do not exist in another."

    WrongHost "wrong_host" "another server answers instead of the Conversations API"
    "The response is a 4xx, or the refusal of a proxy, that does not come from the Conversations API but from another server or a filter in between; it says nothing about the key. Check what proxies and firewalls do with the address; its host family is api.{us-1,uk-1,euw-1}.platform.polyai.app, not api.{us,uk,eu}.poly.ai, unless base_url sets another."

    RateLimited "rate_limited" "too many requests for this key"
    "The API answers 429: too many requests for this key, so the daemon polls more slowly. Lower polling.requests_per_minute, raise polling.interval, or give targets keys of their own."

    Redirected "redirected" "the address redirects elsewhere"
    "The address answers with a redirect, which is not followed, because the key would go along to another host. A proxy wants a login, or base_url is not the address of the API: exempt the API from the proxy's login, or correct base_url."

    BadRequest "bad_request" "the API rejects the requests"
    "The API accepts the key but rejects the request itself (HTTP 400, 410, 422 or the like). Check api_version and whether a newer version of the exporter knows of a change; if not, send the error code to PolyAI."

    ServerError "server_error" "the API answers with server errors"
    "The API answers with a server error (5xx), which is PolyAI's to fix; the daemon retries and reads the gap afterwards. If it lasts, send the correlation id to PolyAI."

    Unreachable "unreachable" "no connection to the API"
    "No connection to the API: name resolution, network, proxy or TLS failed. Check egress rules, DNS and the system's CA certificates (or ca_file)."

    Timeout "timeout" "the API does not answer in time"
    "The API did not answer in time. If this affects only one project, lower polling.page_size; otherwise raise polling.timeout or check the network."

    CutOff "cut_off" "responses of the API break off"
    "Responses of the API break off before their end, or cannot be decompressed; smaller windows are tried. Check proxies and firewalls on the way for limits on size, and lower polling.page_size."

    BadPayload "bad_payload" "responses of the API cannot be parsed"
    "The API's response, or records in it, cannot be parsed. Records that can be read count; one whose id or start cannot be read does not, until it can."

    TranscriptOff "transcript_off" "transcripts are hidden, so latency and barge-ins cannot be measured"
    "Conversations have turns (num_turns > 0) but the turns are hidden, so turn latency and barge-ins cannot be measured. Enable \"Conversation transcript\" under API Keys > Configuration in Agent Studio."

    LatencyMissing "latency_missing" "turns carry no latency"
    "Turns carry no latency, so the latency histograms stay empty. v1 and v2 may not provide it; on v3 ask PolyAI to enable include_latency for the project."

    PartialFields "partial_fields" "records lack fields that are measured"
    "Finished conversations lack fields, so what these fields measure is unknown, and its counters do not grow. Check the key's \"Conversations data\" permission, the response metrics selected for the project, and on v1 the field whitelist; polyai_target_missing_field names the fields."

    WrongEnvironment "wrong_environment" "records of another environment are returned"
    "The API returns conversations whose environment is not the client_env that was asked for; they are not counted for this target. A proxy may drop the parameter client_env; otherwise report it to PolyAI."

    WindowIgnored "window_ignored" "the API ignores start_time and end_time"
    "The API, or a proxy in between, ignores start_time and end_time, so every request returns the whole list; nothing is lost or counted twice. Check that the proxy forwards the query of the request; otherwise report it to PolyAI."

    LatencyUnit "latency_unit" "latencies are in another unit than configured"
    "Most latencies are not possible in the unit that is configured (above 120 seconds, or below 20 milliseconds), so none of these conversations is observed. Set latency_unit of the target to the unit that the API sends: milliseconds for values such as 1200, seconds for values such as 1.2."

    StuckConversations "stuck_conversations" "a conversation has been open for more than a day"
    "A conversation has been in progress for more than a day. It is still tracked; if it is left over from a crash at PolyAI, send them its id, which is in the log."

    ClockSkew "clock_skew" "this machine's clock and the API's differ"
    "This machine's clock and the API's differ. Windows are computed in the API's time, so nothing is lost, but ages shown here are off; fix NTP."

    Storage "storage" "the state cannot be written"
    "The state could not be written (disk full, or an I/O error). The last committed numbers are served and the write is retried; free space or check the disk."

    InternalError "internal_error" "the exporter stopped polling because of a bug"
    "A bug in the exporter interrupted the polling of this target. Polling restarts after a minute from the last committed state, so nothing is lost; please report the panic from the log."
}
