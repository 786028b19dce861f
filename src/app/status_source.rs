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
use crate::exporter_metrics::BuildInfo;
use crate::http::{RenderedDocument, StatusRoute, StatusSource};
use crate::recorder::task::SnapshotCell;
use crate::status::{
    ConfigurationStatus, PollHistories, ProcessInfo, Reload, SAMPLE_INTERVAL, StatusInputs, Trends, render,
};
use crate::timestamp::Timestamp;

/// Everything that a page is made from.
pub(super) struct StatusProvider {
    published: SnapshotCell,
    histories: PollHistories,
    trends: Trends,
    configuration: Configuration,
    clock: Clock,
    process: ArcSwap<ProcessInfo>,
}

impl StatusProvider {
    pub(super) fn new(
        published: SnapshotCell,
        histories: PollHistories,
        configuration: Configuration,
        clock: Clock,
        addresses: Vec<String>,
    ) -> Self {
        let process =
            ProcessInfo { started: Timestamp::from(clock.now()), build: BuildInfo::CURRENT, addresses };
        let process = ArcSwap::from_pointee(process);
        Self { published, histories, trends: Trends::default(), configuration, clock, process }
    }

    /// Looks at what is committed from time to time, and whether this machine's clock was put back, for as long as it is
    /// polled.
    pub(super) async fn run(&self) {
        let mut last = Timestamp::from(self.clock.now());
        loop {
            let now = Timestamp::from(self.clock.now());
            if now < last {
                self.on_clock_step_back((last + SAMPLE_INTERVAL).saturating_duration_since(now), now);
            }
            self.trends.sample(&self.published.load(), now);
            last = now;
            tokio::time::sleep(SAMPLE_INTERVAL).await;
        }
    }

    fn on_clock_step_back(&self, step: Duration, now: Timestamp) {
        self.histories.on_clock_step_back(step, now);
        let process = self.process.load();
        if process.started > now {
            self.process.store(Arc::new(ProcessInfo {
                started: process.started - step,
                ..ProcessInfo::clone(&process)
            }));
        }
    }
}

impl StatusSource for StatusProvider {
    fn write(&self, document: StatusRoute, query: &str) -> RenderedDocument {
        let in_force = self.configuration.load_full();
        let generation = self.published.load_full();
        let process = self.process.load_full();
        let configuration = ConfigurationStatus {
            origin: in_force.origin.clone(),
            loaded_at: in_force.since,
            last_reload: in_force.last_attempt.as_ref().map(|attempt| Reload {
                at: attempt.at,
                succeeded: attempt.outcome.is_ok(),
                detail: attempt.outcome.clone().unwrap_or_else(|reason| reason),
            }),
        };
        let inputs = StatusInputs {
            now: Timestamp::from(self.clock.now()),
            settings: &in_force.settings,
            generation: &generation,
            histories: &self.histories,
            trends: &self.trends,
            configuration: &configuration,
            process: &process,
        };
        render(&inputs, document, query)
    }
}
