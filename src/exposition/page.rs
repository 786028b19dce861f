//! A finished answer to a scrape.
//!
//! Owns: the bytes, in pieces that are shared and never copied. Never: which scraper gets them.

use std::sync::Arc;

use bytes::Bytes;

/// How an answer is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ContentEncoding {
    /// Not at all.
    Identity,
    /// Gzip, level 1.
    Gzip,
    /// Zstandard, level 1.
    Zstd,
}

impl ContentEncoding {
    /// All codings.
    pub const ALL: [Self; 3] = [Self::Identity, Self::Gzip, Self::Zstd];

    /// The name for `Content-Encoding`; none if there is nothing to say.
    pub const fn name(self) -> Option<&'static str> {
        match self {
            Self::Identity => None,
            Self::Gzip => Some("gzip"),
            Self::Zstd => Some("zstd"),
        }
    }
}

/// The bytes of an answer. Clones share.
#[derive(Debug, Clone)]
pub struct EncodedBody {
    parts: Arc<[Bytes]>,
    tail: Bytes,
    length: usize,
}

impl EncodedBody {
    /// From the parts that many scrapes share, and what ends this one.
    pub fn new(parts: Arc<[Bytes]>, tail: Bytes) -> Self {
        let length = parts.iter().map(Bytes::len).sum::<usize>() + tail.len();
        Self { parts, tail, length }
    }

    /// The number of bytes.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The piece at `index`; none beyond the last.
    pub fn piece(&self, index: usize) -> Option<&Bytes> {
        match self.parts.get(index) {
            Some(part) => Some(part),
            None if index == self.parts.len() => Some(&self.tail),
            None => None,
        }
    }

    /// The parts that many scrapes share, and what ends this one.
    pub fn into_parts(self) -> (Arc<[Bytes]>, Bytes) {
        (self.parts, self.tail)
    }

    /// All bytes in one piece, for those who need that.
    pub fn to_bytes(&self) -> Bytes {
        let mut out = Vec::with_capacity(self.length);
        self.parts.iter().for_each(|part| out.extend_from_slice(part));
        out.extend_from_slice(&self.tail);
        out.into()
    }
}
