//! The bounds of a histogram's classic buckets, spelled once for all of its series.
//!
//! Owns: the bounds and their text. Never: counts.

use super::number;

/// Upper bounds, inclusive and ascending; the bucket beyond the last, `+Inf`, is implied.
#[derive(Debug, Clone, PartialEq)]
pub struct BucketBounds {
    bounds: Vec<f64>,
    spelled: Vec<Box<str>>,
}

impl BucketBounds {
    /// From finite, ascending bounds.
    pub fn new(bounds: impl IntoIterator<Item = f64>) -> Self {
        let bounds: Vec<f64> = bounds.into_iter().collect();
        let spelled = bounds.iter().copied().chain([f64::INFINITY]).map(spelled).collect();
        Self { bounds, spelled }
    }

    /// The finite bounds.
    pub fn bounds(&self) -> &[f64] {
        &self.bounds
    }

    /// The value of `le` for each bucket; the last is `+Inf`.
    pub fn le_labels(&self) -> impl Iterator<Item = &str> {
        self.spelled.iter().map(AsRef::as_ref)
    }

    /// For each bucket its bound, the last of which is infinite, with how many of `counts` lie at or below it.
    pub fn cumulative<'a>(&'a self, counts: &'a [u64]) -> impl Iterator<Item = (f64, u64)> + 'a {
        let mut below = 0u64;
        self.bounds.iter().copied().chain([f64::INFINITY]).zip(counts).map(move |(bound, count)| {
            below += count;
            (bound, below)
        })
    }
}

fn spelled(bound: f64) -> Box<str> {
    let mut out = Vec::new();
    number::bound(&mut out, bound);
    String::from_utf8_lossy(&out).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_add_up_from_below() {
        let ladder = BucketBounds::new([0.5, 2.0]);
        assert_eq!(ladder.le_labels().collect::<Vec<_>>(), ["0.5", "2.0", "+Inf"]);
        let cumulative: Vec<_> = ladder.cumulative(&[3, 0, 2]).collect();
        assert_eq!(cumulative, [(0.5, 3), (2.0, 3), (f64::INFINITY, 5)]);
    }
}
