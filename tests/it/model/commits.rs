//! The other half of an instance: the recorder's task, what scrapes see of it, and what must hold whenever it commits.

use std::collections::BTreeMap;
use std::sync::Arc;

use polyai_exporter::ledger::LedgerEntry;
use polyai_exporter::ledger::store::{Store, StoreError};
use polyai_exporter::recorder::{Batch, PollStatus, Snapshot};

use super::disk::Disk;
use super::instance::{Instance, Interruption};
use super::invariants;
use super::plan::{SECOND, moment};
use super::recount::{self, Counts};
use super::settings::key;
use super::world::Call;

impl Instance<'_> {
    /// Commits what is in the outbox, as the recorder's task does, however long the disk refuses.
    pub(super) fn record(&mut self) -> Result<(), Interruption> {
        let outbox = std::mem::take(&mut self.process().outbox);
        if outbox.is_empty() {
            return Ok(());
        }
        if self.happens(self.plan.full_disks) {
            self.disk.set_full(true);
        }
        for (batch, target) in &outbox {
            self.patience[*target].may_begin(self.plan, batch);
        }
        let even_marks = self.chance.percent(10);
        let mut recorded: Option<Vec<_>> = None;
        loop {
            if self.happens(self.kills()) {
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
            if self.happens(self.kills()) {
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
            self.patience[*target].has_begun(self.plan, batch);
        }
        self.tell_what_counts();
        self.publish();
        for (batch, target) in outbox.iter().filter(|(batch, ..)| batch.lists_all_open) {
            invariants::each_open_call_counts_once(batch, &self.shown[*target]);
        }
        self.nothing_counts_too_early();
        self.replay(&outbox);
        if self.happens(self.kills()) {
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
        self.story.happens(self.now, || format!("the disk refuses: {error}"));
        let without_storage = self.process().recorder.snapshot_with_storage_problem().clone();
        // While a target is away, there is one less.
        let comparable = without_storage.targets.len() == self.shown.len();
        for ((_, now), before) in without_storage.targets.iter().zip(&self.shown).filter(|_| comparable) {
            invariants::counters_are_equal(before, now, "a failed commit shows");
        }
        if self.happens(self.kills() * 5) {
            return Err(Interruption::Killed);
        }
        if self.is_calm || self.chance.percent(40) {
            self.disk.set_full(false);
        }
        self.now += 10 * SECOND;
        self.process().recorder.reopen();
        Ok(())
    }

    /// Taking a committed batch again changes nothing.
    fn replay(&mut self, outbox: &[(Batch, usize)]) {
        if self.disk.is_full() || !self.chance.percent(10) {
            return;
        }
        let recorder = &mut self.process().recorder;
        for (batch, ..) in outbox {
            recorder.apply_batch(batch).unwrap();
        }
        recorder.commit(true).unwrap();
        let again = recorder.snapshot().clone();
        for ((_, now), before) in again.targets.iter().zip(&self.shown) {
            invariants::counters_are_equal(before, now, "a batch that is taken again changes");
        }
        self.publish();
    }

    pub(super) fn report(&mut self, target: usize, status: &PollStatus) -> Result<(), Interruption> {
        self.record()?;
        let others = self.shown.clone();
        let process = self.process();
        process.recorder.set_poll_status(status);
        if let Err(error) = process.recorder.commit(false) {
            self.storage_fails(&error)?;
        }
        self.publish();
        for (other, before) in others.iter().enumerate().filter(|(other, _)| *other != target) {
            assert!(*before == self.shown[other], "target {other} changes with the polls of target {target}");
        }
        Ok(())
    }

    /// A scrape sees the latest generation.
    pub(super) fn publish(&mut self) {
        let generation: Snapshot = self.process().recorder.snapshot().clone();
        for (target, (_, series)) in generation.targets.iter().enumerate() {
            if self.shown.get(target).is_some_and(|before| Arc::ptr_eq(before, series)) {
                continue;
            }
            invariants::of_one_generation(self.plan, series);
            if let Some(before) = self.shown.get(target) {
                invariants::nothing_falls(before, series);
            }
        }
        self.shown = generation.targets.iter().map(|(_, series)| series.clone()).collect();
    }

    fn nothing_counts_too_early(&self) {
        if self.plan.steps_back || self.plan.steps_ahead {
            // With the clock where it belongs again, what began meanwhile seems to have waited long, or begins to wait anew.
            return;
        }
        for (patience, shown) in self.patience.iter().zip(&self.shown) {
            let counted = invariants::conversations(shown);
            let most = u64::try_from(patience.most()).unwrap();
            assert!(counted <= most, "{counted} conversations count, {most} have settled");
        }
    }

    /// Where nothing goes wrong, every call that had settled when a tick began counts with it.
    pub(super) fn nothing_counts_too_late(&self, target: usize, began: i64) {
        let since = self.since(target);
        let due = self.patience[target].due(self.plan, moment(began));
        let is_due = |call: &&Call| due.iter().any(|id| id.as_str() == call.id);
        let calls = self.calls[target].iter().filter(is_due);
        let certain = calls.filter(|call| recount::counts(self.plan, call, since) == Counts::Yes);
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
            let was_in_future = self.plan.anchor.is_none() && batch.now < *anchor && marks.anchor < *anchor;
            assert!(
                was_in_future,
                "the anchor of {:?} moves from {anchor} to {}",
                batch.target, marks.anchor
            );
            *anchor = marks.anchor;
        }
    }

    /// Looks into the ledger for what has become of each call, which no scrape tells.
    fn tell_what_counts(&mut self) {
        if !self.story.is_told() {
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
                    self.story.concerns(self.now, target, only, || format!("{before} -> {now}"));
                    *self.counted[target].entry(number).or_default() += usize::from(now == "counted");
                }
            }
        }
    }

    /// The ledger of a target as an end in order leaves it.
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
