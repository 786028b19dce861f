//! Provides the status page with its inputs.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use polyai_domain::clock::Clock;
use polyai_domain::timestamp::Timestamp;
use polyai_engine::recorder::task::SnapshotCell;

use super::reload::Configuration;
use crate::exporter_metrics::BuildInfo;
use crate::http::{RenderedDocument, StatusRoute, StatusSource};
use crate::status::{
    ConfigurationStatus, PollHistories, ProcessInfo, Reload, SAMPLE_INTERVAL, StatusInputs, Trends, render,
};

/// The inputs of a page.
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
        let started = Timestamp::from(clock.now());
        let process = ArcSwap::from_pointee(ProcessInfo { started, build: BuildInfo::CURRENT, addresses });
        Self { published, histories, trends: Trends::default(), configuration, clock, process }
    }

    /// Samples the published snapshot for the charts, and detects when this machine's clock was stepped back. A step ahead needs
    /// no correction: ages are too large for one poll, as after suspend.
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
            let started = process.started - step;
            self.process.store(Arc::new(ProcessInfo { started, ..ProcessInfo::clone(&process) }));
        }
    }
}

impl StatusSource for StatusProvider {
    fn write(&self, document: StatusRoute, query: &str) -> RenderedDocument {
        let active = self.configuration.load_full();
        let last_reload = active.last_attempt.as_ref();
        let configuration = ConfigurationStatus {
            origin: active.origin.clone(),
            loaded_at: active.since,
            last_reload: last_reload.map(|attempt| Reload {
                at: attempt.at,
                succeeded: attempt.outcome.is_ok(),
                detail: attempt.outcome.clone().unwrap_or_else(|reason| reason),
            }),
        };
        let inputs = StatusInputs {
            now: Timestamp::from(self.clock.now()),
            settings: &active.settings,
            generation: &self.published.load_full(),
            histories: &self.histories,
            trends: &self.trends,
            configuration: &configuration,
            process: &self.process.load_full(),
        };
        render(&inputs, document, query)
    }
}
