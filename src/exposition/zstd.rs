//! Zstandard: one frame, whose end can be replaced.
//!
//! Owns: the layout of the frame. Never: what is compressed.
//!
//! What changes with each scrape is appended uncompressed, as raw blocks: it is a few kilobytes, and so the frame stays one.
//! Several frames in a row would be as valid, but widespread readers stop after the first and lose the rest unseen.
//!
//! Source: RFC 8878, sections 3.1.1.1 and 3.1.1.2.

use std::io::{self, Write};

use bytes::Bytes;
use zstd::stream::write::Encoder;

/// The fastest of the regular levels.
const LEVEL: i32 = 1;
/// The most bytes that a block may have.
const MAX_BLOCK: usize = 128 << 10;

/// The beginning of a frame: its header and all blocks but the last.
#[derive(Debug)]
pub(super) struct ZstdPrefix(pub(super) Bytes);

impl ZstdPrefix {
    /// From parts in order.
    ///
    /// # Errors
    /// When the library refuses, which it has no reason to.
    pub(super) fn new<'a>(parts: impl Iterator<Item = &'a Bytes>) -> io::Result<Self> {
        let mut encoder = Encoder::new(Vec::new(), LEVEL)?;
        let mut is_empty = true;
        for part in parts {
            encoder.write_all(part)?;
            is_empty &= part.is_empty();
        }
        if is_empty {
            // Without content no header has been written yet: magic number, no size, no checksum, a window of 1 MB.
            return Ok(Self(Bytes::from_static(&[0x28, 0xb5, 0x2f, 0xfd, 0, 0x50])));
        }
        encoder.flush()?;
        let mut bytes = std::mem::take(encoder.get_mut());
        bytes.shrink_to_fit();
        Ok(Self(bytes.into()))
    }
}

/// What ends a frame, with `last` as its last content.
pub(super) fn end(last: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(last.len() + 8);
    let mut blocks = last.chunks(MAX_BLOCK).peekable();
    if blocks.peek().is_none() {
        raw_block(&[], true, &mut out);
    }
    while let Some(block) = blocks.next() {
        raw_block(block, blocks.peek().is_none(), &mut out);
    }
    out.into()
}

/// A header of 24 bits, little-endian: whether it is the last, type 0, the size; then the content.
fn raw_block(content: &[u8], is_last: bool, out: &mut Vec<u8>) {
    let size = u32::try_from(content.len()).unwrap_or(0);
    let header = u32::from(is_last) | size << 3;
    out.extend_from_slice(header.to_le_bytes().get(..3).unwrap_or_default());
    out.extend_from_slice(content);
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use proptest::prelude::*;
    use zstd::stream::read::Decoder;

    use super::*;

    fn read_back(parts: &[Bytes], last: &[u8]) -> Vec<u8> {
        let front = ZstdPrefix::new(parts.iter()).unwrap();
        let whole = [&front.0[..], &end(last)[..]].concat();
        let mut decoder = Decoder::new(&whole[..]).unwrap().single_frame();
        let mut out = Vec::new();
        decoder.read_to_end(&mut out).unwrap();
        let rest = decoder.finish().bytes().count();
        assert_eq!(rest, 0, "bytes after the end of the frame");
        out
    }

    #[test]
    fn a_long_end_is_several_blocks() {
        let lines = Bytes::from(b"polyai_turns_total{project=\"reservations\"} 17\n".repeat(20_000));
        let last = b"process_open_fds 12\n".repeat(20_000);
        assert_eq!(read_back(std::slice::from_ref(&lines), &last), [&lines[..], &last[..]].concat());
    }

    #[test]
    fn nothing_is_an_empty_frame() {
        assert_eq!(read_back(&[], b""), b"");
        assert_eq!(read_back(&[Bytes::new()], b"last"), b"last");
    }

    proptest! {
        #[test]
        fn any_parts_come_back(
            parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..3000), 0..8),
            last in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            let parts: Vec<Bytes> = parts.into_iter().map(Bytes::from).collect();
            prop_assert_eq!(read_back(&parts, &last), [parts.concat(), last].concat());
        }
    }
}
