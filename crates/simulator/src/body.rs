//! Response bodies that may be slow, or end early.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Channel;

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

pub(crate) type Body = Channel<Bytes, io::Error>;

/// Sends `bytes` in a task of its own. Returns the body and `Content-Length`; `None` sends chunks.
pub(crate) fn send(bytes: Bytes, delivery: Delivery) -> (Body, Option<usize>) {
    let length = bytes.len();
    let half = bytes.slice(..length / 2);
    let (bytes, size, pause, aborts) = match delivery {
        Delivery::Whole => (bytes, length, Duration::ZERO, false),
        Delivery::Chunked => (bytes, 16 * 1024, Duration::ZERO, false),
        Delivery::Slow { pieces, pause } => (bytes, length.div_ceil(pieces.max(1)), pause, false),
        Delivery::Truncated(Truncation::Json) => return send(half, Delivery::Whole),
        Delivery::Truncated(Truncation::Length | Truncation::Chunks) => (half, length, Duration::ZERO, true),
    };
    let (mut sender, body) = Channel::new(1);
    tokio::spawn(async move {
        for from in (0..bytes.len()).step_by(size.max(1)) {
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
            let piece = bytes.slice(from..(from + size).min(bytes.len()));
            if sender.send_data(piece).await.is_err() {
                return;
            }
        }
        if aborts {
            // The first half leaves before the connection closes.
            tokio::time::sleep(Duration::from_millis(1)).await;
            sender.abort(io::Error::other("truncated by a fault"));
        }
    });
    let chunked = matches!(delivery, Delivery::Chunked | Delivery::Truncated(Truncation::Chunks));
    (body, (!chunked).then_some(length))
}
