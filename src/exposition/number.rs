//! Numbers as the text formats spell them, without allocating.
//!
//! Owns: the spelling of values, counts and bucket bounds. Never: what they measure.

/// Beyond this, doubles no longer tell neighbouring whole numbers apart.
const MAX_SAFE_INTEGER: f64 = 9_007_199_254_740_992.0;

/// Writes `count`.
pub(super) fn count(out: &mut Vec<u8>, count: u64) {
    put(out, itoa::Buffer::new().format(count));
}

/// Writes the shortest text that reads back as `value`; whole numbers without a point.
pub(super) fn value(out: &mut Vec<u8>, value: f64) {
    let negative_zero = value == 0.0 && value.is_sign_negative();
    if value.fract() == 0.0 && value.abs() < MAX_SAFE_INTEGER && !negative_zero {
        #[expect(clippy::cast_possible_truncation, reason = "whole and within 2^53")]
        put(out, itoa::Buffer::new().format(value as i64));
    } else if value.is_finite() {
        put(out, ryu::Buffer::new().format_finite(value));
    } else {
        put(out, not_finite(value));
    }
}

/// Writes a bucket bound exactly as Prometheus 3 stores it, so that a series keeps its name over an upgrade from
/// Prometheus 2, which stores what it reads: always a float (`2.0`), with an exponent (`1e+06`) outside of 1e-4 to 1e6.
pub(super) fn bound(out: &mut Vec<u8>, bound: f64) {
    if !bound.is_finite() {
        return put(out, not_finite(bound));
    }
    let mut buffer = ryu::Buffer::new();
    let shortest = buffer.format_finite(bound);
    if bound == 0.0 || (1e-4..1e6).contains(&bound.abs()) {
        put(out, shortest);
    } else {
        scientific(out, shortest);
    }
}

/// Writes `shortest`, which is "1.5e-7", "1234567.0" or the like and not zero, with one digit before the point and an
/// exponent of at least two digits.
fn scientific(out: &mut Vec<u8>, shortest: &str) {
    let (sign, shortest) = shortest.strip_prefix('-').map_or(("", shortest), |rest| ("-", rest));
    let (mantissa, exponent) = shortest.split_once('e').unwrap_or((shortest, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = || whole.bytes().chain(fraction.bytes());
    let leading_zeros = digits().take_while(|digit| *digit == b'0').count();
    let trailing_zeros = digits().rev().take_while(|digit| *digit == b'0').count();
    let significant = digits().count().saturating_sub(leading_zeros + trailing_zeros);

    put(out, sign);
    for (index, digit) in digits().skip(leading_zeros).take(significant).enumerate() {
        if index == 1 {
            put(out, ".");
        }
        out.push(digit);
    }

    let before_point = i64::try_from(whole.len()).expect("a double has at most some 300 digits");
    let skipped = i64::try_from(leading_zeros).expect("a double has at most some 300 digits");
    let power = exponent.parse::<i64>().expect("ryu writes whole exponents") + before_point - 1 - skipped;
    put(out, if power < 0 { "e-" } else { "e+" });
    if power.abs() < 10 {
        put(out, "0");
    }
    put(out, itoa::Buffer::new().format(power.abs()));
}

const fn not_finite(value: f64) -> &'static str {
    if value.is_nan() {
        "NaN"
    } else if value.is_sign_positive() {
        "+Inf"
    } else {
        "-Inf"
    }
}

fn put(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn spelled(write: fn(&mut Vec<u8>, f64), number: f64) -> String {
        let mut out = Vec::new();
        write(&mut out, number);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn values_are_short_and_exact() {
        let cases = [
            (0.0, "0"),
            (-0.0, "-0.0"),
            (1.0, "1"),
            (-3.0, "-3"),
            (0.25, "0.25"),
            (1_790_000_000.5, "1790000000.5"),
            (9_007_199_254_740_991.0, "9007199254740991"),
            (1e300, "1e300"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
            (f64::NAN, "NaN"),
        ];
        for (number, text) in cases {
            assert_eq!(spelled(value, number), text);
        }
    }

    #[test]
    fn bounds_are_spelled_as_prometheus_stores_them() {
        let cases = [
            (0.0, "0.0"),
            (2.0, "2.0"),
            (0.25, "0.25"),
            (3600.0, "3600.0"),
            (999_999.0, "999999.0"),
            (1e6, "1e+06"),
            (1_234_567.0, "1.234567e+06"),
            (-2_500_000.0, "-2.5e+06"),
            (1e16, "1e+16"),
            (1.5e300, "1.5e+300"),
            (0.0001, "0.0001"),
            (0.000_01, "1e-05"),
            (0.000_012_5, "1.25e-05"),
            (1.5e-7, "1.5e-07"),
            (f64::INFINITY, "+Inf"),
        ];
        for (number, text) in cases {
            assert_eq!(spelled(bound, number), text);
        }
    }

    proptest! {
        #[test]
        fn every_number_reads_back_unchanged(number in any::<f64>().prop_filter("NaN differs from itself", |n| !n.is_nan())) {
            for write in [value, bound] {
                let text = spelled(write, number);
                prop_assert_eq!(text.parse::<f64>().unwrap().to_bits(), number.to_bits(), "{}", text);
            }
        }
    }
}
