//! Invariants of every snapshot that a scrape sees.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use polyai_domain::timestamp::Timestamp;
use polyai_engine::aggregate::{Histogram, Metric, NativeHistogram, Series, SeriesKey, TargetSeries, Value};
use polyai_engine::recorder::Batch;

use super::scenario::Scenario;

fn kept(series: &TargetSeries) -> impl Iterator<Item = (&SeriesKey, &Arc<Series>)> {
    series
        .iter()
        .filter(|(key, series)| key.metric.is_persisted() && !matches!(series.value, Value::Gauge(_)))
}

/// The number of conversations that have counted.
pub(super) fn conversations(series: &TargetSeries) -> u64 {
    let values = series.of(Metric::Conversations).map(|(_, series)| match &series.value {
        Value::Counter(counter) => counter.count(),
        Value::Gauge(_) | Value::Histogram(_) => 0,
    });
    values.sum()
}

/// Whether scrapes see the conversations of a target, and not only how it is read.
pub(super) fn is_exposed(series: &TargetSeries) -> bool {
    let catching_up = series.of(Metric::TargetCatchingUp).find_map(|(_, series)| series.value.gauge());
    let is_exposed = catching_up == Some(0.0);
    let only_target = series.iter().all(|(key, _)| key.metric.is_about_target());
    assert_ne!(is_exposed, only_target, "catching up is {catching_up:?}");
    is_exposed
}

/// Two samples of the same records, at rest, are equal. Start timestamps and exemplars are too if the records alone say when each
/// call ended.
pub(super) fn rebuilt_agree(one: &TargetSeries, other: &TargetSeries, has_ends: bool, what: &str) {
    let comparable = |series: &TargetSeries| -> BTreeMap<SeriesKey, (Option<Timestamp>, Compared)> {
        let of_the_content = kept(series).filter(|(key, _)| key.metric != Metric::IngestLag);
        let compared = of_the_content.map(|(key, series)| {
            (key.clone(), (has_ends.then_some(series.start), comparable(&series.value, has_ends)))
        });
        compared.collect()
    };
    let (one, other) = (comparable(one), comparable(other));
    let keys: BTreeSet<&SeriesKey> = one.keys().chain(other.keys()).collect();
    for key in keys {
        assert_eq!(one.get(key), other.get(key), "{what}: {key:?}");
    }
}

/// The gauge of open conversations equals the number of different ones in the open list.
pub(super) fn each_open_call_counts_once(listing: &Batch, series: &TargetSeries) {
    let open: BTreeSet<_> = listing.observations.iter().map(|sighting| &sighting.conversation.id).collect();
    let gauges = series.of(Metric::InProgress).map(|(_, series)| match series.value {
        Value::Gauge(number) => number,
        Value::Counter(_) | Value::Histogram(_) => 0.0,
    });
    let (shown, listed) = (gauges.sum::<f64>(), u32::try_from(open.len()).unwrap());
    assert!((shown - f64::from(listed)).abs() < 0.5, "{shown} conversations are shown as open, {listed} are");
}

/// No counter and no bucket falls, none is reset, and no exemplar is replaced by an older one.
pub(super) fn nothing_falls(before: &TargetSeries, now: &TargetSeries) {
    for (key, was) in kept(before) {
        let is = now.get(key).unwrap_or_else(|| panic!("{key:?} is gone"));
        // An anchor that was in the future has been corrected: nothing had counted.
        let is_corrected = is.start < was.start && is_zero(&was.value);
        assert!(was.start == is.start || is_corrected, "{key:?} is reset from {} to {}", was.start, is.start);
        let holds = match (&was.value, &is.value) {
            (Value::Counter(was), Value::Counter(is)) => {
                was.count() <= is.count() && was.exemplar() <= is.exemplar()
            }
            (Value::Histogram(was), Value::Histogram(is)) => {
                was.sum() <= is.sum()
                    && was.counts().iter().zip(is.counts()).all(|(was, is)| was <= is)
                    && was.exemplars().iter().zip(is.exemplars()).all(|(was, is)| was <= is)
                    && was.exemplars().len() <= is.exemplars().len()
                    && no_sparse_bucket_falls(was, is)
            }
            (_, _) => false,
        };
        assert!(holds, "{key:?} falls from {:?} to {:?}", was.value, is.value);
    }
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Counter(counter) => counter.count() == 0,
        Value::Histogram(histogram) => histogram.count() == 0,
        Value::Gauge(_) => false,
    }
}

fn no_sparse_bucket_falls(was: &Histogram, is: &Histogram) -> bool {
    let is_now: BTreeMap<i32, u64> = is.native().downscale_to(usize::MAX).buckets.into_iter().collect();
    let mut buckets = was.native().downscale_to(usize::MAX).buckets.into_iter();
    was.native().zero_count() <= is.native().zero_count()
        && buckets.all(|(index, count)| is_now.get(&index).is_some_and(|is| count <= *is))
}

pub(super) fn counters_are_equal(before: &TargetSeries, now: &TargetSeries, what_happens: &str) {
    for ((key, was), (other, is)) in kept(before).zip(kept(now)) {
        assert!(key == other && was == is, "{what_happens} {key:?} from {was:?} to {other:?} {is:?}");
    }
    assert_eq!(kept(before).count(), kept(now).count(), "{what_happens} the number of series");
}

/// Bounded labels, and parts that add up.
pub(super) fn of_one_generation(scenario: &Scenario, series: &TargetSeries) {
    let mut values: BTreeMap<(Metric, usize), BTreeSet<&str>> = BTreeMap::new();
    let mut by_metric: BTreeMap<Metric, u64> = BTreeMap::new();
    for (key, series) in series.iter() {
        for (place, value) in key.values.iter().enumerate() {
            values.entry((key.metric, place)).or_default().insert(value);
        }
        let amount = match &series.value {
            Value::Counter(counter) => {
                assert!(counter.exemplar().is_none() || counter.count() > 0, "{key:?}: {counter:?}");
                counter.count()
            }
            Value::Histogram(histogram) => {
                of_one_histogram(key, histogram);
                histogram.count()
            }
            Value::Gauge(_) => 0,
        };
        *by_metric.entry(key.metric).or_default() += amount;
    }
    let from_the_target =
        [Metric::TargetProblem, Metric::TargetInfo, Metric::Amendments, Metric::LabelValuesFolded];
    for ((metric, _), values) in values.iter().filter(|((metric, _), _)| !from_the_target.contains(metric)) {
        assert!(values.len() <= scenario.max_label_values + 1, "{metric:?} has the label values {values:?}");
    }
    if !is_exposed(series) {
        return;
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

/// Native and classic buckets agree, and exemplars are in their buckets.
fn of_one_histogram(key: &SeriesKey, histogram: &Histogram) {
    for limit in [usize::MAX, 160, 3] {
        let sparse: u64 = histogram.native().downscale_to(limit).buckets.iter().map(|(_, count)| count).sum();
        assert_eq!(sparse + histogram.native().zero_count(), histogram.count(), "{key:?}: {histogram:?}");
    }
    let has_exemplars = key.metric.definition().exemplars && histogram.count() > 0;
    let expected = if has_exemplars { histogram.counts().len() } else { 0 };
    assert_eq!(histogram.exemplars().len(), expected, "{key:?}: {histogram:?}");
    let upper: Vec<f64> = histogram.bounds().units().chain([f64::INFINITY]).collect();
    for (bucket, exemplar) in histogram.exemplars().iter().enumerate() {
        let lower = bucket.checked_sub(1).map_or(-1.0, |below| upper[below]);
        let is_within = |value: f64| lower < value && value <= upper[bucket];
        assert_eq!(exemplar.is_some(), histogram.counts()[bucket] > 0, "{key:?}: {histogram:?}");
        assert!(
            exemplar.as_ref().is_none_or(|exemplar| is_within(exemplar.value())),
            "{key:?}: {exemplar:?}"
        );
    }
}

/// Two instances with one anchor, where nothing was amended, agree on everything that does not depend on the times of their
/// polls. Exemplars agree if the records alone say when each call ended.
pub(super) fn replicas_agree(one: &TargetSeries, other: &TargetSeries, target: usize, even_exemplars: bool) {
    let of_the_schedule = [Metric::Late, Metric::IngestLag, Metric::LabelValuesFolded];
    let values = |series: &TargetSeries| -> BTreeMap<SeriesKey, Compared> {
        let compared = kept(series).filter(|(key, _)| !of_the_schedule.contains(&key.metric));
        let counted = compared.filter(|(_, series)| match &series.value {
            Value::Counter(counter) => counter.count() > 0,
            Value::Histogram(histogram) => histogram.count() > 0,
            Value::Gauge(_) => false,
        });
        counted.map(|(key, series)| (key.clone(), comparable(&series.value, even_exemplars))).collect()
    };
    let (one, other) = (values(one), values(other));
    let keys: BTreeSet<&SeriesKey> = one.keys().chain(other.keys()).collect();
    for key in keys {
        assert_eq!(one.get(key), other.get(key), "the instances differ on target {target}: {key:?}");
    }
}

#[derive(Debug, PartialEq)]
enum Compared {
    Whole(Value),
    Counts(Vec<u64>, f64, NativeHistogram),
}

fn comparable(value: &Value, even_exemplars: bool) -> Compared {
    match value {
        Value::Counter(counter) if !even_exemplars => {
            Compared::Counts(vec![counter.count()], 0.0, NativeHistogram::default())
        }
        Value::Histogram(one) if !even_exemplars => {
            Compared::Counts(one.counts().to_vec(), one.sum(), one.native().clone())
        }
        Value::Counter(_) | Value::Histogram(_) | Value::Gauge(_) => Compared::Whole(value.clone()),
    }
}
