//! What clients asked for, as tests and people want to know it.
//!
//! Owns: counts per target and the last request lines, in bounded memory. Never: keys; a line has no headers.

use std::collections::{BTreeMap, VecDeque};

use chrono::{DateTime, Utc};

use polyai_domain::target::TargetKey;

/// Request lines that are kept.
const LINES: usize = 10_000;
/// Ids per target whose downloads are counted one by one.
const IDS: usize = 200_000;

/// List requests of one target.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Traffic {
    /// All list requests, refused ones included.
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
    /// How often each conversation was served as finished (or without saying that it runs). At most 200,000 ids.
    pub downloads: BTreeMap<String, u64>,
}

/// One request as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestLine {
    /// In the API's time.
    pub at: DateTime<Utc>,
    /// None where the address names no known target.
    pub target: Option<TargetKey>,
    /// Path and query.
    pub address: String,
    /// HTTP status; 0 for a connection that was reset.
    pub status: u16,
    /// As answered in `X-PolyAI-Correlation-Id`.
    pub correlation_id: String,
}

/// The record of all requests.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    pub(crate) traffic: BTreeMap<TargetKey, Traffic>,
    pub(crate) lines: VecDeque<RequestLine>,
}

impl Requests {
    /// Adds a line, forgetting the oldest.
    pub(crate) fn line(&mut self, line: RequestLine) {
        if self.lines.len() == LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    /// The counts of `target`.
    pub(crate) fn of(&mut self, target: &TargetKey) -> &mut Traffic {
        self.traffic.entry(target.clone()).or_default()
    }
}

impl Traffic {
    /// Counts a request by its pass.
    pub(crate) fn asked(&mut self, in_progress: Option<bool>) {
        self.requests += 1;
        match in_progress {
            Some(true) => self.running_pass += 1,
            Some(false) => self.finished_pass += 1,
            None => self.unfiltered += 1,
        }
    }

    /// Counts a served page.
    pub(crate) fn served(&mut self, rows: usize, bytes: usize, finished: Vec<String>) {
        self.rows += rows as u64;
        self.bytes += bytes as u64;
        for id in finished {
            if self.downloads.len() < IDS || self.downloads.contains_key(&id) {
                *self.downloads.entry(id).or_default() += 1;
            }
        }
    }
}
