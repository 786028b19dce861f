//! Responses and the handler that produces them.

use std::convert::Infallible;
use std::io::IoSlice;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use hyper::body::{Body, Frame, SizeHint};
use hyper::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS};
use hyper::{Request, Response, StatusCode};

use crate::activity::RequestGuard;

/// A response in the making.
pub type ResponseFuture<'a> = Pin<Box<dyn Future<Output = Response<ResponseBody>> + Send + 'a>>;

/// Produces the responses to requests that passed access control.
pub trait Handler: Send + Sync {
    /// The response to `request`, whose body is never read: a request that has one closes its connection.
    fn handle(&self, request: Request<()>) -> ResponseFuture<'_>;
}

/// A plain-text response.
pub fn text_response(status: StatusCode, text: impl Into<Bytes>) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::from(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// A 503 response that asks the client to retry in a few seconds.
pub fn unavailable_response(text: &'static str) -> Response<ResponseBody> {
    let mut response = text_response(StatusCode::SERVICE_UNAVAILABLE, text);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
    response
}

/// A body of known length. Its chunks are shared with other responses and never copied, so a slow reader holds references only.
#[derive(Debug)]
pub struct ResponseBody(Option<BodyChunks>);

/// The part of a body that remains to be sent.
#[derive(Debug)]
pub struct BodyChunks {
    shared: Arc<[Bytes]>,
    /// Follows the shared chunks.
    tail: Bytes,
    /// The chunk being sent, and how much of it has been.
    index: usize,
    sent: usize,
    remaining: usize,
    /// Records the progress of the peer.
    request: Option<RequestGuard>,
}

impl ResponseBody {
    /// The chunks in `shared`, followed by `tail`.
    pub fn from_chunks(shared: Arc<[Bytes]>, tail: Bytes) -> Self {
        let remaining = shared.iter().map(Bytes::len).sum::<usize>() + tail.len();
        let chunks = BodyChunks { shared, tail, index: 0, sent: 0, remaining, request: None };
        Self((remaining > 0).then_some(chunks))
    }

    /// Records in `request` what the peer takes, until the body has been sent or dropped.
    pub(crate) fn with_activity(mut self, request: RequestGuard) -> Self {
        if let Some(chunks) = &mut self.0 {
            request.record_progress();
            chunks.request = Some(request);
        }
        self
    }
}

impl<T: Into<Bytes>> From<T> for ResponseBody {
    fn from(bytes: T) -> Self {
        Self::from_chunks(Arc::default(), bytes.into())
    }
}

impl Body for ResponseBody {
    type Data = BodyChunks;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<BodyChunks>, Infallible>>> {
        Poll::Ready(self.0.take().map(|chunks| Ok(Frame::data(chunks))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.as_ref().map_or(0, |chunks| chunks.remaining as u64))
    }
}

impl BodyChunks {
    fn unsent(&self) -> impl Iterator<Item = &[u8]> {
        let mut sent = self.sent;
        let chunks = self.shared.iter().chain([&self.tail]).skip(self.index);
        chunks
            .map(move |chunk| chunk.get(std::mem::take(&mut sent)..).unwrap_or_default())
            .filter(|rest| !rest.is_empty())
    }
}

impl Buf for BodyChunks {
    fn remaining(&self) -> usize {
        self.remaining
    }

    fn chunk(&self) -> &[u8] {
        self.unsent().next().unwrap_or_default()
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let filled = slices.iter_mut().zip(self.unsent()).map(|(slice, rest)| *slice = IoSlice::new(rest));
        filled.count()
    }

    fn advance(&mut self, count: usize) {
        assert!(count <= self.remaining, "advanced by {count} of {} bytes", self.remaining);
        if let Some(request) = self.request.as_ref().filter(|_| count > 0) {
            request.record_progress();
        }
        self.remaining -= count;
        self.sent += count;
        while let Some(length) = self.shared.get(self.index).map(Bytes::len)
            && self.sent >= length
        {
            self.sent -= length;
            self.index += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn empty_body_is_at_its_end() {
        let body = ResponseBody::from("");
        assert!(body.is_end_stream());
        assert_eq!(body.size_hint().exact(), Some(0));
    }

    proptest! {
        /// However much a socket takes at a time, and whether it takes one slice or many.
        #[test]
        fn all_bytes_arrive_in_order(
            parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..12),
            steps in prop::collection::vec((1usize..50, any::<bool>()), 1..20),
        ) {
            let (tail, shared) = parts.split_last().unwrap();
            let shared: Arc<[Bytes]> = shared.iter().cloned().map(Bytes::from).collect();
            let Some(mut chunks) = ResponseBody::from_chunks(shared, tail.clone().into()).0 else {
                prop_assert!(parts.concat().is_empty());
                return Ok(());
            };
            let mut read = Vec::new();
            for &(max, vectored) in steps.iter().cycle() {
                if !chunks.has_remaining() {
                    break;
                }
                let mut taken = Vec::new();
                if vectored {
                    let mut slices = [IoSlice::new(&[]); 4];
                    let filled = chunks.chunks_vectored(&mut slices);
                    prop_assert!(filled > 0);
                    slices[..filled].iter().for_each(|slice| taken.extend_from_slice(slice));
                } else {
                    taken.extend_from_slice(chunks.chunk());
                }
                prop_assert!(!taken.is_empty());
                taken.truncate(max);
                chunks.advance(taken.len());
                read.extend(taken);
            }
            prop_assert_eq!(read, parts.concat());
        }
    }
}
