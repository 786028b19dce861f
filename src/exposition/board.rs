//! The finished pages of all formats and codings, each as new as it needs to be.
//!
//! Owns: which pages are kept, and for how long. Never: the network, or what a line says.
//!
//! With many targets there is a commit every few milliseconds, so a page is made when it is asked for, not when something
//! changed; and what is asked for again before anything changed is only handed out. A page has two parts: the lines of the
//! committed generation, and the exporter's own metrics, which move all the time and are therefore taken once per second at most.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use bytes::Bytes;

use super::encoder::{Encoder, Format};
use super::family::Family;
use super::gzip::{self, Deflater};
use super::page::{Coding, Page};
use super::sheet::Sheet;
use super::zstd;
use crate::moment::Moment;
use crate::recorder::Generation;

/// How old the exporter's own metrics may be.
const LIVE_FOR: Duration = Duration::from_secs(1);
/// The lines of a format that nobody has asked for in so long are given up.
const KEEP: Duration = Duration::from_secs(600);
/// Below this many bytes, a page is one piece: that is cheaper to send, and cheap to copy.
const ONE_PIECE: usize = 256 << 10;

/// All pages.
#[derive(Debug)]
pub struct Board {
    shown: Shown,
    slots: [Slot; Format::ALL.len()],
}

/// What the configuration decides about the formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown {
    /// `metrics.native_histograms`
    pub native_histograms: bool,
    /// `metrics.openmetrics_created`
    pub openmetrics_created: bool,
}

/// The pages of one format.
#[derive(Debug, Default)]
struct Slot {
    ready: [ArcSwapOption<Ready>; Coding::ALL.len()],
    workshop: Mutex<Option<Workshop>>,
}

/// A page that can be handed out.
#[derive(Debug)]
struct Ready {
    generation: u64,
    made: Moment,
    page: Page,
}

/// Where the pages of one format are made.
#[derive(Debug)]
struct Workshop {
    sheet: Sheet,
    deflater: Deflater,
    fronts: [Option<Front>; Coding::ALL.len()],
    asked: Moment,
}

/// The part of a page that shows the generation.
#[derive(Debug)]
struct Front {
    version: u64,
    parts: Arc<[Bytes]>,
    /// What gzip needs to end it.
    gzip: Option<gzip::Front>,
}

impl Board {
    /// Without any page yet.
    pub fn new(shown: Shown) -> Self {
        Self { shown, slots: Default::default() }
    }

    /// A page that shows `generation` or a later one, if it is ready to be handed out `now`.
    pub fn ready(&self, format: Format, coding: Coding, generation: u64, now: Moment) -> Option<Page> {
        let ready = self.slot(format).ready(coding).load();
        let ready = ready.as_ref()?;
        // One from the future was made before the clock was stepped back.
        let is_live = ready.made <= now && now.since(ready.made) < LIVE_FOR;
        (ready.generation >= generation && is_live).then(|| ready.page.clone())
    }

    /// Makes a page of `generation`, with the exporter's own metrics as `live` tells them. Takes a while, the less the less
    /// has changed; whoever asks for the same format meanwhile waits.
    ///
    /// # Errors
    /// When a compression library refuses.
    pub fn make(
        &self,
        format: Format,
        coding: Coding,
        generation: &Generation,
        now: Moment,
        live: impl FnOnce() -> Vec<Family>,
    ) -> io::Result<Page> {
        self.give_up_unused(format, now);
        let slot = self.slot(format);
        let mut workshop = slot.workshop();
        let workshop = workshop.get_or_insert_with(|| Workshop::new(format, self.shown, now));
        workshop.asked = now;
        workshop.sheet.show(generation);
        for coding in workshop.drop_outdated() {
            slot.ready(coding).store(None);
        }
        let page = workshop.page(coding, &live())?;
        let ready = Ready { generation: generation.number, made: now, page: page.clone() };
        slot.ready(coding).store(Some(Arc::new(ready)));
        Ok(page)
    }

    fn slot(&self, format: Format) -> &Slot {
        &self.slots[format as usize]
    }

    fn give_up_unused(&self, but: Format, now: Moment) {
        for format in Format::ALL.into_iter().filter(|format| *format != but) {
            let slot = self.slot(format);
            // Who holds it is using it.
            let Ok(mut workshop) = slot.workshop.try_lock() else { continue };
            if workshop.as_ref().is_some_and(|workshop| now.since(workshop.asked) > KEEP) {
                *workshop = None;
                slot.ready.iter().for_each(|ready| ready.store(None));
            }
        }
    }
}

impl Slot {
    fn ready(&self, coding: Coding) -> &ArcSwapOption<Ready> {
        &self.ready[coding as usize]
    }

    fn workshop(&self) -> MutexGuard<'_, Option<Workshop>> {
        match self.workshop.lock() {
            Ok(workshop) => workshop,
            // Whatever was left half made there is made anew.
            Err(poisoned) => {
                self.workshop.clear_poison();
                let mut workshop = PoisonError::into_inner(poisoned);
                *workshop = None;
                workshop
            }
        }
    }
}

impl Workshop {
    fn new(format: Format, shown: Shown, now: Moment) -> Self {
        let encoder = Encoder::new(format, shown.openmetrics_created);
        Self {
            sheet: Sheet::new(encoder, shown.native_histograms),
            deflater: Deflater::default(),
            fronts: Default::default(),
            asked: now,
        }
    }

    /// Gives up what shows lines that are no longer true, and tells in which codings: it would keep those lines in memory for as
    /// long as nobody asks for that coding again.
    fn drop_outdated(&mut self) -> Vec<Coding> {
        let version = self.sheet.version();
        let mut dropped = Vec::new();
        for coding in Coding::ALL {
            if self.fronts[coding as usize].take_if(|front| front.version != version).is_some() {
                dropped.push(coding);
            }
        }
        dropped
    }

    fn page(&mut self, coding: Coding, live: &[Family]) -> io::Result<Page> {
        let mut tail = Vec::new();
        let encoder = self.sheet.encoder();
        encoder.families(live, &mut tail);
        encoder.end(&mut tail);

        let place = &mut self.fronts[coding as usize];
        let front = match place {
            Some(front) => front,
            None => place.insert(Front::new(coding, &mut self.sheet, &mut self.deflater)?),
        };
        let tail = match (coding, &front.gzip) {
            (Coding::Gzip, Some(gzip)) => gzip.end(&self.deflater.pack(&tail)),
            (Coding::Zstd, _) => zstd::end(&tail),
            (Coding::Gzip | Coding::Identity, _) => Bytes::from(tail),
        };
        Ok(Page::new(front.parts.clone(), tail))
    }
}

impl Front {
    fn new(coding: Coding, sheet: &mut Sheet, deflater: &mut Deflater) -> io::Result<Self> {
        let version = sheet.version();
        let mut gzip = None;
        let parts: Arc<[Bytes]> = match coding {
            Coding::Identity => pieces(sheet),
            Coding::Gzip => {
                let front = gzip::Front::new(sheet.packed(deflater));
                let bytes = front.bytes.clone();
                gzip = Some(front);
                Arc::from([bytes])
            }
            Coding::Zstd => Arc::from([zstd::Front::new(sheet.parts())?.0]),
        };
        Ok(Self { version, parts, gzip })
    }
}

fn pieces(sheet: &Sheet) -> Arc<[Bytes]> {
    let bytes = sheet.parts().map(Bytes::len).sum();
    if bytes > ONE_PIECE {
        return sheet.parts().cloned().collect();
    }
    let mut out = Vec::with_capacity(bytes);
    sheet.parts().for_each(|part| out.extend_from_slice(part));
    Arc::from([Bytes::from(out)])
}

#[cfg(test)]
mod tests;
