//! Detection of phone numbers, which must not reach the state, a label or an exemplar.
//!
//! False positives are preferred to false negatives.

/// Replaces a text that contains a phone number.
pub const REDACTED: &str = "redacted_phone_number";

/// Shorter numbers do not identify a person.
const MIN_DIGITS: usize = 7;
/// The limit of ITU-T E.164.
const MAX_DIGITS: usize = 15;

/// Whether `text` may be a phone number: no letters and 7 to 15 digits, with any separators.
pub fn is_phone_number(text: &str) -> bool {
    !text.chars().any(char::is_alphabetic) && (MIN_DIGITS..=MAX_DIGITS).contains(&digits(text))
}

/// Whether `text` may contain a phone number, possibly in an address (`tel:+44 20 7946 0958`, `sip:02079460958@pbx`). Digits
/// joined to a word are part of a name (`QUEUE-0000001`), unless they begin with `+`.
pub fn contains_phone_number(text: &str) -> bool {
    text.split([':', ';', ',', '@', '<', '>', '"', '\'', '=']).any(|part| {
        let words: Vec<&str> = part.split_whitespace().collect();
        let runs = words.split(|word| word.chars().any(char::is_alphabetic));
        runs.map(|words| words.iter().copied().map(digits).sum()).any(|digits: usize| digits >= MIN_DIGITS)
            || part.split('+').skip(1).any(|rest| digits(leading_number(rest)) >= MIN_DIGITS)
    })
}

fn leading_number(text: &str) -> &str {
    text.split(char::is_alphabetic).next().unwrap_or(text)
}

fn digits(text: &str) -> usize {
    text.chars().filter(|letter| letter.is_numeric()).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phone_numbers_are_found_in_every_notation() {
        for text in [
            "+442079460958",
            "442079460958",
            "020 7946 0958",
            "(020) 7946-0958",
            "020.7946.0958 ext",
            "Transfer to +1 (212) 555-0100",
            "call +44 20 7946 0958 now",
            "tel:+12125550100",
            "sip:02079460958@pbx.example",
            "<sip:+442079460958@10.0.0.1;user=phone>",
            "line+12125550100",
            "number: 5550100",
            "020 7946 0958 020 7946 0959",
            "\u{664}\u{664}\u{662}\u{660}\u{667}\u{669}\u{664}\u{666}",
        ] {
            assert!(contains_phone_number(text), "{text}");
        }
    }

    #[test]
    fn names_are_not_phone_numbers() {
        for text in [
            "",
            "none",
            "Billing queue",
            "billing_question",
            "QUEUE-0000001",
            "queue 12",
            "ext 12345",
            "sip:billing@pbx.example",
            "2nd line, desk 4",
            "a1b2c3d4-0000-4000-8000-000000000000",
            "C++ 17",
        ] {
            assert!(!contains_phone_number(text), "{text}");
        }
    }
}
