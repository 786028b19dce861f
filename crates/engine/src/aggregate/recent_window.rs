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
    pub(crate) handoffs: Share,
    pub(crate) ood_turns: Share,
    pub(crate) silence_turns: Share,
}

/// A part of those whose record says whether they belong to it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Share {
    part: u64,
    of: u64,
}

impl Share {
    /// Adds `part` of `of`, unless either is absent from the record.
    fn add(&mut self, part: Option<u32>, of: Option<u32>) {
        if let (Some(part), Some(of)) = (part, of) {
            self.part += u64::from(part);
            self.of += u64::from(of);
        }
    }

    /// From 0 to 1; absent without a whole.
    #[expect(clippy::cast_precision_loss, reason = "counts of a window are far below 2^53")]
    pub(crate) fn ratio(self) -> Option<f64> {
        (self.of > 0).then(|| self.part as f64 / self.of as f64)
    }
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
            totals.handoffs.add(amounts.handoff.map(u32::from), Some(1));
            totals.ood_turns.add(amounts.ood_turns, amounts.turns);
            totals.silence_turns.add(amounts.silence_turns, amounts.turns);
        }
        all
    }
}
