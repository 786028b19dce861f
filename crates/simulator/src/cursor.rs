//! The opaque position within a walk over pages.
//!
//! Owns: its meaning (the key of the last row seen) and its URL-safe text. Never: the rows.

use chrono::{DateTime, Utc};

/// The key by which rows are ordered; unique within a project.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    /// Microseconds since 1970 of `started_at`, or a hash of the id where the order is shuffled.
    pub(crate) rank: i128,
    pub(crate) id: String,
}

/// A position with the walk it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub(crate) position: Position,
    /// Of the other parameters: the documentation asks to repeat them unchanged.
    pub(crate) fingerprint: u64,
    /// Makes two cursors of one position differ, as after a page without rows.
    pub(crate) nonce: u64,
}

impl Position {
    /// The key of the row `id` that started at `start`.
    pub(crate) fn of(start: DateTime<Utc>, id: &str) -> Self {
        Self { rank: i128::from(start.timestamp_micros()), id: id.to_owned() }
    }
}

impl Cursor {
    /// As sent in `cursor`.
    pub(crate) fn encode(&self) -> String {
        let plain =
            format!("{}.{}.{}.{}", self.position.rank, self.fingerprint, self.nonce, self.position.id);
        base64url(plain.as_bytes())
    }

    /// Reads what [`encode`](Self::encode) wrote; None for anything else.
    pub(crate) fn decode(text: &str) -> Option<Self> {
        let plain = String::from_utf8(unbase64url(text)?).ok()?;
        let mut parts = plain.splitn(4, '.');
        let rank = parts.next()?.parse().ok()?;
        let fingerprint = parts.next()?.parse().ok()?;
        let nonce = parts.next()?.parse().ok()?;
        Some(Self { position: Position { rank, id: parts.next()?.to_owned() }, fingerprint, nonce })
    }
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// RFC 4648, section 5, without padding.
fn base64url(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits =
            group.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for place in 0..=group.len() {
            let index = (bits >> (18 - 6 * place)) & 63;
            text.push(char::from(ALPHABET[index as usize]));
        }
    }
    text
}

fn unbase64url(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    for group in text.as_bytes().chunks(4) {
        if group.len() == 1 {
            return None;
        }
        let mut bits = 0_u32;
        for letter in group {
            bits = bits << 6 | u32::try_from(ALPHABET.iter().position(|known| known == letter)?).ok()?;
        }
        bits <<= 6 * (4 - group.len());
        let [_, decoded @ ..] = bits.to_be_bytes();
        bytes.extend_from_slice(&decoded[..group.len() - 1]);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_cursor_survives_its_trip(rank: i64, id in ".*", fingerprint: u64, nonce: u64) {
            let cursor = Cursor { position: Position { rank: rank.into(), id }, fingerprint, nonce };
            prop_assert_eq!(Cursor::decode(&cursor.encode()), Some(cursor));
        }

        #[test]
        fn any_other_text_is_refused_or_read_but_never_a_crash(text in ".*") {
            let _ = Cursor::decode(&text);
        }
    }

    #[test]
    fn a_cursor_needs_no_escaping_in_a_url() {
        let cursor = Cursor {
            position: Position { rank: 7, id: "CA?>~\u{ff}".into() },
            fingerprint: u64::MAX,
            nonce: 0,
        };
        assert!(cursor.encode().bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
    }
}
