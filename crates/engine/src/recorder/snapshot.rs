//! The committed series of all targets, which successive snapshots share.

use std::ops::{Index, IndexMut};
use std::sync::Arc;

use polyai_domain::target::TargetKey;

use crate::aggregate::{SeriesSchema, TargetSeries};

/// The committed series: what a scrape shows. A target that did not change is the same allocation as in the snapshot before.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Counts up with every change.
    pub number: u64,
    /// In the order of the configuration.
    pub targets: TargetList,
    /// The labels and buckets of the series.
    pub schema: Option<Arc<SeriesSchema>>,
    /// The size of the state on disk, bytes.
    pub state_bytes: u64,
}

/// A target with its series.
pub type SnapshotTarget = (Arc<TargetKey>, Arc<TargetSeries>);

/// A chunk and the list of chunks are of similar length at 5,000 targets.
const CHUNK: usize = 64;

/// A list in chunks: a clone in which few targets differ shares all other chunks, so that the cost of a commit hardly grows with the
/// number of targets.
#[derive(Debug, Clone, Default)]
pub struct TargetList(Vec<Arc<Vec<SnapshotTarget>>>);

impl TargetList {
    /// The number of targets.
    pub fn len(&self) -> usize {
        // Only the last chunk may be shorter.
        self.0.split_last().map_or(0, |(last, full)| full.len() * CHUNK + last.len())
    }

    /// Whether there is no target.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All targets, in order.
    pub fn iter(&self) -> impl Iterator<Item = &SnapshotTarget> {
        self.0.iter().flat_map(|chunk| chunk.iter())
    }
}

impl FromIterator<SnapshotTarget> for TargetList {
    fn from_iter<I: IntoIterator<Item = SnapshotTarget>>(targets: I) -> Self {
        let targets: Vec<SnapshotTarget> = targets.into_iter().collect();
        Self(targets.chunks(CHUNK).map(|chunk| Arc::new(chunk.to_vec())).collect())
    }
}

impl Index<usize> for TargetList {
    type Output = SnapshotTarget;

    fn index(&self, index: usize) -> &SnapshotTarget {
        &self.0[index / CHUNK][index % CHUNK]
    }
}

impl IndexMut<usize> for TargetList {
    fn index_mut(&mut self, index: usize) -> &mut SnapshotTarget {
        &mut Arc::make_mut(&mut self.0[index / CHUNK])[index % CHUNK]
    }
}
