//! Logs and counts what the API client reports about a target.

use polyai_api::{FetchError, ListObserver, PartialRecord, ResponseInfo};

use super::{Events, RequestFailure};
use crate::conversation::RejectedRecord;
use crate::exporter_metrics::RequestOutcome;
use crate::target::TargetKey;

/// The `endpoint` label of the conversation list.
pub const LIST_ENDPOINT: &str = "conversations";

/// The events of one target's list.
#[derive(Debug)]
pub struct TargetEvents {
    /// The target.
    pub target: TargetKey,
    /// The log and the counters.
    pub events: Events,
}

impl ListObserver for TargetEvents {
    fn on_request(&self, info: &ResponseInfo, error: Option<&FetchError>) {
        let outcome = match (info.status, error) {
            (None, Some(error)) => RequestOutcome::Failure(error.kind.as_str()),
            (status, _) => RequestOutcome::Status(status.unwrap_or(200)),
        };
        self.events.stats.request(LIST_ENDPOINT, outcome, info.duration, info.bytes);
        if let Some(error) = error {
            let failure = RequestFailure {
                endpoint: LIST_ENDPOINT,
                kind: error.kind.as_str(),
                status: error.status,
                correlation_id: error.correlation_id.as_deref(),
                message: &error.message,
            };
            self.events.request_failed(&self.target, failure);
        }
    }

    fn on_rejected(&self, record: &RejectedRecord) {
        let detail = "further rejected records of this read are only counted";
        self.events.record_rejected(&self.target, record.id.as_deref(), record.kind.as_str(), &detail);
    }

    fn on_partial(&self, record: &PartialRecord) {
        self.events.record_partially_read(&self.target, record.id.as_deref(), &record.unreadable);
    }
}
