//! Settings, API behaviour and faults of a history, generated from a seed.

use std::time::Duration;

use polyai_domain::timestamp::Timestamp;

use super::rng::Rng;

pub(super) const SECOND: i64 = 1000;
pub(super) const MINUTE: i64 = 60 * SECOND;
pub(super) const HOUR: i64 = 60 * MINUTE;

/// The subject of a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Everything may happen.
    Adverse,
    /// The same, but no record is amended and the anchor is configured: every instance must arrive at the same numbers.
    Replicas,
    /// Nothing fails and calls in progress are listed: the number of requests is checked.
    Calm,
}

/// The lists that show calls in progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Running {
    /// The open list.
    Listed,
    /// Only lists without a filter.
    Unlisted,
    /// None.
    Hidden,
}

/// A list with offsets: it moves while it is read, so that calls repeat on the next page or are skipped.
#[derive(Debug, Clone, Copy)]
pub(super) struct Offsets {
    /// Calls per page.
    pub(super) page: usize,
    pub(super) newest_first: bool,
}

#[derive(Debug, Clone)]
pub(super) struct Scenario {
    pub(super) kind: Kind,
    pub(super) ages: Vec<i64>,
    pub(super) interval: i64,
    pub(super) settle: i64,
    /// If configured; otherwise it is the first start less `lookback`.
    pub(super) anchor: Option<i64>,
    pub(super) lookback: i64,
    pub(super) refetch_budget: usize,
    pub(super) max_label_values: usize,
    pub(super) by_channel: bool,
    pub(super) running: Running,
    /// Whether the list ignores `in_progress` and sends everything in the window.
    pub(super) ignores_filter: bool,
    /// How the list is paged; if `None`, calls are omitted and repeated at random.
    pub(super) offsets: Option<Offsets>,
    /// Whether the bounds of a window are inclusive.
    pub(super) bounds_included: (bool, bool),
    pub(super) amends: bool,
    /// Percent of fetches that fail, of operations at which the process is killed, of commits at which the disk is full.
    pub(super) failures: u64,
    pub(super) kills: u64,
    pub(super) full_disks: u64,
    /// Percent of fetches after which the configuration changes.
    pub(super) reloads: u64,
    /// The largest error of the estimate of the API's time.
    pub(super) clock_error: i64,
    /// Whether the clock is an hour behind for some polls.
    pub(super) steps_back: bool,
    /// Whether the clock is three days ahead for some polls.
    pub(super) steps_ahead: bool,
    /// Starts and requests are at multiples of this, so that they may coincide with the bounds of windows.
    pub(super) grid: i64,
    /// Conversations beyond which a fetch is refused.
    pub(super) largest_fetch: usize,
    /// When the first instance starts, and for how long anything may fail.
    pub(super) start: i64,
    pub(super) span: i64,
    pub(super) targets: usize,
}

impl Scenario {
    pub(super) fn new(kind: Kind, rng: &mut Rng) -> Self {
        let calm = kind == Kind::Calm;
        let scales: [(&[i64], i64); 5] = [
            (&[MINUTE, 10 * MINUTE, 2 * HOUR], 15 * SECOND),
            (&[MINUTE, 10 * MINUTE], 10 * SECOND),
            (&[2 * MINUTE], 12 * SECOND),
            (&[5 * MINUTE, HOUR, 24 * HOUR], 30 * SECOND),
            (&[2 * MINUTE, 5 * MINUTE, 20 * MINUTE, HOUR], 10 * SECOND),
        ];
        let (ages, interval) = rng.pick(&scales);
        let last = *ages.last().unwrap();
        // An arbitrary day.
        let start = 1_787_000_000_000 + rng.between(0, 24 * HOUR);
        let running = match rng.below(10) {
            _ if calm => Running::Listed,
            0..5 => Running::Listed,
            5..8 => Running::Hidden,
            _ => Running::Unlisted,
        };
        let span = rng.pick(&[20 * MINUTE, last / 4, last, 2 * last]);
        // A calm history skips no poll.
        let span = if calm { span.min(150 * interval) } else { span };
        let configured = kind == Kind::Replicas || rng.percent(30);
        let often = |rng: &mut Rng, shares: &[u64]| if calm { 0 } else { rng.pick(shares) };
        let grid = if !calm && rng.percent(15) { interval } else { 1 };
        Self {
            kind,
            ages: ages.to_vec(),
            interval,
            settle: rng.pick(&[0, 5 * SECOND, 10 * SECOND, 2 * MINUTE]),
            // An anchor after the start costs more requests than usual.
            anchor: configured.then(|| start - rng.between(if calm { 0 } else { -5 * MINUTE }, last)),
            lookback: rng.pick(&[0, 0, last / 3, last]),
            refetch_budget: if calm { 100 } else { rng.pick(&[1, 2, 6]) },
            max_label_values: rng.pick(&[1, 2, 50, 50]),
            by_channel: rng.percent(70),
            running,
            ignores_filter: !calm && rng.percent(10),
            offsets: (!calm && rng.percent(40))
                .then(|| Offsets { page: rng.pick(&[1, 2, 5]), newest_first: rng.percent(50) }),
            bounds_included: (rng.percent(50), rng.percent(50)),
            amends: kind == Kind::Adverse && rng.percent(60),
            failures: often(rng, &[0, 2, 10, 30]),
            kills: often(rng, &[0, 1, 4]),
            full_disks: often(rng, &[0, 0, 5]),
            reloads: often(rng, &[0, 0, 1, 5]),
            grid,
            clock_error: if calm || grid > 1 { 0 } else { rng.pick(&[0, 900, 1900]) },
            steps_back: !calm && rng.percent(20),
            steps_ahead: !calm && rng.percent(20),
            largest_fetch: if calm { 10_000 } else { rng.pick(&[5, 20, 10_000]) },
            start,
            span,
            targets: if rng.percent(25) { 2 } else { 1 },
        }
    }

    /// The last recheck age; what the API shows by then must be found.
    pub(super) fn last_age(&self) -> i64 {
        *self.ages.last().unwrap()
    }

    /// `time`, or the next one that is on the grid.
    pub(super) fn on_grid(&self, time: i64) -> i64 {
        let past = (time - self.start).rem_euclid(self.grid);
        if past == 0 { time } else { time - past + self.grid }
    }

    /// Until when anything may fail.
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
