//! Opaque page cursors: the key of the last row, as URL-safe text.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};

/// The key by which rows are ordered; unique within a project.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    /// Microseconds since 1970 of `started_at`, or a hash of the id where the order is shuffled.
    pub(crate) rank: i128,
    pub(crate) id: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub(crate) position: Position,
    /// A hash of the other parameters, which the documentation requires to be repeated unchanged.
    pub(crate) fingerprint: u64,
    /// Distinguishes cursors of the same position, as after a page without rows.
    pub(crate) nonce: u64,
}

impl Position {
    pub(crate) fn new(start: DateTime<Utc>, id: &str) -> Self {
        Self { rank: i128::from(start.timestamp_micros()), id: id.to_owned() }
    }
}

impl Cursor {
    pub(crate) fn encode(&self) -> String {
        let plain =
            format!("{}.{}.{}.{}", self.position.rank, self.fingerprint, self.nonce, self.position.id);
        URL_SAFE_NO_PAD.encode(plain)
    }

    /// Parses the output of [`encode`](Self::encode); `None` for any other text.
    pub(crate) fn decode(text: &str) -> Option<Self> {
        let plain = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
        let mut parts = plain.splitn(4, '.');
        let rank = parts.next()?.parse().ok()?;
        let fingerprint = parts.next()?.parse().ok()?;
        let nonce = parts.next()?.parse().ok()?;
        Some(Self { position: Position { rank, id: parts.next()?.to_owned() }, fingerprint, nonce })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn cursor_survives_a_round_trip(rank: i64, id in ".*", fingerprint: u64, nonce: u64) {
            let cursor = Cursor { position: Position { rank: rank.into(), id }, fingerprint, nonce };
            prop_assert_eq!(Cursor::decode(&cursor.encode()), Some(cursor));
        }

        #[test]
        fn arbitrary_text_does_not_panic(text in ".*") {
            let _ = Cursor::decode(&text);
        }
    }

    #[test]
    fn cursor_needs_no_escaping_in_a_url() {
        let cursor = Cursor {
            position: Position { rank: 7, id: "CA?>~\u{ff}".into() },
            fingerprint: u64::MAX,
            nonce: 0,
        };
        assert!(cursor.encode().bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
    }
}
