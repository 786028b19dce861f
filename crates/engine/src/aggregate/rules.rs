//! What a conversation contributes to the series: the counting rules as a list of changes.
//!
//! Owns: the mapping from data to metrics. Pure. Never: values of series, storage.

use std::sync::Arc;

use super::catalogue::Metric;
use super::labels::{LabelLimiter, LabelValues, raw_values};
use super::series::SeriesKey;
use crate::dimension::Dimension;
use crate::ledger::Amounts;
use polyai_domain::conversation::{Amount, ConversationData, Handoff, Transcript};
use polyai_domain::timestamp::Timestamp;

/// One change of one series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeriesUpdate {
    /// Which metric.
    pub metric: Metric,
    /// The values of its labels after the target's.
    pub values: Arc<[Arc<str>]>,
    /// What happens to it.
    pub change: SeriesOp,
    /// When what it stands for happened, but not later than it was counted: Prometheus refuses what lies in the future.
    pub at: Timestamp,
}

impl SeriesUpdate {
    /// To a series without the optional dimensions, with one label of its own or none.
    pub fn of_target(metric: Metric, label: Option<&str>, change: SeriesOp, at: Timestamp) -> Self {
        Self { metric, values: label.into_iter().map(Arc::from).collect(), change, at }
    }

    /// The series that changes.
    pub fn into_key(self) -> SeriesKey {
        SeriesKey { metric: self.metric, values: self.values }
    }
}

/// What happens to a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeriesOp {
    /// A counter grows.
    Add(u64),
    /// A histogram takes an observation.
    Observe(Amount),
}

/// The times that a contribution may stand for, besides those of turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventTimes {
    /// When the conversation ended.
    pub ended_at: Timestamp,
    /// When it is counted, or amended.
    pub now: Timestamp,
}

impl EventTimes {
    /// The end, as far as it is past.
    fn end(self) -> Timestamp {
        self.clamp_to_now(self.ended_at)
    }

    fn clamp_to_now(self, at: Timestamp) -> Timestamp {
        at.min(self.now)
    }
}

/// Everything that a conversation adds at the moment it counts, and the dimension values it counts under.
pub fn contributions_of(
    data: &ConversationData,
    times: EventTimes,
    dimensions: &[Dimension],
    cap: &mut LabelLimiter,
) -> (LabelValues, Vec<SeriesUpdate>) {
    let mut list = Vec::with_capacity(20 + data.replies.len());
    let values: LabelValues = raw_values(dimensions, data)
        .into_iter()
        .map(|(dimension, value)| limit_label(cap, dimension.as_str(), value, times, &mut list))
        .collect();

    let tally = Amounts::of(data);
    let mut at = ContributionBuilder { values: &values, at: times.end(), list: &mut list };
    at.add(Metric::Conversations, 1);
    at.add(Metric::Turns, tally.turns);
    at.add(Metric::OodTurns, tally.ood_turns);
    at.add(Metric::SilenceTurns, tally.silence_turns);
    at.add(Metric::BargeInTurns, tally.barge_in_turns);
    at.add(Metric::ConversationsWithOod, u32::from(tally.ood_turns > 0));
    at.add(Metric::ConversationsWithSilence, u32::from(tally.silence_turns > 0));
    at.add(Metric::WithoutTranscript, u32::from(data.transcript == Transcript::Hidden));
    at.observe(Metric::ConversationDuration, data.duration);
    at.observe(Metric::AgentDuration, data.agent_duration);
    at.observe(Metric::ConversationTurns, data.turns.map(Amount::from_count));
    if let Some(greeting) = data.greeting {
        at.at = times.clamp_to_now(greeting.at.unwrap_or(data.started_at));
        at.observe(Metric::GreetingLatency, Some(greeting.latency));
    }
    for reply in &data.replies {
        at.at = times.clamp_to_now(reply.at.unwrap_or(times.ended_at));
        at.observe(Metric::TurnLatency, Some(reply.latency));
    }
    if let Some(handoff) = &data.handoff {
        push_handoff(handoff, times, &values, cap, &mut list);
    }
    (values, list)
}

/// What a later change of a counted conversation adds: for each amount the difference to the most seen before. Histograms
/// keep their first observation.
pub fn amendment(
    before: &Amounts,
    now: &Amounts,
    data: &ConversationData,
    times: EventTimes,
    values: &LabelValues,
    cap: &mut LabelLimiter,
) -> Vec<SeriesUpdate> {
    let mut list = Vec::new();
    let mut under = ContributionBuilder { values, at: times.end(), list: &mut list };
    under.add(Metric::Turns, now.turns - before.turns.min(now.turns));
    under.add(Metric::OodTurns, now.ood_turns - before.ood_turns.min(now.ood_turns));
    under.add(Metric::SilenceTurns, now.silence_turns - before.silence_turns.min(now.silence_turns));
    under.add(Metric::BargeInTurns, now.barge_in_turns - before.barge_in_turns.min(now.barge_in_turns));
    under.add(Metric::ConversationsWithOod, u32::from(before.ood_turns == 0 && now.ood_turns > 0));
    under
        .add(Metric::ConversationsWithSilence, u32::from(before.silence_turns == 0 && now.silence_turns > 0));
    if let (false, Some(handoff)) = (before.handoff, &data.handoff) {
        push_handoff(handoff, times, values, cap, &mut list);
    }
    list
}

fn push_handoff(
    handoff: &Handoff,
    times: EventTimes,
    values: &LabelValues,
    cap: &mut LabelLimiter,
    list: &mut Vec<SeriesUpdate>,
) {
    let or_none = |text: &str| if text.is_empty() { "none".to_owned() } else { text.to_owned() };
    let reason = limit_label(cap, "reason", &or_none(&handoff.reason), times, list);
    let destination = limit_label(cap, "destination", &or_none(&handoff.destination), times, list);
    let by_reason = values.iter().cloned().chain([reason, destination]).collect();
    let (change, at) = (SeriesOp::Add(1), times.end());
    list.push(SeriesUpdate { metric: Metric::Handoffs, values: values.clone(), change, at });
    list.push(SeriesUpdate { metric: Metric::HandoffsByReason, values: by_reason, change, at });
}

fn limit_label(
    cap: &mut LabelLimiter,
    label: &'static str,
    value: &str,
    times: EventTimes,
    list: &mut Vec<SeriesUpdate>,
) -> Arc<str> {
    let admitted = cap.limit(label, value);
    if admitted.folded {
        let (metric, change) = (Metric::LabelValuesFolded, SeriesOp::Add(1));
        list.push(SeriesUpdate::of_target(metric, Some(label), change, times.end()));
    }
    admitted.value
}

/// Collects contributions under one set of dimension values and of one moment.
struct ContributionBuilder<'a> {
    values: &'a LabelValues,
    at: Timestamp,
    list: &'a mut Vec<SeriesUpdate>,
}

impl ContributionBuilder<'_> {
    fn add(&mut self, metric: Metric, amount: u32) {
        if amount > 0 {
            self.list.push(SeriesUpdate {
                metric,
                values: self.values.clone(),
                change: SeriesOp::Add(u64::from(amount)),
                at: self.at,
            });
        }
    }

    fn observe(&mut self, metric: Metric, amount: Option<Amount>) {
        if let Some(amount) = amount {
            let (values, at) = (self.values.clone(), self.at);
            self.list.push(SeriesUpdate { metric, values, change: SeriesOp::Observe(amount), at });
        }
    }
}

#[cfg(test)]
mod tests;
