//! A reload while the process runs: sessions are dropped in the middle of a poll, the recorder is reconfigured, and new sessions
//! continue from the last commit.

use polyai_exporter::poll_session::PollSession;
use polyai_exporter::recorder::{TargetAssignment, TargetEntry, TargetSet};

use super::instance::{Instance, Interruption};
use super::rng::Rng;
use super::scenario::{length, moment};
use super::settings::{counting, policy, setups};

impl Instance<'_> {
    /// Interrupts a poll if the configuration changes now.
    pub(super) fn may_be_reloaded(&mut self, polled: usize) -> Result<(), Interruption> {
        if !self.occurs(self.reloads()) {
            return Ok(());
        }
        self.reload(polled)?;
        Err(Interruption::Reloaded)
    }

    fn reload(&mut self, polled: usize) -> Result<(), Interruption> {
        // What was sent before is applied first.
        self.record()?;
        let targets = self.calls.len();
        let away = (targets > 1 && self.rng.percent(30)).then(|| self.rng.below(targets));
        if let Some(away) = away {
            self.trace.event(self.now, || format!("a reload takes target {away} away"));
            let others: Vec<usize> = (0..targets).filter(|target| *target != away).collect();
            self.turn_to(&others, polled)?;
        }
        self.trace.event(self.now, || "a reload".into());
        let all: Vec<usize> = (0..targets).collect();
        let enlisted = self.turn_to(&all, away.unwrap_or(polled))?;
        let scenario = self.scenario;
        let process = self.process();
        for (target, TargetAssignment { index, resume }) in enlisted.into_iter().enumerate() {
            process.indices[target] = index;
            if let Some(resume) = resume {
                process.sessions[target] = PollSession::resume(index, policy(scenario), resume);
                process.outcomes[target] = None;
            }
        }
        self.publish();
        Ok(())
    }

    /// Reconfigures the recorder for these targets, some of which resume from the last commit. Retries while the disk fails.
    fn turn_to(
        &mut self,
        targets: &[usize],
        begins_anew: usize,
    ) -> Result<Vec<TargetAssignment>, Interruption> {
        let setups = setups(self.calls.len());
        let place = |rng: &mut Rng, &target: &usize| TargetEntry {
            setup: setups[target].clone(),
            resumes: target == begins_anew || rng.percent(50),
        };
        let places = targets.iter().map(|target| place(&mut self.rng, target)).collect();
        let mut counting = counting(self.scenario);
        if self.rng.percent(30) {
            // Everything in memory is restored from the store.
            counting.recent_window -= length(60_000) * u32::from(self.rng.percent(50));
        }
        let roster = TargetSet { counting, places };
        loop {
            if self.occurs(self.scenario.full_disks) {
                self.disk.set_full(true);
            }
            self.arm();
            let now = moment(self.now);
            let outcome = self.process().recorder.reconfigure(&roster, now);
            if self.disk.is_dead() {
                return Err(Interruption::Killed);
            }
            self.disk.lives_on();
            match outcome {
                Ok(enlisted) => return Ok(enlisted),
                Err(error) => self.storage_fails(&error)?,
            }
        }
    }
}
