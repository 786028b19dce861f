//! What a poll does, added up while it runs, for the journal that people read.

use std::time::Duration;

use crate::api::{FetchError, FetchedPages, RequestStats};
use crate::status::Poll;
use crate::timestamp::Timestamp;

/// The work of one poll.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct PollStats {
    pub(super) walks: u32,
    pub(super) counted: u64,
    records: u64,
    rejected: u64,
}

impl PollStats {
    /// A walk brought this.
    pub(super) fn read(&mut self, walked: &FetchedPages) {
        self.records += walked.conversations.len() as u64;
        self.rejected += walked.rejected.len() as u64;
    }

    /// The poll is over; `traffic` is what its requests have cost.
    pub(super) fn finish(
        self,
        began: Timestamp,
        took: Duration,
        failure: Option<&FetchError>,
        traffic: RequestStats,
    ) -> Poll {
        let Self { walks, counted, records, rejected } = self;
        let failure = failure.map(|error| error.kind.problem());
        Poll { began, took, failure, walks, traffic, records, rejected, counted }
    }
}
