//! Forgetting rows that every pass has left behind, in small transactions.

use super::known::Known;
use super::{Recorder, TargetIndex};
use crate::conversation::ConversationId;
use crate::ledger::retention::{expendable, horizon};
use crate::ledger::store::StoreError;

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
        let horizon = horizon(marks);
        let mut expendables = Vec::new();
        // Rows that wait for their commit are not in the store yet.
        let waiting = self.changes.rows.keys().filter(|(of, _)| *of == state.id);
        let mut kept = Known::only(waiting.map(|(_, id)| id.as_str()));
        self.store.for_each_row(state.id, |id, row| {
            if expendable(&row, horizon) {
                expendables.extend(ConversationId::new(id));
            } else {
                kept.add(id);
            }
        })?;
        if expendables.is_empty() {
            return Ok(0);
        }
        // From here on an unknown conversation from before the horizon is not new.
        marks.forgotten = Some(marks.forgotten.map_or(horizon, |forgotten| forgotten.max(horizon)));
        self.changes.marks.insert(state.id, marks.clone());
        let id = state.id;
        for chunk in expendables.chunks(ROWS_PER_COMMIT) {
            self.changes.rows.extend(chunk.iter().map(|conversation| ((id, conversation.clone()), None)));
            self.commit(true)?;
        }
        if let Some(state) = self.targets.get_mut(&target) {
            state.known = kept;
        }
        Ok(expendables.len())
    }
}
