//! The buckets of histograms: classic bounds, formatted once for all series, and native ones.

use crate::format_float::format_bound;

/// Inclusive, ascending upper bounds; the last bucket, `+Inf`, is implied.
#[derive(Debug, Clone, PartialEq)]
pub struct BucketBounds {
    bounds: Vec<f64>,
    le_labels: Vec<String>,
}

impl BucketBounds {
    /// From finite, ascending bounds.
    pub fn new(bounds: impl IntoIterator<Item = f64>) -> Self {
        let bounds: Vec<f64> = bounds.into_iter().collect();
        let le_labels = bounds.iter().copied().chain([f64::INFINITY]).map(format_bound).collect();
        Self { bounds, le_labels }
    }

    /// The finite bounds.
    pub fn bounds(&self) -> &[f64] {
        &self.bounds
    }

    /// The value of `le` for each bucket; the last is `+Inf`.
    pub fn le_labels(&self) -> impl Iterator<Item = &str> {
        self.le_labels.iter().map(AsRef::as_ref)
    }

    /// For each bucket its bound, the last of which is infinite, and the number of observations at or below it.
    pub fn cumulative<'a>(&'a self, counts: &'a [u64]) -> impl Iterator<Item = (f64, u64)> + 'a {
        let mut below = 0u64;
        self.bounds.iter().copied().chain([f64::INFINITY]).zip(counts).map(move |(bound, count)| {
            below += count;
            (bound, below)
        })
    }
}

/// The exponential buckets of a histogram with positive observations only.
#[derive(Debug, Clone, PartialEq)]
pub struct NativeHistogram {
    /// The resolution, from -4 to 8: bucket `i` holds values above `2^((i-1)/2^schema)` and up to `2^(i/2^schema)`.
    pub schema: i8,
    /// Values up to this are in the zero bucket.
    pub zero_threshold: f64,
    /// Observations in the zero bucket.
    pub zero_count: u64,
    /// Index and observations of each populated bucket, by index, ascending.
    pub buckets: Vec<(i32, u64)>,
}

impl NativeHistogram {
    /// The number of buckets that encoders ask for at most; the limit that client libraries recommend.
    pub(crate) const MAX_BUCKETS: usize = 160;

    /// The runs of adjacent buckets: for each its distance from the end of the run before, or for the first its index, and
    /// its length.
    pub(crate) fn spans(&self) -> Vec<(i32, u32)> {
        let mut spans: Vec<(i32, u32)> = Vec::new();
        let mut next = 0;
        for &(index, _) in &self.buckets {
            match spans.last_mut() {
                Some((_, length)) if index == next => *length += 1,
                Some(_) | None => spans.push((index - next, 1)),
            }
            next = index + 1;
        }
        spans
    }

    /// The counts of the buckets, each as the difference to the one before.
    pub(crate) fn deltas(&self) -> impl Iterator<Item = i64> + '_ {
        let mut before = 0;
        self.buckets.iter().map(move |&(_, count)| {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            count - std::mem::replace(&mut before, count)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_cumulative() {
        let bounds = BucketBounds::new([0.5, 2.0]);
        assert_eq!(bounds.le_labels().collect::<Vec<_>>(), ["0.5", "2.0", "+Inf"]);
        let cumulative: Vec<_> = bounds.cumulative(&[3, 0, 2]).collect();
        assert_eq!(cumulative, [(0.5, 3), (2.0, 3), (f64::INFINITY, 5)]);
    }
}
