//! The body of an answer: pieces that are shared with other answers and written to the socket as they lie.
//!
//! Owns: the walk over the pieces. Never: a copy of them. A peer that reads slowly holds references, no buffer of its own.

use std::convert::Infallible;
use std::io::IoSlice;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use hyper::body::{Body, Frame, SizeHint};

use super::pulse::RequestGuard;
use crate::exposition::EncodedBody;
use crate::turns::Permit;

/// A body that is known as a whole before its first byte is sent.
#[derive(Debug)]
pub struct ResponseBody(Option<BodyChunks>);

/// What is left to send.
#[derive(Debug)]
pub struct BodyChunks {
    source: BodySource,
    /// The piece that is being sent, and how much of it has been.
    index: usize,
    sent: usize,
    left: usize,
    /// Held until the last byte has been sent.
    _turn: Option<Permit>,
    /// Told of each byte that is.
    underway: Option<RequestGuard>,
}

#[derive(Debug)]
enum BodySource {
    One(Bytes),
    Page(EncodedBody),
}

impl BodySource {
    fn piece(&self, index: usize) -> Option<&Bytes> {
        match self {
            Self::One(bytes) => (index == 0).then_some(bytes),
            Self::Page(page) => page.chunk(index),
        }
    }
}

impl ResponseBody {
    /// A page, which keeps its `turn` until it has been sent or given up.
    pub(super) fn page(page: EncodedBody, turn: Permit) -> Self {
        let left = page.len();
        Self::of(BodyChunks {
            source: BodySource::Page(page),
            index: 0,
            sent: 0,
            left,
            _turn: Some(turn),
            underway: None,
        })
    }

    /// The same, which tells `underway` what the peer takes of it, until all is sent or given up.
    pub(super) fn with_activity(mut self, underway: RequestGuard) -> Self {
        if let Some(pieces) = &mut self.0 {
            underway.record_progress();
            pieces.underway = Some(underway);
        }
        self
    }

    fn of(pieces: BodyChunks) -> Self {
        Self((pieces.left > 0).then_some(pieces))
    }
}

impl<T: Into<Bytes>> From<T> for ResponseBody {
    fn from(bytes: T) -> Self {
        let bytes = bytes.into();
        let left = bytes.len();
        Self::of(BodyChunks {
            source: BodySource::One(bytes),
            index: 0,
            sent: 0,
            left,
            _turn: None,
            underway: None,
        })
    }
}

impl Body for ResponseBody {
    type Data = BodyChunks;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<BodyChunks>, Infallible>>> {
        Poll::Ready(self.0.take().map(|pieces| Ok(Frame::data(pieces))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.as_ref().map_or(0, |pieces| pieces.left as u64))
    }
}

impl Buf for BodyChunks {
    fn remaining(&self) -> usize {
        self.left
    }

    fn chunk(&self) -> &[u8] {
        // A piece may be empty, and what is left of it too.
        let mut sent = self.sent;
        let mut index = self.index;
        while let Some(piece) = self.source.piece(index) {
            if let Some(rest) = piece.get(sent..).filter(|rest| !rest.is_empty()) {
                return rest;
            }
            sent = 0;
            index += 1;
        }
        &[]
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut sent = self.sent;
        let mut index = self.index;
        let mut filled = 0;
        while let (Some(slice), Some(piece)) = (slices.get_mut(filled), self.source.piece(index)) {
            if let Some(rest) = piece.get(sent..).filter(|rest| !rest.is_empty()) {
                *slice = IoSlice::new(rest);
                filled += 1;
            }
            sent = 0;
            index += 1;
        }
        filled
    }

    fn advance(&mut self, count: usize) {
        assert!(count <= self.left, "advanced by {count} of {} bytes", self.left);
        if let Some(underway) = self.underway.as_ref().filter(|_| count > 0) {
            underway.record_progress();
        }
        self.left -= count;
        self.sent += count;
        while let Some(length) = self.source.piece(self.index).map(Bytes::len)
            && self.sent >= length
            && self.left > 0
        {
            self.sent -= length;
            self.index += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;

    fn pieces(parts: &[Vec<u8>]) -> BodyChunks {
        let (tail, parts) = parts.split_last().unwrap();
        let parts: Arc<[Bytes]> = parts.iter().cloned().map(Bytes::from).collect();
        let page = EncodedBody::new(parts, tail.clone().into());
        let left = page.len();
        BodyChunks { source: BodySource::Page(page), index: 0, sent: 0, left, _turn: None, underway: None }
    }

    #[test]
    fn an_empty_answer_ends_before_it_begins() {
        let answer = ResponseBody::from("");
        assert!(answer.is_end_stream());
        assert_eq!(answer.size_hint().exact(), Some(0));
    }

    proptest! {
        /// However much a socket takes at a time, and whether it takes one slice or many.
        #[test]
        fn all_bytes_arrive_in_order(
            parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..12),
            steps in prop::collection::vec((1usize..50, any::<bool>()), 1..20),
        ) {
            let mut pieces = pieces(&parts);
            let mut read = Vec::new();
            for &(most, vectored) in steps.iter().cycle() {
                if !pieces.has_remaining() {
                    break;
                }
                let mut taken = Vec::new();
                if vectored {
                    let mut slices = [IoSlice::new(&[]); 4];
                    let filled = pieces.chunks_vectored(&mut slices);
                    prop_assert!(filled > 0);
                    slices[..filled].iter().for_each(|slice| taken.extend_from_slice(slice));
                } else {
                    taken.extend_from_slice(pieces.chunk());
                }
                prop_assert!(!taken.is_empty());
                taken.truncate(most);
                pieces.advance(taken.len());
                read.extend(taken);
            }
            prop_assert_eq!(read, parts.concat());
        }
    }
}
