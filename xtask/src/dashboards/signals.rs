//! The signals of a voice agent: measure, limits, and the words for its states.
//!
//! Owns: the limits that colour the dashboards, in one place, and the one state of a target. Never: panels.

use polyai_engine::aggregate::catalogue::Metric;

use crate::dashboards::field::{BAD, Field, GOOD, MUTED, WARN};
use crate::dashboards::query::{Scope, max_by, sum_by};

/// The labels of a row: what an engineer is responsible for.
pub(crate) const TARGET: &[&str] = &["project", "region"];
/// The legend of a series of a target.
pub(crate) const TARGET_LEGEND: &str = "{{project}} {{region}}";
/// The window that the reader chose.
pub(crate) const WINDOW: &str = "$window";

/// From where on a measure is worrying, and from where on it is bad. One of the two is the limit of an alert in
/// `alerts/thresholds.yml`: the first of a warning, the second of a critical one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limit {
    /// Orange from here on.
    pub(crate) warn: f64,
    /// Red from here on.
    pub(crate) bad: f64,
}

/// Share of conversations.
pub(crate) const HANDOFF: Limit = Limit { warn: 0.35, bad: 0.5 };
/// p95, in seconds.
pub(crate) const LATENCY: Limit = Limit { warn: 5.0, bad: 7.0 };
/// p95, in seconds.
pub(crate) const GREETING: Limit = Limit { warn: 5.0, bad: 7.0 };
/// Share of turns.
pub(crate) const OOD: Limit = Limit { warn: 0.15, bad: 0.3 };
/// Share of turns.
pub(crate) const SILENCE: Limit = Limit { warn: 0.1, bad: 0.2 };
/// Share of conversations under [`SHORT_SECONDS`].
pub(crate) const SHORT: Limit = Limit { warn: 0.3, bad: 0.5 };
/// Seconds since the last good poll.
pub(crate) const AGE: Limit = Limit { warn: 300.0, bad: 600.0 };

/// The alerts whose limits these are: name and key in `alerts/thresholds.yml`, and the limit.
#[cfg(test)]
pub(crate) const ALERTS: [(&str, &str, f64); 6] = [
    ("PolyAIHandoffRateHigh", "ratio", HANDOFF.bad),
    ("PolyAITurnLatencyHigh", "seconds", LATENCY.warn),
    ("PolyAIGreetingLatencyHigh", "seconds", GREETING.warn),
    ("PolyAIOutOfDomainHigh", "ratio", OOD.warn),
    ("PolyAISilenceHigh", "ratio", SILENCE.bad),
    ("PolyAIShortConversationsHigh", "ratio", SHORT.warn),
];

/// A conversation that is shorter counts as short. A bound of the histogram.
pub(crate) const SHORT_SECONDS: f64 = 15.0;
/// A reply that takes longer misses the goal for latency. A bound of the histogram.
pub(crate) const SLOW_SECONDS: f64 = 3.5;

impl Field {
    /// Coloured by a limit.
    pub(crate) fn judged_by(self, limit: Limit) -> Self {
        self.limits(limit.warn, limit.bad)
    }

    /// With a limit as lines in a graph.
    pub(crate) fn lines_at(self, limit: Limit) -> Self {
        self.steps(&[(None, "transparent"), (Some(limit.warn), WARN), (Some(limit.bad), BAD)])
            .custom("axisSoftMax", limit.bad)
    }
}

impl Scope {
    pub(crate) fn handoff(self, by: &[&str]) -> String {
        self.share(&self.of(Metric::Handoffs), &self.of(Metric::Conversations), by, WINDOW)
    }

    pub(crate) fn turn_share(self, metric: Metric, by: &[&str]) -> String {
        self.share(&self.of(metric), &self.of(Metric::Turns), by, WINDOW)
    }

    pub(crate) fn latency(self, quantile: f64, by: &[&str]) -> String {
        self.quantile(quantile, Metric::TurnLatency, by, WINDOW)
    }

    pub(crate) fn short(self, by: &[&str]) -> String {
        let (short, all) = (
            self.bucket(Metric::ConversationDuration).up_to(SHORT_SECONDS),
            self.count(Metric::ConversationDuration),
        );
        self.share(&short, &all, by, WINDOW)
    }

    /// The most severe state of each target, as a number of [`STATES`].
    pub(crate) fn state(self) -> String {
        // Ten more where it is bad and not only worrying.
        let over = |kind: i32, measure: String, limit: Limit| {
            format!("((({measure}) > {}) > bool {}) * {BADLY} + {kind}", limit.warn, limit.bad)
        };
        let holds = |kind: i32, what: String| format!("({what}) * 0 + {kind}");
        let ended = self.ended(TARGET, WINDOW);
        let week_ago = sum_by(TARGET, self.of(Metric::Conversations).increase_weeks_ago(WINDOW, 1));
        let running = sum_by(TARGET, self.of(Metric::InProgress));
        let last_success = max_by(TARGET, self.of(Metric::TargetLastSuccess));
        // One poll that failed is retried before anybody need know.
        let polled = max_by(TARGET, format!("max_over_time({}[2m])", self.of(Metric::TargetUp)));
        let silent = format!("({ended} == 0 and {running} == 0 and {week_ago} >= $min_conversations)");
        let kinds = [
            ("never", holds(19, format!("{last_success} == 0"))),
            ("stale", holds(18, format!("({}) > {}", self.data_age(TARGET), AGE.bad))),
            ("blind", holds(17, format!("{polled} == 0"))),
            ("quiet", holds(16, silent)),
            ("short", over(5, self.short(TARGET), SHORT)),
            ("silence", over(4, self.turn_share(Metric::SilenceTurns, TARGET), SILENCE)),
            ("latency", over(3, self.latency(0.95, TARGET), LATENCY)),
            ("handoff", over(2, self.handoff(TARGET), HANDOFF)),
            ("ood", over(1, self.turn_share(Metric::OodTurns, TARGET), OOD)),
        ];
        // A separate label keeps the sides of `or` apart.
        let kinds =
            kinds.map(|(kind, expr)| format!("label_replace({expr}, \"kind\", \"{kind}\", \"\", \"\")"));
        let enough = format!("({ended} >= bool $min_conversations) - 1");
        max_by(TARGET, format!("{} or {enough}", kinds.join(" or ")))
    }
}

/// Added to the number of a state that is bad and not only worrying.
const BADLY: i32 = 10;

/// The numbers of [`Scope::state`], most severe first, with words and colors.
pub(crate) const STATES: [(i32, &str, &str); 16] = [
    (19, "never read", "purple"),
    (18, "data is stale", "purple"),
    (17, "polls fail", "purple"),
    (16, "no calls", BAD),
    (15, "callers hang up", BAD),
    (14, "silence", BAD),
    (13, "very slow replies", BAD),
    (12, "handoff wave", BAD),
    (11, "not understood", BAD),
    (5, "some hang up", WARN),
    (4, "some silence", WARN),
    (3, "slow replies", WARN),
    (2, "many handoffs", WARN),
    (1, "some not understood", WARN),
    (0, "fine", GOOD),
    (-1, "few calls", MUTED),
];

/// The states as words in their colours.
pub(crate) fn state_field() -> Field {
    let steps =
        [(None, MUTED), (Some(0.0), GOOD), (Some(1.0), WARN), (Some(11.0), BAD), (Some(17.0), "purple")];
    Field::default().words(&STATES).steps(&steps)
}

/// The meaning of the states, for descriptions.
pub(crate) const STATES_EXPLAINED: &str = "States, the most severe first. Purple, there is no current data: never read; data is stale (no good \
    poll for 10 minutes); polls fail (for 2 minutes). Red or orange, by how far a limit is passed: no calls (none ended within \
    the window and none runs, where last week had enough); some or many callers hang up (30 or 50 % of calls are shorter than \
    15 s); some silence or much (10 or 20 % of turns); slow replies or very slow ones (p95 of 5 or 7 s); many handoffs or a wave of \
    them (35 or 50 % of calls); some or many turns not understood (15 or 30 %). Then fine, and few calls: too few to judge.";

/// The location of the limits, for descriptions.
pub(crate) const LIMITS_ARE: &str =
    "The limits are those of alerts/thresholds.yml; dashboards/README.md explains how to change them.";
