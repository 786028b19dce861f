//! The conversations that ended recently, for the `polyai_recent_*` gauges.

use std::collections::BTreeMap;
use std::time::Duration;

use polyai_domain::timestamp::Timestamp;

use super::labels::LabelValues;
use crate::ledger::Amounts;

/// A counted conversation, as the recent gauges need it.
#[derive(Debug, Clone)]
pub struct RecentConversation {
    /// When it ended.
    pub ended_at: Timestamp,
    /// The dimension values it was counted under.
    pub labels: LabelValues,
    /// Its amounts.
    pub amounts: Amounts,
}

/// The conversations of one target that ended recently. The window ends at the last successful poll, so that an outage
/// does not look like silence.
#[derive(Debug, Clone)]
pub struct RecentWindow {
    length: Duration,
    conversations: Vec<RecentConversation>,
}

/// The totals of one label set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WindowTotals {
    /// Conversations.
    pub conversations: u64,
    /// Handed off.
    pub handoffs: u64,
    /// Turns.
    pub turns: u64,
    /// Out of domain.
    pub ood_turns: u64,
    /// Silence.
    pub silence_turns: u64,
}

impl RecentWindow {
    /// An empty window.
    pub fn new(length: Duration) -> Self {
        Self { length, conversations: Vec::new() }
    }

    /// Adds a conversation, unless it ended before the window up to `now`, as nearly all do while catching up.
    pub fn push(&mut self, conversation: RecentConversation, now: Timestamp) {
        if now.saturating_duration_since(conversation.ended_at) < self.length {
            self.conversations.push(conversation);
        }
    }

    /// Removes the conversations that ended before the window up to `now`.
    pub fn evict(&mut self, now: Timestamp) {
        let from = now - self.length;
        self.conversations.retain(|conversation| conversation.ended_at > from);
    }

    /// The totals by label set.
    pub fn totals(&self) -> BTreeMap<&LabelValues, WindowTotals> {
        let mut all: BTreeMap<&LabelValues, WindowTotals> = BTreeMap::new();
        for RecentConversation { labels, amounts, .. } in &self.conversations {
            let totals = all.entry(labels).or_default();
            totals.conversations += 1;
            totals.handoffs += u64::from(amounts.handoff);
            totals.turns += u64::from(amounts.turns);
            totals.ood_turns += u64::from(amounts.ood_turns);
            totals.silence_turns += u64::from(amounts.silence_turns);
        }
        all
    }
}
