//! A change of the configuration while the process runs, as the fleet makes it: pollers are stopped in the middle of what they
//! do, the recorder turns to another roster, and others go on from what is committed.

use polyai_exporter::poll_session::PollSession;
use polyai_exporter::recorder::{TargetAssignment, TargetEntry, TargetSet};

use super::chance::Chance;
use super::instance::{Instance, Interruption};
use super::plan::{length, moment};
use super::settings::{counting, policy, setups};

impl Instance<'_> {
    /// What stops a poll in the middle, if the configuration changes now.
    pub(super) fn may_be_reloaded(&mut self, polled: usize) -> Result<(), Interruption> {
        if !self.happens(self.reloads()) {
            return Ok(());
        }
        self.reload(polled)?;
        Err(Interruption::Reloaded)
    }

    fn reload(&mut self, polled: usize) -> Result<(), Interruption> {
        // What pollers have sent before they stop is taken first.
        self.record()?;
        let targets = self.calls.len();
        let away = (targets > 1 && self.chance.percent(30)).then(|| self.chance.below(targets));
        if let Some(away) = away {
            self.story.happens(self.now, || format!("a reload takes target {away} away"));
            let others: Vec<usize> = (0..targets).filter(|target| *target != away).collect();
            self.turn_to(&others, polled)?;
        }
        self.story.happens(self.now, || "a reload".into());
        let all: Vec<usize> = (0..targets).collect();
        let enlisted = self.turn_to(&all, away.unwrap_or(polled))?;
        let plan = self.plan;
        let process = self.process();
        for (target, TargetAssignment { index, checkpoint: resume }) in enlisted.into_iter().enumerate() {
            process.indices[target] = index;
            if let Some(resume) = resume {
                process.sessions[target] = PollSession::resume(index, policy(plan), resume);
                process.outcomes[target] = None;
            }
        }
        self.publish();
        Ok(())
    }

    /// Turns to the roster of these targets, some of whose pollers begin anew, however long the disk refuses.
    fn turn_to(
        &mut self,
        targets: &[usize],
        begins_anew: usize,
    ) -> Result<Vec<TargetAssignment>, Interruption> {
        let setups = setups(self.calls.len());
        let place = |chance: &mut Chance, &target: &usize| TargetEntry {
            setup: setups[target].clone(),
            needs_checkpoint: target == begins_anew || chance.percent(50),
        };
        let places = targets.iter().map(|target| place(&mut self.chance, target)).collect();
        let mut counting = counting(self.plan);
        if self.chance.percent(30) {
            // Everything that is held in memory is made again from the state.
            counting.recent_window -= length(60_000) * u32::from(self.chance.percent(50));
        }
        let roster = TargetSet { counting, targets: places };
        loop {
            if self.happens(self.plan.full_disks) {
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
