//! What a scrape shows: the published generation, through the board of finished pages, with the exporter's own metrics.
//!
//! Owns: which board is in use. Never: what a page holds.

use std::io;
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::clock::Clock;
use crate::exposition::board::{Board, Shown};
use crate::exposition::page::{Coding, Page};
use crate::exposition::{Family, Format};
use crate::moment::Moment;
use crate::recorder::Generation;
use crate::recorder::task::Published;
use crate::selfstats::SelfStats;
use crate::server::Exposition;

pub(super) struct Scrape {
    published: Published,
    stats: SelfStats,
    board: ArcSwap<(Shown, Board)>,
    clock: Clock,
}

impl Scrape {
    pub(super) fn new(published: Published, stats: SelfStats, shown: Shown, clock: Clock) -> Self {
        Self { published, stats, board: ArcSwap::from_pointee((shown, Board::new(shown))), clock }
    }

    /// From now on pages show this.
    pub(super) fn show(&self, shown: Shown) {
        if self.board.load().0 != shown {
            self.board.store(Arc::new((shown, Board::new(shown))));
        }
    }
}

impl Exposition for Scrape {
    fn generation(&self) -> u64 {
        self.published.load().number
    }

    fn ready(&self, format: Format, coding: Coding, generation: u64) -> Option<Page> {
        self.board.load().1.ready(format, coding, generation, Moment::from(self.clock.now()))
    }

    fn make(&self, format: Format, coding: Coding) -> io::Result<Page> {
        let generation = self.published.load_full();
        let now = Moment::from(self.clock.now());
        self.board.load_full().1.make(format, coding, &generation, now, || live(&generation, &self.stats))
    }
}

/// The exporter's own metrics beside `generation`.
pub(crate) fn live(generation: &Generation, stats: &SelfStats) -> Vec<Family> {
    stats.set_series(generation.targets.iter().map(|(_, series)| series.len()).sum());
    stats.set_state_bytes(generation.state_bytes);
    stats.gather()
}
