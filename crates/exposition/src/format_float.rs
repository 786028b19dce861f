//! Numbers as the text formats spell them.

/// Above this, an `f64` no longer distinguishes adjacent integers.
const MAX_SAFE_INTEGER: f64 = 9_007_199_254_740_992.0;

pub(crate) fn write_count(out: &mut Vec<u8>, count: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(count).as_bytes());
}

/// Writes the shortest text that parses to `value`; integers without a decimal point.
pub(crate) fn write_value(out: &mut Vec<u8>, value: f64) {
    let is_negative_zero = value == 0.0 && value.is_sign_negative();
    if value.fract() == 0.0 && value.abs() < MAX_SAFE_INTEGER && !is_negative_zero {
        #[expect(clippy::cast_possible_truncation, reason = "an integer within 2^53")]
        out.extend_from_slice(itoa::Buffer::new().format(value as i64).as_bytes());
    } else if value.is_finite() {
        out.extend_from_slice(zmij::Buffer::new().format_finite(value).as_bytes());
    } else {
        out.extend_from_slice(not_finite(value).as_bytes());
    }
}

/// Formats a bucket bound exactly as Prometheus 3 stores it, so that a series keeps its name when Prometheus 2, which stores
/// what it reads, is upgraded: always a float (`2.0`), with an exponent (`1e+06`) outside of 1e-4 to 1e6.
pub(crate) fn format_bound(bound: f64) -> String {
    if !bound.is_finite() {
        not_finite(bound).to_owned()
    } else if bound == 0.0 || (1e-4..1e6).contains(&bound.abs()) {
        format!("{bound:?}")
    } else {
        let scientific = format!("{bound:e}");
        let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
        format!("{mantissa}e{:+03}", exponent.parse::<i32>().unwrap_or_default())
    }
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn format_value(value: f64) -> String {
        let mut out = Vec::new();
        write_value(&mut out, value);
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
            (0.000_05, "0.00005"),
            (0.000_005, "5e-6"),
            (1_790_000_000.5, "1790000000.5"),
            (9_007_199_254_740_991.0, "9007199254740991"),
            (9_007_199_254_740_992.0, "9007199254740992.0"),
            (1e300, "1e+300"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
            (f64::NAN, "NaN"),
        ];
        for (number, text) in cases {
            assert_eq!(format_value(number), text);
        }
    }

    #[test]
    fn bounds_are_formatted_like_in_prometheus() {
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
            assert_eq!(format_bound(number), text);
        }
    }

    proptest! {
        #[test]
        fn numbers_parse_to_the_same_bits(number in any::<f64>().prop_filter("NaN differs from itself", |n| !n.is_nan())) {
            for text in [format_value(number), format_bound(number)] {
                prop_assert_eq!(text.parse::<f64>().unwrap().to_bits(), number.to_bits(), "{}", text);
            }
        }
    }
}
