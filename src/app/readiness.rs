//! Whether the daemon can be relied on: every target has been tried once since the start.
//!
//! Owns: the sentence that says what is missing. Never: who is to be tried; the fleet calls the roll.

use super::pollers::ReadinessLatches;
use crate::http::Readiness;

pub(super) struct Ready(pub(super) ReadinessLatches);

impl Readiness for Ready {
    fn ready(&self) -> Result<(), String> {
        match self.0.load().iter().filter(|one| !one.is_set()).count() {
            0 => Ok(()),
            1 => Err("1 target has not been tried yet".to_owned()),
            left => Err(format!("{left} targets have not been tried yet")),
        }
    }
}
