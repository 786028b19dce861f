//! The thresholds of the shipped alert rules that the status page applies, so that the page agrees with the alerts.

use std::time::Duration;

use serde::Serialize;

use super::format::{Ratio, Seconds, span};

/// `common.stale_after`: data is fresh if a poll succeeded within this time.
pub(super) const STALE_AFTER: Duration = minutes(10);
/// Seconds that the 95th percentile of latencies may reach.
pub(super) const MAX_LATENCY: f64 = 5.0;
/// Above this, the 95th percentile is above [`MAX_LATENCY`].
const MAX_SLOW_RATIO: f64 = 0.05;
/// Conversations that make a recent ratio significant.
const MIN_RECENT: u64 = 30;

/// A part and its whole for each of the [`THRESHOLDS`], in their order.
pub(super) type AgentCounters = [(u64, u64); THRESHOLDS.len()];

/// The recent gauges of a target.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub(super) struct RecentRatios {
    pub(super) window_seconds: Seconds,
    pub(super) conversations: Option<u64>,
    pub(super) handoff_ratio: Option<Ratio>,
    pub(super) ood_turn_ratio: Option<Ratio>,
    pub(super) silence_turn_ratio: Option<Ratio>,
}

/// A threshold that is exceeded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Breach {
    pub(super) sentence: String,
    /// Whether the alert is critical.
    pub(super) critical: bool,
}

struct Threshold {
    alert: &'static str,
    subject: &'static str,
    window: Duration,
    ratio: f64,
    min_events: u64,
    critical: bool,
}

const THRESHOLDS: [Threshold; 5] = [
    Threshold {
        alert: "PolyAIHandoffRateHigh",
        subject: "conversations handed off",
        window: minutes(30),
        ratio: 0.5,
        min_events: 30,
        critical: true,
    },
    Threshold {
        alert: "PolyAISilenceHigh",
        subject: "turns silent",
        window: minutes(30),
        ratio: 0.2,
        min_events: 100,
        critical: true,
    },
    Threshold {
        alert: "PolyAIOutOfDomainHigh",
        subject: "turns out of domain",
        window: minutes(60),
        ratio: 0.15,
        min_events: 200,
        critical: false,
    },
    Threshold {
        alert: "PolyAITurnLatencyHigh",
        subject: "replies slower than 5 s",
        window: minutes(15),
        ratio: MAX_SLOW_RATIO,
        min_events: 100,
        critical: false,
    },
    Threshold {
        alert: "PolyAIGreetingLatencyHigh",
        subject: "greetings slower than 5 s",
        window: minutes(30),
        ratio: MAX_SLOW_RATIO,
        min_events: 30,
        critical: false,
    },
];

const fn minutes(number: u64) -> Duration {
    Duration::from_secs(number * 60)
}

/// The thresholds that a target exceeds. `earlier` returns the counters at the start of a window, and whether they are those
/// of its very start; if not, the recent ratios count too, because the counters miss what was before the process started.
pub(super) fn breaches(
    now: &AgentCounters,
    earlier: impl Fn(Duration) -> (AgentCounters, bool),
    recent: &RecentRatios,
) -> Vec<Breach> {
    let recent_ratios = [recent.handoff_ratio, recent.silence_turn_ratio, recent.ood_turn_ratio];
    let exceeds = |index: usize, threshold: &Threshold| -> Option<(f64, Duration)> {
        let (start, is_complete) = earlier(threshold.window);
        let ((part, whole), (old_part, old_whole)) = (*now.get(index)?, *start.get(index)?);
        let (part, whole) = (part.saturating_sub(old_part), whole.saturating_sub(old_whole));
        let increase = (whole >= threshold.min_events).then(|| (ratio(part, whole), threshold.window));
        let is_significant = !is_complete && recent.conversations >= Some(MIN_RECENT);
        let recent_ratio = recent_ratios.get(index).copied().flatten().filter(|_| is_significant);
        let recent = recent_ratio.map(|ratio| (ratio.0, recent.window_seconds.0));
        increase.into_iter().chain(recent).find(|(ratio, _)| *ratio > threshold.ratio)
    };
    let breach = |(index, threshold)| {
        let (ratio, window) = exceeds(index, threshold)?;
        let Threshold { alert, subject, ratio: limit, critical, .. } = *threshold;
        let (ratio, limit, window) = (Ratio(ratio), Ratio(limit), span(window));
        let sentence = format!("{ratio} of {subject} in the last {window}, limit {limit} ({alert})");
        Some(Breach { sentence, critical })
    };
    THRESHOLDS.iter().enumerate().filter_map(breach).collect()
}

#[expect(clippy::cast_precision_loss, reason = "counts of an hour")]
fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The value of a key in a section of the shipped thresholds.
    fn shipped(section: &str, key: &str) -> String {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/alerts/thresholds.yml");
        let text = std::fs::read_to_string(path).unwrap();
        let (_, rest) = text.split_once(&format!("{section}:\n")).unwrap();
        let line = rest.lines().find_map(|line| line.trim().strip_prefix(&format!("{key}: ")));
        line.unwrap_or_else(|| panic!("no {key} in {section}")).to_owned()
    }

    #[test]
    fn thresholds_are_those_of_the_shipped_rules() {
        let length = |text: &str| humantime::parse_duration(text).unwrap();
        assert_eq!(length(&shipped("common", "stale_after")), STALE_AFTER);
        for threshold in &THRESHOLDS {
            let value = |key: &str| shipped(threshold.alert, key);
            assert_eq!(length(&value("window")), threshold.window, "{}", threshold.alert);
            assert_eq!(value("severity") == "critical", threshold.critical, "{}", threshold.alert);
            let (whole, is_latency) = match threshold.alert {
                "PolyAIHandoffRateHigh" => ("min_conversations", false),
                "PolyAITurnLatencyHigh" => ("min_replies", true),
                "PolyAIGreetingLatencyHigh" => ("min_greetings", true),
                _ => ("min_turns", false),
            };
            assert_eq!(value(whole).parse(), Ok(threshold.min_events), "{}", threshold.alert);
            let (key, limit) = if is_latency { ("seconds", MAX_LATENCY) } else { ("ratio", threshold.ratio) };
            assert_eq!(value(key).parse(), Ok(limit), "{}", threshold.alert);
        }
    }

    #[test]
    fn each_threshold_is_exceeded_only_by_enough_events() {
        let none = |_: Duration| (AgentCounters::default(), true);
        let sentences = |counters: AgentCounters| -> Vec<String> {
            let found = breaches(&counters, none, &RecentRatios::default());
            found.into_iter().map(|breach| breach.sentence).collect()
        };
        let above = [(16, 30), (42, 200), (32, 200), (6, 100), (2, 30)];
        let expected = [
            "53 % of conversations handed off in the last 30 min, limit 50 % (PolyAIHandoffRateHigh)",
            "21 % of turns silent in the last 30 min, limit 20 % (PolyAISilenceHigh)",
            "16 % of turns out of domain in the last 1 h, limit 15 % (PolyAIOutOfDomainHigh)",
            "6.0 % of replies slower than 5 s in the last 15 min, limit 5.0 % (PolyAITurnLatencyHigh)",
            "6.7 % of greetings slower than 5 s in the last 30 min, limit 5.0 % (PolyAIGreetingLatencyHigh)",
        ];
        assert_eq!(sentences(above), expected);
        let few = [(16, 29), (99, 99), (99, 99), (6, 99), (2, 29)];
        assert_eq!(sentences(few), Vec::<String>::new());
        let at_limit = [(15, 30), (40, 200), (30, 200), (5, 100), (1, 30)];
        assert_eq!(sentences(at_limit), Vec::<String>::new());
    }

    #[test]
    fn recent_ratios_count_only_without_earlier_counters() {
        let recent = RecentRatios {
            conversations: Some(30),
            handoff_ratio: Some(Ratio(0.6)),
            window_seconds: Seconds(minutes(15)),
            ..RecentRatios::default()
        };
        let now = AgentCounters::default();
        let found = |is_complete| breaches(&now, |_| (now, is_complete), &recent);
        assert_eq!(found(true), []);
        let sentence =
            "60 % of conversations handed off in the last 15 min, limit 50 % (PolyAIHandoffRateHigh)"
                .to_owned();
        assert_eq!(found(false), [Breach { sentence, critical: true }]);
    }
}
