//! The finished lines of one format: what has not changed since the last scrape is not written again.
//!
//! Owns: which lines are still true, and the order of families. Never: how lines are compressed, or the order in which scrapes
//! come.
//!
//! A commit changes one target of a thousand, yet the formats want all samples of a family together. So each family is a row
//! of blocks, each with the lines of neighbouring targets, of some sixteen kilobytes; a changed target costs its own lines and
//! the block around each that differs. An exposition is then a list of blocks, which nobody copies.

use std::sync::Arc;

use bytes::Bytes;

use super::encoder::Encoder;
use super::gzip::{Segment, SegmentCompressor};
use super::lines::{FamilyBlocks, Rerendered, RerenderedTarget};
use super::snapshot::{FamilyLayout, target_labels};
use crate::aggregate::{SeriesSchema, TargetSeries};
use crate::recorder::Snapshot;
use crate::target::TargetKey;

/// All lines of one format.
#[derive(Debug)]
pub(super) struct RenderedExposition {
    encoder: Encoder,
    native: bool,
    layout: Option<Arc<SeriesSchema>>,
    shape: FamilyLayout,
    targets: Vec<RenderedTarget>,
    families: Vec<FamilyBlocks>,
    version: u64,
}

/// A target as its lines show it.
#[derive(Debug)]
struct RenderedTarget {
    key: Arc<TargetKey>,
    /// Its labels, spelled.
    common_labels: Vec<u8>,
    /// What its lines were made from; none before the first time.
    series: Option<Arc<TargetSeries>>,
}

impl RenderedExposition {
    /// An empty sheet; `native` tells whether histograms show native buckets.
    pub(super) fn new(encoder: Encoder, native: bool) -> Self {
        Self {
            encoder,
            native,
            layout: None,
            shape: FamilyLayout::default(),
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
    pub(super) fn update(&mut self, generation: &Snapshot) {
        if !self.matches(generation) {
            self.reset(generation);
        }
        let fresh = self.write_changed(generation);
        if fresh.targets.is_empty() {
            return;
        }
        let mut changed = false;
        for (family, lines) in self.families.iter_mut().enumerate() {
            changed |= lines.merge(&fresh, family);
        }
        if changed {
            self.version += 1;
            self.write_heads();
        }
    }

    /// All bytes in order.
    pub(super) fn parts(&self) -> impl Iterator<Item = &Bytes> {
        self.families.iter().flat_map(FamilyBlocks::parts)
    }

    /// All bytes in order, compressed; what has been compressed before is not compressed again.
    pub(super) fn packed(&mut self, deflater: &mut SegmentCompressor) -> impl Iterator<Item = &Segment> {
        self.families.iter_mut().for_each(|lines| lines.pack(deflater));
        self.families.iter().flat_map(FamilyBlocks::packed)
    }

    fn matches(&self, generation: &Snapshot) -> bool {
        let same_layout = match (&self.layout, &generation.schema) {
            (Some(mine), Some(theirs)) => Arc::ptr_eq(mine, theirs),
            (mine, theirs) => mine.is_none() && theirs.is_none(),
        };
        let keys = generation.targets.iter().map(|(key, _)| key);
        same_layout
            && self.targets.len() == generation.targets.len()
            && self.targets.iter().zip(keys).all(|(shown, key)| Arc::ptr_eq(&shown.key, key))
    }

    /// Starts anew with these targets.
    fn reset(&mut self, generation: &Snapshot) {
        self.layout.clone_from(&generation.schema);
        self.shape = match &self.layout {
            Some(layout) => FamilyLayout::new(layout, self.native),
            None => FamilyLayout::default(),
        };
        self.targets = generation
            .targets
            .iter()
            .map(|(key, _)| RenderedTarget {
                key: key.clone(),
                common_labels: self.encoder.shared(target_labels(key)),
                series: None,
            })
            .collect();
        let all = 0..self.targets.len();
        self.families = self.shape.heads().map(|_| FamilyBlocks::empty(all.clone())).collect();
        self.version += 1;
    }

    fn write_changed(&mut self, generation: &Snapshot) -> Rerendered {
        let mut fresh = Rerendered::default();
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
                    self.encoder.sample(head, &shown.common_labels, &sample, &mut fresh.bytes);
                }
            }
            ends.resize(self.families.len(), fresh.bytes.len());
            fresh.targets.push(RerenderedTarget { target, start, ends });
            shown.series = Some(series.clone());
        }
        fresh
    }

    /// Heads may tell the length of what follows, so they are written last.
    fn write_heads(&mut self) {
        let mut out = Vec::new();
        for (lines, head) in self.families.iter_mut().zip(self.shape.heads()) {
            out.clear();
            self.encoder.head(head, lines.bytes(), &mut out);
            lines.set_head(&out);
        }
    }
}

#[cfg(test)]
mod tests;
