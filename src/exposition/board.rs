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
use super::gzip::{self, SegmentCompressor};
use super::page::{ContentEncoding, EncodedBody};
use super::sheet::RenderedExposition;
use super::zstd;
use crate::recorder::Snapshot;
use crate::timestamp::Timestamp;

/// How old the exporter's own metrics may be.
const SELF_METRICS_TTL: Duration = Duration::from_secs(1);
/// The lines of a format that nobody has asked for in so long are given up.
const EVICT_AFTER: Duration = Duration::from_secs(600);
/// Below this many bytes, a page is one piece: that is cheaper to send, and cheap to copy.
const COALESCE_BELOW: usize = 256 << 10;

/// All pages.
#[derive(Debug)]
pub struct ExpositionCache {
    shown: FormatOptions,
    slots: [FormatCache; Format::ALL.len()],
}

/// What the configuration decides about the formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FormatOptions {
    /// `metrics.native_histograms`
    pub native_histograms: bool,
    /// `metrics.openmetrics_created`
    pub openmetrics_created: bool,
}

/// The pages of one format.
#[derive(Debug, Default)]
struct FormatCache {
    ready: [ArcSwapOption<CachedPage>; ContentEncoding::ALL.len()],
    workshop: Mutex<Option<Renderer>>,
}

/// A page that can be handed out.
#[derive(Debug)]
struct CachedPage {
    generation: u64,
    made: Timestamp,
    page: EncodedBody,
}

/// Where the pages of one format are made.
#[derive(Debug)]
struct Renderer {
    sheet: RenderedExposition,
    deflater: SegmentCompressor,
    prefixes: [Option<CachedPrefix>; ContentEncoding::ALL.len()],
    asked: Timestamp,
}

/// The part of a page that shows the generation.
#[derive(Debug)]
struct CachedPrefix {
    version: u64,
    parts: Arc<[Bytes]>,
    /// What gzip needs to end it.
    gzip: Option<gzip::GzipPrefix>,
}

impl ExpositionCache {
    /// Without any page yet.
    pub fn new(shown: FormatOptions) -> Self {
        Self { shown, slots: Default::default() }
    }

    /// A page that shows `generation` or a later one, if it is ready to be handed out `now`.
    pub fn ready(
        &self,
        format: Format,
        coding: ContentEncoding,
        generation: u64,
        now: Timestamp,
    ) -> Option<EncodedBody> {
        let ready = self.slot(format).ready(coding).load();
        let ready = ready.as_ref()?;
        // One from the future was made before the clock was stepped back.
        let is_live = ready.made <= now && now.saturating_duration_since(ready.made) < SELF_METRICS_TTL;
        (ready.generation >= generation && is_live).then(|| ready.page.clone())
    }

    /// Makes a page of `generation`, with the exporter's own metrics as `live` tells them. Takes a while, the less the less
    /// has changed; whoever asks for the same format meanwhile waits.
    ///
    /// # Errors
    /// When a compression library refuses.
    pub fn render(
        &self,
        format: Format,
        coding: ContentEncoding,
        generation: &Snapshot,
        now: Timestamp,
        live: impl FnOnce() -> Vec<Family>,
    ) -> io::Result<EncodedBody> {
        self.evict_unused(format, now);
        let slot = self.slot(format);
        let mut workshop = slot.workshop();
        let workshop = workshop.get_or_insert_with(|| Renderer::new(format, self.shown, now));
        workshop.asked = now;
        workshop.sheet.update(generation);
        for coding in workshop.invalidate() {
            slot.ready(coding).store(None);
        }
        let page = workshop.page(coding, &live())?;
        let ready = CachedPage { generation: generation.number, made: now, page: page.clone() };
        slot.ready(coding).store(Some(Arc::new(ready)));
        Ok(page)
    }

    fn slot(&self, format: Format) -> &FormatCache {
        &self.slots[format as usize]
    }

    fn evict_unused(&self, but: Format, now: Timestamp) {
        for format in Format::ALL.into_iter().filter(|format| *format != but) {
            let slot = self.slot(format);
            // Who holds it is using it.
            let Ok(mut workshop) = slot.workshop.try_lock() else { continue };
            if workshop
                .as_ref()
                .is_some_and(|workshop| now.saturating_duration_since(workshop.asked) > EVICT_AFTER)
            {
                *workshop = None;
                slot.ready.iter().for_each(|ready| ready.store(None));
            }
        }
    }
}

impl FormatCache {
    fn ready(&self, coding: ContentEncoding) -> &ArcSwapOption<CachedPage> {
        &self.ready[coding as usize]
    }

    fn workshop(&self) -> MutexGuard<'_, Option<Renderer>> {
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

impl Renderer {
    fn new(format: Format, shown: FormatOptions, now: Timestamp) -> Self {
        let encoder = Encoder::new(format, shown.openmetrics_created);
        Self {
            sheet: RenderedExposition::new(encoder, shown.native_histograms),
            deflater: SegmentCompressor::default(),
            prefixes: Default::default(),
            asked: now,
        }
    }

    /// Gives up what shows lines that are no longer true, and tells in which codings: it would keep those lines in memory for as
    /// long as nobody asks for that coding again.
    fn invalidate(&mut self) -> Vec<ContentEncoding> {
        let version = self.sheet.version();
        let mut dropped = Vec::new();
        for coding in ContentEncoding::ALL {
            if self.prefixes[coding as usize].take_if(|front| front.version != version).is_some() {
                dropped.push(coding);
            }
        }
        dropped
    }

    fn page(&mut self, coding: ContentEncoding, live: &[Family]) -> io::Result<EncodedBody> {
        let mut tail = Vec::new();
        let encoder = self.sheet.encoder();
        encoder.families(live, &mut tail);
        encoder.end(&mut tail);

        let place = &mut self.prefixes[coding as usize];
        let front = match place {
            Some(front) => front,
            None => place.insert(CachedPrefix::new(coding, &mut self.sheet, &mut self.deflater)?),
        };
        let tail = match (coding, &front.gzip) {
            (ContentEncoding::Gzip, Some(gzip)) => gzip.end(&self.deflater.compress(&tail)),
            (ContentEncoding::Zstd, _) => zstd::end(&tail),
            (ContentEncoding::Gzip | ContentEncoding::Identity, _) => Bytes::from(tail),
        };
        Ok(EncodedBody::new(front.parts.clone(), tail))
    }
}

impl CachedPrefix {
    fn new(
        coding: ContentEncoding,
        sheet: &mut RenderedExposition,
        deflater: &mut SegmentCompressor,
    ) -> io::Result<Self> {
        let version = sheet.version();
        let mut gzip = None;
        let parts: Arc<[Bytes]> = match coding {
            ContentEncoding::Identity => pieces(sheet),
            ContentEncoding::Gzip => {
                let front = gzip::GzipPrefix::new(sheet.packed(deflater));
                let bytes = front.bytes.clone();
                gzip = Some(front);
                Arc::from([bytes])
            }
            ContentEncoding::Zstd => Arc::from([zstd::ZstdPrefix::new(sheet.parts())?.0]),
        };
        Ok(Self { version, parts, gzip })
    }
}

fn pieces(sheet: &RenderedExposition) -> Arc<[Bytes]> {
    let bytes = sheet.parts().map(Bytes::len).sum();
    if bytes > COALESCE_BELOW {
        return sheet.parts().cloned().collect();
    }
    let mut out = Vec::with_capacity(bytes);
    sheet.parts().for_each(|part| out.extend_from_slice(part));
    Arc::from([Bytes::from(out)])
}

#[cfg(test)]
mod tests;
