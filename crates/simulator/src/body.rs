//! Response bodies that may be slow, or end early.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tokio::time::Sleep;

use super::faults::Truncation;

/// The way in which a body is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// At once, with its length.
    Whole,
    /// In chunks of at most 16 KiB, without a length.
    Chunked,
    /// In pieces with a pause before each.
    Slow { pieces: usize, pause: Duration },
    /// Only the first half.
    Truncated(Truncation),
}

#[derive(Debug)]
enum Step {
    Data(Bytes),
    Pause(Duration),
    Abort,
}

/// A body in steps.
#[derive(Debug)]
pub(crate) struct Body {
    steps: VecDeque<Step>,
    pause: Option<Pin<Box<Sleep>>>,
    /// `Content-Length`; `None` sends chunks.
    length: Option<u64>,
}

impl Body {
    pub(crate) fn new(bytes: Bytes, delivery: Delivery) -> Self {
        let split = |size: usize| {
            let bytes = bytes.clone();
            (0..bytes.len()).step_by(size).map(move |from| bytes.slice(from..(from + size).min(bytes.len())))
        };
        let half = bytes.slice(..bytes.len() / 2);
        let length = Some(bytes.len() as u64);
        let (steps, length): (VecDeque<Step>, _) = match delivery {
            Delivery::Whole => ([Step::Data(bytes)].into(), length),
            Delivery::Chunked => (split(16 * 1024).map(Step::Data).collect(), None),
            Delivery::Slow { pieces, pause } => {
                let size = bytes.len().div_ceil(pieces.max(1)).max(1);
                (split(size).flat_map(|piece| [Step::Pause(pause), Step::Data(piece)]).collect(), length)
            }
            Delivery::Truncated(Truncation::Json) => return Self::new(half, Delivery::Whole),
            Delivery::Truncated(truncation) => {
                // During the pause, the first half leaves before the connection closes.
                let steps = [Step::Data(half), Step::Pause(Duration::from_millis(1)), Step::Abort];
                (steps.into(), length.filter(|_| truncation == Truncation::Length))
            }
        };
        Self { steps, pause: None, length }
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        loop {
            if let Some(pause) = &mut self.pause {
                ready!(pause.as_mut().poll(context));
                self.pause = None;
            }
            return Poll::Ready(match self.steps.pop_front() {
                None => None,
                Some(Step::Data(bytes)) => Some(Ok(Frame::data(bytes))),
                Some(Step::Abort) => Some(Err(io::Error::other("truncated by a fault"))),
                Some(Step::Pause(pause)) => {
                    self.pause = Some(Box::pin(tokio::time::sleep(pause)));
                    continue;
                }
            });
        }
    }

    fn is_end_stream(&self) -> bool {
        self.steps.is_empty() && self.pause.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::new, SizeHint::with_exact)
    }
}
