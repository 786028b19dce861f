//! Who asks for a page of the status gets it: from what there is at the moment of the question.
//!
//! Owns: gathering that, and the looks at what is committed, from which the charts are drawn. Never: what a page says.

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
    process: Process,
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
        Self { published, journals, trends: Trends::default(), configuration, clock, process }
    }

    /// Looks at what is committed from time to time, for as long as it is polled.
    pub(super) async fn attend(&self) {
        loop {
            self.trends.look(&self.published.load(), Moment::from(self.clock.now()));
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

impl Reception for Desk {
    fn write(&self, document: Document, query: &str) -> Written {
        let in_force = self.configuration.load_full();
        let generation = self.published.load_full();
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
            process: &self.process,
        };
        answer(&sight, document, query)
    }
}
