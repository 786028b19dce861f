//! What connections come through: TCP and sockets of the file system, as one type.
//!
//! Owns: the streams, and a byte that was read to see what a peer speaks. Never: what is said on them.

use std::fmt;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tracing::debug;

/// Where connections are taken from.
#[derive(Debug)]
pub(super) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    pub(super) async fn accept(&self) -> io::Result<(Stream, Peer)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                // An answer is written as a whole; waiting to fill packets only delays its end.
                if let Err(reason) = stream.set_nodelay(true) {
                    debug!(peer = %address, %reason, "cannot set TCP_NODELAY");
                }
                Ok((Stream { first: None, wire: StreamKind::Tcp(stream) }, Peer::Address(address)))
            }
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                Ok((Stream { first: None, wire: StreamKind::Unix(stream) }, Peer::Local))
            }
        }
    }
}

/// Who is at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Peer {
    Address(SocketAddr),
    /// A process of this machine.
    Local,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Local => f.write_str("unix"),
        }
    }
}

/// A connection.
#[derive(Debug)]
pub(super) struct Stream {
    /// Read already; the next read begins with it.
    first: Option<u8>,
    wire: StreamKind,
}

#[derive(Debug)]
enum StreamKind {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// Calls the same method of either stream.
macro_rules! wire {
    ($self:ident, $method:ident($($argument:expr),*)) => {
        match &mut $self.wire {
            StreamKind::Tcp(stream) => Pin::new(stream).$method($($argument),*),
            StreamKind::Unix(stream) => Pin::new(stream).$method($($argument),*),
        }
    };
}

impl Stream {
    /// The first byte that the peer sends, which the next read gives once more; none if it sends nothing.
    pub(super) async fn peek_first_byte(&mut self) -> io::Result<Option<u8>> {
        let mut byte = [0];
        if self.first.is_none() && self.read(&mut byte).await? > 0 {
            self.first = Some(byte[0]);
        }
        Ok(self.first)
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if buffer.remaining() > 0
            && let Some(first) = self.first.take()
        {
            buffer.put_slice(&[first]);
            return Poll::Ready(Ok(()));
        }
        wire!(self, poll_read(cx, buffer))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        wire!(self, poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        wire!(self, poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        wire!(self, poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        wire!(self, poll_shutdown(cx))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    #[tokio::test]
    async fn a_byte_that_was_looked_at_is_read_again() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut socket = Stream { first: None, wire: StreamKind::Unix(ours) };
        theirs.write_all(b"GET").await.unwrap();
        assert_eq!(socket.peek_first_byte().await.unwrap(), Some(b'G'));
        assert_eq!(socket.peek_first_byte().await.unwrap(), Some(b'G'));
        drop(theirs);
        let mut read = String::new();
        socket.read_to_string(&mut read).await.unwrap();
        assert_eq!((read.as_str(), socket.peek_first_byte().await.unwrap()), ("GET", None));
    }
}
