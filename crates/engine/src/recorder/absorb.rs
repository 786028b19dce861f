//! One batch: verdicts on every sighting, and what they add to the series.
//!
//! Taking the same batch again changes nothing, because the rows already say so; that is what makes it safe to retry.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::load::limited_label;
use super::{Batch, BatchOutcome, FirstFinished, Observation, PollStatus, Recorder, TargetIndex, gauges};
use crate::aggregate::{
    EventTimes, ExemplarId, ExemplarSource, LabelValues, Metric, RecentConversation, SeriesKey, SeriesOp,
    SeriesUpdate, amendment, contributions_of, labels_from_row,
};
use crate::ledger::store::{Rows, StoreError};
use crate::ledger::verdict::{Amendment, CountingRules, Transition, decide, ended_at, is_settled};
use crate::ledger::{Amounts, Counted, LedgerEntry};
use polyai_domain::conversation::{Amount, ConversationData, ConversationId, ConversationState};
use polyai_domain::timestamp::Timestamp;

impl Recorder {
    /// Takes a batch into the working state, for the next commit.
    ///
    /// # Errors
    /// When the ledger cannot be read; the batch may then be taken again.
    pub fn apply_batch(&mut self, batch: &Batch) -> Result<BatchOutcome, StoreError> {
        let rows = self.store.rows()?;
        let mut recorded = BatchOutcome::default();
        if let Some(marks) = &batch.marks {
            self.move_marks(batch, marks.clone());
        }
        if let Some(rules) = self.rules(batch.target) {
            self.apply_observations(batch, &rows, &rules, &mut recorded)?;
        }
        if batch.is_listing {
            self.update_open_gauge(batch);
        }
        Ok(recorded)
    }

    /// What a batch says of conversations, once it is known since when they count.
    fn apply_observations(
        &mut self,
        batch: &Batch,
        rows: &Rows,
        rules: &CountingRules,
        recorded: &mut BatchOutcome,
    ) -> Result<(), StoreError> {
        for sighting in &batch.sightings {
            self.apply_observation(batch, sighting, rows, rules, recorded)?;
        }
        for id in &batch.abandoned {
            if let Some(LedgerEntry::Open { .. }) = self.row(batch.target, id, rows)? {
                self.put_row(batch.target, id, None);
            }
        }
        self.count_settled(batch, rows, rules, recorded)?;
        if let Some(state) = self.targets.get_mut(&batch.target).filter(|_| recorded.counted > 0) {
            // Not only once a poll succeeds: where polls fail in part it may count for days until one does.
            state.recent.evict_before(batch.now, self.counting.recent_window);
        }
        Ok(())
    }

    /// Takes the outcome of a poll.
    pub fn set_poll_status(&mut self, status: &PollStatus) {
        let window = self.counting.recent_window;
        let Some(state) = self.targets.get_mut(&status.target) else { return };
        gauges::show_status(state, status);
        if status.up {
            state.recent.evict_before(status.now, window);
            gauges::show_recent(Arc::make_mut(&mut state.series), &state.recent, status.now);
        }
    }

    fn rules(&self, target: TargetIndex) -> Option<CountingRules> {
        let marks = self.targets.get(&target)?.marks.as_ref()?;
        Some(CountingRules {
            anchor: marks.anchor,
            settle: self.counting.settle,
            settled_age: self.counting.settled_age,
            pruned_before: marks.pruned_before,
        })
    }

    fn move_marks(&mut self, batch: &Batch, mut marks: crate::ledger::Watermarks) {
        let Some(state) = self.targets.get_mut(&batch.target) else { return };
        // What may be forgotten is decided here, not by the poller.
        marks.pruned_before = state.marks.as_ref().and_then(|marks| marks.pruned_before);
        gauges::set_watermark_gauges(Arc::make_mut(&mut state.series), &marks, batch.now);
        self.changes.marks.insert(state.id, marks.clone());
        // Without a new anchor, another start would count from later on.
        self.changes.watermarks_must_flush |=
            state.marks.as_ref().is_none_or(|before| before.anchor != marks.anchor);
        state.marks = Some(marks);
    }

    fn apply_observation(
        &mut self,
        batch: &Batch,
        sighting: &Observation,
        rows: &Rows,
        rules: &CountingRules,
        recorded: &mut BatchOutcome,
    ) -> Result<(), StoreError> {
        let (id, data) = (&sighting.conversation.id, &sighting.conversation.data);
        let row = self.row(batch.target, id, rows)?;
        let verdict = decide(row.as_ref(), data, sighting.sight, batch.now, rules);
        let is_new = matches!(row, None | Some(LedgerEntry::Open { .. }));
        if is_new && matches!(verdict, Transition::Settle(_) | Transition::Count { .. }) {
            recorded.finished.push(FirstFinished {
                started_at: data.started_at,
                ended_at: data.ended_at(),
                was_open: row.is_some(),
                sight: sighting.sight,
            });
        }
        match verdict {
            Transition::Unchanged => {}
            Transition::Ignore => {
                if row.is_some() {
                    self.put_row(batch.target, id, None);
                }
            }
            Transition::Follow(row) | Transition::Settle(row) => self.put_row(batch.target, id, Some(row)),
            Transition::Count { late, ended_at } => {
                self.count(batch, id, data, late, ended_at, recorded);
            }
            Transition::Amend(amendment) => self.amend(batch, id, data, amendment, recorded),
        }
        Ok(())
    }

    /// Counts what was seen finished before and has settled since.
    fn count_settled(
        &mut self,
        batch: &Batch,
        rows: &Rows,
        rules: &CountingRules,
        recorded: &mut BatchOutcome,
    ) -> Result<(), StoreError> {
        let Some(state) = self.targets.get(&batch.target) else { return Ok(()) };
        // A first sight that lies in the future means that the clock was stepped back: its row waits anew.
        let due: Vec<ConversationId> = state
            .settling
            .iter()
            .filter(|&(_, &since)| is_settled(since, batch.now, rules) || since > batch.now)
            .map(|(id, _)| id.clone())
            .collect();
        for id in due {
            match self.row(batch.target, &id, rows)? {
                Some(LedgerEntry::Settling { since, data, late }) if is_settled(since, batch.now, rules) => {
                    let ended_at = ended_at(&data, since);
                    self.count(batch, &id, &data, late, ended_at, recorded);
                }
                Some(LedgerEntry::Settling { data, late, .. }) => {
                    self.put_row(
                        batch.target,
                        &id,
                        Some(LedgerEntry::Settling { since: batch.now, data, late }),
                    );
                }
                Some(LedgerEntry::Open { .. } | LedgerEntry::Counted(_)) | None => {
                    if let Some(state) = self.targets.get_mut(&batch.target) {
                        state.settling.remove(&id);
                    }
                }
            }
        }
        Ok(())
    }

    fn count(
        &mut self,
        batch: &Batch,
        id: &ConversationId,
        data: &ConversationData,
        late: bool,
        ended_at: Timestamp,
        recorded: &mut BatchOutcome,
    ) {
        let Some(state) = self.targets.get_mut(&batch.target) else { return };
        // An end that lies ahead (a duration in another unit, another clock) would pass for the newest until then, and hide
        // that no more calls come.
        let ended_at = ended_at.min(batch.now);
        let times = EventTimes { ended_at, now: batch.now };
        let configured = &self.counting.layout.dimensions;
        let (dimensions, mut list) = contributions_of(data, times, configured, &mut state.cap);
        let lag = Amount::from_duration(batch.now.saturating_duration_since(ended_at));
        list.push(SeriesUpdate::of_target(Metric::IngestLag, None, SeriesOp::Observe(lag), batch.now));
        if late {
            list.push(SeriesUpdate::of_target(Metric::Late, None, SeriesOp::Add(1), batch.now));
        }
        let tally = Amounts::of(data);
        // Of what is caught up on, nearly everything ended long ago.
        if batch.now.saturating_duration_since(ended_at) < self.counting.recent_window {
            state.recent.push(RecentConversation { ended_at, dimensions: dimensions.clone(), tally });
        }
        let newest = SeriesKey { metric: Metric::LastConversation, values: Arc::from([]) };
        let is_newest = state.series.get(&newest).is_none_or(|series| match series.value {
            crate::aggregate::Value::Gauge(before) => before < ended_at.seconds(),
            crate::aggregate::Value::Counter(_) | crate::aggregate::Value::Histogram(_) => true,
        });
        if is_newest {
            let series = Arc::make_mut(&mut state.series);
            series.set(Metric::LastConversation, &[], ended_at.seconds(), batch.now);
            self.dirty.insert((batch.target, newest));
        }
        let row = Counted {
            started_at: data.started_at,
            ended_at,
            counted: tally,
            last_seen: tally,
            dimensions: configured
                .iter()
                .zip(dimensions.iter())
                .map(|(&dimension, value)| (dimension, Box::from(&**value)))
                .collect(),
        };
        recorded.counted += 1;
        self.apply(batch, id, list, recorded);
        self.put_row(batch.target, id, Some(LedgerEntry::Counted(row)));
    }

    fn amend(
        &mut self,
        batch: &Batch,
        id: &ConversationId,
        data: &ConversationData,
        change: Amendment,
        recorded: &mut BatchOutcome,
    ) {
        let Some(state) = self.targets.get_mut(&batch.target) else { return };
        let dimensions = &self.counting.layout.dimensions;
        let times = EventTimes { ended_at: change.row.ended_at, now: batch.now };
        let values = if change.row.dimensions.iter().map(|(dimension, _)| dimension).eq(dimensions) {
            labels_from_row(dimensions, &change.row.dimensions)
        } else {
            // It counted under other dimensions than are configured now.
            contributions_of(data, times, dimensions, &mut state.cap).0
        };
        let mut list =
            amendment(&change.added_before, &change.row.counted, data, times, &values, &mut state.cap);
        for (happened, direction) in [(change.up, "up"), (change.down, "down")] {
            if happened {
                list.push(SeriesUpdate::of_target(
                    Metric::Amendments,
                    Some(direction),
                    SeriesOp::Add(1),
                    batch.now,
                ));
            }
        }
        self.apply(batch, id, list, recorded);
        self.put_row(batch.target, id, Some(LedgerEntry::Counted(change.row)));
    }

    fn apply(
        &mut self,
        batch: &Batch,
        id: &ConversationId,
        list: Vec<SeriesUpdate>,
        recorded: &mut BatchOutcome,
    ) {
        let Some(state) = self.targets.get_mut(&batch.target) else { return };
        let series = Arc::make_mut(&mut state.series);
        let id = ExemplarId::of(id);
        for contribution in list {
            let SeriesUpdate { change, at, .. } = contribution;
            let witness = id.as_ref().map(|id| ExemplarSource { id, at });
            let key = contribution.into_key();
            series.apply(&key, change, witness, &self.layout, batch.now);
            if key.metric == Metric::LabelValuesFolded {
                recorded.folded.extend(key.values.first().and_then(|label| limited_label(label)));
            }
            let changed = (batch.target, key);
            if !self.dirty.contains(&changed) {
                self.dirty.insert(changed);
            }
        }
    }

    fn update_open_gauge(&mut self, batch: &Batch) {
        let Some(state) = self.targets.get_mut(&batch.target) else { return };
        let mut open: BTreeMap<LabelValues, u32> = BTreeMap::new();
        let mut oldest: Option<Timestamp> = None;
        let seen = batch.sightings.iter().map(|sighting| &sighting.conversation.data);
        let mut running: Vec<&ConversationData> =
            seen.filter(|data| data.state == ConversationState::InProgress).collect();
        // The gauge keeps to the cap but takes no room from what counts; in a fixed order, so that polls agree on what folds.
        running.sort_by_key(|data| (&data.channel, &data.variant));
        let mut cap = state.cap.clone();
        for data in running {
            let values = cap.values(&self.counting.layout.dimensions, data);
            *open.entry(values).or_default() += 1;
            oldest = Some(oldest.map_or(data.started_at, |oldest| oldest.min(data.started_at)));
        }
        gauges::show_open(Arc::make_mut(&mut state.series), &open, oldest, batch.now);
    }

    /// The row of a conversation as the working state has it.
    fn row(
        &self,
        target: TargetIndex,
        id: &ConversationId,
        rows: &Rows,
    ) -> Result<Option<LedgerEntry>, StoreError> {
        let Some(state) = self.targets.get(&target) else { return Ok(None) };
        match self.changes.rows.get(&(state.id, id.clone())) {
            Some(row) => Ok(row.clone()),
            None if state.known.definitely_absent(id.as_str()) => Ok(None),
            None => rows.get(state.id, id),
        }
    }

    fn put_row(&mut self, target: TargetIndex, id: &ConversationId, row: Option<LedgerEntry>) {
        let Some(state) = self.targets.get_mut(&target) else { return };
        match &row {
            Some(LedgerEntry::Settling { since, .. }) => {
                state.settling.insert(id.clone(), *since);
            }
            Some(LedgerEntry::Open { .. } | LedgerEntry::Counted(_)) | None => {
                state.settling.remove(id);
            }
        }
        if row.is_some() {
            state.known.add(id.as_str());
        }
        self.changes.rows.insert((state.id, id.clone()), row);
    }
}
