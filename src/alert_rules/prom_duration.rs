//! Durations of Prometheus: `1h30m`, `90s`, `1d`. Those of the configuration of the exporter differ.

/// The units, from the longest, with their seconds; each may occur once, in this order.
const UNITS: [(&str, u64); 6] =
    [("y", 31_536_000), ("w", 604_800), ("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)];

/// The seconds of a duration; `None` if `text` is not one, or has fractions of a second.
pub(super) fn seconds(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut units = UNITS.iter();
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, tail) = rest.split_at(digits);
        let unit = tail.chars().next()?;
        let (_, worth) = units.find(|(name, _)| *name == unit.to_string())?;
        total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(*worth)?)?;
        rest = &tail[1..];
    }
    (!text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_follow_the_grammar_of_prometheus() {
        for (text, expected) in [
            ("0s", Some(0)),
            ("90s", Some(90)),
            ("1h30m", Some(5400)),
            ("1d", Some(86_400)),
            ("2w", Some(1_209_600)),
            ("", None),
            ("5", None),
            ("m", None),
            ("5 m", None),
            ("30m1h", None),
            ("1m1m", None),
            ("5min", None),
            ("1.5h", None),
            ("5ä", None),
            ("99999999999999999999s", None),
            ("9999999999999999y", None),
        ] {
            assert_eq!(seconds(text), expected, "{text}");
        }
    }
}
