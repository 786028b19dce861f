//! Gzip out of segments that are compressed apart and put together at will.
//!
//! Owns: the layout of the one gzip member that results. Never: what is compressed.
//!
//! Compression is most of what a scrape costs, so each block of lines is compressed once and kept. A row of deflate streams,
//! each begun anew and ended at a byte boundary (a sync flush), is a deflate stream; and the checksum of a row follows from the
//! checksums of its parts. So every reader sees one ordinary member, and none needs to know that a file may have several.
//!
//! Source: RFC 1951, RFC 1952.

use bytes::Bytes;
use flate2::{Compress, Compression, Crc, FlushCompress, Status};

/// Magic number, method deflate, no flags, no time, fastest algorithm, system unknown.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 255];
/// An empty block with fixed codes, marked as the last.
const LAST_BLOCK: [u8; 2] = [3, 0];

/// Some bytes as deflate blocks, of which none is the last.
#[derive(Debug)]
pub(super) struct Segment {
    deflated: Bytes,
    checksum: Checksum,
}

/// The CRC-32 of some bytes, and how many they are.
#[derive(Debug, Default)]
struct Checksum(Crc);

/// Makes segments.
#[derive(Debug)]
pub(super) struct SegmentCompressor(Compress);

impl Default for SegmentCompressor {
    /// Level 1: expositions repeat themselves so much that higher levels cost far more than they save.
    fn default() -> Self {
        Self(Compress::new(Compression::fast(), false))
    }
}

impl SegmentCompressor {
    /// Compresses `bytes`.
    pub(super) fn compress(&mut self, bytes: &[u8]) -> Segment {
        let mut checksum = Crc::new();
        checksum.update(bytes);
        self.0.reset();
        let mut out = Vec::with_capacity(bytes.len() / 8 + 64);
        let mut taken = 0;
        loop {
            let before = self.0.total_in();
            let rest = bytes.get(taken..).unwrap_or_default();
            // It can only fail on a stream that was ended, and this one never is.
            let status = self.0.compress_vec(rest, &mut out, FlushCompress::Sync);
            taken += usize::try_from(self.0.total_in() - before).unwrap_or(0);
            let is_done = taken == bytes.len() && out.len() < out.capacity();
            if is_done || !matches!(status, Ok(Status::Ok | Status::BufError)) {
                break;
            }
            out.reserve(out.capacity());
        }
        out.shrink_to_fit();
        Segment { deflated: out.into(), checksum: Checksum(checksum) }
    }
}

impl Checksum {
    fn combine(&mut self, next: &Self) {
        self.0.combine(&next.0);
    }
}

/// The beginning of a gzip member: its header and some segments, in one piece.
#[derive(Debug)]
pub(super) struct GzipPrefix {
    /// What is to be sent.
    pub(super) bytes: Bytes,
    checksum: Checksum,
}

impl GzipPrefix {
    /// From segments in order.
    pub(super) fn new<'a>(segments: impl Iterator<Item = &'a Segment>) -> Self {
        let mut bytes = HEADER.to_vec();
        let mut checksum = Checksum::default();
        for segment in segments {
            bytes.extend_from_slice(&segment.deflated);
            checksum.combine(&segment.checksum);
        }
        Self { bytes: bytes.into(), checksum }
    }

    /// What follows it if `last` is the last segment.
    pub(super) fn end(&self, last: &Segment) -> Bytes {
        let mut checksum = Checksum::default();
        checksum.combine(&self.checksum);
        checksum.combine(&last.checksum);
        let mut out = Vec::with_capacity(last.deflated.len() + 10);
        out.extend_from_slice(&last.deflated);
        out.extend_from_slice(&LAST_BLOCK);
        out.extend_from_slice(&checksum.0.sum().to_le_bytes());
        out.extend_from_slice(&checksum.0.amount().to_le_bytes());
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
        let mut deflater = SegmentCompressor::default();
        let segments: Vec<Segment> = parts.iter().map(|part| deflater.compress(part)).collect();
        let front = GzipPrefix::new(segments.iter());
        let whole = [&front.bytes[..], &front.end(&deflater.compress(last))[..]].concat();
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
    fn nothing_is_an_empty_file() {
        assert_eq!(read_back(&[], b""), b"");
        assert_eq!(read_back(&[b"", b""], b"last"), b"last");
    }

    #[test]
    fn what_does_not_compress_needs_more_room_than_it_has() {
        let noise: Vec<u8> =
            (0..100_000u32).flat_map(|n| n.wrapping_mul(0x9E37_79B1).to_be_bytes()).collect();
        assert_eq!(read_back(&[&noise], b""), noise);
    }

    proptest! {
        #[test]
        fn any_parts_come_back(
            parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..3000), 0..8),
            last in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            let slices: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
            prop_assert_eq!(read_back(&slices, &last), [parts.concat(), last].concat());
        }
    }
}
