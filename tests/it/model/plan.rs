//! What kind of history a seed stands for: the settings of the exporter, the habits of the project, and what goes wrong.

use std::time::Duration;

use polyai_exporter::timestamp::Timestamp;

use super::chance::Chance;

pub(super) const SECOND: i64 = 1000;
pub(super) const MINUTE: i64 = 60 * SECOND;
pub(super) const HOUR: i64 = 60 * MINUTE;

/// What a history is to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Everything may happen.
    Adverse,
    /// The same, but no record is amended and the anchor is configured: every instance must arrive at the same numbers.
    Replicas,
    /// Nothing goes wrong and running calls are listed: what does it cost?
    Calm,
}

/// Who gets to see that a call runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Running {
    /// The live list does.
    Listed,
    /// Only who asks for all calls, running or not.
    Unlisted,
    /// Nobody.
    Hidden,
}

/// A list whose pages are counted off: it moves while it is read, so that calls come again on the next page or slip past it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Offsets {
    /// Calls per page.
    pub(super) page: usize,
    pub(super) newest_first: bool,
}

#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) kind: Kind,
    pub(super) ages: Vec<i64>,
    pub(super) interval: i64,
    pub(super) settle: i64,
    /// Configured, or none: then the first start less `lookback` is it.
    pub(super) anchor: Option<i64>,
    pub(super) lookback: i64,
    pub(super) refetch_budget: usize,
    pub(super) max_label_values: usize,
    pub(super) by_channel: bool,
    pub(super) running: Running,
    /// Whether the list ignores `in_progress` and sends everything in the window.
    pub(super) ignores_filter: bool,
    /// How the list is paged; none if calls go missing and repeat for other reasons.
    pub(super) offsets: Option<Offsets>,
    /// Whether the ends of a window belong to it.
    pub(super) bounds_included: (bool, bool),
    pub(super) amends: bool,
    /// Percent of fetches that fail, of operations that are the last of a process, of commits that meet a full disk.
    pub(super) failures: u64,
    pub(super) kills: u64,
    pub(super) full_disks: u64,
    /// Percent of fetches after which the configuration changes.
    pub(super) reloads: u64,
    /// How far the estimate of the API's time may be off.
    pub(super) clock_error: i64,
    /// Whether the clock is stepped back by an hour for a while.
    pub(super) steps_back: bool,
    /// Whether it is stepped ahead by three days for a while, and everybody believes it.
    pub(super) steps_ahead: bool,
    /// Starts and requests come at multiples of this, so that they may coincide with the bounds of windows.
    pub(super) grid: i64,
    /// Conversations beyond which a fetch is refused.
    pub(super) largest_fetch: usize,
    /// When the first instance starts, and how long the adversary is at work.
    pub(super) start: i64,
    pub(super) span: i64,
    pub(super) targets: usize,
}

impl Plan {
    pub(super) fn new(kind: Kind, chance: &mut Chance) -> Self {
        let calm = kind == Kind::Calm;
        let scales: [(&[i64], i64); 5] = [
            (&[MINUTE, 10 * MINUTE, 2 * HOUR], 15 * SECOND),
            (&[MINUTE, 10 * MINUTE], 10 * SECOND),
            (&[2 * MINUTE], 12 * SECOND),
            (&[5 * MINUTE, HOUR, 24 * HOUR], 30 * SECOND),
            (&[2 * MINUTE, 5 * MINUTE, 20 * MINUTE, HOUR], 10 * SECOND),
        ];
        let (ages, interval) = chance.pick(&scales);
        let last = *ages.last().unwrap();
        // Nothing in particular about this day.
        let start = 1_787_000_000_000 + chance.between(0, 24 * HOUR);
        let running = match chance.below(10) {
            _ if calm => Running::Listed,
            0..5 => Running::Listed,
            5..8 => Running::Hidden,
            _ => Running::Unlisted,
        };
        let span = chance.pick(&[20 * MINUTE, last / 4, last, 2 * last]);
        // Every tick of a calm history is lived through.
        let span = if calm { span.min(150 * interval) } else { span };
        let configured = kind == Kind::Replicas || chance.percent(30);
        let often = |chance: &mut Chance, shares: &[u64]| if calm { 0 } else { chance.pick(shares) };
        let grid = if !calm && chance.percent(15) { interval } else { 1 };
        Self {
            kind,
            ages: ages.to_vec(),
            interval,
            settle: chance.pick(&[0, 5 * SECOND, 10 * SECOND, 2 * MINUTE]),
            // An anchor ahead of the start is odd enough to cost more than it must.
            anchor: configured.then(|| start - chance.between(if calm { 0 } else { -5 * MINUTE }, last)),
            lookback: chance.pick(&[0, 0, last / 3, last]),
            refetch_budget: if calm { 100 } else { chance.pick(&[1, 2, 6]) },
            max_label_values: chance.pick(&[1, 2, 50, 50]),
            by_channel: chance.percent(70),
            running,
            ignores_filter: !calm && chance.percent(10),
            offsets: (!calm && chance.percent(40))
                .then(|| Offsets { page: chance.pick(&[1, 2, 5]), newest_first: chance.percent(50) }),
            bounds_included: (chance.percent(50), chance.percent(50)),
            amends: kind == Kind::Adverse && chance.percent(60),
            failures: often(chance, &[0, 2, 10, 30]),
            kills: often(chance, &[0, 1, 4]),
            full_disks: often(chance, &[0, 0, 5]),
            reloads: often(chance, &[0, 0, 1, 5]),
            grid,
            clock_error: if calm || grid > 1 { 0 } else { chance.pick(&[0, 900, 1900]) },
            steps_back: !calm && chance.percent(20),
            steps_ahead: !calm && chance.percent(20),
            largest_fetch: if calm { 10_000 } else { chance.pick(&[5, 20, 10_000]) },
            start,
            span,
            targets: if chance.percent(25) { 2 } else { 1 },
        }
    }

    /// The last age at which a stretch is read; what shows itself by then must be found.
    pub(super) fn last_age(&self) -> i64 {
        *self.ages.last().unwrap()
    }

    /// `time`, or the next one that is on the grid.
    pub(super) fn on_grid(&self, time: i64) -> i64 {
        let past = (time - self.start).rem_euclid(self.grid);
        if past == 0 { time } else { time - past + self.grid }
    }

    /// Until when the adversary is at work.
    pub(super) fn end(&self) -> i64 {
        self.start + self.span
    }
}

pub(super) fn moment(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

pub(super) fn length(millis: i64) -> Duration {
    Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}
