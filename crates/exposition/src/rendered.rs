//! The output of one format, of which each render replaces only what has changed.
//!
//! Formats want all samples of a family together, but a change concerns one group of many. So each family is a sequence of
//! blocks with the samples of adjacent groups, and a group that has changed costs its own samples and the blocks around those that
//! differ. An exposition is then a list of blocks that are never copied.

use bytes::Bytes;

use crate::blocks::{FamilyBlocks, Rerendered, RerenderedGroup};
use crate::encoder::Encoder;
use crate::family::FamilyMeta;
use crate::gzip::{Segment, SegmentCompressor};
use crate::source::Source;

/// Groups are encoded and merged in parts of this size, so that a first render does not hold all of its output twice.
/// Small in tests, so that they cross the border between parts.
const PART_BYTES: usize = if cfg!(test) { 4 << 10 } else { 1 << 20 };

pub(crate) struct RenderedExposition<S: Source> {
    encoder: Encoder,
    /// The source that was rendered last, with its layout.
    last: Option<(S, S::Layout)>,
    /// Encoded, by group.
    group_labels: Vec<Vec<u8>>,
    families: Vec<FamilyBlocks>,
    version: u64,
}

impl<S: Source> RenderedExposition<S> {
    pub(crate) fn new(encoder: Encoder) -> Self {
        Self { encoder, last: None, group_labels: Vec::new(), families: Vec::new(), version: 0 }
    }

    /// Increases whenever a byte of the output changes.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// The encoder, for what else is to be written in the same format.
    pub(crate) fn encoder(&self) -> Encoder {
        self.encoder
    }

    /// Brings the output up to date with `source`.
    pub(crate) fn update(&mut self, source: &S) {
        let (previous, layout) = match self.last.take().filter(|(last, _)| source.same_layout(last)) {
            Some((last, layout)) => (Some(last), layout),
            None => (None, self.reset(source)),
        };
        let mut changed = false;
        let mut next = 0;
        while next < self.group_labels.len() {
            let rerendered = self.rerender(source, &layout, previous.as_ref(), &mut next);
            for (index, family) in self.families.iter_mut().enumerate() {
                changed |= family.merge(&rerendered, index);
            }
        }
        if changed {
            self.version += 1;
            self.write_metadata(S::families(&layout));
        }
        self.last = Some((source.clone(), layout));
    }

    /// All bytes in order.
    pub(crate) fn chunks(&self) -> impl Iterator<Item = &Bytes> {
        self.families.iter().flat_map(FamilyBlocks::chunks)
    }

    /// All bytes in order, compressed; compresses only what is not compressed yet.
    pub(crate) fn segments<'a>(
        &'a mut self,
        compressor: &'a mut SegmentCompressor,
    ) -> impl Iterator<Item = &'a Segment> {
        self.families.iter_mut().flat_map(|family| family.segments(compressor))
    }

    /// Discards all output and builds the layout of `source`.
    fn reset(&mut self, source: &S) -> S::Layout {
        let layout = source.layout();
        let groups = source.groups();
        self.group_labels =
            (0..groups).map(|group| self.encoder.group_labels(source.group_labels(group))).collect();
        self.families = S::families(&layout).iter().map(|_| FamilyBlocks::new(groups)).collect();
        self.version += 1;
        layout
    }

    /// Encodes the groups of `source` from `next` on that differ from `previous`, up to a limit in bytes, and moves `next` on.
    fn rerender(&self, source: &S, layout: &S::Layout, previous: Option<&S>, next: &mut usize) -> Rerendered {
        let metadata = S::families(layout);
        let mut rerendered = Rerendered::default();
        for (group, labels) in self.group_labels.iter().enumerate().skip(*next) {
            if rerendered.bytes.len() >= PART_BYTES {
                break;
            }
            *next = group + 1;
            if previous.is_some_and(|previous| source.same_series(previous, group)) {
                continue;
            }
            let out = &mut rerendered.bytes;
            let start = out.len();
            let mut ends = Vec::with_capacity(metadata.len());
            for (family, sample) in source.samples(layout, group) {
                // Samples are ordered by family.
                ends.resize(family, out.len());
                self.encoder.write_sample(&metadata[family], labels, &sample, out);
            }
            ends.resize(metadata.len(), out.len());
            rerendered.groups.push(RerenderedGroup { group, start, ends });
        }
        rerendered
    }

    /// Metadata may include the length of the samples, so it is written after them.
    fn write_metadata(&mut self, metadata: &[FamilyMeta]) {
        let mut out = Vec::new();
        for (family, meta) in self.families.iter_mut().zip(metadata) {
            out.clear();
            self.encoder.write_metadata(meta, family.samples_len(), &mut out);
            family.set_metadata(&out);
        }
    }
}

#[cfg(test)]
mod tests;
