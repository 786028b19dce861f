//! What time it is at the API, learned from the `Date` header of its answers.
//!
//! Owns: the offset to this machine's clock. The header was written somewhere between question and answer, so only what lies
//! outside of that is a difference, and, as it has whole seconds, a small one is none. A large one counts when a second
//! answer confirms it, be it the very first, because one odd answer (a cache, a proxy) must not move the windows. Pure.

use chrono::{DateTime, TimeDelta, Utc};

/// Below this the clocks agree as far as can be told.
const NOTICEABLE: TimeDelta = TimeDelta::seconds(2);
/// From here on it is a problem worth telling.
const PROBLEM: TimeDelta = TimeDelta::seconds(10);

/// A `Date` header, and when on this machine's clock its answer was asked for and arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// The header.
    pub date: DateTime<Utc>,
    /// The request was sent.
    pub asked_at: DateTime<Utc>,
    /// The headers of the answer were there.
    pub answered_at: DateTime<Utc>,
}

impl Stamp {
    /// Whether it can have been written by a clock with this offset.
    fn admits(&self, offset: TimeDelta) -> bool {
        let (least, most) = self.offsets();
        least - NOTICEABLE < offset && offset < most + NOTICEABLE
    }

    /// The smallest offset that explains it.
    fn offset(&self) -> TimeDelta {
        let (least, most) = self.offsets();
        if self.admits(TimeDelta::zero()) {
            TimeDelta::zero()
        } else if least > TimeDelta::zero() {
            least
        } else {
            most
        }
    }

    /// From and to. They change places when this machine's clock was stepped back in between.
    fn offsets(&self) -> (TimeDelta, TimeDelta) {
        let (one, other) = (self.date - self.answered_at, self.date - self.asked_at);
        (one.min(other), one.max(other))
    }
}

/// The clock of one API host, as seen from here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerClock {
    offset: TimeDelta,
    unconfirmed: Option<TimeDelta>,
}

impl ServerClock {
    /// Takes the `Date` of an answer.
    pub fn observe(&mut self, stamp: Stamp) {
        if stamp.admits(self.offset) {
            self.unconfirmed = None;
        } else if self.unconfirmed.is_some_and(|offset| stamp.admits(offset)) {
            self.offset = stamp.offset();
            self.unconfirmed = None;
        } else {
            self.unconfirmed = Some(stamp.offset());
        }
    }

    /// The time at the API when it is `here` on this machine. While two answers disagree it is the earlier of both: a window
    /// that ends too early is read on later, one that ends in the future would never be read again.
    pub fn at(&self, here: DateTime<Utc>) -> DateTime<Utc> {
        here + self.unconfirmed.map_or(self.offset, |unconfirmed| unconfirmed.min(self.offset))
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
            clock.observe(stamp(seconds, 0));
        }
        clock
    }

    /// A header that differs by `seconds`, in an answer that took `took` seconds.
    fn stamp(seconds: i64, took: i64) -> Stamp {
        let date = here() + TimeDelta::seconds(seconds);
        Stamp { date, asked_at: here(), answered_at: here() + TimeDelta::seconds(took) }
    }

    #[test]
    fn rounding_is_no_skew() {
        assert_eq!(after(&[-1, 1, 0]).at(here()), here());
    }

    #[test]
    fn two_answers_that_agree_set_the_clock() {
        assert_eq!(after(&[300, 300]).at(here()), here() + TimeDelta::seconds(300));
        assert_eq!(after(&[0, 300, 300]).at(here()), here() + TimeDelta::seconds(300));
        assert_eq!(after(&[300, 0, 0]).at(here()), here());
    }

    #[test]
    fn until_then_the_earlier_time_holds() {
        assert_eq!(after(&[300]).at(here()), here());
        assert_eq!(after(&[-300]).at(here()), here() - TimeDelta::seconds(300));
    }

    #[test]
    fn one_odd_answer_does_not_move_it() {
        assert_eq!(after(&[0, 86_400, 0, -500, 0]).at(here()), here());
    }

    #[test]
    fn a_step_that_is_not_confirmed_yet_moves_no_window_into_the_future() {
        assert_eq!(after(&[0, -3600]).at(here()), here() - TimeDelta::hours(1));
        assert_eq!(after(&[0, 3600]).at(here()), here());
    }

    #[test]
    fn a_slow_answer_is_no_skew() {
        let mut clock = ServerClock::default();
        for written in [0, 12, 25] {
            clock.observe(stamp(written, 25));
        }
        assert_eq!(clock, ServerClock::default());
    }

    #[test]
    fn a_skew_that_matters_is_told_as_how_far_this_machine_is_ahead() {
        assert_eq!(after(&[-45, -45]).skew_seconds(), Some(45.0));
        assert_eq!(after(&[5, 5]).skew_seconds(), None);
    }
}
