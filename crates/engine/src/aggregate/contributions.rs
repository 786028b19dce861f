//! The contributions of a transition to the series: the only place where a metric gets its value.

use std::sync::Arc;

use polyai_domain::conversation::{Amount, Handoff, Transcript};
use polyai_domain::timestamp::Timestamp;

use super::catalogue::Metric;
use super::labels::{LabelLimiter, LabelValues, counted_labels, raw_values};
use super::recent_window::RecentConversation;
use super::series::{SeriesKey, SeriesOp, SeriesUpdate};
use crate::dimension::Dimension;
use crate::ledger::transition::{Amendment, Count, Transition};
use crate::ledger::{Amounts, Observations};

/// Everything that one transition contributes.
#[derive(Debug, Default)]
pub struct Contributions {
    /// The updates of series.
    pub updates: Vec<SeriesUpdate>,
    /// The conversation to add to the recent gauges.
    pub(crate) recent: Option<RecentConversation>,
    /// The dimension values of a conversation that counts, as the ledger keeps them.
    pub(crate) dimensions: Vec<(Dimension, Box<str>)>,
    /// The labels of which a value was replaced by `other`.
    pub(crate) limited: Vec<&'static str>,
    /// When the conversation ended, which is when a series that begins with it starts; absent without updates.
    pub(crate) ended_at: Option<Timestamp>,
}

/// The contributions of `transition` at `now`, with the configured `dimensions`.
pub fn contributions(
    transition: &Transition<'_>,
    now: Timestamp,
    dimensions: &[Dimension],
    limiter: &mut LabelLimiter,
) -> Contributions {
    match transition {
        Transition::Count(count) => of_count(count, now, dimensions, limiter),
        Transition::Amend(amendment) => of_amendment(amendment, now, dimensions, limiter),
        Transition::Unchanged | Transition::Follow(_) | Transition::Settle(_) | Transition::Discard => {
            Contributions::default()
        }
    }
}

fn of_count(
    count: &Count<'_>,
    now: Timestamp,
    dimensions: &[Dimension],
    limiter: &mut LabelLimiter,
) -> Contributions {
    let Count { data, amounts, observations, ended_at, late } = count;
    let mut to = Collector::new(*ended_at, now, limiter, 24 + data.replies.len());
    to.labels =
        raw_values(dimensions, data).map(|(dimension, value)| to.limit(dimension.as_str(), value)).collect();

    to.add(Metric::Conversations, 1);
    to.add_growth(&Amounts::default(), amounts);
    to.add(Metric::WithoutTranscript, u32::from(data.transcript == Transcript::Hidden));
    to.add_observations(observations, data.started_at);
    if let Some(handoff) = data.handoff.handoff() {
        to.add_handoff(handoff);
    }
    to.update_target(Metric::LastConversation, None, SeriesOp::Latest(*ended_at));
    let lag = Amount::from_duration(now.saturating_duration_since(*ended_at));
    to.update_target(Metric::IngestLag, None, SeriesOp::Observe(lag));
    if *late {
        to.update_target(Metric::Late, None, SeriesOp::Add(1));
    }

    let recent = RecentConversation { ended_at: *ended_at, labels: to.labels.clone(), amounts: *amounts };
    to.out.recent = Some(recent);
    let values = to.labels.iter().map(|value| Box::from(&**value));
    to.out.dimensions = dimensions.iter().copied().zip(values).collect();
    to.out
}

/// For each amount the difference to the maximum seen before, and the observations that had been absent.
fn of_amendment(
    amendment: &Amendment<'_>,
    now: Timestamp,
    dimensions: &[Dimension],
    limiter: &mut LabelLimiter,
) -> Contributions {
    let Amendment { data, before, observations, entry, up, down } = amendment;
    let mut to = Collector::new(entry.ended_at, now, limiter, 0);
    to.labels = if entry.dimensions.iter().map(|(dimension, _)| dimension).eq(dimensions) {
        counted_labels(dimensions, &entry.dimensions)
    } else {
        // It was counted under other dimensions than are configured now.
        to.limiter.values(dimensions, data)
    };

    to.add_growth(before, &entry.counted);
    to.add_observations(observations, data.started_at);
    if let (None | Some(false), Some(handoff)) = (before.handoff, data.handoff.handoff()) {
        to.add_handoff(handoff);
    }
    for (happened, direction) in [(up, "up"), (down, "down")] {
        if *happened {
            to.update_target(Metric::Amendments, Some(direction), SeriesOp::Add(1));
        }
    }
    to.out
}

/// Collects the contributions of one conversation.
struct Collector<'a> {
    limiter: &'a mut LabelLimiter,
    labels: LabelValues,
    ended_at: Timestamp,
    now: Timestamp,
    out: Contributions,
}

impl<'a> Collector<'a> {
    fn new(ended_at: Timestamp, now: Timestamp, limiter: &'a mut LabelLimiter, capacity: usize) -> Self {
        let updates = Vec::with_capacity(capacity);
        let out = Contributions { updates, ended_at: Some(ended_at.min(now)), ..Contributions::default() };
        Self { limiter, labels: Arc::from([]), ended_at, now, out }
    }

    /// The value to count `value` of `label` under.
    fn limit(&mut self, label: &'static str, value: &str) -> Arc<str> {
        let admitted = self.limiter.limit(label, value);
        if admitted.limited {
            self.out.limited.push(label);
            let values = Arc::from([Arc::from(label)]);
            self.push(Metric::LabelValuesFolded, values, SeriesOp::Add(1), self.ended_at);
        }
        admitted.value
    }

    /// Prometheus refuses samples from the future, so nothing happened after `now`.
    fn push(&mut self, metric: Metric, values: LabelValues, op: SeriesOp, at: Timestamp) {
        self.out.updates.push(SeriesUpdate { key: SeriesKey { metric, values }, op, at: at.min(self.now) });
    }

    fn add(&mut self, metric: Metric, amount: u32) {
        if amount > 0 {
            self.push(metric, self.labels.clone(), SeriesOp::Add(u64::from(amount)), self.ended_at);
        }
    }

    /// Adds the amounts by which `after` is above `before`.
    fn add_growth(&mut self, before: &Amounts, after: &Amounts) {
        let growth =
            |before: Option<u32>, after: Option<u32>| after.unwrap_or(0).saturating_sub(before.unwrap_or(0));
        let begins =
            |before: Option<u32>, after: Option<u32>| u32::from(before.unwrap_or(0) == 0 && after > Some(0));
        self.add(Metric::Turns, growth(before.turns, after.turns));
        self.add(Metric::OodTurns, growth(before.ood_turns, after.ood_turns));
        self.add(Metric::SilenceTurns, growth(before.silence_turns, after.silence_turns));
        self.add(Metric::BargeInTurns, after.barge_in_turns.saturating_sub(before.barge_in_turns));
        self.add(Metric::ConversationsWithOod, begins(before.ood_turns, after.ood_turns));
        self.add(Metric::ConversationsWithSilence, begins(before.silence_turns, after.silence_turns));
    }

    fn add_observations(&mut self, observations: &Observations, started_at: Timestamp) {
        self.observe(Metric::ConversationDuration, observations.duration);
        self.observe(Metric::AgentDuration, observations.agent_duration);
        self.observe(Metric::ConversationTurns, observations.turns.map(Amount::from_count));
        if let Some(greeting) = observations.greeting {
            self.observe_at(Metric::GreetingLatency, greeting.latency, greeting.at.unwrap_or(started_at));
        }
        for reply in &observations.replies {
            self.observe_at(Metric::TurnLatency, reply.latency, reply.at.unwrap_or(self.ended_at));
        }
    }

    fn observe(&mut self, metric: Metric, amount: Option<Amount>) {
        if let Some(amount) = amount {
            self.observe_at(metric, amount, self.ended_at);
        }
    }

    fn observe_at(&mut self, metric: Metric, amount: Amount, at: Timestamp) {
        self.push(metric, self.labels.clone(), SeriesOp::Observe(amount), at);
    }

    /// Updates a series without the optional dimensions, with one label of its own or none.
    fn update_target(&mut self, metric: Metric, label: Option<&str>, op: SeriesOp) {
        self.push(metric, label.into_iter().map(Arc::from).collect(), op, self.now);
    }

    fn add_handoff(&mut self, handoff: &Handoff) {
        fn or_none(text: &str) -> &str {
            if text.is_empty() { "none" } else { text }
        }
        let reason = self.limit("reason", or_none(&handoff.reason));
        let destination = self.limit("destination", or_none(&handoff.destination));
        let by_reason = self.labels.iter().cloned().chain([reason, destination]).collect();
        self.add(Metric::Handoffs, 1);
        self.push(Metric::HandoffsByReason, by_reason, SeriesOp::Add(1), self.ended_at);
    }
}

#[cfg(test)]
mod tests;
