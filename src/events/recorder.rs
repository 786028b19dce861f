//! What the recorder reports, logged and counted.

use std::time::Duration;

use polyai_engine::ledger::store::StoreError;
use polyai_engine::recorder::task::RecorderObserver;

use super::Events;
use crate::target::TargetKey;

impl RecorderObserver for Events {
    fn on_commit(&self, duration: Duration) {
        self.stats.committed(duration);
        self.commit_recovered();
    }

    fn on_commit_failed(&self, duration: Duration, error: &StoreError, retry_in: Duration) {
        self.stats.commit_failed(duration);
        self.commit_failed(error, retry_in);
    }

    fn on_recovery(&self) {
        self.commit_recovered();
    }

    fn on_label_limit(&self, target: &TargetKey, label: &'static str) {
        self.label_limit_reached(target, label);
    }
}
