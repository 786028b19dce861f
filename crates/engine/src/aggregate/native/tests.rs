//! Indices against the plain definition, and resolution that gives way.

use proptest::prelude::*;

use super::*;

fn native(amounts: &[u64]) -> NativeHistogram {
    let mut native = NativeHistogram::default();
    amounts.iter().for_each(|&amount| native.observe(Amount(amount)));
    native
}

/// The definition, with the general power function.
fn bound(index: i32, schema: i8) -> f64 {
    (f64::from(index) / f64::from(schema).exp2()).exp2()
}

#[test]
fn power_of_two_is_the_last_of_its_bucket() {
    // An f64 separates neighbouring amounts up to 2^53 of them, 285 years of seconds.
    for power in 0..=33u32 {
        let expected = i16::try_from(power).unwrap() * 8;
        let amount = 1_000_000u64 << power;
        assert_eq!(index(Amount(amount)), Some(expected), "2^{power}");
        assert_eq!(index(Amount(amount + 1)), Some(expected + 1), "just above 2^{power}");
        assert_eq!(index(Amount(amount - 1)), Some(expected), "just below 2^{power}");
    }
    for power in 1..=6u32 {
        let expected = -i16::try_from(power).unwrap() * 8;
        assert_eq!(index(Amount(1_000_000 >> power)), Some(expected), "2^-{power}");
        assert_eq!(index(Amount((1_000_000 >> power) + 1)), Some(expected + 1), "just above 2^-{power}");
    }
}

#[test]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the whole part is meant")]
fn bounds_separate_neighbouring_amounts() {
    // From a thousandth of a unit, where buckets are wider than amounts are apart, to more than a conversation can last.
    for bucket in -79..=204i16 {
        let last = (bound(i32::from(bucket), SCHEMA) * 1e6).floor() as u64;
        assert_eq!(index(Amount(last)), Some(bucket), "{last} millionths");
        assert_eq!(index(Amount(last + 1)), Some(bucket + 1), "{} millionths", last + 1);
    }
}

#[test]
fn table_holds_the_exact_bounds() {
    for (place, fraction) in (0i32..).zip(FRACTIONS) {
        let off = fraction / bound(place - 8, SCHEMA) - 1.0;
        assert!(off.abs() <= f64::EPSILON, "{place}: off by {off}");
    }
}

#[test]
fn all_amounts_fit_into_513_buckets() {
    assert_eq!(index(Amount(0)), None);
    assert_eq!((index(Amount(1)), index(Amount(u64::MAX))), (Some(-159), Some(353)));
    assert_eq!(353 + 159 + 1, 513);
}

#[test]
fn zero_bucket_has_the_usual_width() {
    assert_eq!(ZERO_THRESHOLD.to_bits(), (-128f64).exp2().to_bits());
    let native = native(&[0, 0, 1]);
    assert_eq!((native.zero_count(), native.count()), (2, 3));
    assert_eq!(native.downscale_to(160), NativeBuckets { schema: 3, buckets: vec![(-159, 1)] });
}

#[test]
fn neighbours_merge_down_to_the_limit() {
    // 1, 1.05, 1.1, 2, 2.1 and 4 units.
    let native = native(&[1_000_000, 1_050_000, 1_100_000, 2_000_000, 2_100_000, 4_000_000]);
    let at_most = |limit| native.downscale_to(limit);
    let resolved = |schema, buckets: &[(i32, u64)]| NativeBuckets { schema, buckets: buckets.to_vec() };
    assert_eq!(at_most(6), resolved(3, &[(0, 1), (1, 1), (2, 1), (8, 1), (9, 1), (16, 1)]));
    assert_eq!(at_most(5), resolved(2, &[(0, 1), (1, 2), (4, 1), (5, 1), (8, 1)]));
    assert_eq!(at_most(4), resolved(0, &[(0, 1), (1, 3), (2, 2)]));
    assert_eq!(at_most(2), resolved(-1, &[(0, 1), (1, 5)]));
    // 1 is the upper bound of a bucket at every resolution.
    assert_eq!(at_most(1), resolved(LOWEST_SCHEMA, &[(0, 1), (1, 5)]));
}

fn any_amount() -> impl Strategy<Value = u64> {
    // As many small ones as large ones.
    (any::<u64>(), 0u32..64).prop_map(|(number, shift)| number >> shift)
}

proptest! {
    #[test]
    fn index_matches_the_definition(amount in any_amount()) {
        let Some(index) = index(Amount(amount)) else {
            prop_assert_eq!(amount, 0);
            return Ok(());
        };
        let amount = Amount(amount).units();
        let (low, high) = (bound(i32::from(index) - 1, SCHEMA), bound(i32::from(index), SCHEMA));
        // The power function may be off by its last digit.
        prop_assert!(low * (1.0 - f64::EPSILON) < amount && amount <= high * (1.0 + f64::EPSILON));
    }

    #[test]
    fn downscaled_buckets_contain_their_amounts(
        amounts in prop::collection::vec(any_amount(), 0..400),
        limit in 1usize..200,
    ) {
        let native = native(&amounts);
        let NativeBuckets { schema, buckets } = native.downscale_to(limit);
        prop_assert!(buckets.len() <= limit.max(6));
        let positive = amounts.iter().filter(|&&amount| amount > 0).count() as u64;
        prop_assert_eq!(buckets.iter().map(|(_, count)| count).sum::<u64>(), positive);
        for &(index, count) in &buckets {
            let (low, high) = (bound(index - 1, schema), bound(index, schema));
            let within = amounts.iter().filter(|&&amount| {
                let amount = Amount(amount).units();
                amount > 0.0 && low < amount && amount <= high
            });
            prop_assert_eq!(within.count() as u64, count, "bucket {} of schema {}", index, schema);
        }
        // No resolution is given up without need.
        if schema < SCHEMA {
            let mut finer: Vec<i32> = native.buckets.iter().map(|&(index, _)| i32::from(index)).collect();
            for _ in schema + 1..SCHEMA {
                finer.iter_mut().for_each(|index| *index = (*index + 1).div_euclid(2));
            }
            finer.dedup();
            prop_assert!(finer.len() > limit);
        }
    }

    #[test]
    fn order_of_observations_does_not_matter(mut amounts in prop::collection::vec(any_amount(), 0..300)) {
        let one = native(&amounts);
        amounts.sort_unstable();
        prop_assert!(one.is_valid());
        prop_assert_eq!(one.count(), amounts.len() as u64);
        prop_assert_eq!(one, native(&amounts));
    }
}

#[test]
fn impossible_buckets_are_invalid() {
    for buckets in [vec![(2, 1), (1, 1)], vec![(1, 1), (1, 1)], vec![(1, 0)], vec![(-160, 1)], vec![(354, 1)]]
    {
        assert!(!NativeHistogram { zeros: 0, buckets: buckets.clone() }.is_valid(), "{buckets:?}");
    }
    assert!(NativeHistogram { zeros: 1, buckets: vec![(-159, 1), (353, 2)] }.is_valid());
}
