//! Gzip from segments that are compressed separately.
//!
//! Compression is most of the cost of a scrape, so each block of output is compressed once and kept. A concatenation of deflate
//! streams that each end at a byte boundary (a sync flush) is a deflate stream, and its checksum follows from those of the
//! parts. So the result is one ordinary gzip member, and readers that stop after the first member miss nothing.
//!
//! Source: RFC 1951, RFC 1952.

use bytes::Bytes;
use flate2::{Compress, Compression, Crc, FlushCompress, Status};

/// Magic number, method deflate, no flags, no time, fastest algorithm, unknown system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 255];
/// An empty block with fixed codes, marked as the last.
const LAST_BLOCK: [u8; 2] = [3, 0];

/// Deflate blocks, none of which is the last.
#[derive(Debug)]
pub(crate) struct Segment {
    deflated: Bytes,
    checksum: Crc,
}

#[derive(Debug)]
pub(crate) struct SegmentCompressor(Compress);

impl Default for SegmentCompressor {
    /// Level 1: expositions are so repetitive that higher levels cost far more than they save.
    fn default() -> Self {
        Self(Compress::new(Compression::fast(), false))
    }
}

impl SegmentCompressor {
    pub(crate) fn compress(&mut self, bytes: &[u8]) -> Segment {
        let mut checksum = Crc::new();
        checksum.update(bytes);
        self.0.reset();
        let mut out = Vec::with_capacity(bytes.len() / 8 + 64);
        let mut read = 0;
        loop {
            let before = self.0.total_in();
            let rest = bytes.get(read..).unwrap_or_default();
            // Compression fails only on a stream that has ended, and this one never ends.
            let status = self.0.compress_vec(rest, &mut out, FlushCompress::Sync);
            read += usize::try_from(self.0.total_in() - before).unwrap_or(0);
            let is_done = read == bytes.len() && out.len() < out.capacity();
            if is_done || !matches!(status, Ok(Status::Ok | Status::BufError)) {
                break;
            }
            out.reserve(out.capacity());
        }
        out.shrink_to_fit();
        Segment { deflated: out.into(), checksum }
    }
}

/// The beginning of a gzip member: its header and some segments.
#[derive(Debug)]
pub(crate) struct GzipPrefix {
    pub(crate) bytes: Bytes,
    checksum: Crc,
}

impl GzipPrefix {
    pub(crate) fn new<'a>(segments: impl Iterator<Item = &'a Segment>) -> Self {
        let mut bytes = HEADER.to_vec();
        let mut checksum = Crc::new();
        for segment in segments {
            bytes.extend_from_slice(&segment.deflated);
            checksum.combine(&segment.checksum);
        }
        Self { bytes: bytes.into(), checksum }
    }

    /// The rest of the member, with `last` as its last segment.
    pub(crate) fn end(&self, last: &Segment) -> Bytes {
        let mut checksum = Crc::new();
        checksum.combine(&self.checksum);
        checksum.combine(&last.checksum);
        let mut out = Vec::with_capacity(last.deflated.len() + 10);
        out.extend_from_slice(&last.deflated);
        out.extend_from_slice(&LAST_BLOCK);
        out.extend_from_slice(&checksum.sum().to_le_bytes());
        out.extend_from_slice(&checksum.amount().to_le_bytes());
        out.into()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;
    use proptest::prelude::*;

    use super::*;

    /// One member: a reader that stops after the first must have everything.
    fn read_back(parts: &[&[u8]], last: &[u8]) -> Vec<u8> {
        let mut compressor = SegmentCompressor::default();
        let segments: Vec<Segment> = parts.iter().map(|part| compressor.compress(part)).collect();
        let prefix = GzipPrefix::new(segments.iter());
        let whole = [&prefix.bytes[..], &prefix.end(&compressor.compress(last))[..]].concat();
        let mut out = Vec::new();
        let mut decoder = GzDecoder::new(&whole[..]);
        decoder.read_to_end(&mut out).unwrap();
        assert!(decoder.into_inner().is_empty(), "bytes after the end of the member");
        out
    }

    #[test]
    fn segments_read_as_one_member() {
        let lines = b"polyai_turns_total{project=\"reservations\"} 17\n".repeat(2000);
        let expected = [&lines[..], b"in between", &lines[..], b"self"].concat();
        assert_eq!(read_back(&[&lines, b"in between", &lines], b"self"), expected);
    }

    #[test]
    fn no_bytes_make_an_empty_member() {
        assert_eq!(read_back(&[], b""), b"");
        assert_eq!(read_back(&[b"", b""], b"last"), b"last");
    }

    #[test]
    fn incompressible_bytes_are_kept_whole() {
        let noise: Vec<u8> =
            (0..100_000u32).flat_map(|n| n.wrapping_mul(0x9E37_79B1).to_be_bytes()).collect();
        assert_eq!(read_back(&[&noise], b""), noise);
    }

    proptest! {
        #[test]
        fn any_segments_decompress(
            parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..3000), 0..8),
            last in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            let slices: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
            prop_assert_eq!(read_back(&slices, &last), [parts.concat(), last].concat());
        }
    }
}
