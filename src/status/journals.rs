//! The journals of all targets.
//!
//! Owns: which exist. A poller that is started anew for the same target goes on with the same journal.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::poll_history::PollHistory;
use crate::target::TargetKey;
use crate::timestamp::Timestamp;

/// All journals. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Journals(Arc<Mutex<BTreeMap<TargetKey, Arc<PollHistory>>>>);

impl Journals {
    /// The journal of `target`, which is begun if there is none.
    pub fn of(&self, target: &TargetKey) -> Arc<PollHistory> {
        let mut journals = self.lock();
        if let Some(journal) = journals.get(target) {
            return Arc::clone(journal);
        }
        Arc::clone(journals.entry(target.clone()).or_default())
    }

    /// The journal of `target`, if there is one.
    pub fn find(&self, target: &TargetKey) -> Option<Arc<PollHistory>> {
        self.lock().get(target).cloned()
    }

    /// This machine's clock was put back by `step` and shows `now`.
    pub fn put_back(&self, step: Duration, now: Timestamp) {
        self.lock().values().for_each(|journal| journal.on_clock_step_back(step, now));
    }

    /// Throws the journal of `target` away, when it leaves the configuration.
    pub fn forget(&self, target: &TargetKey) {
        self.lock().remove(target);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<TargetKey, Arc<PollHistory>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::{ClientEnv, Region};

    #[test]
    fn history_outlives_poller_but_not_target() {
        let key =
            TargetKey { project: "billing".to_owned(), region: Region::Uk1, client_env: ClientEnv::Live };
        let journals = Journals::default();
        let now = Timestamp::from_millis(1);
        journals.of(&key).poll_started(now);
        assert_eq!(journals.of(&key).read(|entries| entries.underway), Some(now));
        journals.forget(&key);
        assert!(journals.find(&key).is_none());
        assert_eq!(journals.of(&key).read(|entries| entries.underway), None);
    }
}
