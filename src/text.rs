//! Numbers and nouns in text for people.

/// `1,234,567`
pub(crate) fn count(number: u64) -> String {
    match number {
        0..1000 => number.to_string(),
        1000.. => format!("{},{:03}", count(number / 1000), number % 1000),
    }
}

/// `1 poll`, `2 polls`
pub(crate) fn pluralize(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", count(number), if number == 1 { "" } else { "s" })
}
