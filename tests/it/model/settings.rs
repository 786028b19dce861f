//! The settings of an instance, as a scenario has them.

use std::num::NonZeroUsize;

use polyai_domain::target::{ClientEnv, Region, TargetKey};
use polyai_engine::aggregate::SeriesSchema;
use polyai_engine::planner::PollPolicy;
use polyai_engine::recorder::{CountingPolicy, TargetSetup};
use polyai_exporter::config::{Dimension, Metrics};

use super::scenario::{SECOND, Scenario, length, moment};

pub(super) fn setups(targets: usize) -> Vec<TargetSetup> {
    (0..targets)
        .map(|target| TargetSetup {
            key: key(target),
            channels: vec!["VOICE-SIP".into()],
            info: ["account", "project", "host", "v3"].map(str::to_owned),
        })
        .collect()
}

pub(super) fn key(target: usize) -> TargetKey {
    TargetKey { project: format!("project-{target}"), region: Region::Us1, client_env: ClientEnv::Live }
}

pub(super) fn counting(scenario: &Scenario) -> CountingPolicy {
    let labels = if scenario.by_channel { vec![Dimension::Channel] } else { Vec::new() };
    CountingPolicy {
        schema: SeriesSchema::from(&Metrics { labels, ..Metrics::default() }),
        settle: length(scenario.settle),
        settled_age: length(scenario.ages[0]),
        recent_window: length(15 * 60 * SECOND),
        max_label_values: NonZeroUsize::new(scenario.max_label_values).unwrap(),
    }
}

pub(super) fn policy(scenario: &Scenario) -> PollPolicy {
    PollPolicy {
        interval: length(scenario.interval),
        ages: scenario.ages.iter().map(|&age| length(age)).collect(),
        initial_lookback: length(scenario.lookback),
        anchor: scenario.anchor.map(moment),
        refetch_budget: scenario.refetch_budget,
    }
}
