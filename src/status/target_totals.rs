//! What the committed series of one target say, summed over its channels and variants.
//!
//! Owns: the sums. They are those of `/metrics`, because they are made from the same generation.

use crate::aggregate::{Metric, Series, SeriesKey, TargetSeries, Value};
use crate::problem::Problem;
use crate::timestamp::Timestamp;

/// The figures of one target.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct TargetTotals {
    /// Conversations counted.
    pub(super) conversations: u64,
    /// Of these, handed off.
    pub(super) handoffs: u64,
    /// Open at the last poll that listed them; none before the first.
    pub(super) open: Option<u64>,
    /// When the longest open one started.
    pub(super) oldest_open: Option<Timestamp>,
    /// When the newest counted one ended.
    pub(super) last_conversation: Option<Timestamp>,
    /// How far the target has been read, in the API's time.
    pub(super) watermark: Option<Timestamp>,
    /// Ended within the recent window; none before the first poll that succeeded.
    pub(super) recent: Option<u64>,
    /// Of these, handed off; 0 to 1.
    pub(super) recent_handoff: Option<f64>,
    /// Share of their turns that was out of domain.
    pub(super) recent_ood: Option<f64>,
    /// Share of their turns that was silence.
    pub(super) recent_silence: Option<f64>,
    /// Whether the last poll succeeded.
    pub(super) up: bool,
    /// Whether the state could not be written.
    pub(super) storage_fails: bool,
}

impl TargetTotals {
    /// From committed series.
    pub(super) fn of(series: &TargetSeries) -> Self {
        // What has never been read is unknown, and not 0.
        let sum = |metric| {
            let is_known = gauges(series, metric).next().is_some();
            is_known.then(|| whole(gauges(series, metric).map(|(_, value)| value).sum()))
        };
        let time = |metric| gauges(series, metric).map(|(_, value)| moment(value)).next().filter(is_set);
        let storage = Problem::Storage.code();
        Self {
            conversations: total(series, Metric::Conversations),
            handoffs: total(series, Metric::Handoffs),
            open: sum(Metric::InProgress),
            oldest_open: time(Metric::OldestInProgressStart),
            last_conversation: time(Metric::LastConversation),
            watermark: time(Metric::TargetWatermark),
            recent: sum(Metric::RecentConversations),
            recent_handoff: weighted_ratio(series, Metric::RecentHandoffRatio),
            recent_ood: weighted_ratio(series, Metric::RecentOodTurnRatio),
            recent_silence: weighted_ratio(series, Metric::RecentSilenceTurnRatio),
            up: gauges(series, Metric::TargetUp).any(|(_, value)| value > 0.0),
            storage_fails: gauges(series, Metric::TargetProblem)
                .any(|(values, value)| value > 0.0 && values.iter().any(|value| **value == *storage)),
        }
    }
}

type Values<'a> = &'a [std::sync::Arc<str>];

fn gauges(series: &TargetSeries, metric: Metric) -> impl Iterator<Item = (Values<'_>, f64)> {
    series.of(metric).filter_map(|(key, series)| Some((&*key.values, gauge(series)?)))
}

fn gauge(series: &Series) -> Option<f64> {
    match series.value {
        Value::Gauge(value) => Some(value),
        Value::Counter(_) | Value::Histogram(_) => None,
    }
}

fn total(series: &TargetSeries, metric: Metric) -> u64 {
    let counts = series.of(metric).map(|(_, series)| match &series.value {
        Value::Counter(counter) => counter.count(),
        Value::Gauge(_) | Value::Histogram(_) => 0,
    });
    counts.sum()
}

/// A ratio over all label sets: each weighs as much as it has recent conversations. Of turns that is close, of handoffs exact.
fn weighted_ratio(series: &TargetSeries, metric: Metric) -> Option<f64> {
    let (mut weight, mut weighed) = (0.0, 0.0);
    for (key, ratio) in series.of(metric) {
        let of = SeriesKey { metric: Metric::RecentConversations, values: key.values.clone() };
        let conversations = series.get(&of).and_then(|series| gauge(series)).unwrap_or(0.0);
        let Some(ratio) = gauge(ratio) else { continue };
        weight += conversations;
        weighed += ratio * conversations;
    }
    (weight > 0.0).then(|| weighed / weight)
}

/// Times before the first poll are 0.
fn is_set(moment: &Timestamp) -> bool {
    moment.millis() > 0
}

#[expect(clippy::cast_possible_truncation, reason = "times of this century")]
fn moment(seconds: f64) -> Timestamp {
    Timestamp::from_millis((seconds * 1000.0).round() as i64)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped first")]
fn whole(number: f64) -> u64 {
    number.clamp(0.0, 1e15).round() as u64
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::*;

    const AT: Timestamp = Timestamp::from_millis(1_787_217_300_000);

    #[test]
    fn ratios_are_weighted_by_conversations() {
        let mut series = TargetSeries::default();
        let two = |phone: f64, chat: f64| {
            let values = |name: &str| Arc::from([Arc::from(name)]);
            BTreeMap::from([(values("VOICE-SIP"), phone), (values("CHAT"), chat)])
        };
        series.set_all(Metric::RecentConversations, two(30.0, 10.0), AT);
        series.set_all(Metric::RecentHandoffRatio, two(0.1, 0.5), AT);
        series.set_all(Metric::InProgress, two(3.0, 1.0), AT);
        let figures = TargetTotals::of(&series);
        assert_eq!((figures.recent, figures.open), (Some(40), Some(4)));
        assert_eq!(figures.recent_handoff, Some(0.2));
        assert_eq!(figures.recent_silence, None, "nothing is not zero");
        assert_eq!(figures.watermark, None);
    }

    #[test]
    fn absent_data_is_not_zero_calls() {
        let figures = TargetTotals::of(&TargetSeries::default());
        assert_eq!((figures.open, figures.recent), (None, None));
    }

    #[test]
    fn storage_problem_is_shown() {
        let mut series = TargetSeries::default();
        assert!(!TargetTotals::of(&series).storage_fails);
        series.set(Metric::TargetProblem, &[Arc::from("storage")], 1.0, AT);
        assert!(TargetTotals::of(&series).storage_fails);
    }
}
