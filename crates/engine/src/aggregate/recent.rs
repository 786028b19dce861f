//! The last stretch of event time, for the `polyai_recent_*` gauges.
//!
//! Owns: a window over counted conversations by when they ended. Never: the clock; the window ends at the last successful
//! poll, so that an outage does not look like silence.

use std::collections::BTreeMap;
use std::time::Duration;

use super::labels::LabelValues;
use crate::ledger::Amounts;
use polyai_domain::timestamp::Timestamp;

/// What of a counted conversation the recent gauges need.
#[derive(Debug, Clone)]
pub struct RecentConversation {
    /// When it ended.
    pub ended_at: Timestamp,
    /// The dimension values it counted under.
    pub dimensions: LabelValues,
    /// Its amounts.
    pub tally: Amounts,
}

/// The conversations of one target that ended recently.
#[derive(Debug, Clone, Default)]
pub struct RecentWindow {
    ended: Vec<RecentConversation>,
}

/// Sums over one label set.
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
    /// Remembers a conversation that has just counted.
    pub fn push(&mut self, conversation: RecentConversation) {
        self.ended.push(conversation);
    }

    /// Forgets what ended before the `window` up to `now`.
    pub fn evict_before(&mut self, now: Timestamp, window: Duration) {
        let from = now - window;
        self.ended.retain(|conversation| conversation.ended_at > from);
    }

    /// The sums of what is left, by label set.
    pub fn sums(&self) -> BTreeMap<&LabelValues, WindowTotals> {
        let mut all: BTreeMap<&LabelValues, WindowTotals> = BTreeMap::new();
        for conversation in &self.ended {
            let sums = all.entry(&conversation.dimensions).or_default();
            sums.conversations += 1;
            sums.handoffs += u64::from(conversation.tally.handoff);
            sums.turns += u64::from(conversation.tally.turns);
            sums.ood_turns += u64::from(conversation.tally.ood_turns);
            sums.silence_turns += u64::from(conversation.tally.silence_turns);
        }
        all
    }
}
