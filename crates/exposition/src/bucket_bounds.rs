//! The bounds of classic buckets, formatted once for all series of a histogram.

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
