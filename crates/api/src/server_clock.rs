//! The API's time, learned from the `Date` header of its responses.
//!
//! Between responses the clock advances with this machine's monotonic clock, so a step of the wall clock does not matter. The
//! header was written between request and response and has whole seconds, so only a difference beyond that is one. A small
//! step counts when a second response confirms it. A large step counts when every response of some minutes has confirmed
//! it, because odd responses (a cache, one bad node, a proxy with its own clock) must not move the windows; as long as no
//! response has been confirmed, a second one suffices for that too. Responses that disagree in both directions, as those of two
//! nodes, settle on their median in the same way. Without `Date` the wall clock is used in its place.

use std::collections::VecDeque;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use polyai_domain::clock::ClockReading;
use tokio::time::Instant;

/// Smaller differences cannot be measured.
const TOLERANCE: TimeDelta = TimeDelta::seconds(2);
/// The smallest difference that is reported as a problem.
const MIN_SKEW: TimeDelta = TimeDelta::seconds(10);
/// The largest step that a second response confirms.
const MAX_SMALL_STEP: TimeDelta = TimeDelta::seconds(60);
/// The time over which every response must confirm a larger step.
const LARGE_STEP_CONFIRMATION: Duration = Duration::from_secs(5 * 60);
/// So many responses that disagree in both directions have a median.
const MIN_FOR_MEDIAN: usize = 4;
const MAX_FOR_MEDIAN: usize = 9;

/// The `Date` header of a response, and the time around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DateObservation {
    /// The header; absent or unreadable is `None`.
    pub date: Option<DateTime<Utc>>,
    /// When the request was sent.
    pub sent: ClockReading,
    /// When the headers of the response were received.
    pub received: ClockReading,
}

/// The clock of one API host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerClock {
    /// When the first request was sent. Offsets are relative to the wall clock at that time, advanced by the monotonic clock.
    origin: Option<ClockReading>,
    offset: TimeDelta,
    /// The lead of the API over the wall clock at the last `Date`.
    ahead_of_wall: TimeDelta,
    confirmed: bool,
    pending: Option<PendingStep>,
    /// Empty unless a step is pending.
    disagreeing: Disagreeing,
}

/// Consecutive responses that disagree with the clock in any direction.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Disagreeing {
    since: Option<Instant>,
    /// Of the last few.
    offsets: VecDeque<TimeDelta>,
}

impl Disagreeing {
    fn push(&mut self, offset: TimeDelta, at: Instant) {
        self.since.get_or_insert(at);
        self.offsets.truncate(MAX_FOR_MEDIAN - 1);
        self.offsets.push_front(offset);
    }

    /// The median of enough offsets on both sides of `clock`; of an even number, the earlier time.
    fn median_around(&self, clock: TimeDelta) -> Option<TimeDelta> {
        let ahead = self.offsets.iter().filter(|&&offset| offset > clock).count();
        let is_around = ahead > 0 && ahead < self.offsets.len() && self.offsets.len() >= MIN_FOR_MEDIAN;
        let mut sorted = Vec::from_iter(self.offsets.iter().copied());
        sorted.sort_unstable();
        sorted.get((sorted.len().max(1) - 1) / 2).copied().filter(|_| is_around)
    }
}

/// Consecutive responses that disagree with the clock in the same direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct PendingStep {
    since: Instant,
    responses: u32,
    /// The offset of the smallest step among them.
    offset: TimeDelta,
}

/// The offsets that are consistent with a response.
#[derive(Debug, Clone, Copy)]
struct OffsetRange {
    min: TimeDelta,
    max: TimeDelta,
}

impl OffsetRange {
    fn contains(self, offset: TimeDelta) -> bool {
        self.min - TOLERANCE < offset && offset < self.max + TOLERANCE
    }

    /// The offset closest to zero.
    fn smallest(self) -> TimeDelta {
        if self.contains(TimeDelta::zero()) {
            TimeDelta::zero()
        } else if self.min > TimeDelta::zero() {
            self.min
        } else {
            self.max
        }
    }
}

impl ServerClock {
    /// Adjusts the clock to a response.
    pub fn observe(&mut self, observation: DateObservation) {
        let DateObservation { date, sent, received } = observation;
        self.origin.get_or_insert(sent);
        let observed = self.offset_range(observation);
        if observed.contains(self.offset) {
            self.settle(self.offset);
        } else {
            self.note_disagreement(observed.smallest(), received.steady);
        }
        if date.is_some() && self.pending.is_none() {
            self.ahead_of_wall = self.at(received) - received.wall;
        }
    }

    fn offset_range(&self, DateObservation { date, sent, received }: DateObservation) -> OffsetRange {
        match date {
            Some(date) => {
                OffsetRange { min: date - self.monotonic(received), max: date - self.monotonic(sent) }
            }
            None => {
                let offset = received.wall - self.monotonic(received) + self.ahead_of_wall;
                OffsetRange { min: offset, max: offset }
            }
        }
    }

    fn note_disagreement(&mut self, offset: TimeDelta, at: Instant) {
        let is_ahead = offset > self.offset;
        let same_direction = self.pending.filter(|step| (step.offset > self.offset) == is_ahead);
        let mut step = same_direction.unwrap_or(PendingStep { since: at, responses: 0, offset });
        step.responses = step.responses.saturating_add(1);
        step.offset = if is_ahead { step.offset.min(offset) } else { step.offset.max(offset) };
        self.disagreeing.push(offset, at);
        let is_settled = |to: TimeDelta, since: Instant| {
            let is_small = (to - self.offset).abs() <= MAX_SMALL_STEP;
            let is_old = at.saturating_duration_since(since) >= LARGE_STEP_CONFIRMATION;
            is_small || is_old || !self.confirmed
        };
        let median = self.disagreeing.median_around(self.offset).zip(self.disagreeing.since);
        if step.responses >= 2 && is_settled(step.offset, step.since) {
            self.settle(step.offset);
        } else if let Some((median, _)) = median.filter(|&(median, since)| is_settled(median, since)) {
            self.settle(median);
        } else {
            self.pending = Some(step);
        }
    }

    fn settle(&mut self, offset: TimeDelta) {
        (self.offset, self.confirmed, self.pending) = (offset, true, None);
        self.disagreeing = Disagreeing::default();
    }

    /// The latest time that the API may have: a pending step counts.
    pub fn latest(&self, reading: ClockReading) -> DateTime<Utc> {
        let latest =
            self.with_offset(self.pending.map_or(self.offset, |step| step.offset.max(self.offset)), reading);
        // Until a response has confirmed it, the offset is a guess.
        if self.confirmed { latest } else { latest.max(reading.wall) }
    }

    /// The API's time. While a step is pending this is the earlier of both times: a window that ends too early is continued
    /// later, but one that ends in the future would miss what starts until then.
    pub fn at(&self, reading: ClockReading) -> DateTime<Utc> {
        self.with_offset(self.pending.map_or(self.offset, |step| step.offset.min(self.offset)), reading)
    }

    /// Whether a response has confirmed the time and none has contradicted it since.
    pub fn is_certain(&self) -> bool {
        self.confirmed && self.pending.is_none()
    }

    /// The lead of this machine over the API in seconds, negative if it is behind; `None` if it is too small to matter. A
    /// pending step counts from the second response.
    #[expect(clippy::cast_precision_loss, reason = "only displayed")]
    pub fn skew_seconds(&self, reading: ClockReading) -> Option<f64> {
        let pending = self.pending.filter(|step| step.responses >= 2);
        let ahead = reading.wall - self.with_offset(pending.map_or(self.offset, |step| step.offset), reading);
        (ahead.abs() >= MIN_SKEW).then(|| ahead.num_milliseconds() as f64 / 1000.0)
    }

    fn with_offset(&self, offset: TimeDelta, reading: ClockReading) -> DateTime<Utc> {
        let monotonic = self.monotonic(reading);
        monotonic.checked_add_signed(offset).unwrap_or(monotonic)
    }

    /// The wall clock as if it had not been stepped since the first request.
    fn monotonic(&self, reading: ClockReading) -> DateTime<Utc> {
        let since = |origin: ClockReading| {
            let after = reading.steady.saturating_duration_since(origin.steady);
            let before = origin.steady.saturating_duration_since(reading.steady);
            origin
                .wall
                .checked_add_signed(TimeDelta::from_std(after).ok()? - TimeDelta::from_std(before).ok()?)
        };
        self.origin.and_then(since).unwrap_or(reading.wall)
    }
}

#[cfg(test)]
mod tests;
