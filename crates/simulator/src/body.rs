//! Response bodies that may dawdle, or break off.
//!
//! Owns: the sequence of pieces, pauses and breaks. Never: what is in them.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tokio::time::Sleep;

/// One step of sending.
#[derive(Debug)]
enum Step {
    Data(Bytes),
    Wait(Duration),
    Break,
}

/// A body in steps.
#[derive(Debug)]
pub(crate) struct Body {
    steps: VecDeque<Step>,
    waiting: Option<Pin<Box<Sleep>>>,
    /// What `Content-Length` promises; None sends chunks.
    length: Option<u64>,
}

impl Body {
    /// All at once, with its length.
    pub(crate) fn whole(bytes: Bytes) -> Self {
        Self { length: Some(bytes.len() as u64), steps: [Step::Data(bytes)].into(), waiting: None }
    }

    /// In chunks of at most 16 KiB, without a length.
    pub(crate) fn chunked(bytes: &Bytes) -> Self {
        Self { steps: pieces(bytes, 16 * 1024).map(Step::Data).collect(), waiting: None, length: None }
    }

    /// In `count` pieces with a `pause` before each.
    pub(crate) fn slow(bytes: &Bytes, count: usize, pause: Duration) -> Self {
        let size = bytes.len().div_ceil(count.max(1)).max(1);
        let steps = pieces(bytes, size).flat_map(|piece| [Step::Wait(pause), Step::Data(piece)]).collect();
        Self { steps, waiting: None, length: Some(bytes.len() as u64) }
    }

    /// Half of it, then the connection closes; with or without a length that promised all.
    pub(crate) fn cut(bytes: &Bytes, promised: bool) -> Self {
        let half = bytes.slice(..bytes.len() / 2);
        // The pause lets what was sent leave before the connection closes.
        let steps = [Step::Data(half), Step::Wait(Duration::from_millis(1)), Step::Break].into();
        Self { steps, waiting: None, length: promised.then_some(bytes.len() as u64) }
    }
}

fn pieces(bytes: &Bytes, size: usize) -> impl Iterator<Item = Bytes> + '_ {
    (0..bytes.len()).step_by(size).map(move |from| bytes.slice(from..(from + size).min(bytes.len())))
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        loop {
            if let Some(sleep) = &mut self.waiting {
                match sleep.as_mut().poll(context) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(()) => self.waiting = None,
                }
            }
            match self.steps.pop_front() {
                None => return Poll::Ready(None),
                Some(Step::Data(bytes)) => return Poll::Ready(Some(Ok(Frame::data(bytes)))),
                Some(Step::Wait(pause)) => self.waiting = Some(Box::pin(tokio::time::sleep(pause))),
                Some(Step::Break) => {
                    let reason = io::Error::other("cut on request");
                    return Poll::Ready(Some(Err(reason)));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.steps.is_empty() && self.waiting.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let left: u64 = match self.length {
            None => return SizeHint::new(),
            Some(length) => length,
        };
        SizeHint::with_exact(left)
    }
}
