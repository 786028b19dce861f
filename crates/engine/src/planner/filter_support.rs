//! Whether the API honours `in_progress=true`, judged by what open lists hold.

use polyai_domain::conversation::{Conversation, ConversationState};

/// So many consecutive lists of running conversations alone show that the filter is honoured again.
const CONFIRMATIONS: u32 = 10;

/// The evidence of the open lists of one target.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct FilterSupport {
    ignored: bool,
    clean_lists: u32,
}

impl FilterSupport {
    pub(super) fn is_ignored(self) -> bool {
        self.ignored
    }

    /// Observes an open list. A single finished record among running ones only means that the index lags behind the record.
    pub(super) fn observe(&mut self, seen: &[Conversation]) {
        let finished = seen.iter().filter(|one| one.data.state == ConversationState::Finished).count();
        let running = seen.len() - finished;
        if finished > running {
            *self = Self { ignored: true, clean_lists: 0 };
        } else if finished > 0 {
            self.clean_lists = 0;
        } else if running > 0 {
            self.clean_lists = self.clean_lists.saturating_add(1);
            self.ignored &= self.clean_lists < CONFIRMATIONS;
        }
    }
}
