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
    /// Come first; many bodies share them.
    pub chunks: Arc<[Bytes]>,
    /// The part of this body alone.
    pub tail: Bytes,
}

impl EncodedBody {
    /// A copy in one piece.
    pub fn to_bytes(&self) -> Bytes {
        let chunks: Vec<&[u8]> = self.chunks.iter().chain([&self.tail]).map(AsRef::as_ref).collect();
        chunks.concat().into()
    }
}
