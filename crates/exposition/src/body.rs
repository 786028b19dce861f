//! The body of a response, in chunks that responses share.

use std::sync::Arc;

use bytes::Bytes;

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ContentEncoding {
    /// Not compressed.
    Identity,
    /// Gzip, level 1.
    Gzip,
}

impl ContentEncoding {
    /// All encodings.
    pub const ALL: [Self; 2] = [Self::Identity, Self::Gzip];

    /// The value of `Content-Encoding`; absent for identity.
    pub const fn name(self) -> Option<&'static str> {
        match self {
            Self::Identity => None,
            Self::Gzip => Some("gzip"),
        }
    }
}

/// The bytes of a response. Clones share them.
#[derive(Debug, Clone)]
pub struct EncodedBody {
    chunks: Arc<[Bytes]>,
    tail: Bytes,
    len: usize,
}

impl EncodedBody {
    /// From chunks that many bodies share, and the tail of this one.
    pub fn new(chunks: Arc<[Bytes]>, tail: Bytes) -> Self {
        let len = chunks.iter().map(Bytes::len).sum::<usize>() + tail.len();
        Self { chunks, tail, len }
    }

    /// The number of bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The shared chunks, and the tail.
    pub fn into_parts(self) -> (Arc<[Bytes]>, Bytes) {
        (self.chunks, self.tail)
    }

    /// A copy in one piece.
    pub fn to_bytes(&self) -> Bytes {
        let mut out = Vec::with_capacity(self.len);
        self.chunks.iter().chain([&self.tail]).for_each(|chunk| out.extend_from_slice(chunk));
        out.into()
    }
}
