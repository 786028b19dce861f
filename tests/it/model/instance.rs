//! One instance of the exporter without its sockets: the passes and the recorder, driven as `Poller` and the recorder's task
//! drive them, on a disk that fails, in a process that is killed.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;

use polyai_exporter::aggregate::{Layout, TargetSeries};
use polyai_exporter::config::{Dimension, Metrics};
use polyai_exporter::conversation::{Conversation, Phase};
use polyai_exporter::ledger::Row;
use polyai_exporter::ledger::store::{Store, StoreError};
use polyai_exporter::moment::Moment;
use polyai_exporter::recorder::{
    Batch, Counting, FirstFinish, Generation, Recorder, Sighting, Status, TargetIndex, TargetSetup,
};
use polyai_exporter::schedule::passes::Progress;
use polyai_exporter::schedule::{Passes, Policy, Purpose, Stretch, Walk};
use polyai_exporter::target::{ClientEnv, Region, TargetKey};

use super::chance::Chance;
use super::disk::Disk;
use super::invariants;
use super::patience::Patience;
use super::plan::{Kind, Plan, SECOND, length, moment};
use super::recount::{self, Counts, Since};
use super::service;
use super::story::Story;
use super::world::Call;

/// Why a poll ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    Failed,
    Killed,
}

pub(super) struct Instance<'a> {
    plan: &'a Plan,
    calls: &'a [Vec<Call>],
    chance: Chance,
    disk: Disk,
    process: Option<Process>,
    /// The true time.
    pub(super) now: i64,
    /// How far its estimate of the API's time is off.
    clock_error: i64,
    /// Whether nothing goes wrong any more.
    is_calm: bool,
    calm_from: i64,
    /// What scrapes have seen last.
    pub(super) shown: Vec<Arc<TargetSeries>>,
    anchors: Vec<Option<Moment>>,
    pub(super) patience: Vec<Patience>,
    /// Per target and call: how often a walk brought it finished, without what overlaps on purpose.
    pub(super) deliveries: Vec<Vec<usize>>,
    pub(super) story: Story,
    /// Per target: how often each call has become one of the counted. Known only while the story is told.
    pub(super) counted: Vec<BTreeMap<usize, usize>>,
    in_ledger: Vec<BTreeMap<usize, &'static str>>,
}

/// What a kill takes.
struct Process {
    recorder: Recorder,
    passes: Vec<Passes>,
    /// Batches on their way to the recorder.
    outbox: Vec<(Batch, Moment)>,
    /// Committed, and not yet known to the passes.
    answers: Vec<(usize, Vec<FirstFinish>, Moment)>,
}

impl<'a> Instance<'a> {
    pub(super) fn new(plan: &'a Plan, calls: &'a [Vec<Call>], chance: Chance, story: Story) -> Self {
        Self {
            plan,
            calls,
            chance,
            disk: Disk::default(),
            process: None,
            now: plan.start,
            clock_error: 0,
            is_calm: false,
            calm_from: i64::MAX,
            shown: Vec::new(),
            anchors: vec![None; calls.len()],
            patience: calls.iter().map(|_| Patience::default()).collect(),
            deliveries: calls.iter().map(|calls| vec![0; calls.len()]).collect(),
            story,
            counted: vec![BTreeMap::new(); calls.len()],
            in_ledger: vec![BTreeMap::new(); calls.len()],
        }
    }

    pub(super) fn calm_down(&mut self) {
        self.is_calm = true;
        self.calm_from = self.now;
        self.clock_error = 0;
        self.disk.set_full(false);
        self.disk.lives_on();
    }

    /// What it counts since, for a target.
    pub(super) fn since(&self, target: usize) -> Since {
        let anchor = self.anchors[target].expect("the first poll sets the anchor");
        Since { anchor: anchor.millis(), calm_from: self.calm_from }
    }

    fn api_time(&self) -> Moment {
        moment(self.now + self.clock_error)
    }

    fn happens(&mut self, percent: u64) -> bool {
        !self.is_calm && self.chance.percent(percent)
    }

    /// One poll of every target; starts the process first if there is none. Answers how many walks there were.
    pub(super) fn tick(&mut self, clock_step: i64) -> usize {
        let mut walks = 0;
        self.now = self.plan.on_grid(self.now);
        if self.process.is_none() && !self.start() {
            return walks;
        }
        let error = self.plan.clock_error;
        self.clock_error = if self.is_calm { 0 } else { self.chance.between(-error, error) + clock_step };
        for target in 0..self.calls.len() {
            let outcome = self.poll(target, &mut walks);
            let outcome = match outcome {
                Err(Ended::Killed) => Err(Ended::Killed),
                Ok(()) => self.report(target, true),
                Err(Ended::Failed) => self.report(target, false),
            };
            if outcome.is_err() || self.happens(self.plan.kills / 4) {
                self.kill();
                return walks;
            }
        }
        if self.chance.percent(10) && self.prune().is_err() {
            self.kill();
        }
        walks
    }

    /// Forgets what can be forgotten, of every target.
    pub(super) fn prune(&mut self) -> Result<(), Ended> {
        for target in 0..self.calls.len() {
            self.arm();
            let Some(process) = &mut self.process else { break };
            let pruned = process.recorder.prune(TargetIndex(target));
            if self.disk.is_dead() {
                return Err(Ended::Killed);
            }
            match pruned {
                Ok(rows) => {
                    self.story.happens(self.now, || format!("{rows} rows of target {target} are forgotten"))
                }
                Err(error) => {
                    assert!(self.disk.is_full(), "forgetting fails on a sound disk: {error}");
                    self.story.happens(self.now, || format!("forgetting fails: {error}"));
                    self.disk.set_full(false);
                    process.recorder.reopen();
                }
            }
            self.disk.lives_on();
            self.publish();
        }
        Ok(())
    }

    fn start(&mut self) -> bool {
        let disk = self.disk.clone();
        if self.shown.is_empty() {
            // A state file is made aside and moved to its place when it is whole.
            drop(Store::on({
                let disk = disk.clone();
                move || disk.mount()
            }));
        }
        self.arm();
        let loaded = Store::on(move || disk.mount()).and_then(|store| {
            let now = moment(self.now);
            Recorder::load(store, &setups(self.calls.len()), counting(self.plan), now)
        });
        self.disk.lives_on();
        match loaded {
            Ok((recorder, resumes)) => {
                let passes =
                    resumes.into_iter().map(|resume| Passes::resume(policy(self.plan), resume)).collect();
                self.process = Some(Process { recorder, passes, outbox: Vec::new(), answers: Vec::new() });
                self.story.happens(self.now, || "the process starts".into());
                self.publish();
                true
            }
            Err(error) => {
                let excused = self.disk.is_dead() || self.disk.is_full();
                assert!(excused, "the state was refused: {error}");
                self.kill();
                false
            }
        }
    }

    /// The process dies, perhaps with the machine.
    pub(super) fn kill(&mut self) {
        let power_fails = self.chance.percent(50);
        self.disk.dies_after(0);
        self.process = None;
        self.disk.crash(power_fails, &mut self.chance);
        self.disk.set_full(false);
        self.story.happens(self.now, || {
            if power_fails { "the power fails" } else { "the process is killed" }.into()
        });
    }

    /// The next operations on the disk may be the last.
    fn arm(&mut self) {
        if self.happens(self.plan.kills) {
            self.disk.dies_after(u32::try_from(self.chance.below(24)).unwrap());
        }
    }

    fn process(&mut self) -> &mut Process {
        self.process.as_mut().expect("polls are made by a running process")
    }

    /// One tick's worth of walks, as `Poller` makes them.
    fn poll(&mut self, target: usize, walks: &mut usize) -> Result<(), Ended> {
        let asked_at = self.api_time();
        let live = self.process().passes[target].live(asked_at);
        *walks += 1;
        let mut seen = self.walk(target, &live)?.expect("the live pass is not refused");
        let (mut tick, progress) = self.process().passes[target].listed(&seen, asked_at);
        seen.retain(|conversation| conversation.facts.phase == Phase::Running);
        self.hand_over(target, &live, seen, progress, asked_at)?;
        loop {
            let now = self.api_time();
            let Some(walk) = self.process().passes[target].next(&mut tick, now) else { break };
            *walks += 1;
            let fresh_before = self.process().passes[target].fresh_mark().unwrap_or(tick.until());
            let Some(seen) = self.walk(target, &walk)? else { continue };
            let now = self.api_time();
            let progress = self.process().passes[target].read(&walk, &seen, now);
            self.hand_over(target, &walk, seen, progress, fresh_before)?;
            let is_fresh = matches!(walk.purpose, Purpose::Stretch(Stretch { fresh: Some(_), .. }));
            if is_fresh && self.process().passes[target].behind(asked_at) > length(0) && self.happens(20) {
                // As when catching up takes longer than an interval.
                break;
            }
        }
        self.finish_underway()
    }

    /// Nothing, if it was too large and will be read in smaller pieces.
    fn walk(&mut self, target: usize, walk: &Walk) -> Result<Option<Vec<Conversation>>, Ended> {
        let began = self.now;
        let slow = if self.happens(5) { self.plan.interval * 2 } else { 2 * SECOND };
        self.now += match self.plan.kind {
            _ if self.plan.grid > 1 => 0,
            Kind::Calm => 50,
            Kind::Adverse | Kind::Replicas => self.chance.between(50, slow),
        };
        if self.happens(self.plan.failures) {
            let name = walk.purpose.name();
            self.story.happens(self.now, || format!("a {name} walk of target {target} fails"));
            return Err(Ended::Failed);
        }
        let calls = &self.calls[target];
        let mut seen =
            service::walk(self.plan, calls, walk.window, walk.filter, (began, self.now), &mut self.chance);
        if walk.purpose != Purpose::Live
            && seen.len() > self.plan.largest_walk
            && self.process().passes[target].too_large(walk)
        {
            self.story.happens(self.now, || format!("{} of target {target} is too large", walk.window));
            return Ok(None);
        }
        if walk.purpose == Purpose::Live && seen.len() > self.plan.largest_walk * 10 {
            seen.truncate(self.plan.largest_walk * 10);
        }
        let concerned = seen.iter().map(|(number, _)| *number);
        self.story.concerns(self.now, target, concerned, || {
            format!("is seen by the {} walk over {} ({:?})", walk.purpose.name(), walk.window, walk.purpose)
        });
        self.count_deliveries(target, walk, &seen);
        Ok(Some(seen.into_iter().map(|(_, conversation)| conversation).collect()))
    }

    fn count_deliveries(&mut self, target: usize, walk: &Walk, seen: &[(usize, Conversation)]) {
        for (number, conversation) in seen {
            let overlaps = walk
                .window
                .from
                .is_some_and(|from| conversation.facts.started_at <= from + length(2 * SECOND));
            let is_asked_for = match &walk.purpose {
                Purpose::Live => false,
                Purpose::Stretch(_) => !overlaps,
                Purpose::Narrow(ids) => ids.contains(&conversation.id),
            };
            if conversation.facts.phase == Phase::Finished && is_asked_for {
                self.deliveries[target][*number] += 1;
            }
        }
    }

    fn hand_over(
        &mut self,
        target: usize,
        walk: &Walk,
        seen: Vec<Conversation>,
        progress: Progress,
        fresh_before: Moment,
    ) -> Result<(), Ended> {
        let sighting = |conversation: Conversation| Sighting {
            sight: Passes::sight(walk, conversation.facts.started_at),
            conversation,
        };
        let batch = Batch {
            target: TargetIndex(target),
            now: self.api_time(),
            sightings: seen.into_iter().map(sighting).collect(),
            is_listing: walk.purpose == Purpose::Live,
            abandoned: progress.abandoned,
            marks: progress.marks,
        };
        self.finish_underway()?;
        self.process().outbox.push((batch, fresh_before));
        Ok(())
    }

    /// Lets the recorder take what was sent to it, and the passes learn what became of it.
    fn finish_underway(&mut self) -> Result<(), Ended> {
        self.record()?;
        let now = self.api_time();
        let process = self.process();
        for (target, finished, fresh_before) in process.answers.drain(..) {
            process.passes[target].learn(&finished, fresh_before, now);
        }
        Ok(())
    }

    /// Commits what is in the outbox, as the recorder's task does, however long the disk refuses.
    fn record(&mut self) -> Result<(), Ended> {
        let outbox = std::mem::take(&mut self.process().outbox);
        if outbox.is_empty() {
            return Ok(());
        }
        if self.happens(self.plan.full_disks) {
            self.disk.set_full(true);
        }
        for (batch, _) in &outbox {
            self.patience[batch.target.0].may_begin(self.plan, batch);
        }
        let even_marks = self.chance.percent(10);
        let mut recorded: Option<Vec<_>> = None;
        loop {
            if self.happens(self.plan.kills) {
                return Err(Ended::Killed);
            }
            self.arm();
            let taken = match recorded.take() {
                Some(taken) => Ok(taken),
                None => {
                    let recorder = &mut self.process().recorder;
                    outbox.iter().map(|(batch, _)| recorder.absorb(batch)).collect::<Result<Vec<_>, _>>()
                }
            };
            if self.happens(self.plan.kills) {
                return Err(Ended::Killed);
            }
            let outcome = taken.and_then(|taken| {
                let written = self.process().recorder.commit(even_marks);
                recorded = Some(taken);
                written
            });
            if self.disk.is_dead() {
                return Err(Ended::Killed);
            }
            self.disk.lives_on();
            match outcome {
                Ok(_) => break,
                Err(error) => self.storage_fails(&error)?,
            }
        }
        for (batch, _) in &outbox {
            self.anchor_stays(batch);
            self.patience[batch.target.0].has_begun(self.plan, batch);
        }
        self.tell_what_counts();
        self.publish();
        self.nothing_counts_too_early();
        self.replay(&outbox);
        if self.happens(self.plan.kills) {
            return Err(Ended::Killed);
        }
        for ((batch, fresh_before), recorded) in outbox.into_iter().zip(recorded.unwrap_or_default()) {
            self.process().answers.push((batch.target.0, recorded.finished, fresh_before));
        }
        Ok(())
    }

    fn storage_fails(&mut self, error: &StoreError) -> Result<(), Ended> {
        assert!(self.disk.is_full(), "the store fails on a sound disk: {error}");
        self.story.happens(self.now, || format!("the disk refuses: {error}"));
        let without_storage = self.process().recorder.generation_without_storage().clone();
        for ((_, now), before) in without_storage.targets.iter().zip(&self.shown) {
            invariants::counters_are_equal(before, now, "a failed commit shows");
        }
        if self.happens(self.plan.kills * 5) {
            return Err(Ended::Killed);
        }
        if self.is_calm || self.chance.percent(40) {
            self.disk.set_full(false);
        }
        self.now += 10 * SECOND;
        self.process().recorder.reopen();
        Ok(())
    }

    /// Taking a committed batch again changes nothing.
    fn replay(&mut self, outbox: &[(Batch, Moment)]) {
        if self.disk.is_full() || !self.chance.percent(10) {
            return;
        }
        let recorder = &mut self.process().recorder;
        for (batch, _) in outbox {
            recorder.absorb(batch).unwrap();
        }
        recorder.commit(true).unwrap();
        let again = recorder.generation().clone();
        for ((_, now), before) in again.targets.iter().zip(&self.shown) {
            invariants::counters_are_equal(before, now, "a batch that is taken again changes");
        }
        self.publish();
    }

    fn report(&mut self, target: usize, up: bool) -> Result<(), Ended> {
        self.record()?;
        let others = self.shown.clone();
        let status =
            Status { target: TargetIndex(target), now: self.api_time(), up, problems: Default::default() };
        let process = self.process();
        process.recorder.note(&status);
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
    fn publish(&mut self) {
        let generation: Generation = self.process().recorder.generation().clone();
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

    /// What conversations count since is decided once.
    fn anchor_stays(&mut self, batch: &Batch) {
        let Some(marks) = &batch.marks else { return };
        let anchor = *self.anchors[batch.target.0].get_or_insert(marks.anchor);
        assert_eq!(anchor, marks.anchor, "the anchor of {:?} moves", batch.target);
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
                    Some(Row::Open { .. }) => "open",
                    Some(Row::Settling { .. }) => "settling",
                    Some(Row::Counted(_)) => "counted",
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
    pub(super) fn rows(&mut self, target: usize) -> BTreeMap<String, Row> {
        self.process = None;
        rows(self.disk.clone(), target)
    }
}

fn rows(disk: Disk, target: usize) -> BTreeMap<String, Row> {
    let store = Store::on(move || disk.mount()).expect("the state can be read");
    let id = store.target_id(&key(target).to_string()).expect("the state can be read");
    let mut rows = BTreeMap::new();
    store.for_each_row(id, |id, row| drop(rows.insert(id.to_owned(), row))).expect("the state can be read");
    rows
}

fn setups(targets: usize) -> Vec<TargetSetup> {
    (0..targets)
        .map(|target| TargetSetup {
            key: key(target),
            channels: vec!["VOICE-SIP".into()],
            info: ["account", "project", "host", "v3"].map(str::to_owned),
        })
        .collect()
}

fn key(target: usize) -> TargetKey {
    TargetKey { project: format!("project-{target}"), region: Region::Us1, client_env: ClientEnv::Live }
}

fn counting(plan: &Plan) -> Counting {
    let labels = if plan.by_channel { vec![Dimension::Channel] } else { Vec::new() };
    Counting {
        layout: Layout::new(&Metrics { labels, ..Metrics::default() }),
        settle: length(plan.settle),
        settled_age: length(plan.ages[0]),
        recent_window: length(15 * 60 * SECOND),
        max_label_values: NonZeroUsize::new(plan.max_label_values).unwrap(),
    }
}

fn policy(plan: &Plan) -> Policy {
    Policy {
        interval: length(plan.interval),
        ages: plan.ages.iter().map(|&age| length(age)).collect(),
        initial_lookback: length(plan.lookback),
        anchor: plan.anchor.map(moment),
        narrow_requests: plan.narrow_requests,
    }
}
