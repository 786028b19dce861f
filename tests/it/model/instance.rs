//! One instance of the exporter without its sockets: the poll sessions and the recorder, on a disk that fails, in a process that
//! is killed.

use std::collections::BTreeMap;
use std::sync::Arc;

use polyai_api::FetchedRecords;
use polyai_domain::conversation::{Conversation, ConversationState};
use polyai_domain::fetch::FetchErrorKind::{
    BadPayload, BadRequest, RateLimited, ServerError, Timeout, Unauthorized, Unreachable,
};
use polyai_domain::fetch::{FetchError, FetchedPages, Limit, WindowError};
use polyai_domain::timestamp::Timestamp;
use polyai_engine::aggregate::TargetSeries;
use polyai_engine::ledger::store::Store;
use polyai_engine::planner::{FetchPlan, PassKind};
use polyai_engine::poll_session::{Command, PollReport, PollSession, SessionTime};
use polyai_engine::recorder::{Batch, BatchOutcome, Recorder, TargetIndex};

use super::calls::Call;
use super::disk::Disk;
use super::fake_api;
use super::recount::CountingPeriod;
use super::rng::Rng;
use super::scenario::{Kind, SECOND, Scenario, length, moment};
use super::settings::{counting, policy, setups};
use super::settle_bounds::SettleBounds;
use super::trace::Trace;

/// An event that interrupts a poll.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Interruption {
    Killed,
    /// A change of the configuration; another session continues.
    Reloaded,
}

pub(super) struct Instance<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) calls: &'a [Vec<Call>],
    pub(super) rng: Rng,
    pub(super) disk: Disk,
    pub(super) process: Option<Process>,
    /// The true time.
    pub(super) now: i64,
    /// The error of its estimate of the API's time.
    clock_error: i64,
    is_ahead: bool,
    /// Targets that have believed a clock which was ahead, and have had no successful poll since.
    misled: Vec<bool>,
    /// Whether nothing fails any more.
    pub(super) is_calm: bool,
    calm_from: i64,
    /// The series of the last scrape.
    pub(super) shown: Vec<Arc<TargetSeries>>,
    pub(super) anchors: Vec<Option<Timestamp>>,
    pub(super) settle_bounds: Vec<SettleBounds>,
    /// Per target and call: how often a fetch returned it finished, except in the overlap.
    pub(super) deliveries: Vec<Vec<usize>>,
    pub(super) trace: Trace,
    /// Per target: how often each call has counted. Known only while the trace records.
    pub(super) counted: Vec<BTreeMap<usize, usize>>,
    pub(super) in_ledger: Vec<BTreeMap<usize, &'static str>>,
}

/// The state that a kill discards.
pub(super) struct Process {
    pub(super) recorder: Recorder,
    pub(super) sessions: Vec<PollSession>,
    /// The index of each target.
    pub(super) indices: Vec<TargetIndex>,
    /// Batches that are sent to the recorder.
    pub(super) outbox: Vec<(Batch, usize)>,
    /// Per target: the outcome of a committed batch that its session does not know yet.
    pub(super) outcomes: Vec<Option<BatchOutcome>>,
}

impl<'a> Instance<'a> {
    pub(super) fn new(scenario: &'a Scenario, calls: &'a [Vec<Call>], rng: Rng, trace: Trace) -> Self {
        Self {
            scenario,
            calls,
            rng,
            disk: Disk::default(),
            process: None,
            now: scenario.start,
            clock_error: 0,
            is_ahead: false,
            misled: vec![false; calls.len()],
            is_calm: false,
            calm_from: i64::MAX,
            shown: Vec::new(),
            anchors: vec![None; calls.len()],
            settle_bounds: calls.iter().map(|_| SettleBounds::default()).collect(),
            deliveries: calls.iter().map(|calls| vec![0; calls.len()]).collect(),
            trace,
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

    /// The period over which a target is counted.
    pub(super) fn counting_period(&self, target: usize) -> CountingPeriod {
        let anchor = self.anchors[target].expect("the first poll sets the anchor");
        CountingPeriod { anchor: anchor.millis(), calm_from: self.calm_from }
    }

    pub(super) fn api_time(&self) -> Timestamp {
        moment(self.now + self.clock_error)
    }

    /// Percent of kills. A process that believes a clock which is ahead, and is killed, loses its earlier watermarks; the next one
    /// goes back by the last age, which is too little if it had fallen further behind.
    pub(super) fn kills(&self) -> u64 {
        if self.misled.contains(&true) { 0 } else { self.scenario.kills }
    }

    /// Percent of reloads, for which the same holds.
    pub(super) fn reloads(&self) -> u64 {
        if self.misled.contains(&true) { 0 } else { self.scenario.reloads }
    }

    pub(super) fn occurs(&mut self, percent: u64) -> bool {
        !self.is_calm && self.rng.percent(percent)
    }

    /// Polls every target; starts the process first if there is none. Returns the number of fetches.
    pub(super) fn poll_all(&mut self, clock_step: i64) -> usize {
        let mut fetches = 0;
        self.now = self.scenario.on_grid(self.now);
        if self.process.is_none() && !self.start() {
            return fetches;
        }
        let error = self.scenario.clock_error;
        self.is_ahead = clock_step > 0;
        self.clock_error = if self.is_calm { 0 } else { self.rng.between(-error, error) + clock_step };
        for target in 0..self.calls.len() {
            self.misled[target] |= self.is_ahead;
            let outcome = self.poll(target, &mut fetches);
            let succeeds = outcome.as_ref().is_ok_and(|report| report.status.up);
            self.misled[target] &= self.is_ahead || !succeeds;
            let outcome = match outcome {
                Err(Interruption::Reloaded) => continue,
                Err(Interruption::Killed) => Err(Interruption::Killed),
                Ok(report) => self.report(target, &report.status),
            };
            if outcome.is_err() || self.occurs(self.kills() / 4) {
                self.kill();
                return fetches;
            }
        }
        if self.rng.percent(10) && self.prune().is_err() {
            self.kill();
        }
        fetches
    }

    /// Prunes every target.
    pub(super) fn prune(&mut self) -> Result<(), Interruption> {
        for target in 0..self.calls.len() {
            self.arm();
            let Some(process) = &mut self.process else { break };
            let pruned = process.recorder.prune(process.indices[target]);
            if self.disk.is_dead() {
                return Err(Interruption::Killed);
            }
            match pruned {
                Ok(rows) => {
                    self.trace.event(self.now, || format!("{rows} rows of target {target} are forgotten"))
                }
                Err(error) => {
                    assert!(self.disk.is_full(), "forgetting fails on a sound disk: {error}");
                    self.trace.event(self.now, || format!("forgetting fails: {error}"));
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
            // A state file is created under another name and renamed when it is complete.
            drop(Store::with_backend({
                let disk = disk.clone();
                move || disk.mount()
            }));
        }
        self.arm();
        let loaded = Store::with_backend(move || disk.mount()).and_then(|store| {
            let now = moment(self.now);
            Recorder::load(store, &setups(self.calls.len()), counting(self.scenario), now)
        });
        self.disk.lives_on();
        match loaded {
            Ok((recorder, resumes)) => {
                let indices: Vec<TargetIndex> = (0..self.calls.len()).map(TargetIndex).collect();
                let sessions = indices.iter().zip(resumes);
                let sessions = sessions
                    .map(|(&index, resume)| PollSession::resume(index, policy(self.scenario), resume));
                let sessions = sessions.collect();
                let (outbox, outcomes) = (Vec::new(), vec![None; self.calls.len()]);
                self.process = Some(Process { recorder, sessions, indices, outbox, outcomes });
                self.trace.event(self.now, || "the process starts".into());
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

    /// Kills the process, perhaps with a power failure.
    pub(super) fn kill(&mut self) {
        let power_fails = self.rng.percent(50);
        self.disk.dies_after(0);
        self.process = None;
        self.disk.crash(power_fails, &mut self.rng);
        self.disk.set_full(false);
        self.trace
            .event(self.now, || if power_fails { "the power fails" } else { "the process is killed" }.into());
    }

    /// Lets the process perhaps be killed during the next operations on the disk.
    pub(super) fn arm(&mut self) {
        if self.occurs(self.kills()) {
            self.disk.dies_after(u32::try_from(self.rng.below(24)).unwrap());
        }
    }

    pub(super) fn process(&mut self) -> &mut Process {
        self.process.as_mut().expect("polls are made by a running process")
    }

    /// Polls a target: performs the commands of its session, as the daemon's poller does.
    fn poll(&mut self, target: usize, fetches: &mut usize) -> Result<PollReport, Interruption> {
        let time = self.session_time(target);
        self.session(target).start(time);
        loop {
            let time = self.session_time(target);
            match self.session(target).next_command(time).expect("a poll ends with a report") {
                Command::Fetch(plan, limit) => {
                    *fetches += 1;
                    let result = self.fetch(target, &plan, limit);
                    let time = self.session_time(target);
                    self.session(target).on_fetched(result, time);
                }
                Command::Submit(batch) => {
                    self.process().outbox.push((batch, target));
                    self.may_be_reloaded(target)?;
                }
                Command::AwaitCommit => {
                    self.record()?;
                    let outcome = self.process().outcomes[target].take().expect("a batch was submitted");
                    let time = self.session_time(target);
                    self.session(target).on_committed(&outcome, time);
                }
                Command::Notify(_) => {}
                Command::Report(report) => return Ok(report),
            }
        }
    }

    fn session(&mut self, target: usize) -> &mut PollSession {
        &mut self.process().sessions[target]
    }

    fn session_time(&mut self, target: usize) -> SessionTime {
        let (api, steady) = (self.api_time(), length(self.now - self.scenario.start));
        // A step ahead becomes certain only after minutes, and never to a target that has not answered before.
        let certain = !self.is_ahead || self.session(target).anchor().is_some();
        SessionTime { api, steady, certain, skewed: self.is_ahead }
    }

    fn fetch(&mut self, target: usize, plan: &FetchPlan, limit: Limit) -> Result<FetchedPages, WindowError> {
        let is_open_list = plan.pass == PassKind::Open;
        let is_bounded = plan.window.from.is_some();
        assert!(
            !is_open_list || !is_bounded || self.scenario.ignores_filter,
            "long open conversations are not requested"
        );
        let began = self.now;
        // A list that moves while it is read needs time to do so.
        let slow_fetches = if self.scenario.offsets.is_some() { 40 } else { 5 };
        let slow = if self.occurs(slow_fetches) { self.scenario.interval * 2 } else { 2 * SECOND };
        self.now += match self.scenario.kind {
            _ if self.scenario.grid > 1 => 0,
            // So that a poll without faults catches up within its interval.
            _ if self.is_calm => 1,
            Kind::Calm => 50,
            Kind::Adverse | Kind::Replicas => self.rng.between(50, slow),
        };
        if plan.fresh_to().is_some() && self.occurs(20) {
            // As when catching up takes longer than an interval.
            self.now += self.scenario.interval;
        }
        if self.occurs(self.scenario.failures) {
            let name = plan.pass.name();
            self.trace.event(self.now, || format!("a {name} fetch of target {target} fails"));
            let kind = if self.rng.percent(70) {
                self.rng.pick(&[ServerError, Timeout, BadPayload, BadRequest])
            } else {
                self.rng.pick(&[Unreachable, RateLimited, Unauthorized])
            };
            return Err(WindowError::Fetch(FetchError { kind, ..FetchError::bad_payload("rng") }));
        }
        let calls = &self.calls[target];
        let mut seen =
            fake_api::fetch(self.scenario, calls, plan.window, plan.filter, (began, self.now), &mut self.rng);
        let mut complete = true;
        match limit {
            Limit::RefuseAt(_) if seen.len() > self.scenario.largest_fetch => {
                self.trace.event(self.now, || format!("{} of target {target} is too large", plan.window));
                return Err(WindowError::TooLarge(self.scenario.largest_fetch));
            }
            Limit::StopAt(_) if seen.len() > self.scenario.largest_fetch * 10 => {
                seen.truncate(self.scenario.largest_fetch * 10);
                complete = false;
            }
            Limit::RefuseAt(_) | Limit::StopAt(_) | Limit::Unlimited => {}
        }
        let concerned = seen.iter().map(|(number, _)| *number);
        self.trace.event_of(self.now, target, concerned, || {
            format!("is seen by the {} fetch of {} ({:?})", plan.pass.name(), plan.window, plan.pass)
        });
        self.count_deliveries(target, plan, &seen);
        let mut read = FetchedRecords::default();
        read.add(seen.into_iter().map(|(_, conversation)| conversation).collect())?;
        Ok(FetchedPages { complete, ..read.pages })
    }

    fn count_deliveries(&mut self, target: usize, plan: &FetchPlan, seen: &[(usize, Conversation)]) {
        for (number, conversation) in seen {
            let overlaps = plan
                .window
                .from
                .is_some_and(|from| conversation.data.started_at <= from + length(2 * SECOND));
            let is_counted = match &plan.pass {
                PassKind::Open => false,
                PassKind::Range(_) => !overlaps,
                PassKind::Refetch(_) => true,
            };
            if conversation.data.state == ConversationState::Finished && is_counted {
                self.deliveries[target][*number] += 1;
            }
        }
    }
}
