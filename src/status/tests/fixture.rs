//! Inputs of a status that are set up by hand.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use serde_json::Value as Json;

use super::super::*;
use crate::config::{Metrics, Polling, Secret, Server, Settings, Storage, Target};
use crate::exporter_metrics::BuildInfo;
use crate::http::{RenderedDocument, StatusRoute};
use crate::status::target_state::Severity;
use polyai_api::RequestStats;
use polyai_domain::conversation::Amount;
use polyai_domain::problem::Problem;
use polyai_domain::target::{ApiVersion, ClientEnv, LatencyUnit, Region, TargetKey};
use polyai_domain::timestamp::Timestamp;
use polyai_engine::aggregate::{Metric, SeriesKey, SeriesOp, TargetSeries};
use polyai_engine::recorder::Snapshot;

pub(super) const SECRET: &str = "k-77-never-shown";

pub(super) fn at(clock: &str) -> Timestamp {
    let seconds = if clock.len() == 5 { ":00" } else { "" };
    Timestamp::parse(&format!("2026-11-24T{clock}{seconds}Z")).unwrap()
}

/// The inputs of the status; it is 14:10.
pub(super) struct World {
    pub(super) settings: Settings,
    pub(super) histories: PollHistories,
    pub(super) trends: Trends,
    pub(super) series: Vec<TargetSeries>,
    pub(super) configuration: ConfigurationStatus,
}

impl World {
    pub(super) fn of(projects: &[&str]) -> Self {
        let targets: Vec<Target> = projects.iter().map(|project| target(project)).collect();
        let series = targets.iter().map(|_| TargetSeries::default()).collect();
        Self {
            settings: Settings {
                server: Server::default(),
                storage: Storage::Ephemeral,
                polling: Polling::default(),
                metrics: Metrics::default(),
                targets,
            },
            histories: PollHistories::default(),
            trends: Trends::default(),
            series,
            configuration: ConfigurationStatus {
                origin: "polyai.yaml".to_owned(),
                loaded_at: at("12:00"),
                last_reload: None,
            },
        }
    }

    /// Records a poll that finished at this time.
    pub(super) fn polled(
        &self,
        project: &str,
        clock: &str,
        failure: Option<(Problem, &str)>,
        others: &[Problem],
    ) {
        self.polled_key(&target(project).key, clock, failure, others);
    }

    pub(super) fn polled_key(
        &self,
        key: &TargetKey,
        clock: &str,
        failure: Option<(Problem, &str)>,
        others: &[Problem],
    ) {
        let poll = Poll {
            began: at(clock),
            took: Duration::ZERO,
            failure: failure.map(|(problem, _)| problem),
            walks: 2,
            traffic: RequestStats { requests: 3, pages: 2, bytes: 12_400 },
            records: 31,
            rejected: 0,
            counted: 4,
        };
        let problems: BTreeSet<Problem> =
            failure.iter().map(|(problem, _)| *problem).chain(others.iter().copied()).collect();
        self.histories.get_or_create(key).poll_finished(&Report {
            poll,
            problems: &problems,
            missing_fields: &BTreeSet::new(),
            reason: failure.map(|(_, reason)| reason),
            progress: Progress {
                api_ahead_millis: 0,
                counts_since: Some(at("09:00")),
                read_to: Some(at(clock)),
                tracked: 3,
            },
            next: at(clock) + Duration::from_secs(30),
        });
    }

    pub(super) fn all_polled(self, clock: &str) -> Self {
        for target in &self.settings.targets {
            self.polled(&target.key.project, clock, None, &[]);
        }
        self
    }

    pub(super) fn inputs<T>(&self, look: impl FnOnce(&StatusInputs<'_>) -> T) -> T {
        let keys = self.settings.targets.iter().map(|target| Arc::new(target.key.clone()));
        let targets = keys.zip(self.series.iter().cloned().map(Arc::new)).collect();
        let generation = Snapshot { number: 1, targets, schema: None, state_bytes: 557_056 };
        let process = ProcessInfo {
            started: at("12:00"),
            build: BuildInfo { version: "1.2.3", revision: Some("abc"), rustversion: None },
            addresses: vec!["127.0.0.1:9890".to_owned()],
        };
        look(&StatusInputs {
            now: at("14:10"),
            settings: &self.settings,
            generation: &generation,
            histories: &self.histories,
            trends: &self.trends,
            configuration: &self.configuration,
            process: &process,
        })
    }

    pub(super) fn health(&self) -> String {
        self.inputs(|inputs| inputs.status(&inputs.rows()).health.sentence)
    }

    pub(super) fn areas(&self) -> Vec<(Severity, String)> {
        let areas = self.inputs(|inputs| inputs.status(&inputs.rows()).areas);
        areas.into_iter().map(|area| (area.severity, area.sentence)).collect()
    }

    pub(super) fn respond(&self, document: StatusRoute, query: &str) -> (StatusCode, String) {
        let RenderedDocument { status, body, .. } = self.inputs(|inputs| render(inputs, document, query));
        let text = String::from_utf8(body.to_vec()).unwrap();
        assert!(!text.contains(SECRET), "a key in {document:?}");
        (status, text)
    }

    pub(super) fn page(&self, document: StatusRoute, query: &str) -> String {
        self.respond(document, query).1
    }

    pub(super) fn json(&self, document: StatusRoute, query: &str) -> Json {
        serde_json::from_str(&self.page(document, query)).unwrap()
    }
}

pub(super) fn target(project: &str) -> Target {
    Target {
        key: TargetKey { project: project.to_owned(), region: Region::Us1, client_env: ClientEnv::Live },
        account_id: "ws-1".to_owned(),
        project_id: "P-1".to_owned(),
        api_version: ApiVersion::V3,
        latency_unit: LatencyUnit::Seconds,
        api_key: Secret::new(SECRET),
        base_url: format!("https://me:{SECRET}@api.example.com/polyai?key={SECRET}"),
        ca_file: None,
        channels: vec!["VOICE-SIP".to_owned()],
    }
}

pub(super) fn query_of(project: &str) -> String {
    query::link("", &target(project).key).trim_start_matches('?').to_owned()
}

/// Counters of one channel, at one time.
pub(super) fn set_counters(series: &mut TargetSeries, counters: &[(Metric, u64)]) {
    let schema = polyai_engine::aggregate::SeriesSchema::new(Vec::new(), &[1.0, 5.0, 8.0], &[60.0]);
    for &(metric, number) in counters {
        let key = SeriesKey { metric, values: Arc::from([]) };
        series.apply(&key, SeriesOp::Add(number), None, &schema, at("12:00"));
    }
}

pub(super) fn set_latencies(series: &mut TargetSeries, fast: usize, slow: usize) {
    let schema = polyai_engine::aggregate::SeriesSchema::new(Vec::new(), &[1.0, 5.0, 8.0], &[60.0]);
    let key = SeriesKey { metric: Metric::TurnLatency, values: Arc::from([]) };
    for seconds in std::iter::repeat_n(5.0, fast).chain(std::iter::repeat_n(5.1, slow)) {
        let op = SeriesOp::Observe(Amount::from_units(seconds).unwrap());
        series.apply(&key, op, None, &schema, at("12:00"));
    }
}
