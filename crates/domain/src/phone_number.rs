//! Detection of phone numbers, which must not reach the state, a label, an exemplar or the log.
//!
//! False positives are preferred to false negatives.

use std::borrow::Cow;

/// Replaces a text that contains a phone number.
pub const REDACTED: &str = "redacted_phone_number";

/// Shorter numbers do not identify a person.
const MIN_DIGITS: usize = 7;
/// The limit of ITU-T E.164.
const MAX_DIGITS: usize = 15;
/// Shorter than any hexadecimal id, longer than a number.
const MIN_HEX_ID: usize = 24;

/// Whether `text` may contain a phone number: at least 7 digits, joined to words or not, with any separators between them.
/// Not one are hexadecimal ids, more than 15 digits in a row, and the zero-padded number of a name (`desk_0000001`).
pub fn contains_phone_number(text: &str) -> bool {
    // Most texts: no digits, and letters of one byte.
    let possible_digits = text.bytes().filter(|byte| byte.is_ascii_digit() || !byte.is_ascii());
    if possible_digits.count() < MIN_DIGITS {
        return false;
    }
    let is_hex = |letter: char| letter.is_ascii_hexdigit() || letter == '-';
    let mut run = Run::default();
    for piece in text.split_inclusive(|letter| !is_hex(letter)) {
        let token = piece.trim_end_matches(|letter| !is_hex(letter));
        let is_id = token.chars().filter(char::is_ascii_hexdigit).count() >= MIN_HEX_ID
            && token.contains(|letter: char| letter.is_ascii_alphabetic());
        let rest = if is_id { piece.get(token.len()..).unwrap_or_default() } else { piece };
        if is_id && run.push('x') || rest.chars().any(|letter| run.push(letter)) {
            return true;
        }
    }
    run.is_phone_number()
}

/// `text`, or [`REDACTED`] if it may contain a phone number.
pub fn redact(text: &str) -> &str {
    if contains_phone_number(text) { REDACTED } else { text }
}

/// `id`, or if it may contain a phone number, a hash that identifies as well.
pub(crate) fn redact_id(id: &str) -> Cow<'_, str> {
    if !contains_phone_number(id) {
        return Cow::Borrowed(id);
    }
    // FNV-1a: the same in every build, because the state holds it.
    let hash = id.bytes().fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d_u128, |hash, byte| {
        (hash ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
    });
    Cow::Owned(format!("{REDACTED}_{hash:032x}"))
}

/// Digits, and what separates them.
#[derive(Default)]
struct Run {
    digits: usize,
    leading_zeros: usize,
    is_separated: bool,
    /// Whether it continues a word, as in `desk_1`.
    is_joined: bool,
    /// The two characters before.
    before: [Option<char>; 2],
}

impl Run {
    /// Adds a character; returns whether it ends a phone number.
    fn push(&mut self, letter: char) -> bool {
        let [before_last, last] = self.before;
        self.before = [last, Some(letter)];
        if letter.is_numeric() {
            let is_letter = |letter: Option<char>| letter.is_some_and(char::is_alphabetic);
            if self.digits == 0 {
                let is_joint = matches!(last, Some('-' | '_')) && is_letter(before_last);
                self.is_joined = is_letter(last) || is_joint;
            } else {
                self.is_separated |= !last.is_some_and(char::is_numeric);
            }
            self.leading_zeros += usize::from(letter == '0' && self.digits == self.leading_zeros);
            self.digits += 1;
            return false;
        }
        if !letter.is_alphabetic() && !":;,@<>\"'=".contains(letter) {
            return false;
        }
        let ends = self.is_phone_number();
        *self = Self { before: self.before, ..Self::default() };
        ends
    }

    fn is_phone_number(&self) -> bool {
        // `00` precedes a country code, which does not begin with 0.
        let is_padded = self.leading_zeros > 2 || self.leading_zeros == 2 && self.digits < 10;
        let is_name = self.is_joined && is_padded || self.digits > MAX_DIGITS;
        self.digits >= MIN_DIGITS && (self.is_separated || !is_name)
    }
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
            "212-555-0109x12",
            "sip:user2125550115@pbx",
            "transfer_to_2125550116",
            "2125550119(sales)",
            "wa.me/2125550136",
            "transfer_to_912345678",
            "to5550116",
            "CALL-2125550116",
            "build-20261120",
            "call_00442079460958",
            "555_010_0123",
            "QUEUE-0000001 2125550116",
            "3fa85f64-5717-4562-b3fc-2c963f66afa6 2125550116",
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
            "desk_0000000012",
            "PROJECT0012345",
            "CA0123456789012345678901234567890b",
            "3fa85f64-5717-4562-8888-123456789012",
            "1234567890123456",
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

    #[test]
    fn redacted_id_identifies_and_is_stable() {
        let one = redact_id("+442079460958");
        assert_eq!(one, "redacted_phone_number_c34a2632eaf38dd78d7739bb47dda090");
        assert_ne!(one, redact_id("+442079460959"));
        assert_eq!(redact_id(&one), one, "as it is read from the state");
        assert_eq!(redact_id("CA01"), "CA01");
    }
}
