//! The recorder of an instance: its commits, what scrapes show of them, and what must hold after each.

use std::collections::BTreeMap;
use std::sync::Arc;

use polyai_engine::ledger::LedgerEntry;
use polyai_engine::ledger::store::{Store, StoreError};
use polyai_engine::recorder::{Batch, PollStatus, Snapshot};

use super::calls::Call;
use super::disk::Disk;
use super::instance::{Instance, Interruption};
use super::invariants;
use super::recount::{self, Counts};
use super::scenario::{SECOND, moment};
use super::settings::key;

impl Instance<'_> {
    /// Commits the outbox, as the recorder's task does, retrying while the disk fails.
    pub(super) fn record(&mut self) -> Result<(), Interruption> {
        let outbox = std::mem::take(&mut self.process().outbox);
        if outbox.is_empty() {
            return Ok(());
        }
        if self.occurs(self.scenario.full_disks) {
            self.disk.set_full(true);
        }
        for (batch, target) in &outbox {
            self.settle_bounds[*target].on_submitted(self.scenario, batch);
        }
        let even_marks = self.rng.percent(10);
        let mut recorded: Option<Vec<_>> = None;
        loop {
            if self.occurs(self.kills()) {
                return Err(Interruption::Killed);
            }
            self.arm();
            let taken = match recorded.take() {
                Some(taken) => Ok(taken),
                None => {
                    let recorder = &mut self.process().recorder;
                    outbox
                        .iter()
                        .map(|(batch, ..)| recorder.apply_batch(batch))
                        .collect::<Result<Vec<_>, _>>()
                }
            };
            if self.occurs(self.kills()) {
                return Err(Interruption::Killed);
            }
            let outcome = taken.and_then(|taken| {
                let written = self.process().recorder.commit(even_marks);
                recorded = Some(taken);
                written
            });
            if self.disk.is_dead() {
                return Err(Interruption::Killed);
            }
            self.disk.lives_on();
            match outcome {
                Ok(_) => break,
                Err(error) => self.storage_fails(&error)?,
            }
        }
        for (batch, target) in &outbox {
            self.anchor_stays(*target, batch);
            self.settle_bounds[*target].on_committed(self.scenario, batch);
        }
        self.trace_entries();
        self.publish();
        let exposed = |target: &usize| invariants::is_exposed(&self.shown[*target]);
        for (batch, target) in outbox.iter().filter(|(batch, target)| batch.lists_all_open && exposed(target))
        {
            invariants::each_open_call_counts_once(batch, &self.shown[*target]);
        }
        self.assert_none_counts_early();
        self.replay(&outbox);
        if self.occurs(self.kills()) {
            return Err(Interruption::Killed);
        }
        for ((_, target), outcome) in outbox.into_iter().zip(recorded.unwrap_or_default()) {
            let before = self.process().outcomes[target].replace(outcome);
            assert_eq!(before, None, "a session has one batch at most that it does not know to be committed");
        }
        Ok(())
    }

    pub(super) fn storage_fails(&mut self, error: &StoreError) -> Result<(), Interruption> {
        assert!(self.disk.is_full(), "the store fails on a sound disk: {error}");
        self.trace.event(self.now, || format!("the disk refuses: {error}"));
        let without_storage = self.process().recorder.snapshot_with_storage_problem().clone();
        // While a target is removed, there is one less.
        let comparable = without_storage.targets.len() == self.shown.len();
        for ((_, now), before) in without_storage.targets.iter().zip(&self.shown).filter(|_| comparable) {
            invariants::counters_are_equal(before, now, "a failed commit shows");
        }
        if self.occurs(self.kills() * 5) {
            return Err(Interruption::Killed);
        }
        if self.is_calm || self.rng.percent(40) {
            self.disk.set_full(false);
        }
        self.now += 10 * SECOND;
        self.process().recorder.reopen();
        Ok(())
    }

    /// Applying a committed batch again changes nothing.
    fn replay(&mut self, outbox: &[(Batch, usize)]) {
        if self.disk.is_full() || !self.rng.percent(10) {
            return;
        }
        let recorder = &mut self.process().recorder;
        for (batch, ..) in outbox {
            recorder.apply_batch(batch).unwrap();
        }
        recorder.commit(true).unwrap();
        let again = recorder.snapshot().clone();
        for ((_, now), before) in again.targets.iter().zip(&self.shown) {
            invariants::counters_are_equal(before, now, "a batch that is applied again changes");
        }
        self.publish();
    }

    pub(super) fn report(&mut self, target: usize, status: &PollStatus) -> Result<(), Interruption> {
        self.record()?;
        let others = self.shown.clone();
        self.process().recorder.set_poll_status(status);
        while let Err(error) = self.process().recorder.commit(false) {
            self.storage_fails(&error)?;
        }
        self.publish();
        for (other, before) in others.iter().enumerate().filter(|(other, _)| *other != target) {
            assert!(*before == self.shown[other], "target {other} changes with the polls of target {target}");
        }
        Ok(())
    }

    /// Lets a scrape see the latest snapshot.
    pub(super) fn publish(&mut self) {
        let generation: Arc<Snapshot> = self.process().recorder.snapshot().clone();
        for (target, (_, series)) in generation.targets.iter().enumerate() {
            if self.shown.get(target).is_some_and(|before| Arc::ptr_eq(before, series)) {
                continue;
            }
            invariants::of_one_generation(self.scenario, series);
            if let Some(before) = self.shown.get(target) {
                invariants::nothing_falls(before, series);
            }
        }
        self.shown = generation.targets.iter().map(|(_, series)| series.clone()).collect();
    }

    fn assert_none_counts_early(&self) {
        if self.scenario.steps_back || self.scenario.steps_ahead {
            // Once the clock is right again, what began to settle meanwhile seems to have settled for long, or starts over.
            return;
        }
        for (settle_bounds, shown) in self.settle_bounds.iter().zip(&self.shown) {
            let counted = invariants::conversations(shown);
            let most = u64::try_from(settle_bounds.most()).unwrap();
            assert!(counted <= most, "{counted} conversations count, {most} have settled");
        }
    }

    /// If nothing fails, every call that had settled when a poll began counts with it.
    pub(super) fn assert_none_counts_late(&self, target: usize, began: i64) {
        if !invariants::is_exposed(&self.shown[target]) {
            return;
        }
        let since = self.counting_period(target);
        let due = self.settle_bounds[target].due(self.scenario, moment(began));
        let is_due = |call: &&Call| due.iter().any(|id| id.as_str() == call.id);
        let calls = self.calls[target].iter().filter(is_due);
        let certain = calls.filter(|call| recount::counts(self.scenario, call, since) == Counts::Yes);
        let (least, counted) = (certain.count(), invariants::conversations(&self.shown[target]));
        let least = u64::try_from(least).unwrap();
        assert!(counted >= least, "{counted} conversations count, {least} have settled long enough");
    }

    /// The anchor is decided once, unless it turns out to be in the future: then nothing can have counted, and an earlier one
    /// takes its place.
    fn anchor_stays(&mut self, target: usize, batch: &Batch) {
        let Some(marks) = &batch.watermarks else { return };
        let anchor = self.anchors[target].get_or_insert(marks.anchor);
        if *anchor != marks.anchor {
            let was_in_future =
                self.scenario.anchor.is_none() && batch.now < *anchor && marks.anchor < *anchor;
            assert!(
                was_in_future,
                "the anchor of {:?} moves from {anchor} to {}",
                batch.target, marks.anchor
            );
            *anchor = marks.anchor;
        }
    }

    /// Traces the ledger entry of each call, which no scrape shows.
    fn trace_entries(&mut self) {
        if !self.trace.is_recording() {
            return;
        }
        for target in 0..self.calls.len() {
            let rows = rows(self.disk.copy(), target);
            for (number, call) in self.calls[target].iter().enumerate() {
                let now = match rows.get(&call.id) {
                    None => "no row",
                    Some(LedgerEntry::Open { .. }) => "open",
                    Some(LedgerEntry::Settling { .. }) => "settling",
                    Some(LedgerEntry::Counted(_)) => "counted",
                };
                let before = self.in_ledger[target].insert(number, now).unwrap_or("no row");
                if now != before {
                    let only = std::iter::once(number);
                    self.trace.event_of(self.now, target, only, || format!("{before} -> {now}"));
                    *self.counted[target].entry(number).or_default() += usize::from(now == "counted");
                }
            }
        }
    }

    /// The ledger of a target after an orderly stop.
    pub(super) fn rows(&mut self, target: usize) -> BTreeMap<String, LedgerEntry> {
        self.process = None;
        rows(self.disk.clone(), target)
    }
}

fn rows(disk: Disk, target: usize) -> BTreeMap<String, LedgerEntry> {
    let store = Store::with_backend(move || disk.mount()).expect("the state can be read");
    let id = store.target_ids(&[key(target).to_string()]).expect("the state can be read")[0];
    let mut rows = BTreeMap::new();
    store.for_each_entry(id, |id, row| drop(rows.insert(id.to_owned(), row))).expect("the state can be read");
    rows
}
