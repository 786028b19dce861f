//! Every metric about conversations and targets, declared once: name, type, labels, help.
//!
//! A new metric is one entry here, and one line in `contributions.rs` or in the recorder's `gauges.rs`.

/// The type of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows; persisted.
    Counter,
    /// Persisted, with its bounds.
    Histogram(Buckets),
    /// A present value; persisted only if the next poll does not set it again.
    Gauge,
}

/// The bucket bounds of a histogram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Buckets {
    /// `metrics.latency_buckets`
    Latency,
    /// `metrics.duration_buckets`
    Duration,
    /// Turns per conversation: 1 2 3 5 8 12 20 30 50.
    Turns,
    /// From seconds to a day.
    Lag,
}

/// The labels of a metric after those of the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Labels {
    /// None.
    Target,
    /// The configured optional dimensions.
    Dimensions,
    /// The dimensions, then these.
    DimensionsAnd(&'static [&'static str]),
    /// These.
    TargetAnd(&'static [&'static str]),
}

/// The declaration of one metric.
#[derive(Debug, Clone, Copy)]
pub struct Definition {
    /// The metric.
    pub metric: Metric,
    /// Its full name.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// Its labels after `project`, `region` and `client_env`.
    pub labels: Labels,
    /// Whether its series carry exemplars: where a single conversation is worth looking into.
    pub exemplars: bool,
    /// Its HELP text.
    pub help: &'static str,
}

/// The labels of every series of a target, in order.
pub const TARGET_LABELS: [&str; 3] = ["project", "region", "client_env"];

/// Declares [`Metric`] and [`CATALOGUE`].
macro_rules! catalogue {
    ($($metric:ident, $name:literal, $kind:expr, $labels:expr $(, $exemplars:ident)? => $help:literal;)*) => {
        /// A metric of the catalogue. The order is the order of the exposition and of the documentation.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Metric {
            $(#[doc = $help] $metric,)*
        }

        /// All metrics, in the order of [`Metric`].
        pub const CATALOGUE: [Definition; [$(Metric::$metric),*].len()] = [$(Definition {
            metric: Metric::$metric,
            name: $name,
            kind: $kind,
            labels: $labels,
            exemplars: !<[&str]>::is_empty(&[$(stringify!($exemplars))?]),
            help: $help,
        },)*];
    };
}

catalogue! {
    Conversations, "polyai_conversations_total", Kind::Counter, Labels::Dimensions =>
        "Finished conversations, each counted exactly once after polling.settle.";
    Handoffs, "polyai_handoffs_total", Kind::Counter, Labels::Dimensions, exemplars =>
        "Counted conversations that were handed off to a human (handoff).";
    HandoffsByReason, "polyai_handoffs_by_reason_total", Kind::Counter, Labels::DimensionsAnd(&["reason", "destination"]), exemplars =>
        "Counted conversations that were handed off, by handoff_reason and handoff_destination; the number of values is limited.";
    ConversationDuration, "polyai_conversation_duration_seconds", Kind::Histogram(Buckets::Duration), Labels::Dimensions, exemplars =>
        "Duration of counted conversations (total_duration).";
    AgentDuration, "polyai_conversation_agent_duration_seconds", Kind::Histogram(Buckets::Duration), Labels::Dimensions, exemplars =>
        "Duration that the agent handled, per counted conversation (polyai_duration).";
    ConversationTurns, "polyai_conversation_turns", Kind::Histogram(Buckets::Turns), Labels::Dimensions =>
        "Turns per counted conversation (the larger of num_turns and the length of turns).";
    Turns, "polyai_turns_total", Kind::Counter, Labels::Dimensions =>
        "Turns of counted conversations (the larger of num_turns and the length of turns).";
    OodTurns, "polyai_ood_turns_total", Kind::Counter, Labels::Dimensions =>
        "Out-of-domain turns of counted conversations, where the agent did not understand the caller (num_ood, is_ood).";
    SilenceTurns, "polyai_silence_turns_total", Kind::Counter, Labels::Dimensions =>
        "Silence turns of counted conversations, without discernible input (num_silences, is_silence).";
    BargeInTurns, "polyai_barge_in_turns_total", Kind::Counter, Labels::Dimensions =>
        "Turns of counted conversations in which the caller interrupted the agent (barge_in).";
    ConversationsWithOod, "polyai_conversations_with_ood_total", Kind::Counter, Labels::Dimensions, exemplars =>
        "Counted conversations with at least one out-of-domain turn.";
    ConversationsWithSilence, "polyai_conversations_with_silence_total", Kind::Counter, Labels::Dimensions, exemplars =>
        "Counted conversations with at least one silence turn.";
    TurnLatency, "polyai_turn_latency_seconds", Kind::Histogram(Buckets::Latency), Labels::Dimensions, exemplars =>
        "Perceived reply latency per turn, excluding the greeting (API field latency).";
    GreetingLatency, "polyai_greeting_latency_seconds", Kind::Histogram(Buckets::Latency), Labels::Dimensions, exemplars =>
        "Latency of the first agent turn (call start-up, not a reply).";
    WithoutTranscript, "polyai_conversations_without_transcript_total", Kind::Counter, Labels::Dimensions =>
        "Counted conversations whose turns are hidden (num_turns > 0 and turns empty), so that their latency is unknown.";
    InProgress, "polyai_conversations_in_progress", Kind::Gauge, Labels::Dimensions =>
        "Conversations open at the last poll (in_progress=true).";
    OldestInProgressStart, "polyai_oldest_in_progress_start_timestamp_seconds", Kind::Gauge, Labels::Target =>
        "Start of the longest open conversation (started_at); absent when none is open.";
    RecentConversations, "polyai_recent_conversations", Kind::Gauge, Labels::Dimensions =>
        "Counted conversations that ended within metrics.recent_window before the last successful poll.";
    RecentHandoffRatio, "polyai_recent_handoff_ratio", Kind::Gauge, Labels::Dimensions =>
        "Ratio of recent conversations that were handed off, of those with handoff; absent without any.";
    RecentOodTurnRatio, "polyai_recent_ood_turn_ratio", Kind::Gauge, Labels::Dimensions =>
        "Ratio of turns of recent conversations that were out of domain, where both are known; absent without such turns.";
    RecentSilenceTurnRatio, "polyai_recent_silence_turn_ratio", Kind::Gauge, Labels::Dimensions =>
        "Ratio of turns of recent conversations that were silence, where both are known; absent without such turns.";
    LastConversation, "polyai_last_conversation_timestamp_seconds", Kind::Gauge, Labels::Target =>
        "End of the newest counted conversation; absent before the first.";
    IngestLag, "polyai_ingest_lag_seconds", Kind::Histogram(Buckets::Lag), Labels::Target, exemplars =>
        "Time from the end of a conversation until it was counted.";
    Late, "polyai_late_conversations_total", Kind::Counter, Labels::Target =>
        "Counted conversations that were first seen by a recheck.";
    Amendments, "polyai_amendments_total", Kind::Counter, Labels::TargetAnd(&["direction"]) =>
        "Amendments to already counted conversations. Increases are added to the counters; decreases are ignored.";
    LabelValuesFolded, "polyai_label_values_folded_total", Kind::Counter, Labels::TargetAnd(&["label"]) =>
        "Conversations whose label value was replaced by \"other\" because metrics.max_label_values was reached.";
    TargetUp, "polyai_target_up", Kind::Gauge, Labels::Target =>
        "Whether the last poll of the target succeeded; 0 before the first.";
    TargetLastSuccess, "polyai_target_last_success_timestamp_seconds", Kind::Gauge, Labels::Target =>
        "Time of the last successful poll of the target; 0 before the first.";
    TargetWatermark, "polyai_target_watermark_timestamp_seconds", Kind::Gauge, Labels::Target =>
        "Start time up to which the fresh pass has read everything; 0 before the first poll.";
    TargetOverlap, "polyai_target_overlap_seconds", Kind::Gauge, Labels::Target =>
        "Lookback of the fresh pass behind its watermark; widens when finished conversations appear that were never seen in progress.";
    TargetCatchingUp, "polyai_target_catching_up", Kind::Gauge, Labels::Target =>
        "1 while the target reads a past that is not exposed yet; its conversation series appear when it is 0.";
    TargetProblem, "polyai_target_problem", Kind::Gauge, Labels::TargetAnd(&["problem"]) =>
        "1 for each active problem of the target; docs/troubleshooting.md explains the codes.";
    TargetMissingField, "polyai_target_missing_field", Kind::Gauge, Labels::TargetAnd(&["field"]) =>
        "1 for each field of the API that the target's conversations lack, so that what it measures is unknown and not 0.";
    TargetInfo, "polyai_target_info", Kind::Gauge, Labels::TargetAnd(&["account_id", "project_id", "host", "api_version"]) =>
        "Target metadata; constant 1.";
}

impl Metric {
    /// Its declaration.
    pub const fn definition(self) -> &'static Definition {
        &CATALOGUE[self as usize]
    }

    /// The metric with this name.
    pub fn by_name(name: &str) -> Option<Self> {
        CATALOGUE.iter().find(|definition| definition.name == name).map(|definition| definition.metric)
    }

    /// Whether it says how a target is read, and not what its conversations were like.
    pub fn is_about_target(self) -> bool {
        self.definition().name.starts_with("polyai_target_")
    }

    /// Whether its values are persisted: all that only grow, and a gauge that the next poll does not set again.
    pub const fn is_persisted(self) -> bool {
        match self.definition().kind {
            Kind::Counter | Kind::Histogram(_) => true,
            Kind::Gauge => matches!(self, Self::LastConversation),
        }
    }
}

impl Labels {
    /// The label names after those of the target, with `dimensions` configured.
    pub fn names(self, dimensions: &[&'static str]) -> Vec<&'static str> {
        let (with_dimensions, own): (bool, &[&'static str]) = match self {
            Self::Target => (false, &[]),
            Self::Dimensions => (true, &[]),
            Self::DimensionsAnd(own) => (true, own),
            Self::TargetAnd(own) => (false, own),
        };
        let dimensions = if with_dimensions { dimensions } else { &[] };
        dimensions.iter().chain(own).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metric_is_found_by_its_name() {
        for (place, definition) in CATALOGUE.iter().enumerate() {
            assert_eq!(definition.metric as usize, place, "{}", definition.name);
            assert_eq!(Metric::by_name(definition.name), Some(definition.metric));
        }
    }

    #[test]
    fn exemplars_are_declared_for_these_metrics() {
        let with_exemplars = CATALOGUE.iter().filter(|definition| definition.exemplars);
        assert_eq!(
            with_exemplars.map(|definition| definition.name).collect::<Vec<_>>(),
            [
                "polyai_handoffs_total",
                "polyai_handoffs_by_reason_total",
                "polyai_conversation_duration_seconds",
                "polyai_conversation_agent_duration_seconds",
                "polyai_conversations_with_ood_total",
                "polyai_conversations_with_silence_total",
                "polyai_turn_latency_seconds",
                "polyai_greeting_latency_seconds",
                "polyai_ingest_lag_seconds",
            ]
        );
    }

    #[test]
    fn only_counters_end_in_total() {
        for definition in &CATALOGUE {
            assert_eq!(
                definition.kind == Kind::Counter,
                definition.name.ends_with("_total"),
                "{}",
                definition.name
            );
            assert!(definition.help.ends_with('.'), "{}", definition.name);
        }
    }
}
