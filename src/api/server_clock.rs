//! What time it is at the API, learned from the `Date` header of its answers.
//!
//! Owns: the offset to this machine's clock. A header has whole seconds and is some milliseconds old, so small differences
//! are none; a large one counts when a second answer confirms it, because one odd answer (a cache, a proxy) must not move
//! the windows. Pure.

use chrono::{DateTime, TimeDelta, Utc};

/// Below this the clocks agree as far as can be told.
const NOTICEABLE: TimeDelta = TimeDelta::seconds(2);
/// From here on it is a problem worth telling.
const PROBLEM: TimeDelta = TimeDelta::seconds(10);

/// The clock of one API host, as seen from here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerClock {
    offset: TimeDelta,
    unconfirmed: Option<TimeDelta>,
    answers: u64,
}

impl ServerClock {
    /// Takes the `Date` of an answer that arrived at `here`.
    pub fn observe(&mut self, date: DateTime<Utc>, here: DateTime<Utc>) {
        self.answers += 1;
        let measured = date - here;
        let measured = if measured.abs() < NOTICEABLE { TimeDelta::zero() } else { measured };
        let agrees = |other: TimeDelta| (measured - other).abs() < NOTICEABLE;
        if agrees(self.offset) {
            self.unconfirmed = None;
        } else if self.answers == 1 || self.unconfirmed.is_some_and(agrees) {
            self.offset = measured;
            self.unconfirmed = None;
        } else {
            self.unconfirmed = Some(measured);
        }
    }

    /// The time at the API when it is `here` on this machine.
    pub fn at(&self, here: DateTime<Utc>) -> DateTime<Utc> {
        here + self.offset
    }

    /// How far this machine is ahead of the API (negative: behind), if that is a problem; seconds.
    #[expect(clippy::cast_precision_loss, reason = "for people")]
    pub fn skew_seconds(&self) -> Option<f64> {
        (self.offset.abs() >= PROBLEM).then(|| -self.offset.num_milliseconds() as f64 / 1000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn here() -> DateTime<Utc> {
        DateTime::from_timestamp(1_787_000_000, 0).unwrap()
    }

    fn after(offsets: &[i64]) -> ServerClock {
        let mut clock = ServerClock::default();
        for &seconds in offsets {
            clock.observe(here() + TimeDelta::seconds(seconds), here());
        }
        clock
    }

    #[test]
    fn rounding_is_no_skew() {
        assert_eq!(after(&[-1, 1, 0]).at(here()), here());
    }

    #[test]
    fn the_first_answer_and_any_confirmed_one_sets_the_clock() {
        assert_eq!(after(&[300]).at(here()), here() + TimeDelta::seconds(300));
        assert_eq!(after(&[0, 300, 300]).at(here()), here() + TimeDelta::seconds(300));
        assert_eq!(after(&[300, 0, 0]).at(here()), here());
    }

    #[test]
    fn one_odd_answer_does_not_move_it() {
        assert_eq!(after(&[0, 86_400, 0, -500, 0]).at(here()), here());
    }

    #[test]
    fn a_skew_that_matters_is_told_as_how_far_this_machine_is_ahead() {
        assert_eq!(after(&[-45]).skew_seconds(), Some(45.0));
        assert_eq!(after(&[5]).skew_seconds(), None);
    }
}
