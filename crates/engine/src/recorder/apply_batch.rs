//! Applies one batch to the working state.
//!
//! The flow per conversation: load its entry, decide the transition, derive its contributions, apply them, store the entry.
//! Applying a batch again changes nothing, because the entries say what has been added; so it is safe to retry.

use std::collections::BTreeMap;
use std::sync::Arc;

use polyai_domain::conversation::{ConversationData, ConversationId, ConversationState};
use polyai_domain::timestamp::Timestamp;

use super::batch::{Batch, BatchOutcome, FirstFinished};
use super::gauges;
use super::target::TargetState;
use super::writer::Recorder;
use crate::aggregate::{
    ExemplarId, ExemplarSource, LabelValues, SeriesOp, SeriesSchema, TargetSeries, contributions,
};
use crate::dimension::Dimension;
use crate::ledger::LedgerEntry;
use crate::ledger::store::{Changes, Entries, StoreError};
use crate::ledger::transition::{CountingRules, SeenBy, Transition, decide};

impl Recorder {
    /// Applies a batch to the working state, for the next commit. After an error it may be applied again.
    pub fn apply_batch(&mut self, batch: &Batch) -> Result<BatchOutcome, StoreError> {
        let exposed = self.committed_series(batch.target);
        let Some(state) = self.targets.get_mut(&batch.target) else { return Ok(BatchOutcome::default()) };
        self.touched.insert(batch.target);
        if let Some(watermarks) = &batch.watermarks {
            state.set_watermarks(watermarks, batch.now, &self.schema, &mut self.changes);
        }
        let mut outcome = BatchOutcome::default();
        // Without watermarks there is no anchor yet to count from.
        if let Some(watermarks) = &state.watermarks {
            let mut application = Application {
                rules: self.policy.rules(watermarks),
                series_since: watermarks.series_since,
                exposed,
                state,
                entries: self.store.entries()?,
                changes: &mut self.changes,
                schema: &self.schema,
                now: batch.now,
                outcome: &mut outcome,
            };
            application.run(batch)?;
        }
        if batch.lists_all_open {
            set_open_gauges(state, batch, &self.schema.dimensions);
        }
        Ok(outcome)
    }
}

/// A batch on its way into the state of its target.
struct Application<'a> {
    state: &'a mut TargetState,
    /// The entries as they are committed; newer ones are in `changes`.
    entries: Entries,
    changes: &'a mut Changes,
    rules: CountingRules,
    series_since: Timestamp,
    /// The committed series, which scrapes see.
    exposed: Arc<TargetSeries>,
    schema: &'a SeriesSchema,
    now: Timestamp,
    outcome: &'a mut BatchOutcome,
}

impl Application<'_> {
    fn run(&mut self, batch: &Batch) -> Result<(), StoreError> {
        for observation in &batch.observations {
            let conversation = &observation.conversation;
            self.advance(&conversation.id, Some((&conversation.data, observation.seen_by)))?;
        }
        for id in &batch.abandoned {
            if let Some(LedgerEntry::Open { .. }) = self.entry(id)? {
                self.put_entry(id, None);
            }
        }
        let settling = self.state.settling.iter();
        let due = settling.filter(|&(_, &since)| self.rules.is_due(since, self.now));
        for id in due.map(|(id, _)| id.clone()).collect::<Vec<_>>() {
            self.advance(&id, None)?;
        }
        if self.outcome.counted > 0 {
            // Not only after a successful poll: where polls keep failing in part, conversations may count for days.
            self.state.recent.evict(self.now);
        }
        Ok(())
    }

    /// Applies what happened to one conversation: it was `observed`, or time has passed.
    fn advance(
        &mut self,
        id: &ConversationId,
        observed: Option<(&ConversationData, SeenBy)>,
    ) -> Result<(), StoreError> {
        let entry = self.entry(id)?;
        let transition = decide(entry.as_ref(), observed, self.now, &self.rules);
        if transition == Transition::Unchanged || transition == Transition::Discard && entry.is_none() {
            return Ok(());
        }
        self.report(entry.as_ref(), observed, &transition);
        let contributions =
            contributions(&transition, self.now, &self.schema.dimensions, &mut self.state.limiter);

        let series = Arc::make_mut(&mut self.state.series);
        let exemplar = ExemplarId::of(id);
        // From the content, so that it is the same for every instance and after a lost state.
        let start = contributions.ended_at.map_or(self.now, |ended_at| ended_at.max(self.series_since));
        for update in contributions.updates {
            let source = exemplar.as_ref().map(|id| ExemplarSource { id, at: update.at });
            let start = if let SeriesOp::Latest(_) = update.op { self.now } else { start };
            let changed = series.apply(&update.key, update.op, source, self.schema, start);
            if changed && self.exposed.get(&update.key).is_none() {
                series.backdate(&update.key, start);
            }
            if changed && !self.state.dirty.contains(&update.key) {
                self.state.dirty.insert(update.key);
            }
        }
        if let Some(recent) = contributions.recent {
            self.state.recent.push(recent, self.now);
        }
        self.outcome.limited_labels.extend(contributions.limited);
        self.put_entry(id, transition.into_entry(contributions.dimensions));
        Ok(())
    }

    fn report(
        &mut self,
        before: Option<&LedgerEntry>,
        observed: Option<(&ConversationData, SeenBy)>,
        transition: &Transition<'_>,
    ) {
        let finished = matches!(transition, Transition::Settle(_) | Transition::Count(_));
        let first = matches!(before, None | Some(LedgerEntry::Open { .. }));
        if let (true, true, Some((data, seen_by))) = (finished, first, observed) {
            self.outcome.finished.push(FirstFinished {
                started_at: data.started_at,
                ended_at: data.ended_at(),
                was_open: before.is_some(),
                seen_by,
            });
        }
        self.outcome.counted += u64::from(matches!(transition, Transition::Count(_)));
    }

    fn entry(&self, id: &ConversationId) -> Result<Option<LedgerEntry>, StoreError> {
        match self.changes.entries.get(&(self.state.id, id.clone())) {
            Some(entry) => Ok(entry.clone()),
            None if self.state.known.definitely_absent(id.as_str()) => Ok(None),
            None => self.entries.get(self.state.id, id),
        }
    }

    fn put_entry(&mut self, id: &ConversationId, entry: Option<LedgerEntry>) {
        if let Some(LedgerEntry::Settling { since, .. }) = &entry {
            self.state.settling.insert(id.clone(), *since);
        } else {
            self.state.settling.remove(id);
        }
        if let Some(entry) = &entry {
            self.state.known.add(id.as_str());
            if let LedgerEntry::Counted(_) = entry {
                self.state.on_counted(entry.started_at());
            }
        }
        self.changes.entries.insert((self.state.id, id.clone()), entry);
    }
}

fn set_open_gauges(state: &mut TargetState, batch: &Batch, dimensions: &[Dimension]) {
    let observed = batch.observations.iter().map(|observation| &observation.conversation.data);
    let mut open: Vec<&ConversationData> =
        observed.filter(|data| data.state == ConversationState::InProgress).collect();
    // The gauge respects the label limit but takes no room from what counts; in a fixed order, so that polls agree.
    open.sort_by_key(|data| (&data.channel, &data.variant));
    let mut limiter = state.limiter.clone();
    let mut by_labels: BTreeMap<LabelValues, u32> = BTreeMap::new();
    for data in &open {
        *by_labels.entry(limiter.values(dimensions, data)).or_default() += 1;
    }
    let oldest = open.iter().map(|data| data.started_at).min();
    gauges::set_open(Arc::make_mut(&mut state.series), &by_labels, oldest, batch.now);
}
