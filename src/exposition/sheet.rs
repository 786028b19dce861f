//! The finished lines of one format: what has not changed since the last scrape is not written again.
//!
//! Owns: the lines per family and target, and which of them are still true. Never: their compression or the order in which
//! scrapes come.
//!
//! A commit changes one target of a thousand, yet the formats want all samples of a family together. So each family is a row
//! of blocks, each with the lines of neighbouring targets, of some sixteen kilobytes; a changed target costs its own lines and
//! the block around each that differs. An exposition is then a list of blocks, which nobody copies.

use std::mem;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::encoder::Encoder;
use super::gzip::{Deflater, Segment};
use super::snapshot::{Shape, target_labels};
use crate::aggregate::{Layout, TargetSeries};
use crate::recorder::Generation;
use crate::target::TargetKey;

/// A block is closed once it has so many bytes. Small enough that one target costs little, large enough that a scrape is few
/// pieces and compresses well.
const BLOCK: usize = 16 << 10;

/// All lines of one format.
#[derive(Debug)]
pub(super) struct Sheet {
    encoder: Encoder,
    native: bool,
    layout: Option<Arc<Layout>>,
    shape: Shape,
    targets: Vec<Shown>,
    families: Vec<Lines>,
    version: u64,
}

/// A target as its lines show it.
#[derive(Debug)]
struct Shown {
    key: Arc<TargetKey>,
    /// Its labels, spelled.
    shared: Vec<u8>,
    /// What its lines were made from; none before the first time.
    series: Option<Arc<TargetSeries>>,
}

/// The lines of one family.
#[derive(Debug, Default)]
struct Lines {
    blocks: Vec<Block>,
    head: Bytes,
    packed_head: Option<Segment>,
}

/// The lines of neighbouring targets in one family.
#[derive(Debug, Default)]
struct Block {
    targets: Range<usize>,
    /// Where the lines of each target end.
    ends: Vec<usize>,
    lines: Bytes,
    packed: Option<Segment>,
}

/// Lines that were written anew, target by target and within each family by family.
#[derive(Debug, Default)]
struct Fresh {
    bytes: Vec<u8>,
    /// By target, ascending.
    targets: Vec<FreshTarget>,
}

#[derive(Debug)]
struct FreshTarget {
    target: usize,
    start: usize,
    /// Where the lines of each family end.
    ends: Vec<usize>,
}

impl Sheet {
    /// An empty sheet; `native` tells whether histograms show native buckets.
    pub(super) fn new(encoder: Encoder, native: bool) -> Self {
        Self {
            encoder,
            native,
            layout: None,
            shape: Shape::default(),
            targets: Vec::new(),
            families: Vec::new(),
            version: 0,
        }
    }

    /// Counts up whenever a byte has changed.
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// Its encoder, for what else is to be written in the same format.
    pub(super) fn encoder(&mut self) -> &mut Encoder {
        &mut self.encoder
    }

    /// Brings the lines up to `generation`.
    pub(super) fn show(&mut self, generation: &Generation) {
        if !self.is_about(generation) {
            self.begin(generation);
        }
        let fresh = self.write_changed(generation);
        if fresh.targets.is_empty() {
            return;
        }
        let mut changed = false;
        for (family, lines) in self.families.iter_mut().enumerate() {
            changed |= lines.take(&fresh, family);
        }
        if changed {
            self.version += 1;
            self.write_heads();
        }
    }

    /// All bytes in order.
    pub(super) fn parts(&self) -> impl Iterator<Item = &Bytes> {
        let families = self.families.iter().filter(|lines| !lines.is_empty());
        families.flat_map(|lines| {
            let blocks = lines.blocks.iter().map(|block| &block.lines);
            [&lines.head].into_iter().chain(blocks.filter(|lines| !lines.is_empty()))
        })
    }

    /// All bytes in order, compressed; what has been compressed before is not compressed again.
    pub(super) fn packed<'a>(&'a mut self, deflater: &'a mut Deflater) -> impl Iterator<Item = &'a Segment> {
        for lines in &mut self.families {
            if lines.is_empty() {
                continue;
            }
            let head = &lines.head;
            lines.packed_head.get_or_insert_with(|| deflater.pack(head));
            for block in &mut lines.blocks {
                block.packed.get_or_insert_with(|| deflater.pack(&block.lines));
            }
        }
        let families = self.families.iter().filter(|lines| !lines.is_empty());
        families.flat_map(|lines| {
            lines.packed_head.iter().chain(lines.blocks.iter().filter_map(|block| block.packed.as_ref()))
        })
    }

    fn is_about(&self, generation: &Generation) -> bool {
        let same_layout = match (&self.layout, &generation.layout) {
            (Some(mine), Some(theirs)) => Arc::ptr_eq(mine, theirs),
            (mine, theirs) => mine.is_none() && theirs.is_none(),
        };
        let keys = generation.targets.iter().map(|(key, _)| key);
        same_layout
            && self.targets.len() == generation.targets.len()
            && self.targets.iter().zip(keys).all(|(shown, key)| Arc::ptr_eq(&shown.key, key))
    }

    /// Starts anew with these targets.
    fn begin(&mut self, generation: &Generation) {
        self.layout.clone_from(&generation.layout);
        self.shape = match &self.layout {
            Some(layout) => Shape::new(layout, self.native),
            None => Shape::default(),
        };
        self.targets = generation
            .targets
            .iter()
            .map(|(key, _)| Shown {
                key: key.clone(),
                shared: self.encoder.shared(target_labels(key)),
                series: None,
            })
            .collect();
        let all = 0..self.targets.len();
        self.families = self.shape.heads().map(|_| Lines::empty(all.clone())).collect();
        self.version += 1;
    }

    fn write_changed(&mut self, generation: &Generation) -> Fresh {
        let mut fresh = Fresh::default();
        for (target, (shown, (_, series))) in self.targets.iter_mut().zip(&generation.targets).enumerate() {
            if shown.series.as_ref().is_some_and(|shown| Arc::ptr_eq(shown, series)) {
                continue;
            }
            let start = fresh.bytes.len();
            let mut ends = Vec::with_capacity(self.families.len());
            for (key, one) in series.iter() {
                let family = key.metric as usize;
                // Series come in the order of the families.
                ends.resize(family, fresh.bytes.len());
                if let Some((head, sample)) = self.shape.sample(key, one) {
                    self.encoder.sample(head, &shown.shared, &sample, &mut fresh.bytes);
                }
            }
            ends.resize(self.families.len(), fresh.bytes.len());
            fresh.targets.push(FreshTarget { target, start, ends });
            shown.series = Some(series.clone());
        }
        fresh
    }

    /// Heads may tell the length of what follows, so they are written last.
    fn write_heads(&mut self) {
        let mut out = Vec::new();
        for (lines, head) in self.families.iter_mut().zip(self.shape.heads()) {
            out.clear();
            self.encoder.head(head, lines.blocks.iter().map(|block| block.lines.len()).sum(), &mut out);
            if lines.head != out {
                lines.head = Bytes::copy_from_slice(&out);
                lines.packed_head = None;
            }
        }
    }
}

impl Lines {
    fn empty(targets: Range<usize>) -> Self {
        let ends = vec![0; targets.len()];
        let nothing = Block { targets, ends, ..Block::default() };
        Self { blocks: vec![nothing], ..Self::default() }
    }

    fn is_empty(&self) -> bool {
        self.blocks.iter().all(|block| block.lines.is_empty())
    }

    /// Takes over what is fresh of `family`; answers whether that changed anything.
    fn take(&mut self, fresh: &Fresh, family: usize) -> bool {
        if !self.blocks.iter().any(|block| block.differs(fresh, family)) {
            return false;
        }
        for block in mem::take(&mut self.blocks) {
            if block.differs(fresh, family) {
                block.renew(fresh, family, &mut self.blocks);
            } else {
                self.blocks.push(block);
            }
        }
        true
    }
}

impl Block {
    fn lines_of(&self, target: usize) -> &[u8] {
        let place = target - self.targets.start;
        let start = if place == 0 { 0 } else { self.ends[place - 1] };
        &self.lines[start..self.ends[place]]
    }

    fn differs(&self, fresh: &Fresh, family: usize) -> bool {
        fresh.within(&self.targets).iter().any(|one| fresh.lines(one, family) != self.lines_of(one.target))
    }

    /// Writes the block again with what is fresh, as one or, where it has grown, more.
    fn renew(&self, fresh: &Fresh, family: usize, out: &mut Vec<Self>) {
        let mut news = fresh.within(&self.targets).iter().peekable();
        let pieces: Vec<&[u8]> = self
            .targets
            .clone()
            .map(|target| match news.next_if(|one| one.target == target) {
                Some(one) => fresh.lines(one, family),
                None => self.lines_of(target),
            })
            .collect();
        let mut first = 0;
        while first < pieces.len() {
            let mut ends = Vec::new();
            let mut bytes = 0;
            for piece in &pieces[first..] {
                bytes += piece.len();
                ends.push(bytes);
                if bytes >= BLOCK {
                    break;
                }
            }
            let last = first + ends.len();
            let mut lines = Vec::with_capacity(bytes);
            pieces[first..last].iter().for_each(|piece| lines.extend_from_slice(piece));
            let targets = self.targets.start + first..self.targets.start + last;
            out.push(Self { targets, ends, lines: lines.into(), packed: None });
            first = last;
        }
    }
}

impl Fresh {
    /// Those of `targets`.
    fn within(&self, targets: &Range<usize>) -> &[FreshTarget] {
        let first = self.targets.partition_point(|one| one.target < targets.start);
        let last = self.targets.partition_point(|one| one.target < targets.end);
        &self.targets[first..last]
    }

    fn lines(&self, one: &FreshTarget, family: usize) -> &[u8] {
        let start = if family == 0 { one.start } else { one.ends[family - 1] };
        &self.bytes[start..one.ends[family]]
    }
}

#[cfg(test)]
mod tests;
