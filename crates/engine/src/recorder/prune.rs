//! Prunes entries that every pass has left behind, in small transactions.

use super::batch::TargetIndex;
use super::target::IdFilter;
use super::writer::Recorder;
use crate::ledger::LedgerEntry;
use crate::ledger::store::StoreError;
use polyai_domain::conversation::ConversationId;

/// Entries per transaction: deleting many at once would double the file.
const ENTRIES_PER_COMMIT: usize = 2_000;
/// A target is pruned once what it no longer needs spans this part of what it keeps, so that an entry is read few times before
/// it is deleted.
const SLACK: u32 = 8;

impl Recorder {
    /// The next target after the `turn`th, in the order of the configuration, that has enough to prune; with its place.
    pub(super) fn next_to_prune(&self, turn: usize) -> Option<(usize, TargetIndex)> {
        let all = self.display_order.len();
        let places = (turn + 1..=turn + all).map(|place| place % all);
        let mut targets = places.filter_map(|place| Some((place, *self.display_order.get(place)?)));
        targets.find(|(_, target)| self.is_prune_due(*target))
    }

    fn is_prune_due(&self, target: TargetIndex) -> bool {
        let Some(state) = self.targets.get(&target) else { return false };
        let (Some(from), Some(watermarks)) = (state.prunable_from, &state.watermarks) else {
            return false;
        };
        let limit = watermarks.prune_before(watermarks.fresh);
        let kept = watermarks.fresh.saturating_duration_since(limit);
        limit.saturating_duration_since(from) > kept / SLACK
    }

    /// Prunes the entries that `target` no longer needs; returns how many.
    pub fn prune(&mut self, target: TargetIndex) -> Result<usize, StoreError> {
        let Some(state) = self.targets.get_mut(&target) else { return Ok(0) };
        let Some(watermarks) = &mut state.watermarks else { return Ok(0) };
        // Broken records start in the future, which the passes never reach.
        let reached = watermarks.fresh;
        let by_watermarks = watermarks.prune_before(reached);
        state.prunable_from = Some(by_watermarks);
        let (mut newest, mut candidates) = (None, Vec::new());
        // Entries that wait for their commit are not in the store yet.
        let waiting = self.changes.entries.keys().filter(|(of, _)| *of == state.id);
        let mut retained = IdFilter::default();
        waiting.for_each(|(_, id)| retained.add(id.as_str()));
        self.store.for_each_entry(state.id, |id, entry| {
            let start = entry.started_at();
            let counted = matches!(entry, LedgerEntry::Counted(_));
            if counted && start <= reached {
                newest = newest.max(Some(start));
            }
            if counted && start < by_watermarks {
                candidates.extend(ConversationId::new(id).map(|id| (id, start)));
            } else {
                retained.add(id);
            }
        })?;
        let limit = newest.map_or(by_watermarks, |newest| watermarks.prune_before(newest));
        let mut prunable = Vec::new();
        for (id, start) in candidates {
            if start < limit {
                prunable.push(id);
            } else {
                retained.add(id.as_str());
            }
        }
        if prunable.is_empty() {
            return Ok(0);
        }
        // From here on an unknown conversation from before the limit is not new.
        watermarks.pruned_before = watermarks.pruned_before.max(Some(limit));
        self.changes.watermarks.insert(state.id, watermarks.clone());
        let id = state.id;
        for chunk in prunable.chunks(ENTRIES_PER_COMMIT) {
            let deleted = chunk.iter().map(|conversation| ((id, conversation.clone()), None));
            self.changes.entries.extend(deleted);
            self.commit(true)?;
        }
        if let Some(state) = self.targets.get_mut(&target) {
            state.known = retained;
        }
        Ok(prunable.len())
    }
}
