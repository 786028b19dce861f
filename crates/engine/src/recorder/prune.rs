//! Forgetting rows that every pass has left behind, in small transactions.

use super::known::IdFilter;
use super::{Recorder, TargetIndex};
use crate::ledger::LedgerEntry;
use crate::ledger::retention::{can_prune, prune_before};
use crate::ledger::store::StoreError;
use polyai_domain::conversation::ConversationId;

/// Rows per transaction: deleting many at once would double the file.
const ROWS_PER_COMMIT: usize = 2_000;

impl Recorder {
    /// Forgets what `target` no longer needs; answers how many rows went.
    ///
    /// # Errors
    /// When the state cannot be read or written; rows that are left go another time.
    pub fn prune(&mut self, target: TargetIndex) -> Result<usize, StoreError> {
        let Some(state) = self.targets.get_mut(&target) else { return Ok(0) };
        let Some(marks) = &mut state.marks else { return Ok(0) };
        // Broken records start in the future, which the passes never reach.
        let reached = marks.fresh;
        let (mut newest, mut candidates) = (None, Vec::new());
        // Rows that wait for their commit are not in the store yet.
        let waiting = self.changes.rows.keys().filter(|(of, _)| *of == state.id);
        let mut retained = IdFilter::from_ids(waiting.map(|(_, id)| id.as_str()));
        let by_marks = prune_before(marks, reached);
        self.store.for_each_row(state.id, |id, row| {
            let start = row.started_at();
            if matches!(row, LedgerEntry::Counted(_)) && start <= reached {
                newest = newest.max(Some(start));
            }
            if can_prune(&row, by_marks) {
                candidates.extend(ConversationId::new(id).map(|id| (id, start)));
            } else {
                retained.add(id);
            }
        })?;
        let horizon = newest.map_or(by_marks, |newest| prune_before(marks, newest));
        let mut expendables = Vec::new();
        for (id, start) in candidates {
            if start < horizon {
                expendables.push(id);
            } else {
                retained.add(id.as_str());
            }
        }
        if expendables.is_empty() {
            return Ok(0);
        }
        // From here on an unknown conversation from before the horizon is not new.
        marks.pruned_before = Some(marks.pruned_before.map_or(horizon, |forgotten| forgotten.max(horizon)));
        self.changes.marks.insert(state.id, marks.clone());
        let id = state.id;
        for chunk in expendables.chunks(ROWS_PER_COMMIT) {
            self.changes.rows.extend(chunk.iter().map(|conversation| ((id, conversation.clone()), None)));
            self.commit(true)?;
        }
        if let Some(state) = self.targets.get_mut(&target) {
            state.known = retained;
        }
        Ok(expendables.len())
    }
}
