//! The gauges of a target: what is open, what ended recently, and how fresh all of it is.
//!
//! Owns: how they are derived. They are never stored; the next poll brings them back.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{PollStatus, TargetSetup, TargetState};
use crate::aggregate::{LabelValues, Metric, RecentWindow, TargetSeries};
use crate::ledger::Watermarks;
use polyai_domain::problem::Problem;
use polyai_domain::timestamp::Timestamp;

/// Shows what the live pass found open, and 0 for every other label set that is known.
pub(super) fn show_open(
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

/// Shows the recent gauges: counts for every known label set, ratios only where there is something to divide by.
#[expect(clippy::cast_precision_loss, reason = "counts of a window are far below 2^53")]
pub(super) fn show_recent(series: &mut TargetSeries, recent: &RecentWindow, now: Timestamp) {
    let mut conversations = known_label_sets(series);
    let [mut handoff, mut ood, mut silence] = [const { BTreeMap::new() }; 3];
    for (values, sums) in recent.sums() {
        conversations.insert(values.clone(), sums.conversations as f64);
        handoff.insert(values.clone(), sums.handoffs as f64 / sums.conversations as f64);
        if sums.turns > 0 {
            ood.insert(values.clone(), sums.ood_turns as f64 / sums.turns as f64);
            silence.insert(values.clone(), sums.silence_turns as f64 / sums.turns as f64);
        }
    }
    series.set_all(Metric::RecentConversations, conversations, now);
    series.set_all(Metric::RecentHandoffRatio, handoff, now);
    series.set_all(Metric::RecentOodTurnRatio, ood, now);
    series.set_all(Metric::RecentSilenceTurnRatio, silence, now);
}

/// Shows what the target's labels stand for.
pub(super) fn show_info(series: &mut TargetSeries, setup: &TargetSetup, now: Timestamp) {
    let values: LabelValues = setup.info.iter().map(|value| Arc::from(value.as_str())).collect();
    series.set_all(Metric::TargetInfo, BTreeMap::from([(values, 1.0)]), now);
}

/// Shows how far the target has been read.
pub(super) fn set_watermark_gauges(series: &mut TargetSeries, marks: &Watermarks, now: Timestamp) {
    series.set(Metric::TargetWatermark, &[], marks.fresh.seconds(), now);
    series.set(Metric::TargetOverlap, &[], marks.overlap.as_secs_f64(), now);
}

/// Shows how the latest poll went.
pub(super) fn show_status(state: &mut TargetState, status: &PollStatus) {
    let series = Arc::make_mut(&mut state.series);
    series.set(Metric::TargetUp, &[], if status.up { 1.0 } else { 0.0 }, status.now);
    if status.up {
        series.set(Metric::TargetLastSuccess, &[], status.now.seconds(), status.now);
    }
    let problems = status.problems.iter().map(|problem| (Arc::from([Arc::from(problem.code())]), 1.0));
    series.set_all(Metric::TargetProblem, problems.collect(), status.now);
}

/// Adds the problem that only the writer can see.
pub(super) fn set_storage_problem(series: &mut TargetSeries) {
    series.set(Metric::TargetProblem, &[Arc::from(Problem::Storage.code())], 1.0, Timestamp::from_millis(0));
}

/// 0 for each label set that conversations have been counted under, or that is known to exist.
fn known_label_sets(series: &TargetSeries) -> BTreeMap<LabelValues, f64> {
    series.of(Metric::Conversations).map(|(key, _)| (key.values.clone(), 0.0)).collect()
}
