//! The settings of an instance, as a plan has them.

use std::num::NonZeroUsize;

use polyai_exporter::aggregate::SeriesSchema;
use polyai_exporter::config::{Dimension, Metrics};
use polyai_exporter::planner::PollPolicy;
use polyai_exporter::recorder::{CountingPolicy, TargetSetup};
use polyai_exporter::target::{ClientEnv, Region, TargetKey};

use super::plan::{Plan, SECOND, length, moment};

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

pub(super) fn counting(plan: &Plan) -> CountingPolicy {
    let labels = if plan.by_channel { vec![Dimension::Channel] } else { Vec::new() };
    CountingPolicy {
        schema: SeriesSchema::from(&Metrics { labels, ..Metrics::default() }),
        settle: length(plan.settle),
        settled_age: length(plan.ages[0]),
        recent_window: length(15 * 60 * SECOND),
        max_label_values: NonZeroUsize::new(plan.max_label_values).unwrap(),
    }
}

pub(super) fn policy(plan: &Plan) -> PollPolicy {
    PollPolicy {
        interval: length(plan.interval),
        ages: plan.ages.iter().map(|&age| length(age)).collect(),
        initial_lookback: length(plan.lookback),
        anchor: plan.anchor.map(moment),
        refetch_budget: plan.refetch_budget,
    }
}
