//! Sums over the committed series of one target, as on `/metrics`.

use std::sync::Arc;
use std::time::Duration;

use super::format::{Ratio, Seconds};
use super::thresholds::{AgentCounters, MAX_LATENCY, RecentRatios};
use polyai_domain::problem::Problem;
use polyai_domain::timestamp::Timestamp;
use polyai_engine::aggregate::{Histogram, Metric, SeriesKey, TargetSeries, Value};

/// The sums of one target. Options are absent before the first successful poll.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct TargetTotals {
    pub(super) counters: AgentCounters,
    pub(super) recent: RecentRatios,
    pub(super) open: Option<u64>,
    /// Start of the longest open conversation.
    pub(super) oldest_open: Option<Timestamp>,
    /// End of the newest counted conversation.
    pub(super) last_conversation: Option<Timestamp>,
    pub(super) watermark: Option<Timestamp>,
    pub(super) up: bool,
    /// Whether its conversation series are not shown yet.
    pub(super) catching_up: bool,
    pub(super) storage_failing: bool,
}

impl TargetTotals {
    pub(super) fn new(series: &TargetSeries, recent_window: Duration) -> Self {
        let sum = |metric| gauges(series, metric).map(|(_, value)| value).reduce(|a, b| a + b).map(to_count);
        let time = |metric| {
            let time = gauges(series, metric).map(|(_, value)| Timestamp::from_seconds(value)).next();
            // 0 before the first poll.
            time.filter(|time| time.millis() > 0)
        };
        let total = |metric| -> u64 {
            let values = series.of(metric).map(|(_, series)| &series.value);
            values.map(|value| if let Value::Counter(counter) = value { counter.count() } else { 0 }).sum()
        };
        let slow_and_all = |metric| {
            series.of(metric).fold((0, 0), |(slow, all), (_, series)| match &series.value {
                Value::Histogram(histogram) => (slow + slow_count(histogram), all + histogram.count()),
                Value::Counter(_) | Value::Gauge(_) => (slow, all),
            })
        };
        let turns = total(Metric::Turns);
        let storage = Problem::Storage.code();
        Self {
            counters: [
                (total(Metric::Handoffs), total(Metric::Conversations)),
                (total(Metric::SilenceTurns), turns),
                (total(Metric::OodTurns), turns),
                slow_and_all(Metric::TurnLatency),
                slow_and_all(Metric::GreetingLatency),
            ],
            recent: RecentRatios {
                window_seconds: Seconds(recent_window),
                conversations: sum(Metric::RecentConversations),
                handoff_ratio: weighted_ratio(series, Metric::RecentHandoffRatio),
                ood_turn_ratio: weighted_ratio(series, Metric::RecentOodTurnRatio),
                silence_turn_ratio: weighted_ratio(series, Metric::RecentSilenceTurnRatio),
            },
            open: sum(Metric::InProgress),
            oldest_open: time(Metric::OldestInProgressStart),
            last_conversation: time(Metric::LastConversation),
            watermark: time(Metric::TargetWatermark),
            up: gauges(series, Metric::TargetUp).any(|(_, value)| value > 0.0),
            catching_up: gauges(series, Metric::TargetCatchingUp).any(|(_, value)| value > 0.0),
            storage_failing: gauges(series, Metric::TargetProblem)
                .any(|(labels, value)| value > 0.0 && labels.iter().any(|label| **label == *storage)),
        }
    }
}

fn gauges(series: &TargetSeries, metric: Metric) -> impl Iterator<Item = (&[Arc<str>], f64)> {
    series.of(metric).filter_map(|(key, series)| Some((&*key.values, series.value.gauge()?)))
}

/// Observations in the buckets above [`MAX_LATENCY`].
fn slow_count(histogram: &Histogram) -> u64 {
    let fast = histogram.bounds().units().take_while(|&bound| bound < MAX_LATENCY).count() + 1;
    histogram.counts().iter().skip(fast).sum()
}

/// A ratio over all label sets, weighted by recent conversations: exact for handoffs, approximate for turns.
fn weighted_ratio(series: &TargetSeries, metric: Metric) -> Option<Ratio> {
    let (mut weight, mut sum) = (0.0, 0.0);
    for (key, ratio) in series.of(metric) {
        let key = SeriesKey { metric: Metric::RecentConversations, values: key.values.clone() };
        let conversations = series.get(&key).and_then(|series| series.value.gauge()).unwrap_or(0.0);
        let Some(ratio) = ratio.value.gauge() else { continue };
        weight += conversations;
        sum += ratio * conversations;
    }
    (weight > 0.0).then(|| Ratio(sum / weight))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped first")]
fn to_count(number: f64) -> u64 {
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
        let totals = TargetTotals::new(&series, Duration::ZERO);
        assert_eq!((totals.recent.conversations, totals.open), (Some(40), Some(4)));
        assert_eq!(totals.recent.handoff_ratio, Some(Ratio(0.2)));
        assert_eq!(totals.recent.silence_turn_ratio, None, "nothing is not zero");
        assert_eq!(totals.watermark, None);
    }

    #[test]
    fn missing_data_is_not_zero() {
        let totals = TargetTotals::new(&TargetSeries::default(), Duration::ZERO);
        assert_eq!((totals.open, totals.recent.conversations), (None, None));
    }

    #[test]
    fn storage_problem_is_detected() {
        let mut series = TargetSeries::default();
        assert!(!TargetTotals::new(&series, Duration::ZERO).storage_failing);
        series.set(Metric::TargetProblem, &[Arc::from("storage")], 1.0, AT);
        assert!(TargetTotals::new(&series, Duration::ZERO).storage_failing);
    }
}
