//! The conversations that ended recently, for the `polyai_recent_*` gauges.

use std::collections::BTreeMap;
use std::time::Duration;

use polyai_domain::timestamp::Timestamp;

use super::labels::LabelValues;
use crate::ledger::Amounts;

/// A counted conversation, as the recent gauges need it.
#[derive(Debug, Clone)]
pub(crate) struct RecentConversation {
    pub(crate) ended_at: Timestamp,
    pub(crate) labels: LabelValues,
    pub(crate) amounts: Amounts,
}

/// The conversations of one target that ended recently. The window ends at the last successful poll, so that an outage
/// does not look like silence.
#[derive(Debug, Clone)]
pub(crate) struct RecentWindow {
    length: Duration,
    conversations: Vec<RecentConversation>,
}

/// The totals of one label set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct WindowTotals {
    pub(crate) conversations: u64,
    pub(crate) handoffs: u64,
    pub(crate) turns: u64,
    pub(crate) ood_turns: u64,
    pub(crate) silence_turns: u64,
}

impl RecentWindow {
    pub(crate) fn new(length: Duration) -> Self {
        Self { length, conversations: Vec::new() }
    }

    /// Adds a conversation, unless it ended before the window up to `now`, as nearly all do while catching up.
    pub(crate) fn push(&mut self, conversation: RecentConversation, now: Timestamp) {
        if now.saturating_duration_since(conversation.ended_at) < self.length {
            self.conversations.push(conversation);
        }
    }

    /// Removes the conversations that ended before the window up to `now`.
    pub(crate) fn evict(&mut self, now: Timestamp) {
        let from = now - self.length;
        self.conversations.retain(|conversation| conversation.ended_at > from);
    }

    pub(crate) fn totals(&self) -> BTreeMap<&LabelValues, WindowTotals> {
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
