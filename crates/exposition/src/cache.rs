//! Rendered bodies for all formats and encodings.
//!
//! A source may change every few milliseconds, so a body is rendered on request and not on change; requests between two changes
//! share it. A body has two parts: the series of the source, and the live families, such as an exporter's own metrics, which
//! change all the time and are therefore gathered at most once per second.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use bytes::Bytes;

use crate::body::{ContentEncoding, EncodedBody};
use crate::encoder::{Encoder, Format, FormatOptions};
use crate::family::{Family, Timestamp};
use crate::gzip::{GzipPrefix, SegmentCompressor};
use crate::rendered::RenderedExposition;
use crate::source::Source;

/// The maximum age of live families.
const LIVE_TTL: Duration = Duration::from_secs(1);
/// The output of a format that has not been requested for this long is dropped.
const EVICT_AFTER: Duration = Duration::from_secs(600);
/// A smaller body is one chunk, which is cheaper to send and cheap to copy.
const COALESCE_BELOW: usize = 256 << 10;

/// A cache of rendered bodies.
pub struct ExpositionCache<S: Source> {
    options: FormatOptions,
    formats: [FormatCache<S>; Format::ALL.len()],
}

struct FormatCache<S: Source> {
    bodies: [ArcSwapOption<CachedBody>; ContentEncoding::ALL.len()],
    renderer: Mutex<Option<Renderer<S>>>,
}

#[derive(Debug)]
struct CachedBody {
    source_version: u64,
    rendered_at: Timestamp,
    body: EncodedBody,
}

struct Renderer<S: Source> {
    rendered: RenderedExposition<S>,
    compressor: SegmentCompressor,
    prefixes: [Option<CachedPrefix>; ContentEncoding::ALL.len()],
    last_used: Timestamp,
}

/// The part of a body that has the series of the source.
#[derive(Debug)]
struct CachedPrefix {
    rendered_version: u64,
    chunks: Arc<[Bytes]>,
    gzip: Option<GzipPrefix>,
}

impl<S: Source> ExpositionCache<S> {
    /// An empty cache.
    pub fn new(options: FormatOptions) -> Self {
        let formats =
            Format::ALL.map(|_| FormatCache { bodies: Default::default(), renderer: Mutex::new(None) });
        Self { options, formats }
    }

    /// A cached body that shows `source_version` or a later one, if its live families are recent at `now`. Does not block.
    pub fn get(
        &self,
        format: Format,
        encoding: ContentEncoding,
        source_version: u64,
        now: Timestamp,
    ) -> Option<EncodedBody> {
        let cached = self.format(format).bodies[encoding as usize].load();
        let cached = cached.as_ref()?;
        // A body from the future was rendered before the clock was set back.
        let is_recent = now.duration_since(cached.rendered_at).is_some_and(|age| age < LIVE_TTL);
        (cached.source_version >= source_version && is_recent).then(|| cached.body.clone())
    }

    /// Renders a body of `source` and the families that `live` returns. The less has changed, the cheaper this is. Blocks
    /// while another body of the same format is rendered.
    pub fn render(
        &self,
        format: Format,
        encoding: ContentEncoding,
        source: &S,
        now: Timestamp,
        live: impl FnOnce() -> Vec<Family>,
    ) -> EncodedBody {
        self.evict_unused(format, now);
        let cache = self.format(format);
        let mut renderer = cache.renderer();
        let renderer = renderer.get_or_insert_with(|| Renderer::new(Encoder::new(format, self.options), now));
        renderer.last_used = now;
        renderer.rendered.update(source);
        renderer.drop_outdated_prefixes(|encoding| cache.bodies[encoding as usize].store(None));
        let body = renderer.render(encoding, &live());
        let cached = CachedBody { source_version: source.version(), rendered_at: now, body: body.clone() };
        cache.bodies[encoding as usize].store(Some(Arc::new(cached)));
        body
    }

    fn format(&self, format: Format) -> &FormatCache<S> {
        &self.formats[format as usize]
    }

    fn evict_unused(&self, except: Format, now: Timestamp) {
        for format in Format::ALL.into_iter().filter(|format| *format != except) {
            let cache = self.format(format);
            // A renderer that is locked is in use.
            let Ok(mut renderer) = cache.renderer.try_lock() else { continue };
            let is_unused = |renderer: &mut Renderer<S>| {
                now.duration_since(renderer.last_used).is_some_and(|unused| unused > EVICT_AFTER)
            };
            if renderer.take_if(is_unused).is_some() {
                cache.bodies.iter().for_each(|body| body.store(None));
            }
        }
    }
}

impl<S: Source> FormatCache<S> {
    fn renderer(&self) -> MutexGuard<'_, Option<Renderer<S>>> {
        self.renderer.lock().unwrap_or_else(|poisoned| {
            // A panic may have left a partial render: start over.
            self.renderer.clear_poison();
            let mut renderer = PoisonError::into_inner(poisoned);
            *renderer = None;
            renderer
        })
    }
}

impl<S: Source> Renderer<S> {
    fn new(encoder: Encoder, now: Timestamp) -> Self {
        Self {
            rendered: RenderedExposition::new(encoder),
            compressor: SegmentCompressor::default(),
            prefixes: Default::default(),
            last_used: now,
        }
    }

    /// Drops what shows outdated output, which it would keep in memory until the same encoding is requested again.
    fn drop_outdated_prefixes(&mut self, on_dropped: impl Fn(ContentEncoding)) {
        let version = self.rendered.version();
        for encoding in ContentEncoding::ALL {
            let prefix = &mut self.prefixes[encoding as usize];
            if prefix.take_if(|prefix| prefix.rendered_version != version).is_some() {
                on_dropped(encoding);
            }
        }
    }

    fn render(&mut self, encoding: ContentEncoding, live: &[Family]) -> EncodedBody {
        let mut tail = Vec::new();
        let encoder = self.rendered.encoder();
        encoder.write_families(live, &mut tail);
        encoder.write_end(&mut tail);

        let prefix = self.prefixes[encoding as usize]
            .get_or_insert_with(|| CachedPrefix::new(encoding, &mut self.rendered, &mut self.compressor));
        let tail = match &prefix.gzip {
            Some(gzip) => gzip.end(&self.compressor.compress(&tail)),
            None => Bytes::from(tail),
        };
        EncodedBody { chunks: prefix.chunks.clone(), tail }
    }
}

impl CachedPrefix {
    fn new<S: Source>(
        encoding: ContentEncoding,
        rendered: &mut RenderedExposition<S>,
        compressor: &mut SegmentCompressor,
    ) -> Self {
        let rendered_version = rendered.version();
        match encoding {
            ContentEncoding::Identity => Self { rendered_version, chunks: chunks(rendered), gzip: None },
            ContentEncoding::Gzip => {
                let gzip = GzipPrefix::new(rendered.segments(compressor));
                Self { rendered_version, chunks: Arc::from([gzip.bytes.clone()]), gzip: Some(gzip) }
            }
        }
    }
}

fn chunks<S: Source>(rendered: &RenderedExposition<S>) -> Arc<[Bytes]> {
    let len = rendered.chunks().map(Bytes::len).sum();
    if len > COALESCE_BELOW {
        return rendered.chunks().cloned().collect();
    }
    let mut out = Vec::with_capacity(len);
    rendered.chunks().for_each(|chunk| out.extend_from_slice(chunk));
    Arc::from([Bytes::from(out)])
}

#[cfg(test)]
mod tests;
