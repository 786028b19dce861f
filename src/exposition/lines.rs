//! The lines of one family, in blocks of neighbouring targets.
//!
//! Owns: where a block begins and ends, and which of them a change touches. Never: what a line says.

use std::mem;
use std::ops::Range;

use bytes::Bytes;

use super::gzip::{Segment, SegmentCompressor};

/// A block is closed once it has so many bytes. Small enough that one target costs little, large enough that a scrape is few
/// pieces and compresses well.
pub(super) const BLOCK_BYTES: usize = 16 << 10;

/// The lines of one family.
#[derive(Debug, Default)]
pub(super) struct FamilyBlocks {
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
pub(super) struct Rerendered {
    pub(super) bytes: Vec<u8>,
    /// By target, ascending.
    pub(super) targets: Vec<RerenderedTarget>,
}

/// Of one target.
#[derive(Debug)]
pub(super) struct RerenderedTarget {
    pub(super) target: usize,
    /// Where its lines begin in [`Rerendered::bytes`].
    pub(super) start: usize,
    /// Where the lines of each family end.
    pub(super) ends: Vec<usize>,
}

impl FamilyBlocks {
    /// No lines of `targets` yet.
    pub(super) fn empty(targets: Range<usize>) -> Self {
        let ends = vec![0; targets.len()];
        let nothing = Block { targets, ends, ..Block::default() };
        Self { blocks: vec![nothing], ..Self::default() }
    }

    /// How many bytes there are, without the head.
    pub(super) fn bytes(&self) -> usize {
        self.blocks.iter().map(|block| block.lines.len()).sum()
    }

    /// Puts `head` before them, for as long as they are any.
    pub(super) fn set_head(&mut self, head: &[u8]) {
        if self.head != head {
            self.head = Bytes::copy_from_slice(head);
            self.packed_head = None;
        }
    }

    /// All bytes in order.
    pub(super) fn parts(&self) -> impl Iterator<Item = &Bytes> {
        let head = (self.bytes() > 0).then_some(&self.head);
        head.into_iter().chain(self.blocks.iter().map(|block| &block.lines).filter(|lines| !lines.is_empty()))
    }

    /// Compresses what has not been.
    pub(super) fn pack(&mut self, deflater: &mut SegmentCompressor) {
        if self.bytes() > 0 {
            self.packed_head.get_or_insert_with(|| deflater.compress(&self.head));
            for block in &mut self.blocks {
                block.packed.get_or_insert_with(|| deflater.compress(&block.lines));
            }
        }
    }

    /// All bytes in order, as they have been compressed.
    pub(super) fn packed(&self) -> impl Iterator<Item = &Segment> {
        let head = self.packed_head.iter().filter(|_| self.bytes() > 0);
        head.chain(self.blocks.iter().filter_map(|block| block.packed.as_ref()))
    }

    /// Takes over what is fresh of `family`; answers whether that changed anything.
    pub(super) fn merge(&mut self, fresh: &Rerendered, family: usize) -> bool {
        if !self.blocks.iter().any(|block| block.differs(fresh, family)) {
            return false;
        }
        for block in mem::take(&mut self.blocks) {
            if block.differs(fresh, family) {
                block.rebuild(fresh, family, &mut self.blocks);
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

    fn differs(&self, fresh: &Rerendered, family: usize) -> bool {
        fresh.in_range(&self.targets).iter().any(|one| fresh.lines(one, family) != self.lines_of(one.target))
    }

    /// Writes the block again with what is fresh, as one or, where it has grown, more.
    fn rebuild(&self, fresh: &Rerendered, family: usize, out: &mut Vec<Self>) {
        let mut news = fresh.in_range(&self.targets).iter().peekable();
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
                if bytes >= BLOCK_BYTES {
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

impl Rerendered {
    /// Those of `targets`.
    fn in_range(&self, targets: &Range<usize>) -> &[RerenderedTarget] {
        let first = self.targets.partition_point(|one| one.target < targets.start);
        let last = self.targets.partition_point(|one| one.target < targets.end);
        &self.targets[first..last]
    }

    fn lines(&self, one: &RerenderedTarget, family: usize) -> &[u8] {
        let start = if family == 0 { one.start } else { one.ends[family - 1] };
        &self.bytes[start..one.ends[family]]
    }
}
