//! Native histograms as the formats lay them out: runs of neighbouring buckets, and exemplars in the order of time.
//!
//! Owns: the layout. Never: the buckets themselves.

use crate::aggregate::{Exemplar, NativeHistogram};

/// The most buckets that are shown; beyond that, resolution gives way. The limit that client libraries use.
const MAX_BUCKETS: usize = 160;
/// The most exemplars that are shown beside the buckets; the newest.
const MAX_EXEMPLARS: usize = 10;

/// Buckets in runs of neighbours.
pub(super) struct Spans {
    /// The resolution: each power of two is divided into `2^schema` buckets.
    pub(super) schema: i8,
    /// Each run: the distance from the end of the one before it, or for the first its index, and its length.
    pub(super) spans: Vec<(i32, u32)>,
    /// The count of each bucket of the runs.
    pub(super) counts: Vec<u64>,
}

impl Spans {
    pub(super) fn of(native: &NativeHistogram) -> Self {
        let shown = native.downscale_to(MAX_BUCKETS);
        let mut spans: Vec<(i32, u32)> = Vec::new();
        let mut next = 0;
        for &(index, _) in &shown.buckets {
            match spans.last_mut() {
                Some((_, length)) if index == next => *length += 1,
                Some(_) | None => spans.push((index - next, 1)),
            }
            next = index + 1;
        }
        let counts = shown.buckets.iter().map(|&(_, count)| count).collect();
        Self { schema: shown.schema, spans, counts }
    }

    /// The counts as differences to the bucket before.
    pub(super) fn deltas(&self) -> impl Iterator<Item = i64> + '_ {
        let mut before = 0;
        self.counts.iter().map(move |&count| {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            let delta = count - before;
            before = count;
            delta
        })
    }
}

/// The newest of `exemplars`, oldest first: Prometheus takes none that is older than one it has.
pub(super) fn newest_exemplars(exemplars: &[Option<Exemplar>]) -> impl Iterator<Item = &Exemplar> {
    let mut known: Vec<&Exemplar> = exemplars.iter().flatten().collect();
    known.sort_by_key(|exemplar| exemplar.at());
    let skipped = known.len().saturating_sub(MAX_EXEMPLARS);
    known.into_iter().skip(skipped)
}
