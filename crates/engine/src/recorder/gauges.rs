//! The gauges of a target. They are not stored: the next poll sets them again.

use std::collections::BTreeMap;
use std::sync::Arc;

use polyai_domain::problem::Problem;
use polyai_domain::timestamp::Timestamp;

use super::batch::PollStatus;
use crate::aggregate::{Kind, LabelValues, Metric, RecentWindow, SeriesSchema, TargetSeries};
use crate::ledger::{CatchUp, Watermarks};

/// Sets the number of open conversations, with 0 for every other known label set, and the start of the oldest.
pub(super) fn set_open(
    series: &mut TargetSeries,
    open: &BTreeMap<LabelValues, u32>,
    oldest: Option<Timestamp>,
    now: Timestamp,
) {
    let mut in_progress = known_label_sets(series);
    in_progress.extend(open.iter().map(|(values, &number)| (values.clone(), f64::from(number))));
    series.set_all(Metric::InProgress, in_progress, now);
    let oldest = oldest.map(|oldest| (Arc::from([]), oldest.seconds()));
    series.set_all(Metric::OldestInProgressStart, oldest.into_iter().collect(), now);
}

/// Sets the recent gauges: counts for every known label set, ratios only where there is something to divide by.
#[expect(clippy::cast_precision_loss, reason = "counts of a window are far below 2^53")]
pub(super) fn set_recent(series: &mut TargetSeries, recent: &RecentWindow, now: Timestamp) {
    let mut conversations = known_label_sets(series);
    let [mut handoff, mut ood, mut silence] = [const { BTreeMap::new() }; 3];
    for (values, totals) in recent.totals() {
        conversations.insert(values.clone(), totals.conversations as f64);
        for (ratios, share) in [
            (&mut handoff, totals.handoffs),
            (&mut ood, totals.ood_turns),
            (&mut silence, totals.silence_turns),
        ] {
            ratios.extend(share.ratio().map(|ratio| (values.clone(), ratio)));
        }
    }
    series.set_all(Metric::RecentConversations, conversations, now);
    series.set_all(Metric::RecentHandoffRatio, handoff, now);
    series.set_all(Metric::RecentOodTurnRatio, ood, now);
    series.set_all(Metric::RecentSilenceTurnRatio, silence, now);
}

pub(super) fn set_info(series: &mut TargetSeries, info: &[String], now: Timestamp) {
    let values: LabelValues = info.iter().map(|value| Arc::from(value.as_str())).collect();
    series.set_all(Metric::TargetInfo, BTreeMap::from([(values, 1.0)]), now);
}

pub(super) fn set_watermarks(series: &mut TargetSeries, watermarks: &Watermarks, now: Timestamp) {
    series.set(Metric::TargetWatermark, &[], watermarks.fresh.seconds(), now);
    series.set(Metric::TargetOverlap, &[], watermarks.overlap.as_secs_f64(), now);
    let is_catching_up = watermarks.catch_up != CatchUp::Done;
    series.set(Metric::TargetCatchingUp, &[], if is_catching_up { 1.0 } else { 0.0 }, now);
}

pub(super) fn set_poll_status(series: &mut TargetSeries, status: &PollStatus) {
    series.set(Metric::TargetUp, &[], if status.up { 1.0 } else { 0.0 }, status.now);
    if status.up {
        series.set(Metric::TargetLastSuccess, &[], status.now.seconds(), status.now);
    }
    let problems = status.problems.iter().map(|problem| (Arc::from([Arc::from(problem.code())]), 1.0));
    series.set_all(Metric::TargetProblem, problems.collect(), status.now);
    let fields = status.missing_fields.iter().map(|field| (Arc::from([Arc::from(field.as_str())]), 1.0));
    series.set_all(Metric::TargetMissingField, fields.collect(), status.now);
}

/// Sets the values of a target before its first poll.
pub(super) fn set_unpolled(series: &mut TargetSeries, now: Timestamp) {
    use Metric::{TargetLastSuccess, TargetOverlap, TargetUp, TargetWatermark};
    for metric in [TargetUp, TargetLastSuccess, TargetWatermark, TargetOverlap] {
        series.set(metric, &[], 0.0, now);
    }
    series.set(Metric::TargetCatchingUp, &[], 1.0, now);
}

/// Adds the problem that only the recorder can see.
pub(super) fn set_storage_problem(series: &mut TargetSeries) {
    series.set(Metric::TargetProblem, &[Arc::from(Problem::Storage.code())], 1.0, Timestamp::from_millis(0));
}

/// Copies the gauges whose labels are the same in both schemas: the results of the last poll hold until the next one.
pub(super) fn carry_over(from: &TargetSeries, old: &SeriesSchema, to: &mut TargetSeries, new: &SeriesSchema) {
    for (key, series) in from.iter() {
        let is_gauge = matches!(key.metric.definition().kind, Kind::Gauge);
        if is_gauge && old.label_names(key.metric) == new.label_names(key.metric) {
            to.restore(key.clone(), (**series).clone());
        }
    }
}

/// 0 for each label set that conversations have been counted under, or that is known to exist.
fn known_label_sets(series: &TargetSeries) -> BTreeMap<LabelValues, f64> {
    series.of(Metric::Conversations).map(|(key, _)| (key.values.clone(), 0.0)).collect()
}
