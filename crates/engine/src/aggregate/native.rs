//! The sparse buckets of a native histogram, as the Prometheus specification defines them.
//!
//! Client libraries bound their sparse buckets by resetting the histogram, so its value depends on when it was started. Here
//! nothing is thrown away, because counters are a pure function of what the API holds. That is affordable: amounts are whole
//! millionths in a `u64`, so at full resolution there are at most 513 buckets. Where an exposition limits their number,
//! neighbours are merged while it is written. Which are merged depends only on which are populated, so replicas that counted
//! the same expose the same; and Prometheus does not take a lower resolution for a reset.

use serde::{Deserialize, Serialize};

use polyai_domain::conversation::Amount;

/// The width of the zero bucket, in units: the default of client libraries. Amounts are whole millionths, so the bucket holds
/// exact zeros only.
pub const ZERO_THRESHOLD: f64 = 1.0 / (1u128 << 127) as f64 / 2.0;

/// The resolution of stored observations: bounds grow by 2^(1/8).
const SCHEMA: i8 = 3;

/// The lowest resolution of the format.
const LOWEST_SCHEMA: i8 = -4;

/// Buckets per power of two at [`SCHEMA`].
const PER_OCTAVE: i16 = 1 << SCHEMA;

/// The bounds from 1/2 up to 1, 2^(k/8)/2, each the largest `f64` that is not above the true value.
const FRACTIONS: [f64; PER_OCTAVE as usize] = [
    0.5,
    0.545_253_866_332_628_7,
    0.594_603_557_501_360_5,
    0.648_419_777_325_504_8,
    0.707_106_781_186_547_5,
    0.771_105_412_703_970_4,
    0.840_896_415_253_714_5,
    0.917_004_043_204_671_2,
];

/// Observations by sparse bucket, at full resolution.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NativeHistogram {
    zeros: u64,
    /// By index, ascending; only those with observations.
    buckets: Vec<(i16, u64)>,
}

/// Sparse buckets at the resolution that they are exposed with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NativeBuckets {
    /// Bucket `i` holds amounts above `2^((i-1)/2^schema)` and up to `2^(i/2^schema)`.
    pub schema: i8,
    /// Index and observations, by index, ascending; none is empty.
    pub buckets: Vec<(i32, u64)>,
}

impl NativeHistogram {
    pub(super) fn observe(&mut self, amount: Amount) {
        let Some(index) = index(amount) else {
            self.zeros += 1;
            return;
        };
        let place = self.buckets.partition_point(|&(before, _)| before < index);
        match self.buckets.get_mut(place) {
            Some((found, count)) if *found == index => *count += 1,
            Some(_) | None => self.buckets.insert(place, (index, 1)),
        }
    }

    /// Observations of exactly zero.
    pub fn zero_count(&self) -> u64 {
        self.zeros
    }

    /// All observations.
    pub fn count(&self) -> u64 {
        let counts = self.buckets.iter().map(|&(_, count)| count);
        counts.fold(self.zeros, u64::saturating_add)
    }

    /// The buckets at the highest resolution at which no more than `limit` are populated, or at the lowest.
    pub fn downscale_to(&self, limit: usize) -> NativeBuckets {
        let mut schema = SCHEMA;
        let stored = self.buckets.iter().map(|&(index, count)| (i32::from(index), count));
        let mut buckets: Vec<(i32, u64)> = stored.collect();
        while buckets.len() > limit && schema > LOWEST_SCHEMA {
            schema -= 1;
            for (index, _) in &mut buckets {
                // Half of it, rounded up: bounds are inclusive above.
                *index = (*index + 1).div_euclid(2);
            }
            buckets.dedup_by(|(index, count), (before, sum)| {
                let is_same = index == before;
                if is_same {
                    *sum = sum.saturating_add(*count);
                }
                is_same
            });
        }
        NativeBuckets { schema, buckets }
    }

    /// Whether this program could have written these stored buckets.
    pub(super) fn is_valid(&self) -> bool {
        let lowest = index(Amount(1));
        let highest = index(Amount(u64::MAX));
        let is_possible =
            |&(index, count): &(i16, u64)| (lowest..=highest).contains(&Some(index)) && count > 0;
        self.buckets.iter().all(is_possible)
            && self.buckets.is_sorted_by(|(before, _), (index, _)| before < index)
    }
}

/// The index of the bucket that `amount` falls into: the smallest `i` with `amount <= 2^(i/8)`; `None` for zero.
fn index(amount: Amount) -> Option<i16> {
    if amount.0 == 0 {
        return None;
    }
    let (fraction, exponent) = frexp(amount.units());
    let within = FRACTIONS.iter().filter(|&&bound| bound < fraction).map(|_| 1).sum::<i16>();
    Some((exponent - 1) * PER_OCTAVE + within)
}

/// A positive, normal `number` as `(fraction, exponent)` with `number = fraction * 2^exponent` and `0.5 <= fraction < 1`.
fn frexp(number: f64) -> (f64, i16) {
    const MANTISSA: u64 = (1 << 52) - 1;
    /// The biased exponent of numbers from 1/2 up to 1.
    const HALF: u16 = 1022;
    let bits = number.to_bits();
    // The mask leaves eleven bits.
    let exponent = (bits >> 52 & 0x7ff) as i16;
    (f64::from_bits(bits & MANTISSA | u64::from(HALF) << 52), exponent - HALF as i16)
}

#[cfg(test)]
mod tests;
