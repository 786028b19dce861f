//! What a poller shares with whoever runs it, while it runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Whether a target has been polled at all, well or not. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct FirstPollLatch(Arc<AtomicBool>);

impl FirstPollLatch {
    /// Whether it has.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// It has.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// How many requests per tick the budget of an API key leaves each of its targets for conversations that left the open list.
/// Clones share it: it changes while pollers run, as targets that use the key come and go.
#[derive(Debug, Clone)]
pub struct RefetchBudget(Arc<AtomicUsize>);

impl RefetchBudget {
    /// So many.
    pub fn new(requests: usize) -> Self {
        Self(Arc::new(AtomicUsize::new(requests)))
    }

    /// So many from the next tick on.
    pub fn set(&self, requests: usize) {
        self.0.store(requests, Ordering::Relaxed);
    }

    /// How many now.
    pub fn requests(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}
