//! Requests of clients: counts per target and the last lines, in bounded memory and without API keys.

use std::collections::{BTreeMap, VecDeque};

use chrono::{DateTime, Utc};
use polyai_domain::target::TargetKey;
use serde::Serialize;

/// The number of request lines that are kept.
const MAX_LINES: usize = 10_000;
/// The number of ids per target whose downloads are counted.
const MAX_IDS: usize = 200_000;

/// List requests of one target.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Traffic {
    /// All list requests, rejected ones included.
    pub requests: u64,
    /// Those with `in_progress=true`.
    pub running_pass: u64,
    /// Those with `in_progress=false`.
    pub finished_pass: u64,
    /// Those without `in_progress`.
    pub unfiltered: u64,
    /// By HTTP status; 0 for a connection that was reset.
    pub statuses: BTreeMap<u16, u64>,
    /// Conversations served.
    pub rows: u64,
    /// Bytes of bodies that were prepared, before faults cut them.
    pub bytes: u64,
    /// How often each conversation was served as finished, or without `in_progress`. At most 200,000 ids.
    #[serde(skip)]
    pub downloads: BTreeMap<String, u64>,
}

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestLine {
    /// In the time of the API.
    pub at: DateTime<Utc>,
    /// `None` if the address names no known target.
    pub target: Option<TargetKey>,
    /// Path and query.
    pub address: String,
    /// HTTP status; 0 for a connection that was reset.
    pub status: u16,
    /// `X-PolyAI-Correlation-Id` of the response.
    pub correlation_id: String,
}

#[derive(Debug, Default)]
pub(crate) struct RequestLog {
    pub(crate) traffic: BTreeMap<TargetKey, Traffic>,
    pub(crate) lines: VecDeque<RequestLine>,
}

impl RequestLog {
    /// Adds a line, dropping the oldest.
    pub(crate) fn push(&mut self, line: RequestLine) {
        if self.lines.len() == MAX_LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    pub(crate) fn traffic_mut(&mut self, target: &TargetKey) -> &mut Traffic {
        self.traffic.entry(target.clone()).or_default()
    }
}

impl Traffic {
    pub(crate) fn on_request(&mut self, in_progress: Option<bool>) {
        self.requests += 1;
        match in_progress {
            Some(true) => self.running_pass += 1,
            Some(false) => self.finished_pass += 1,
            None => self.unfiltered += 1,
        }
    }

    pub(crate) fn on_page(&mut self, rows: usize, bytes: usize, finished: Vec<String>) {
        self.rows += rows as u64;
        self.bytes += bytes as u64;
        for id in finished {
            if self.downloads.len() < MAX_IDS || self.downloads.contains_key(&id) {
                *self.downloads.entry(id).or_default() += 1;
            }
        }
    }
}
