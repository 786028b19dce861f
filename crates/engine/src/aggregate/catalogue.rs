//! Every metric about conversations and targets, declared once: name, type, labels, help.
//!
//! Owns: the declarations that the exposition, the documents, dashboards and rules are checked against. Never: values.

/// A metric of the catalogue. The order is the order of the exposition and of the documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the catalogue below documents each")]
pub enum Metric {
    Conversations,
    Handoffs,
    HandoffsByReason,
    ConversationDuration,
    AgentDuration,
    ConversationTurns,
    Turns,
    OodTurns,
    SilenceTurns,
    BargeInTurns,
    ConversationsWithOod,
    ConversationsWithSilence,
    TurnLatency,
    GreetingLatency,
    WithoutTranscript,
    InProgress,
    OldestInProgressStart,
    RecentConversations,
    RecentHandoffRatio,
    RecentOodTurnRatio,
    RecentSilenceTurnRatio,
    LastConversation,
    IngestLag,
    Late,
    Amendments,
    LabelValuesFolded,
    TargetUp,
    TargetLastSuccess,
    TargetWatermark,
    TargetOverlap,
    TargetProblem,
    TargetInfo,
}

/// What kind of metric it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows; kept in the state.
    Counter,
    /// Kept in the state, with the bounds it was made with.
    Histogram(Buckets),
    /// A present value; not kept unless it cannot be had again by the next poll.
    Gauge,
}

/// Which bucket bounds a histogram has.
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

/// Which labels follow those of the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Labels {
    /// None.
    Target,
    /// The configured optional dimensions.
    Dimensions,
    /// The dimensions and these.
    DimensionsAnd(&'static [&'static str]),
    /// These.
    TargetAnd(&'static [&'static str]),
}

/// The declaration of one metric.
#[derive(Debug, Clone, Copy)]
pub struct Definition {
    /// Which one.
    pub metric: Metric,
    /// Its full name.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// Its labels after `project`, `region` and `client_env`.
    pub labels: Labels,
    /// Whether its series name a conversation that they counted: where a dot on the graph is worth looking into.
    pub exemplars: bool,
    /// The text of its HELP line; names the field of the API that it comes from.
    pub help: &'static str,
}

const fn metric(
    metric: Metric,
    name: &'static str,
    kind: Kind,
    labels: Labels,
    help: &'static str,
) -> Definition {
    Definition { metric, name, kind, labels, exemplars: false, help }
}

impl Definition {
    const fn with_exemplars(self) -> Self {
        Self { exemplars: true, ..self }
    }
}

/// The labels of every series of a target, in order.
pub const TARGET_LABELS: [&str; 3] = ["project", "region", "client_env"];

/// All metrics, in the order of [`Metric`].
pub const CATALOGUE: [Definition; 32] = [
    metric(
        Metric::Conversations,
        "polyai_conversations_total",
        Kind::Counter,
        Labels::Dimensions,
        "Conversations counted: seen finished (in_progress=false) and settled, each once.",
    ),
    metric(
        Metric::Handoffs,
        "polyai_handoffs_total",
        Kind::Counter,
        Labels::Dimensions,
        "Counted conversations that were handed off to a human (handoff).",
    )
    .with_exemplars(),
    metric(
        Metric::HandoffsByReason,
        "polyai_handoffs_by_reason_total",
        Kind::Counter,
        Labels::DimensionsAnd(&["reason", "destination"]),
        "Counted conversations that were handed off, by handoff_reason and handoff_destination; both labels are capped.",
    )
    .with_exemplars(),
    metric(
        Metric::ConversationDuration,
        "polyai_conversation_duration_seconds",
        Kind::Histogram(Buckets::Duration),
        Labels::Dimensions,
        "Duration of counted conversations (total_duration).",
    )
    .with_exemplars(),
    metric(
        Metric::AgentDuration,
        "polyai_conversation_agent_duration_seconds",
        Kind::Histogram(Buckets::Duration),
        Labels::Dimensions,
        "Part of counted conversations that the agent handled (polyai_duration).",
    )
    .with_exemplars(),
    metric(
        Metric::ConversationTurns,
        "polyai_conversation_turns",
        Kind::Histogram(Buckets::Turns),
        Labels::Dimensions,
        "Turns per counted conversation (the larger of num_turns and the length of turns).",
    ),
    metric(
        Metric::Turns,
        "polyai_turns_total",
        Kind::Counter,
        Labels::Dimensions,
        "Turns of counted conversations (the larger of num_turns and the length of turns).",
    ),
    metric(
        Metric::OodTurns,
        "polyai_ood_turns_total",
        Kind::Counter,
        Labels::Dimensions,
        "Out-of-domain turns of counted conversations: input that was not understood (num_ood, is_ood).",
    ),
    metric(
        Metric::SilenceTurns,
        "polyai_silence_turns_total",
        Kind::Counter,
        Labels::Dimensions,
        "Silence turns of counted conversations: no discernible input (num_silences, is_silence).",
    ),
    metric(
        Metric::BargeInTurns,
        "polyai_barge_in_turns_total",
        Kind::Counter,
        Labels::Dimensions,
        "Turns of counted conversations in which the caller interrupted the agent (barge_in).",
    ),
    metric(
        Metric::ConversationsWithOod,
        "polyai_conversations_with_ood_total",
        Kind::Counter,
        Labels::Dimensions,
        "Counted conversations with at least one out-of-domain turn.",
    )
    .with_exemplars(),
    metric(
        Metric::ConversationsWithSilence,
        "polyai_conversations_with_silence_total",
        Kind::Counter,
        Labels::Dimensions,
        "Counted conversations with at least one silence turn.",
    )
    .with_exemplars(),
    metric(
        Metric::TurnLatency,
        "polyai_turn_latency_seconds",
        Kind::Histogram(Buckets::Latency),
        Labels::Dimensions,
        "Latency that callers perceived between the end of their speech and the reply (latency of each turn but the greeting).",
    )
    .with_exemplars(),
    metric(
        Metric::GreetingLatency,
        "polyai_greeting_latency_seconds",
        Kind::Histogram(Buckets::Latency),
        Labels::Dimensions,
        "Latency of the greeting, which measures start-up and not a reply (latency of a first turn without user_input).",
    )
    .with_exemplars(),
    metric(
        Metric::WithoutTranscript,
        "polyai_conversations_without_transcript_total",
        Kind::Counter,
        Labels::Dimensions,
        "Counted conversations whose turns are hidden (num_turns > 0 and turns empty), so that their latency is unknown.",
    ),
    metric(
        Metric::InProgress,
        "polyai_conversations_in_progress",
        Kind::Gauge,
        Labels::Dimensions,
        "Conversations open at the last poll (in_progress=true).",
    ),
    metric(
        Metric::OldestInProgressStart,
        "polyai_oldest_in_progress_start_timestamp_seconds",
        Kind::Gauge,
        Labels::Target,
        "Start of the longest open conversation (started_at); absent when none is open.",
    ),
    metric(
        Metric::RecentConversations,
        "polyai_recent_conversations",
        Kind::Gauge,
        Labels::Dimensions,
        "Counted conversations that ended within metrics.recent_window before the last successful poll.",
    ),
    metric(
        Metric::RecentHandoffRatio,
        "polyai_recent_handoff_ratio",
        Kind::Gauge,
        Labels::Dimensions,
        "Share of the recent conversations that were handed off; absent when none ended.",
    ),
    metric(
        Metric::RecentOodTurnRatio,
        "polyai_recent_ood_turn_ratio",
        Kind::Gauge,
        Labels::Dimensions,
        "Share of the turns of recent conversations that were out of domain; absent without turns.",
    ),
    metric(
        Metric::RecentSilenceTurnRatio,
        "polyai_recent_silence_turn_ratio",
        Kind::Gauge,
        Labels::Dimensions,
        "Share of the turns of recent conversations that were silence; absent without turns.",
    ),
    metric(
        Metric::LastConversation,
        "polyai_last_conversation_timestamp_seconds",
        Kind::Gauge,
        Labels::Target,
        "When the newest counted conversation ended; absent before the first.",
    ),
    metric(
        Metric::IngestLag,
        "polyai_ingest_lag_seconds",
        Kind::Histogram(Buckets::Lag),
        Labels::Target,
        "Time from the end of a conversation until it was counted.",
    )
    .with_exemplars(),
    metric(
        Metric::Late,
        "polyai_late_conversations_total",
        Kind::Counter,
        Labels::Target,
        "Counted conversations that were first seen by a recheck.",
    ),
    metric(
        Metric::Amendments,
        "polyai_amendments_total",
        Kind::Counter,
        Labels::TargetAnd(&["direction"]),
        "Changes of conversations after they were counted; up was added to the counters, down was not subtracted.",
    ),
    metric(
        Metric::LabelValuesFolded,
        "polyai_label_values_folded_total",
        Kind::Counter,
        Labels::TargetAnd(&["label"]),
        "Label values folded into \"other\" because metrics.max_label_values was reached, per conversation counted.",
    ),
    metric(
        Metric::TargetUp,
        "polyai_target_up",
        Kind::Gauge,
        Labels::Target,
        "Whether the last poll of the target succeeded; 0 before the first.",
    ),
    metric(
        Metric::TargetLastSuccess,
        "polyai_target_last_success_timestamp_seconds",
        Kind::Gauge,
        Labels::Target,
        "When a poll of the target last succeeded; 0 before the first.",
    ),
    metric(
        Metric::TargetWatermark,
        "polyai_target_watermark_timestamp_seconds",
        Kind::Gauge,
        Labels::Target,
        "Start time up to which the fresh pass has read everything; 0 before the first poll.",
    ),
    metric(
        Metric::TargetOverlap,
        "polyai_target_overlap_seconds",
        Kind::Gauge,
        Labels::Target,
        "How far behind its watermark the fresh pass reads again; grows when conversations turn up that were never seen running.",
    ),
    metric(
        Metric::TargetProblem,
        "polyai_target_problem",
        Kind::Gauge,
        Labels::TargetAnd(&["problem"]),
        "1 for each problem that the target has now; docs/troubleshooting.md explains the codes.",
    ),
    metric(
        Metric::TargetInfo,
        "polyai_target_info",
        Kind::Gauge,
        Labels::TargetAnd(&["account_id", "project_id", "host", "api_version"]),
        "What the target's labels stand for; always 1.",
    ),
];

impl Metric {
    /// Its declaration.
    pub const fn definition(self) -> &'static Definition {
        &CATALOGUE[self as usize]
    }

    /// The metric with this name.
    pub fn by_name(name: &str) -> Option<Self> {
        CATALOGUE.iter().find(|definition| definition.name == name).map(|definition| definition.metric)
    }

    /// Whether its values are kept in the state: all that only grow, and what the next poll does not bring back.
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
    fn each_metric_stands_at_its_own_place() {
        for (place, definition) in CATALOGUE.iter().enumerate() {
            assert_eq!(definition.metric as usize, place, "{}", definition.name);
            assert_eq!(Metric::by_name(definition.name), Some(definition.metric));
        }
    }

    #[test]
    fn exemplars_stand_where_a_single_conversation_is_worth_looking_into() {
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
    fn counters_and_only_counters_end_in_total() {
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
