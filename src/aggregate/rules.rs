//! What a conversation contributes to the series: the counting rules as a list of changes.
//!
//! Owns: the mapping from facts to metrics. Pure. Never: values of series, storage.

use std::sync::Arc;

use super::catalogue::Metric;
use super::labels::{Dimensions, LabelCap, raw_values};
use super::series::SeriesKey;
use crate::config::Dimension;
use crate::conversation::{Facts, Handoff, Micros, Transcript};
use crate::ledger::Tally;
use crate::moment::Moment;

/// One change of one series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contribution {
    /// Which metric.
    pub metric: Metric,
    /// The values of its labels after the target's.
    pub values: Arc<[Arc<str>]>,
    /// What happens to it.
    pub change: Change,
    /// When what it stands for happened, but not later than it was counted: Prometheus refuses what lies in the future.
    pub at: Moment,
}

impl Contribution {
    /// To a series without the optional dimensions, with one label of its own or none.
    pub fn of_target(metric: Metric, label: Option<&str>, change: Change, at: Moment) -> Self {
        Self { metric, values: label.into_iter().map(Arc::from).collect(), change, at }
    }

    /// The series that changes.
    pub fn into_key(self) -> SeriesKey {
        SeriesKey { metric: self.metric, values: self.values }
    }
}

/// What happens to a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// A counter grows.
    Add(u64),
    /// A histogram takes an observation.
    Observe(Micros),
}

/// The times that a contribution may stand for, besides those of turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// When the conversation ended.
    pub ended_at: Moment,
    /// When it is counted, or amended.
    pub now: Moment,
}

impl Times {
    /// The end, as far as it is past.
    fn end(self) -> Moment {
        self.not_ahead(self.ended_at)
    }

    fn not_ahead(self, at: Moment) -> Moment {
        at.min(self.now)
    }
}

/// Everything that a conversation adds at the moment it counts, and the dimension values it counts under.
pub fn conversation(
    facts: &Facts,
    times: Times,
    dimensions: &[Dimension],
    cap: &mut LabelCap,
) -> (Dimensions, Vec<Contribution>) {
    let mut list = Vec::with_capacity(20 + facts.replies.len());
    let values: Dimensions = raw_values(dimensions, facts)
        .into_iter()
        .map(|(dimension, value)| admit(cap, dimension.as_str(), value, times, &mut list))
        .collect();

    let tally = Tally::of(facts);
    let mut under = Under { values: &values, at: times.end(), list: &mut list };
    under.add(Metric::Conversations, 1);
    under.add(Metric::Turns, tally.turns);
    under.add(Metric::OodTurns, tally.ood_turns);
    under.add(Metric::SilenceTurns, tally.silence_turns);
    under.add(Metric::BargeInTurns, tally.barge_in_turns);
    under.add(Metric::ConversationsWithOod, u32::from(tally.ood_turns > 0));
    under.add(Metric::ConversationsWithSilence, u32::from(tally.silence_turns > 0));
    under.add(Metric::WithoutTranscript, u32::from(facts.transcript == Transcript::Hidden));
    under.observe(Metric::ConversationDuration, facts.duration);
    under.observe(Metric::AgentDuration, facts.agent_duration);
    under.observe(Metric::ConversationTurns, facts.turns.map(Micros::from_count));
    if let Some(greeting) = facts.greeting {
        under.at = times.not_ahead(greeting.at.unwrap_or(facts.started_at));
        under.observe(Metric::GreetingLatency, Some(greeting.latency));
    }
    for reply in &facts.replies {
        under.at = times.not_ahead(reply.at.unwrap_or(times.ended_at));
        under.observe(Metric::TurnLatency, Some(reply.latency));
    }
    if let Some(handoff) = &facts.handoff {
        hand_off(handoff, times, &values, cap, &mut list);
    }
    (values, list)
}

/// What a later change of a counted conversation adds: for each amount the difference to the most seen before. Histograms
/// keep their first observation.
pub fn amendment(
    before: &Tally,
    now: &Tally,
    facts: &Facts,
    times: Times,
    values: &Dimensions,
    cap: &mut LabelCap,
) -> Vec<Contribution> {
    let mut list = Vec::new();
    let mut under = Under { values, at: times.end(), list: &mut list };
    under.add(Metric::Turns, now.turns - before.turns.min(now.turns));
    under.add(Metric::OodTurns, now.ood_turns - before.ood_turns.min(now.ood_turns));
    under.add(Metric::SilenceTurns, now.silence_turns - before.silence_turns.min(now.silence_turns));
    under.add(Metric::BargeInTurns, now.barge_in_turns - before.barge_in_turns.min(now.barge_in_turns));
    under.add(Metric::ConversationsWithOod, u32::from(before.ood_turns == 0 && now.ood_turns > 0));
    under
        .add(Metric::ConversationsWithSilence, u32::from(before.silence_turns == 0 && now.silence_turns > 0));
    if let (false, Some(handoff)) = (before.handoff, &facts.handoff) {
        hand_off(handoff, times, values, cap, &mut list);
    }
    list
}

fn hand_off(
    handoff: &Handoff,
    times: Times,
    values: &Dimensions,
    cap: &mut LabelCap,
    list: &mut Vec<Contribution>,
) {
    let or_none = |text: &str| if text.is_empty() { "none".to_owned() } else { text.to_owned() };
    let reason = admit(cap, "reason", &or_none(&handoff.reason), times, list);
    let destination = admit(cap, "destination", &or_none(&handoff.destination), times, list);
    let by_reason = values.iter().cloned().chain([reason, destination]).collect();
    let (change, at) = (Change::Add(1), times.end());
    list.push(Contribution { metric: Metric::Handoffs, values: values.clone(), change, at });
    list.push(Contribution { metric: Metric::HandoffsByReason, values: by_reason, change, at });
}

fn admit(
    cap: &mut LabelCap,
    label: &'static str,
    value: &str,
    times: Times,
    list: &mut Vec<Contribution>,
) -> Arc<str> {
    let admitted = cap.admit(label, value);
    if admitted.folded {
        let (metric, change) = (Metric::LabelValuesFolded, Change::Add(1));
        list.push(Contribution::of_target(metric, Some(label), change, times.end()));
    }
    admitted.value
}

/// Collects contributions under one set of dimension values and of one moment.
struct Under<'a> {
    values: &'a Dimensions,
    at: Moment,
    list: &'a mut Vec<Contribution>,
}

impl Under<'_> {
    fn add(&mut self, metric: Metric, amount: u32) {
        if amount > 0 {
            self.list.push(Contribution {
                metric,
                values: self.values.clone(),
                change: Change::Add(u64::from(amount)),
                at: self.at,
            });
        }
    }

    fn observe(&mut self, metric: Metric, amount: Option<Micros>) {
        if let Some(amount) = amount {
            let (values, at) = (self.values.clone(), self.at);
            self.list.push(Contribution { metric, values, change: Change::Observe(amount), at });
        }
    }
}

#[cfg(test)]
mod tests;
