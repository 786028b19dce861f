//! Whether the daemon can be relied on: every target has been tried once since the start.
//!
//! Owns: that this stays so. A target that a reload adds does not take it back, because whatever finds its scrape targets by
//! readiness would then miss the others too.

use std::sync::atomic::{AtomicBool, Ordering};

use super::fleet::Roll;
use crate::server::Readiness;

pub(super) struct Ready {
    tried: Roll,
    once: AtomicBool,
}

impl Ready {
    pub(super) fn new(tried: Roll) -> Self {
        Self { tried, once: AtomicBool::new(false) }
    }
}

impl Readiness for Ready {
    fn ready(&self) -> Result<(), String> {
        if self.once.load(Ordering::Relaxed) {
            return Ok(());
        }
        match self.tried.load().iter().filter(|one| !one.is_so()).count() {
            0 => {
                self.once.store(true, Ordering::Relaxed);
                Ok(())
            }
            1 => Err("1 target has not been tried yet".to_owned()),
            left => Err(format!("{left} targets have not been tried yet")),
        }
    }
}
