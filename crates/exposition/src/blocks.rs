//! The output of one family, in blocks of adjacent groups.

use std::mem;
use std::ops::Range;

use bytes::Bytes;

use crate::gzip::{Segment, SegmentCompressor};

/// A block is closed at this size: small enough that a change of one group costs little, large enough that a scrape has few
/// chunks and compresses well.
pub(crate) const BLOCK_BYTES: usize = 16 << 10;

#[derive(Debug, Default)]
pub(crate) struct FamilyBlocks {
    metadata: Bytes,
    compressed_metadata: Option<Segment>,
    blocks: Vec<Block>,
}

/// The samples of adjacent groups in one family.
#[derive(Debug, Default)]
struct Block {
    groups: Range<usize>,
    /// Where the samples of each group end.
    ends: Vec<usize>,
    samples: Bytes,
    compressed: Option<Segment>,
}

/// The output of groups that have changed, by group and then by family.
#[derive(Debug, Default)]
pub(crate) struct Rerendered {
    pub(crate) bytes: Vec<u8>,
    /// Ascending by group.
    pub(crate) groups: Vec<RerenderedGroup>,
}

/// The output of a group that has changed.
#[derive(Debug)]
pub(crate) struct RerenderedGroup {
    pub(crate) group: usize,
    /// Where its samples start in [`Rerendered::bytes`].
    pub(crate) start: usize,
    /// Where the samples of each family end.
    pub(crate) ends: Vec<usize>,
}

impl FamilyBlocks {
    /// A family of `groups` groups without samples.
    pub(crate) fn new(groups: usize) -> Self {
        let empty = Block { groups: 0..groups, ends: vec![0; groups], ..Block::default() };
        Self { blocks: vec![empty], ..Self::default() }
    }

    pub(crate) fn samples_len(&self) -> usize {
        self.blocks.iter().map(|block| block.samples.len()).sum()
    }

    /// Sets the metadata, which is output before the samples if there are any.
    pub(crate) fn set_metadata(&mut self, metadata: &[u8]) {
        if self.metadata != metadata {
            self.metadata = Bytes::copy_from_slice(metadata);
            self.compressed_metadata = None;
        }
    }

    /// All bytes in order.
    pub(crate) fn chunks(&self) -> impl Iterator<Item = &Bytes> {
        let metadata = (self.samples_len() > 0).then_some(&self.metadata);
        let samples = self.blocks.iter().map(|block| &block.samples);
        metadata.into_iter().chain(samples.filter(|samples| !samples.is_empty()))
    }

    /// All bytes in order, compressed; compresses only what is not compressed yet.
    pub(crate) fn segments<'a>(
        &'a mut self,
        compressor: &mut SegmentCompressor,
    ) -> impl Iterator<Item = &'a Segment> + use<'a> {
        let is_empty = self.samples_len() == 0;
        if !is_empty {
            self.compressed_metadata.get_or_insert_with(|| compressor.compress(&self.metadata));
            for block in &mut self.blocks {
                block.compressed.get_or_insert_with(|| compressor.compress(&block.samples));
            }
        }
        let metadata = self.compressed_metadata.iter().filter(move |_| !is_empty);
        metadata.chain(self.blocks.iter().filter_map(|block| block.compressed.as_ref()))
    }

    /// Replaces the samples of groups that were rendered again; returns whether any byte changed.
    pub(crate) fn merge(&mut self, rerendered: &Rerendered, family: usize) -> bool {
        if !self.blocks.iter().any(|block| block.differs(rerendered, family)) {
            return false;
        }
        for block in mem::take(&mut self.blocks) {
            if block.differs(rerendered, family) {
                block.rebuild(rerendered, family, &mut self.blocks);
            } else {
                self.blocks.push(block);
            }
        }
        true
    }
}

impl Block {
    fn samples_of(&self, group: usize) -> &[u8] {
        let index = group - self.groups.start;
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.samples[start..self.ends[index]]
    }

    fn differs(&self, rerendered: &Rerendered, family: usize) -> bool {
        let mut changed = rerendered.in_range(&self.groups).iter();
        changed.any(|group| rerendered.samples_of(group, family) != self.samples_of(group.group))
    }

    /// Builds the block again, as several blocks if it has grown too large.
    fn rebuild(&self, rerendered: &Rerendered, family: usize, out: &mut Vec<Self>) {
        let mut changed = rerendered.in_range(&self.groups).iter().peekable();
        let samples: Vec<&[u8]> = self
            .groups
            .clone()
            .map(|index| match changed.next_if(|group| group.group == index) {
                Some(group) => rerendered.samples_of(group, family),
                None => self.samples_of(index),
            })
            .collect();
        let mut first = 0;
        while first < samples.len() {
            let mut ends = Vec::new();
            let mut len = 0;
            for group in &samples[first..] {
                len += group.len();
                ends.push(len);
                if len >= BLOCK_BYTES {
                    break;
                }
            }
            let end = first + ends.len();
            let mut bytes = Vec::with_capacity(len);
            samples[first..end].iter().for_each(|group| bytes.extend_from_slice(group));
            let groups = self.groups.start + first..self.groups.start + end;
            out.push(Self { groups, ends, samples: bytes.into(), compressed: None });
            first = end;
        }
    }
}

impl Rerendered {
    fn in_range(&self, groups: &Range<usize>) -> &[RerenderedGroup] {
        let first = self.groups.partition_point(|group| group.group < groups.start);
        let end = self.groups.partition_point(|group| group.group < groups.end);
        &self.groups[first..end]
    }

    fn samples_of(&self, group: &RerenderedGroup, family: usize) -> &[u8] {
        let start = if family == 0 { group.start } else { group.ends[family - 1] };
        &self.bytes[start..group.ends[family]]
    }
}
