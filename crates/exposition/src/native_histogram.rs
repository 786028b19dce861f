//! The exponential buckets of a native histogram, in the layout that the formats share.

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
