//! A histogram with explicit bounds, native buckets and exemplars.
//!
//! All numbers are whole, so instances that saw the same conversations in another order hold the same value exactly.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::exemplar::{Exemplar, ExemplarSource};
use super::native::NativeHistogram;
use polyai_domain::conversation::Amount;

/// Upper bounds, inclusive, ascending, without `+Inf`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BucketBounds(Arc<[Amount]>);

impl BucketBounds {
    /// From bounds in units, ascending in whole millionths; invalid amounts are left out.
    pub fn new(units: &[f64]) -> Self {
        Self(units.iter().filter_map(|&bound| Amount::from_units(bound)).collect())
    }

    /// The bounds in units.
    pub fn units(&self) -> impl Iterator<Item = f64> + '_ {
        self.0.iter().map(|bound| bound.units())
    }

    /// The index of the bucket that `amount` falls into; the last one is `+Inf`.
    fn bucket(&self, amount: Amount) -> usize {
        self.0.partition_point(|&bound| bound < amount)
    }
}

/// Observations, by bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Histogram {
    bounds: BucketBounds,
    counts: Vec<u64>,
    sum: u64,
    /// Filled whether or not it is exposed, so that it adds up to the count whenever it is.
    native: NativeHistogram,
    /// One per bucket; empty before the first observation with a source.
    exemplars: Vec<Option<Exemplar>>,
}

impl Histogram {
    /// Without observations.
    pub fn new(bounds: BucketBounds) -> Self {
        let counts = vec![0; bounds.0.len() + 1];
        Self { bounds, counts, sum: 0, native: NativeHistogram::default(), exemplars: Vec::new() }
    }

    /// Adds one observation; `source` is the conversation that it comes from, if the metric has exemplars.
    pub fn observe(&mut self, amount: Amount, source: Option<ExemplarSource<'_>>) {
        let bucket = self.bounds.bucket(amount);
        if let Some(count) = self.counts.get_mut(bucket) {
            *count += 1;
        }
        self.sum = self.sum.saturating_add(amount.0);
        self.native.observe(amount);
        if let Some(source) = source {
            self.exemplars.resize(self.counts.len(), None);
            if let Some(slot) = self.exemplars.get_mut(bucket) {
                Exemplar::update(slot, amount, source);
            }
        }
    }

    /// Its bounds.
    pub fn bounds(&self) -> &BucketBounds {
        &self.bounds
    }

    /// Observations per bucket, not cumulative; the last is `+Inf`.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// All observations.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The sum of all observations, in units.
    pub fn sum(&self) -> f64 {
        Amount(self.sum).units()
    }

    /// The native buckets of the same observations.
    pub fn native(&self) -> &NativeHistogram {
        &self.native
    }

    /// The newest conversation of each bucket, as in [`counts`](Self::counts); empty before the first.
    pub fn exemplars(&self) -> &[Option<Exemplar>] {
        &self.exemplars
    }

    /// Whether a stored histogram is one that this program could have written.
    pub fn is_valid(&self) -> bool {
        let count = self.counts.iter().try_fold(0u64, |sum, &count| sum.checked_add(count));
        self.counts.len() == self.bounds.0.len() + 1
            && self.bounds.0.is_sorted_by(|low, high| low < high)
            && self.native.is_valid()
            && count == Some(self.native.count())
            && (self.exemplars.is_empty() || self.exemplars.len() == self.counts.len())
            && self.exemplars.iter().zip(&self.counts).enumerate().all(|(bucket, (exemplar, &count))| {
                exemplar.as_ref().is_none_or(|exemplar| {
                    count > 0 && self.bounds.bucket(exemplar.amount()) == bucket && exemplar.is_valid()
                })
            })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::exemplar::ExemplarId;
    use super::*;
    use polyai_domain::timestamp::Timestamp;

    #[test]
    fn upper_bound_is_inclusive() {
        let mut histogram = Histogram::new(BucketBounds::new(&[1.0, 2.5]));
        for amount in [0.0, 1.0, 1.000_001, 2.5, 2.6] {
            histogram.observe(Amount::from_units(amount).unwrap(), None);
        }
        assert_eq!(histogram.counts(), [2, 2, 1]);
        assert!((histogram.sum() - 7.100_001).abs() < 1e-12);
    }

    #[test]
    fn each_bucket_keeps_its_newest_exemplar() {
        let mut histogram = Histogram::new(BucketBounds::new(&[1.0, 2.5]));
        histogram.observe(Amount(500_000), None);
        assert_eq!(histogram.exemplars(), []);
        for (id, millionths, at) in [("CA1", 700_000, 20), ("CA2", 900_000, 10), ("CA3", 9_000_000, 5)] {
            let id = ExemplarId::new(id).unwrap();
            histogram.observe(
                Amount(millionths),
                Some(ExemplarSource { id: &id, at: Timestamp::from_millis(at) }),
            );
        }
        let ids: Vec<_> = histogram.exemplars().iter().map(|one| one.as_ref().map(Exemplar::id)).collect();
        assert_eq!(ids, [Some("CA1"), None, Some("CA3")]);
        assert!(histogram.is_valid());
    }

    /// A change to a histogram that makes it one that no observations lead to.
    type Damage = fn(&mut Histogram);

    #[test]
    fn impossible_histogram_is_invalid() {
        let mut valid = Histogram::new(BucketBounds::new(&[1.0, 2.5]));
        let id = ExemplarId::new("CA1").unwrap();
        valid.observe(Amount(700_000), Some(ExemplarSource { id: &id, at: Timestamp::from_millis(20) }));
        assert!(valid.is_valid());
        let damages: [Damage; 9] = [
            |one| one.counts.truncate(2),
            |one| one.counts[0] += 1,
            |one| one.counts[1] = u64::MAX,
            |one| one.native.observe(Amount(1)),
            |one| one.exemplars.truncate(2),
            |one| one.exemplars.push(None),
            |one| one.exemplars.swap(0, 1),
            |one| one.bounds = BucketBounds(Arc::from([Amount(2), Amount(1)])),
            |one| one.bounds = BucketBounds(Arc::from([Amount(2_500_000), Amount(2_500_000)])),
        ];
        for (number, damage) in damages.into_iter().enumerate() {
            let mut damaged = valid.clone();
            damage(&mut damaged);
            assert!(!damaged.is_valid(), "damage {number}: {damaged:?}");
        }
    }

    proptest! {
        #[test]
        fn observation_is_in_exactly_one_bucket(amounts in proptest::collection::vec(0.0f64..30.0, 0..200)) {
            let mut histogram = Histogram::new(BucketBounds::new(&[0.25, 0.5, 1.0, 8.0]));
            for &amount in &amounts {
                histogram.observe(Amount::from_units(amount).unwrap(), None);
            }
            prop_assert_eq!(histogram.count(), amounts.len() as u64);
            let below_one = amounts.iter().filter(|&&amount| (amount * 1e6).round() <= 1e6).count() as u64;
            prop_assert_eq!(histogram.counts()[..3].iter().sum::<u64>(), below_one);
        }

        #[test]
        fn classic_and_native_buckets_agree_in_any_order(
            observations in prop::collection::vec((0u64..40_000_000, 0i64..50, prop::option::of("[a-c]{1,2}")), 0..200),
        ) {
            let histogram = |observations: &[(u64, i64, Option<String>)]| {
                let mut histogram = Histogram::new(BucketBounds::new(&[0.25, 0.5, 1.0, 8.0]));
                for (amount, at, id) in observations {
                    let id = id.as_deref().and_then(ExemplarId::new);
                    let at = Timestamp::from_millis(*at);
                    histogram.observe(Amount(*amount), id.as_ref().map(|id| ExemplarSource { id, at }));
                }
                histogram
            };
            let one = histogram(&observations);
            prop_assert!(one.is_valid());
            prop_assert_eq!(one.native().count(), one.count());
            let mut others = observations;
            others.reverse();
            prop_assert_eq!(histogram(&others), one);
        }
    }
}
