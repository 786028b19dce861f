//! Listeners and streams over TCP and unix sockets, as one type.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::time::timeout;
use tokio_util::either::Either;
use tracing::debug;

#[derive(Debug)]
pub(crate) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    pub(crate) async fn accept(&self) -> io::Result<(Stream, Peer)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                // A response is written as a whole, so waiting to fill packets only delays its end.
                if let Err(reason) = stream.set_nodelay(true) {
                    debug!(peer = %address, %reason, "cannot set TCP_NODELAY");
                }
                Ok((buffered(Either::Left(stream)), Peer::Address(address)))
            }
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                Ok((buffered(Either::Right(stream)), Peer::Local))
            }
        }
    }
}

/// The other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// Over TCP.
    Address(SocketAddr),
    /// A process of this machine, over a unix socket.
    Local,
}

impl Peer {
    /// The network that one client is assumed to control: an IPv4 address, or the /64 of an IPv6 address. `None` for unix sockets.
    pub(crate) fn network(self) -> Option<IpAddr> {
        let Self::Address(address) = self else { return None };
        Some(match address.ip().to_canonical() {
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (!0 << 64)).into(),
            v4 @ IpAddr::V4(_) => v4,
        })
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Local => f.write_str("unix"),
        }
    }
}

/// A connection whose first byte can be peeked: the buffer holds no more, so that reads of more bytes bypass it.
pub(crate) type Stream = BufReader<Either<TcpStream, UnixStream>>;

fn buffered(stream: Either<TcpStream, UnixStream>) -> Stream {
    BufReader::with_capacity(1, stream)
}

/// The first byte that the peer sends, which the next read returns again; `None` if the peer closes without sending any.
pub(crate) async fn peek_first_byte(stream: &mut Stream) -> io::Result<Option<u8>> {
    Ok(stream.fill_buf().await?.first().copied())
}

/// Sends `response` and waits up to a second for the peer to read it: closing a connection with unread data resets it, and the
/// response would be lost.
pub(crate) async fn reject(mut stream: Stream, response: &'static [u8]) {
    let sending = async {
        stream.write_all(response).await?;
        stream.shutdown().await?;
        let mut discarded = [0; 1024];
        let mut budget = 64;
        while budget > 0 && stream.read(&mut discarded).await? > 0 {
            budget -= 1;
        }
        io::Result::Ok(())
    };
    if let Ok(Err(reason)) = timeout(Duration::from_secs(1), sending).await {
        debug!(%reason, "rejected peer disconnected");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn peeked_byte_is_read_again() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut stream = buffered(Either::Right(ours));
        theirs.write_all(b"GET").await.unwrap();
        assert_eq!(peek_first_byte(&mut stream).await.unwrap(), Some(b'G'));
        assert_eq!(peek_first_byte(&mut stream).await.unwrap(), Some(b'G'));
        drop(theirs);
        let mut read = String::new();
        stream.read_to_string(&mut read).await.unwrap();
        assert_eq!((read.as_str(), peek_first_byte(&mut stream).await.unwrap()), ("GET", None));
    }

    #[test]
    fn peers_of_one_network_are_one_client() {
        let network = |address: &str| Peer::Address(address.parse().unwrap()).network();
        assert_eq!(network("[2001:db8::1]:1"), network("[2001:db8::2:3:4]:2"));
        assert_ne!(network("[2001:db8::1]:1"), network("[2001:db8:0:1::1]:1"));
        assert_eq!(network("[::ffff:192.0.2.1]:1"), network("192.0.2.1:2"));
        assert_ne!(network("192.0.2.1:1"), network("192.0.2.2:1"));
    }
}
