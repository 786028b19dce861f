//! The gauges of a target: what is open, what ended recently, and how fresh all of it is.
//!
//! Owns: how they are derived. They are never stored; the next poll brings them back.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Status, TargetState};
use crate::aggregate::{Dimensions, Metric, Recent, TargetSeries};
use crate::ledger::Marks;
use crate::moment::Moment;
use crate::problem::Problem;

/// Shows what the live pass found open, and 0 for every other label set that is known.
pub(super) fn show_open(
    series: &mut TargetSeries,
    open: &BTreeMap<Dimensions, u32>,
    oldest: Option<Moment>,
    now: Moment,
) {
    let known = known_sets(series);
    series.clear(Metric::InProgress);
    for values in known.iter().chain(open.keys()) {
        series.set(Metric::InProgress, values, f64::from(open.get(values).copied().unwrap_or(0)), now);
    }
    series.clear(Metric::OldestInProgressStart);
    if let Some(oldest) = oldest {
        series.set(Metric::OldestInProgressStart, &[], oldest.seconds(), now);
    }
}

/// Shows the recent gauges: counts for every known label set, ratios only where there is something to divide by.
#[expect(clippy::cast_precision_loss, reason = "counts of a window are far below 2^53")]
pub(super) fn show_recent(series: &mut TargetSeries, recent: &Recent, now: Moment) {
    let known = known_sets(series);
    let ratios = [Metric::RecentHandoffRatio, Metric::RecentOodTurnRatio, Metric::RecentSilenceTurnRatio];
    for metric in [Metric::RecentConversations].into_iter().chain(ratios) {
        series.clear(metric);
    }
    for values in &known {
        series.set(Metric::RecentConversations, values, 0.0, now);
    }
    for (values, sums) in recent.sums() {
        series.set(Metric::RecentConversations, values, sums.conversations as f64, now);
        series.set(Metric::RecentHandoffRatio, values, sums.handoffs as f64 / sums.conversations as f64, now);
        if sums.turns > 0 {
            let share = |part: u64| part as f64 / sums.turns as f64;
            series.set(Metric::RecentOodTurnRatio, values, share(sums.ood_turns), now);
            series.set(Metric::RecentSilenceTurnRatio, values, share(sums.silence_turns), now);
        }
    }
}

/// Shows how far the target has been read.
pub(super) fn show_marks(series: &mut TargetSeries, marks: &Marks, now: Moment) {
    series.set(Metric::TargetWatermark, &[], marks.fresh.seconds(), now);
    series.set(Metric::TargetOverlap, &[], marks.overlap.as_secs_f64(), now);
}

/// Shows how the latest poll went.
pub(super) fn show_status(state: &mut TargetState, status: &Status) {
    let series = Arc::make_mut(&mut state.series);
    series.set(Metric::TargetUp, &[], if status.up { 1.0 } else { 0.0 }, status.now);
    if status.up {
        series.set(Metric::TargetLastSuccess, &[], status.now.seconds(), status.now);
    }
    series.clear(Metric::TargetProblem);
    for problem in &status.problems {
        series.set(Metric::TargetProblem, &[Arc::from(problem.code())], 1.0, status.now);
    }
}

/// Adds the problem that only the writer can see.
pub(super) fn flag_storage(series: &mut TargetSeries) {
    series.set(Metric::TargetProblem, &[Arc::from(Problem::Storage.code())], 1.0, Moment::from_millis(0));
}

/// The label sets that conversations have been counted under, or that are known to exist.
fn known_sets(series: &TargetSeries) -> Vec<Dimensions> {
    series.of(Metric::Conversations).map(|(key, _)| key.values.clone()).collect()
}
