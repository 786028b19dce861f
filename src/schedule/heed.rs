//! Whether the API heeds `in_progress=true`, or sends finished conversations all the same.
//!
//! Owns: the judgement, by what live lists hold. A single finished record among running ones means only that the index lags
//! behind the record. Pure.

use crate::conversation::{Conversation, ConversationState};

/// So many lists in a row with running conversations alone show that it heeds the filter.
const CONFIRMATIONS: u32 = 10;

/// What the live lists of one target have shown.
#[derive(Debug, Clone, Copy, Default)]
pub struct FilterSupport {
    is_ignored: bool,
    clean_lists: u32,
}

impl FilterSupport {
    /// Whether the filter seems to be ignored.
    pub fn is_ignored(self) -> bool {
        self.is_ignored
    }

    /// A live list held these.
    pub fn observe(&mut self, seen: &[Conversation]) {
        let finished = seen.iter().filter(|one| one.data.state == ConversationState::Finished).count();
        let running = seen.len() - finished;
        if finished > running {
            *self = Self { is_ignored: true, clean_lists: 0 };
        } else if finished > 0 {
            self.clean_lists = 0;
        } else if running > 0 {
            self.clean_lists = self.clean_lists.saturating_add(1);
            self.is_ignored &= self.clean_lists < CONFIRMATIONS;
        }
    }
}
