//! What time it is at the API, learned from the `Date` header of its answers.
//!
//! Owns: the API's clock, which goes on by itself between the answers, at the pace of this machine's steady clock, so that a
//! step of the clock on the wall does not matter. The header was written somewhere between question and answer, so only what
//! lies outside of that is a difference, and, as it has whole seconds, a small one is none. A small step counts when a second
//! answer confirms it. No clock gains hours from one moment to the next: a large step counts when every answer of some minutes
//! has told it, because odd answers (a cache, one bad node, a proxy with its own clock) must not move the windows. At first, when
//! nothing is known but this machine's clock, a second answer suffices for that too. Where answers bring no `Date`, the clock on
//! the wall is heard in its place. Pure.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::Instant;

use crate::clock::ClockReading;

/// Below this the clocks agree as far as can be told.
const TOLERANCE: TimeDelta = TimeDelta::seconds(2);
/// From here on it is a problem worth telling.
const PROBLEM: TimeDelta = TimeDelta::seconds(10);
/// A step of up to this much is followed at the second answer that tells it.
const MAX_SMALL_STEP: TimeDelta = TimeDelta::seconds(60);
/// For how long every answer must have told a larger one.
const LARGE_STEP_CONFIRMATION: Duration = Duration::from_secs(5 * 60);

/// The `Date` header of an answer, and when its question and its answer were on their way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DateObservation {
    /// The header; none if there was none that can be read.
    pub date: Option<DateTime<Utc>>,
    /// The request was sent.
    pub asked: ClockReading,
    /// The headers of the answer were there.
    pub answered: ClockReading,
}

/// The clock of one API host, as seen from here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerClock {
    /// When the first question was asked. Offsets are to the wall clock of then, moved on by the steady one.
    origin: Option<ClockReading>,
    offset: TimeDelta,
    /// By how much the API was ahead of the wall when a `Date` told so last.
    ahead_of_wall: TimeDelta,
    is_confirmed: bool,
    doubt: Option<PendingStep>,
}

/// Answers in a row that told another time, all of them in the same direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct PendingStep {
    since: Instant,
    answers: u32,
    /// The smallest step that any of them asks for.
    offset: TimeDelta,
}

/// The offsets that explain an answer.
#[derive(Debug, Clone, Copy)]
struct OffsetRange {
    least: TimeDelta,
    most: TimeDelta,
}

impl OffsetRange {
    fn contains(self, offset: TimeDelta) -> bool {
        self.least - TOLERANCE < offset && offset < self.most + TOLERANCE
    }

    /// The smallest of them.
    fn smallest(self) -> TimeDelta {
        if self.contains(TimeDelta::zero()) {
            TimeDelta::zero()
        } else if self.least > TimeDelta::zero() {
            self.least
        } else {
            self.most
        }
    }
}

impl ServerClock {
    /// Takes what an answer tells.
    pub fn observe(&mut self, stamp: DateObservation) {
        self.origin.get_or_insert(stamp.asked);
        let observed = self.told_by(&stamp);
        if observed.contains(self.offset) {
            (self.is_confirmed, self.doubt) = (true, None);
        } else {
            self.note_disagreement(observed.smallest(), stamp.answered.steady);
        }
        if stamp.date.is_some() && self.doubt.is_none() {
            self.ahead_of_wall = self.at(stamp.answered) - stamp.answered.wall;
        }
    }

    fn told_by(&self, stamp: &DateObservation) -> OffsetRange {
        match stamp.date {
            Some(date) => OffsetRange {
                least: date - self.monotonic(stamp.answered),
                most: date - self.monotonic(stamp.asked),
            },
            None => {
                let wall = stamp.answered.wall - self.monotonic(stamp.answered) + self.ahead_of_wall;
                OffsetRange { least: wall, most: wall }
            }
        }
    }

    fn note_disagreement(&mut self, told: TimeDelta, at: Instant) {
        let is_ahead = told > self.offset;
        let before = self.doubt.filter(|doubt| (doubt.offset > self.offset) == is_ahead);
        let mut doubt = before.unwrap_or(PendingStep { since: at, answers: 0, offset: told });
        doubt.answers = doubt.answers.saturating_add(1);
        doubt.offset = if is_ahead { doubt.offset.min(told) } else { doubt.offset.max(told) };
        let is_small = (doubt.offset - self.offset).abs() <= MAX_SMALL_STEP;
        let is_agreed = at.saturating_duration_since(doubt.since) >= LARGE_STEP_CONFIRMATION;
        if doubt.answers >= 2 && (is_small || is_agreed || !self.is_confirmed) {
            *self = Self { offset: doubt.offset, is_confirmed: true, doubt: None, ..self.clone() };
        } else {
            self.doubt = Some(doubt);
        }
    }

    /// The time at the API. While answers tell another time than the clock had before it is the earlier of both: a window that
    /// ends too early is read on later, one that ends in the future would leave out what starts until then.
    pub fn at(&self, look: ClockReading) -> DateTime<Utc> {
        self.with(self.doubt.map_or(self.offset, |doubt| doubt.offset.min(self.offset)), look)
    }

    /// Whether the time is known for certain: some answer has confirmed it, and none has told another since.
    pub fn is_certain(&self) -> bool {
        self.is_confirmed && self.doubt.is_none()
    }

    /// How far this machine is ahead of the API (negative: behind), if that is a problem; seconds. What two answers in a row
    /// say is told, even if it is not followed yet.
    #[expect(clippy::cast_precision_loss, reason = "for people")]
    pub fn skew_seconds(&self, look: ClockReading) -> Option<f64> {
        let doubt = self.doubt.filter(|doubt| doubt.answers >= 2);
        let ahead = look.wall - self.with(doubt.map_or(self.offset, |doubt| doubt.offset), look);
        (ahead.abs() >= PROBLEM).then(|| ahead.num_milliseconds() as f64 / 1000.0)
    }

    fn with(&self, offset: TimeDelta, look: ClockReading) -> DateTime<Utc> {
        let steady = self.monotonic(look);
        steady.checked_add_signed(offset).unwrap_or(steady)
    }

    /// What the clock on the wall would show, had nobody touched it since the first question.
    fn monotonic(&self, look: ClockReading) -> DateTime<Utc> {
        let since = |origin: ClockReading| {
            let passed = look.steady.saturating_duration_since(origin.steady);
            let before = origin.steady.saturating_duration_since(look.steady);
            origin
                .wall
                .checked_add_signed(TimeDelta::from_std(passed).ok()? - TimeDelta::from_std(before).ok()?)
        };
        self.origin.and_then(since).unwrap_or(look.wall)
    }
}

#[cfg(test)]
mod tests;
