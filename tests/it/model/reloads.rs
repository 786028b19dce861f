//! A reload while the process runs: sessions are dropped in the middle of a poll, the recorder is reconfigured, and new sessions
//! continue from the last commit.

use polyai_engine::poll_session::PollSession;
use polyai_engine::recorder::{TargetAssignment, TargetEntry, TargetSet};

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
            self.reconfigure(&others, polled)?;
        }
        self.trace.event(self.now, || "a reload".into());
        let all: Vec<usize> = (0..targets).collect();
        let assignments = self.reconfigure(&all, away.unwrap_or(polled))?;
        let scenario = self.scenario;
        let process = self.process();
        for (target, TargetAssignment { index, checkpoint }) in assignments.into_iter().enumerate() {
            process.indices[target] = index;
            if let Some(checkpoint) = checkpoint {
                process.sessions[target] = PollSession::resume(index, policy(scenario), checkpoint);
                process.outcomes[target] = None;
            }
        }
        self.publish();
        Ok(())
    }

    /// Reconfigures the recorder for these targets, some of which resume from the last commit. Retries while the disk fails.
    fn reconfigure(
        &mut self,
        targets: &[usize],
        restarted: usize,
    ) -> Result<Vec<TargetAssignment>, Interruption> {
        let setups = setups(self.calls.len());
        let entry = |rng: &mut Rng, &target: &usize| TargetEntry {
            setup: setups[target].clone(),
            needs_checkpoint: target == restarted || rng.percent(50),
        };
        let entries = targets.iter().map(|target| entry(&mut self.rng, target)).collect();
        let mut counting = counting(self.scenario);
        if self.rng.percent(30) {
            // Everything in memory is restored from the store.
            counting.recent_window -= length(60_000) * u32::from(self.rng.percent(50));
        }
        let target_set = TargetSet { counting, targets: entries };
        loop {
            if self.occurs(self.scenario.full_disks) {
                self.disk.set_full(true);
            }
            self.arm();
            let now = moment(self.now);
            let outcome = self.process().recorder.reconfigure(&target_set, now);
            if self.disk.is_dead() {
                return Err(Interruption::Killed);
            }
            self.disk.lives_on();
            match outcome {
                Ok(assignments) => return Ok(assignments),
                Err(error) => self.storage_fails(&error)?,
            }
        }
    }
}
