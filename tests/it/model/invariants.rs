//! What must hold for every generation that a scrape sees, whatever has happened.

use std::collections::{BTreeMap, BTreeSet};

use polyai_exporter::aggregate::{Metric, Series, SeriesKey, TargetSeries, Value};

use super::plan::Plan;

fn kept(series: &TargetSeries) -> impl Iterator<Item = (&SeriesKey, &Series)> {
    series.iter().filter(|(key, series)| key.metric.is_kept() && !matches!(series.value, Value::Gauge(_)))
}

/// How many conversations are shown.
pub(super) fn conversations(series: &TargetSeries) -> u64 {
    let values = series.of(Metric::Conversations).map(|(_, series)| match series.value {
        Value::Counter(value) => value,
        Value::Gauge(_) | Value::Histogram(_) => 0,
    });
    values.sum()
}

/// No counter and no bucket falls, and none begins anew.
pub(super) fn nothing_falls(before: &TargetSeries, now: &TargetSeries) {
    for (key, was) in kept(before) {
        let is = now.get(key).unwrap_or_else(|| panic!("{key:?} is gone"));
        assert_eq!(was.start, is.start, "{key:?} begins anew");
        let holds = match (&was.value, &is.value) {
            (Value::Counter(was), Value::Counter(is)) => was <= is,
            (Value::Histogram(was), Value::Histogram(is)) => {
                was.sum() <= is.sum() && was.counts().iter().zip(is.counts()).all(|(was, is)| was <= is)
            }
            (_, _) => false,
        };
        assert!(holds, "{key:?} falls from {:?} to {:?}", was.value, is.value);
    }
}

pub(super) fn counters_are_equal(before: &TargetSeries, now: &TargetSeries, what_happens: &str) {
    for ((key, was), (other, is)) in kept(before).zip(kept(now)) {
        assert!(key == other && was == is, "{what_happens} {key:?} from {was:?} to {other:?} {is:?}");
    }
    assert_eq!(kept(before).count(), kept(now).count(), "{what_happens} the number of series");
}

/// Bounded labels, and parts that add up.
pub(super) fn of_one_generation(plan: &Plan, series: &TargetSeries) {
    let mut values: BTreeMap<(Metric, usize), BTreeSet<&str>> = BTreeMap::new();
    let mut by_metric: BTreeMap<Metric, u64> = BTreeMap::new();
    for (key, series) in series.iter() {
        for (place, value) in key.values.iter().enumerate() {
            values.entry((key.metric, place)).or_default().insert(value);
        }
        let amount = match &series.value {
            Value::Counter(value) => *value,
            Value::Histogram(histogram) => histogram.count(),
            Value::Gauge(_) => 0,
        };
        *by_metric.entry(key.metric).or_default() += amount;
    }
    let from_the_target =
        [Metric::TargetProblem, Metric::TargetInfo, Metric::Amendments, Metric::LabelValuesFolded];
    for ((metric, _), values) in values.iter().filter(|((metric, _), _)| !from_the_target.contains(metric)) {
        assert!(values.len() <= plan.max_label_values + 1, "{metric:?} has the label values {values:?}");
    }
    let total = |metric| by_metric.get(&metric).copied().unwrap_or(0);
    let conversations = total(Metric::Conversations);
    // Every record of this API has a number of turns.
    assert_eq!(conversations, total(Metric::ConversationTurns), "conversations and their turns");
    assert_eq!(conversations, total(Metric::IngestLag), "conversations and their lags");
    assert_eq!(total(Metric::Handoffs), total(Metric::HandoffsByReason), "handoffs and their reasons");
    for part in [
        Metric::Handoffs,
        Metric::ConversationDuration,
        Metric::ConversationsWithOod,
        Metric::ConversationsWithSilence,
        Metric::WithoutTranscript,
        Metric::Late,
    ] {
        assert!(total(part) <= conversations, "{part:?} exceed the conversations");
    }
    for part in [Metric::OodTurns, Metric::SilenceTurns, Metric::BargeInTurns] {
        assert!(total(part) <= total(Metric::Turns), "{part:?} exceed the turns");
    }
}

/// Two instances with one anchor, where nothing was amended: all that does not tell of their schedules is the same.
pub(super) fn replicas_agree(one: &TargetSeries, other: &TargetSeries, target: usize) {
    let of_the_schedule = [Metric::Late, Metric::IngestLag, Metric::LabelValuesFolded];
    let values = |series: &TargetSeries| -> BTreeMap<SeriesKey, Value> {
        let compared = kept(series).filter(|(key, _)| !of_the_schedule.contains(&key.metric));
        let counted = compared.filter(|(_, series)| match &series.value {
            Value::Counter(value) => *value > 0,
            Value::Histogram(histogram) => histogram.count() > 0,
            Value::Gauge(_) => false,
        });
        counted.map(|(key, series)| (key.clone(), series.value.clone())).collect()
    };
    let (one, other) = (values(one), values(other));
    let keys: BTreeSet<&SeriesKey> = one.keys().chain(other.keys()).collect();
    for key in keys {
        assert_eq!(one.get(key), other.get(key), "the instances differ on target {target}: {key:?}");
    }
}
