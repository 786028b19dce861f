//! Who asks for a page of the status gets it: from what there is at the moment of the question.
//!
//! Owns: gathering that, the looks at what is committed, from which the charts are drawn, and the notice that this machine's
//! clock was put back. One that is put ahead needs none: it makes things look older than they are for one poll, as after a
//! machine has slept. Never: what a page says.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use super::reload::Configuration;
use crate::clock::Clock;
use crate::moment::Moment;
use crate::recorder::task::Published;
use crate::selfstats::BuildInfo;
use crate::server::{Document, Reception, Written};
use crate::status::{ConfigurationStatus, Journals, LOOK_EVERY, Process, Reload, Sight, Trends, answer};

/// Everything that a page is made from.
pub(super) struct Desk {
    published: Published,
    journals: Journals,
    trends: Trends,
    configuration: Configuration,
    clock: Clock,
    process: ArcSwap<Process>,
}

impl Desk {
    pub(super) fn new(
        published: Published,
        journals: Journals,
        configuration: Configuration,
        clock: Clock,
        addresses: Vec<String>,
    ) -> Self {
        let process = Process { started: Moment::from(clock.now()), build: BuildInfo::CURRENT, addresses };
        let process = ArcSwap::from_pointee(process);
        Self { published, journals, trends: Trends::default(), configuration, clock, process }
    }

    /// Looks at what is committed from time to time, and whether this machine's clock was put back, for as long as it is
    /// polled.
    pub(super) async fn attend(&self) {
        let mut last = Moment::from(self.clock.now());
        loop {
            let now = Moment::from(self.clock.now());
            if now < last {
                self.put_back((last + LOOK_EVERY).since(now), now);
            }
            self.trends.look(&self.published.load(), now);
            last = now;
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn put_back(&self, step: Duration, now: Moment) {
        self.journals.put_back(step, now);
        let process = self.process.load();
        if process.started > now {
            self.process
                .store(Arc::new(Process { started: process.started - step, ..Process::clone(&process) }));
        }
    }
}

impl Reception for Desk {
    fn write(&self, document: Document, query: &str) -> Written {
        let in_force = self.configuration.load_full();
        let generation = self.published.load_full();
        let process = self.process.load_full();
        let configuration = ConfigurationStatus {
            origin: in_force.origin.clone(),
            loaded_at: in_force.since,
            last_reload: in_force
                .last_attempt
                .as_ref()
                .map(|attempt| Reload { at: attempt.at, outcome: attempt.outcome.clone() }),
        };
        let sight = Sight {
            now: Moment::from(self.clock.now()),
            settings: &in_force.settings,
            generation: &generation,
            journals: &self.journals,
            trends: &self.trends,
            configuration: &configuration,
            process: &process,
        };
        answer(&sight, document, query)
    }
}
