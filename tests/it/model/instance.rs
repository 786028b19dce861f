//! One instance of the exporter without its sockets: the passes and the recorder, driven as `Poller` and the recorder's task
//! drive them, on a disk that fails, in a process that is killed.

use std::collections::BTreeMap;
use std::sync::Arc;

use polyai_exporter::aggregate::TargetSeries;
use polyai_exporter::api::dedup_by_id;
use polyai_exporter::conversation::{Conversation, ConversationState};
use polyai_exporter::ledger::store::Store;
use polyai_exporter::recorder::{Batch, FirstFinished, Observation, Recorder, TargetIndex};
use polyai_exporter::schedule::passes::PlannerUpdate;
use polyai_exporter::schedule::{FetchPlan, FetchRange, PassKind, PollPlanner};
use polyai_exporter::timestamp::Timestamp;

use super::chance::Chance;
use super::disk::Disk;
use super::patience::Patience;
use super::plan::{Kind, Plan, SECOND, length, moment};
use super::recount::Since;
use super::service;
use super::settings::{counting, policy, setups};
use super::story::Story;
use super::world::Call;

/// Why a poll ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    Failed,
    Killed,
    /// By a change of the configuration; another poller goes on.
    Reloaded,
}

pub(super) struct Instance<'a> {
    pub(super) plan: &'a Plan,
    pub(super) calls: &'a [Vec<Call>],
    pub(super) chance: Chance,
    pub(super) disk: Disk,
    pub(super) process: Option<Process>,
    /// The true time.
    pub(super) now: i64,
    /// How far its estimate of the API's time is off.
    clock_error: i64,
    is_ahead: bool,
    /// Which targets have believed a clock that was ahead, and have had no good poll since.
    misled: Vec<bool>,
    /// Whether nothing goes wrong any more.
    pub(super) is_calm: bool,
    calm_from: i64,
    /// What scrapes have seen last.
    pub(super) shown: Vec<Arc<TargetSeries>>,
    pub(super) anchors: Vec<Option<Timestamp>>,
    /// When each target answered for the first time.
    first_answers: Vec<Option<Timestamp>>,
    pub(super) patience: Vec<Patience>,
    /// Per target and call: how often a walk brought it finished, without what overlaps on purpose.
    pub(super) deliveries: Vec<Vec<usize>>,
    pub(super) story: Story,
    /// Per target: how often each call has become one of the counted. Known only while the story is told.
    pub(super) counted: Vec<BTreeMap<usize, usize>>,
    pub(super) in_ledger: Vec<BTreeMap<usize, &'static str>>,
}

/// What a kill takes.
pub(super) struct Process {
    pub(super) recorder: Recorder,
    pub(super) passes: Vec<PollPlanner>,
    /// What batches call each target.
    pub(super) indices: Vec<TargetIndex>,
    /// Batches on their way to the recorder.
    pub(super) outbox: Vec<(Batch, usize, Timestamp)>,
    /// Committed, and not yet known to the passes.
    pub(super) answers: Vec<(usize, Vec<FirstFinished>, Timestamp)>,
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
            is_ahead: false,
            misled: vec![false; calls.len()],
            is_calm: false,
            calm_from: i64::MAX,
            shown: Vec::new(),
            anchors: vec![None; calls.len()],
            first_answers: vec![None; calls.len()],
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

    pub(super) fn api_time(&self) -> Timestamp {
        moment(self.now + self.clock_error)
    }

    /// Percent of kills. A process that believes a clock which is ahead, and dies, takes with it how far it had truly come; the
    /// next one goes back by the last age, which is too little where it had fallen further behind.
    pub(super) fn kills(&self) -> u64 {
        if self.misled.contains(&true) { 0 } else { self.plan.kills }
    }

    /// Percent of reloads, of which the same holds.
    pub(super) fn reloads(&self) -> u64 {
        if self.misled.contains(&true) { 0 } else { self.plan.reloads }
    }

    pub(super) fn happens(&mut self, percent: u64) -> bool {
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
        self.is_ahead = clock_step > 0;
        self.clock_error = if self.is_calm { 0 } else { self.chance.between(-error, error) + clock_step };
        for target in 0..self.calls.len() {
            self.misled[target] |= self.is_ahead;
            let outcome = self.poll(target, &mut walks);
            self.misled[target] &= self.is_ahead || outcome.is_err();
            let outcome = match outcome {
                Err(Ended::Killed) => Err(Ended::Killed),
                Err(Ended::Reloaded) => continue,
                Ok(()) => self.report(target, true),
                Err(Ended::Failed) => self.report(target, false),
            };
            if outcome.is_err() || self.happens(self.kills() / 4) {
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
            let pruned = process.recorder.prune(process.indices[target]);
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
            drop(Store::with_backend({
                let disk = disk.clone();
                move || disk.mount()
            }));
        }
        self.arm();
        let loaded = Store::with_backend(move || disk.mount()).and_then(|store| {
            let now = moment(self.now);
            Recorder::load(store, &setups(self.calls.len()), counting(self.plan), now)
        });
        self.disk.lives_on();
        match loaded {
            Ok((recorder, resumes)) => {
                let passes = resumes
                    .into_iter()
                    .map(|resume| PollPlanner::resume(policy(self.plan), resume))
                    .collect();
                let indices = (0..self.calls.len()).map(TargetIndex).collect();
                let (outbox, answers) = (Vec::new(), Vec::new());
                self.process = Some(Process { recorder, passes, indices, outbox, answers });
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
    pub(super) fn arm(&mut self) {
        if self.happens(self.kills()) {
            self.disk.dies_after(u32::try_from(self.chance.below(24)).unwrap());
        }
    }

    pub(super) fn process(&mut self) -> &mut Process {
        self.process.as_mut().expect("polls are made by a running process")
    }

    /// One tick's worth of walks, as `Poller` makes them.
    fn poll(&mut self, target: usize, walks: &mut usize) -> Result<(), Ended> {
        let asked_at = self.api_time();
        let live = self.process().passes[target].open_pass(asked_at);
        let is_bounded = live.window.from.is_some();
        assert!(!is_bounded || self.plan.ignores_filter, "what has been open for long is not asked for");
        *walks += 1;
        let mut seen = self.walk(target, &live)?.expect("the live pass is not refused");
        // A step ahead is believed only after minutes, and never by a start.
        if !self.is_ahead || self.process().passes[target].anchor().is_some() {
            let first_answer = *self.first_answers[target].get_or_insert(asked_at);
            self.process().passes[target].on_server_time(asked_at, first_answer);
        }
        let (mut tick, progress) = self.process().passes[target].on_open_list(&seen, asked_at);
        seen.retain(|conversation| conversation.data.state == ConversationState::InProgress);
        self.hand_over(target, &live, seen, progress, asked_at)?;
        let (mut failed, mut failures_in_a_row) = (false, 0);
        loop {
            let now = self.api_time();
            let Some(walk) = self.process().passes[target].next(&mut tick, now) else { break };
            *walks += 1;
            let fresh_before = self.process().passes[target].fresh_watermark().unwrap_or(tick.until());
            let seen = match self.walk(target, &walk) {
                Ok(None) => continue,
                Ok(Some(seen)) => seen,
                Err(Ended::Failed) if self.chance.percent(70) => {
                    failed = true;
                    failures_in_a_row += 1;
                    let now = self.api_time();
                    self.process().passes[target].on_failed(&mut tick, &walk, now);
                    if failures_in_a_row == 3 {
                        break;
                    }
                    continue;
                }
                Err(ended) => return Err(ended),
            };
            failures_in_a_row = 0;
            let now = self.api_time();
            let progress = self.process().passes[target].on_fetched(&walk, &seen, now);
            self.hand_over(target, &walk, seen, progress, fresh_before)?;
            let is_fresh = matches!(walk.purpose, PassKind::Stretch(FetchRange { fresh: Some(_), .. }));
            if is_fresh && self.process().passes[target].lag(asked_at) > length(0) && self.happens(20) {
                // As when catching up takes longer than an interval.
                break;
            }
        }
        self.finish_underway()?;
        if failed { Err(Ended::Failed) } else { Ok(()) }
    }

    /// Nothing, if it was too large and will be read in smaller pieces.
    fn walk(&mut self, target: usize, walk: &FetchPlan) -> Result<Option<Vec<Conversation>>, Ended> {
        let began = self.now;
        // What moves while it is read should have time to.
        let slow_walks = if self.plan.offsets.is_some() { 40 } else { 5 };
        let slow = if self.happens(slow_walks) { self.plan.interval * 2 } else { 2 * SECOND };
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
        if walk.purpose != PassKind::Live
            && seen.len() > self.plan.largest_walk
            && self.process().passes[target].too_large(walk)
        {
            self.story.happens(self.now, || format!("{} of target {target} is too large", walk.window));
            return Ok(None);
        }
        if walk.purpose == PassKind::Live && seen.len() > self.plan.largest_walk * 10 {
            seen.truncate(self.plan.largest_walk * 10);
        }
        let concerned = seen.iter().map(|(number, _)| *number);
        self.story.concerns(self.now, target, concerned, || {
            format!("is seen by the {} walk over {} ({:?})", walk.purpose.name(), walk.window, walk.purpose)
        });
        self.count_deliveries(target, walk, &seen);
        Ok(Some(dedup_by_id(seen.into_iter().map(|(_, conversation)| conversation).collect())))
    }

    fn count_deliveries(&mut self, target: usize, walk: &FetchPlan, seen: &[(usize, Conversation)]) {
        for (number, conversation) in seen {
            let overlaps = walk
                .window
                .from
                .is_some_and(|from| conversation.data.started_at <= from + length(2 * SECOND));
            let is_asked_for = match &walk.purpose {
                PassKind::Live => false,
                PassKind::Stretch(_) => !overlaps,
                PassKind::Narrow(ids) => ids.contains(&conversation.id),
            };
            if conversation.data.state == ConversationState::Finished && is_asked_for {
                self.deliveries[target][*number] += 1;
            }
        }
    }

    fn hand_over(
        &mut self,
        target: usize,
        walk: &FetchPlan,
        seen: Vec<Conversation>,
        progress: PlannerUpdate,
        fresh_before: Timestamp,
    ) -> Result<(), Ended> {
        let sighting = |conversation: Conversation| Observation {
            sight: PollPlanner::observation_kind(walk, conversation.data.started_at),
            conversation,
        };
        let batch = Batch {
            target: self.process().indices[target],
            now: self.api_time(),
            sightings: seen.into_iter().map(sighting).collect(),
            is_listing: walk.purpose == PassKind::Live,
            abandoned: progress.abandoned,
            marks: progress.marks,
        };
        self.finish_underway()?;
        self.process().outbox.push((batch, target, fresh_before));
        self.may_be_reloaded(target)
    }

    /// Lets the recorder take what was sent to it, and the passes learn what became of it.
    fn finish_underway(&mut self) -> Result<(), Ended> {
        self.record()?;
        let now = self.api_time();
        let process = self.process();
        for (target, finished, fresh_before) in process.answers.drain(..) {
            process.passes[target].observe_first_finished(&finished, fresh_before, now);
        }
        Ok(())
    }
}
