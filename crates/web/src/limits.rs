//! Limits on what a peer may take of the port.

use std::time::Duration;

/// What a peer may take of the port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Connections open at once over all listeners, at least 1. Beyond it the least recently active one is closed in favor of the
    /// new one. If all are waiting for a response to be produced, the new one gets 503, or with TLS is closed without a response.
    pub connections: usize,
    /// For a whole TLS handshake.
    pub handshake_timeout: Duration,
    /// For the whole head of a request, and for a kept-alive connection to send its next one.
    pub header_read_timeout: Duration,
    /// Size of the head of a request, at least 8192; a larger one gets 431.
    pub head_bytes: usize,
    /// Requests in flight at once on one HTTP/2 connection, at least 1.
    pub max_concurrent_streams: u32,
    /// How long a write may wait for a peer that does not read.
    pub write_timeout: Duration,
    /// For a request with its whole response, however slowly it progresses.
    pub request_timeout: Duration,
    /// Age at which a connection closes with its next response, so that no client stays on an old certificate or permission.
    pub max_connection_age: Duration,
    /// How long responses in flight may take once the server stops.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 512,
            handshake_timeout: Duration::from_secs(10),
            // Between the usual scrape intervals of 15 s and 30 s, so that no scrape hits a connection that is closing.
            header_read_timeout: Duration::from_secs(20),
            head_bytes: 16 * 1024,
            max_concurrent_streams: 16,
            write_timeout: Duration::from_secs(30),
            // Longer than any scrape timeout.
            request_timeout: Duration::from_secs(120),
            max_connection_age: Duration::from_secs(3600),
            drain: Duration::from_secs(5),
        }
    }
}
