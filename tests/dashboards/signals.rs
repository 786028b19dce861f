//! What is watched of a voice agent: the measure, from where on it is worrying, and in which words it is told.
//!
//! Owns: the limits that colour the dashboards, in one place, and the one state of a target. Never: panels.

use polyai_exporter::aggregate::catalogue::Metric;

use crate::field::{BAD, Field, GOOD, MUTED, WARN};
use crate::query::{Scope, max_by, sum_by};

/// The labels of a row: what an engineer is responsible for.
pub(crate) const TARGET: &[&str] = &["project", "region"];
/// How a series of a target is called.
pub(crate) const TARGET_LEGEND: &str = "{{project}} {{region}}";
/// The window that the reader chose.
pub(crate) const WINDOW: &str = "$window";

/// Where a measure is coloured, and where its state is called by it: the limit of its alert in `alerts/thresholds.yml`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limit {
    /// Orange from here on.
    pub(crate) warn: f64,
    /// Red from here on.
    pub(crate) bad: f64,
    /// The alert's own.
    pub(crate) alert: f64,
}

/// Share of conversations; `PolyAIHandoffRateHigh`.
pub(crate) const HANDOFF: Limit = Limit { warn: 0.35, bad: 0.5, alert: 0.5 };
/// p95, in seconds; `PolyAITurnLatencyHigh`.
pub(crate) const LATENCY: Limit = Limit { warn: 5.0, bad: 7.0, alert: 5.0 };
/// p95, in seconds; `PolyAIGreetingLatencyHigh`.
pub(crate) const GREETING: Limit = Limit { warn: 5.0, bad: 7.0, alert: 5.0 };
/// Share of turns; `PolyAIOutOfDomainHigh`.
pub(crate) const OOD: Limit = Limit { warn: 0.15, bad: 0.3, alert: 0.15 };
/// Share of turns; `PolyAISilenceHigh`.
pub(crate) const SILENCE: Limit = Limit { warn: 0.1, bad: 0.2, alert: 0.2 };
/// Share of conversations under [`SHORT_SECONDS`]; `PolyAIShortConversationsHigh`.
pub(crate) const SHORT: Limit = Limit { warn: 0.3, bad: 0.5, alert: 0.3 };
/// Seconds since the last good poll; `common.stale_after`.
pub(crate) const AGE: Limit = Limit { warn: 300.0, bad: 600.0, alert: 600.0 };

/// Who hangs up before this has hardly been served. A bound of the histogram.
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

    /// The gravest thing that holds for each target, as a number of [`STATES`].
    pub(crate) fn state(self) -> String {
        let over = |measure: String, limit: Limit| format!("({measure}) > {}", limit.alert);
        let ended = self.ended(TARGET, WINDOW);
        let week_ago = sum_by(TARGET, self.of(Metric::Conversations).increase_weeks_ago(WINDOW, 1));
        let running = sum_by(TARGET, self.of(Metric::InProgress));
        let last_success = max_by(TARGET, self.of(Metric::TargetLastSuccess));
        // One poll that failed is retried before anybody need know.
        let polled = max_by(TARGET, format!("max_over_time({}[2m])", self.of(Metric::TargetUp)));
        let silent = format!("({ended} == 0 and {running} == 0 and {week_ago} >= $min_conversations)");
        let kinds = [
            (9, "never", format!("{last_success} == 0")),
            (8, "stale", over(self.data_age(TARGET), AGE)),
            (7, "blind", format!("{polled} == 0")),
            (6, "quiet", silent),
            (5, "short", over(self.short(TARGET), SHORT)),
            (4, "silence", over(self.turn_share(Metric::SilenceTurns, TARGET), SILENCE)),
            (3, "latency", over(self.latency(0.95, TARGET), LATENCY)),
            (2, "handoff", over(self.handoff(TARGET), HANDOFF)),
            (1, "ood", over(self.turn_share(Metric::OodTurns, TARGET), OOD)),
        ];
        // A label of its own keeps the sides of `or` apart.
        let kinds = kinds.map(|(number, kind, holds)| {
            format!("label_replace(({holds}) * 0 + {number}, \"kind\", \"{kind}\", \"\", \"\")")
        });
        let enough = format!("({ended} >= bool $min_conversations) - 1");
        max_by(TARGET, format!("{} or {enough}", kinds.join(" or ")))
    }
}

/// The numbers of [`Scope::state`], gravest first, in words and colours.
pub(crate) const STATES: [(i32, &str, &str); 11] = [
    (9, "never read", "purple"),
    (8, "data is stale", "purple"),
    (7, "polls fail", "purple"),
    (6, "no calls", BAD),
    (5, "callers hang up", BAD),
    (4, "silence", BAD),
    (3, "slow replies", BAD),
    (2, "handoffs", WARN),
    (1, "not understood", WARN),
    (0, "fine", GOOD),
    (-1, "few calls", MUTED),
];

/// The states as words in their colours.
pub(crate) fn state_field() -> Field {
    Field::default().words(&STATES).steps(&[
        (None, MUTED),
        (Some(0.0), GOOD),
        (Some(1.0), WARN),
        (Some(3.0), BAD),
    ])
}

/// What the states mean, for descriptions.
pub(crate) const STATES_EXPLAINED: &str = "States, the gravest first: never read; data is stale (no good poll for 10 minutes); polls fail (for 2 minutes); \
    no calls (none ended within the window and none runs, where last week had enough); callers hang up (over 30 % of calls are \
    shorter than 15 s); silence (over 20 % of turns); slow replies (p95 over 5 s); handoffs (over 50 % of calls); not understood \
    (over 15 % of turns); fine; few calls (too few to judge).";

/// Where the limits are.
pub(crate) const LIMITS_ARE: &str =
    "The limits are those of alerts/thresholds.yml; dashboards/README.md tells how to change them.";
