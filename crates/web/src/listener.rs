//! Binding addresses, unix socket files and sockets inherited from the service manager.

use std::fs::{self, Permissions};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use listenfd::ListenFd;
use socket2::{Domain, SockAddr, SockRef, Socket, Type};
use tokio::net::{TcpListener, TcpSocket, UnixListener, UnixSocket};

use crate::listen_address::ListenAddress;
use crate::stream::Listener;

/// Why an address cannot be listened on, with advice.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BindError(String);

fn advice(address: &ListenAddress, kind: io::ErrorKind) -> &'static str {
    let is_unix = matches!(address, ListenAddress::Unix(_));
    if kind == io::ErrorKind::AddrInUse {
        "; another process listens there: stop it, or choose another address"
    } else if kind == io::ErrorKind::AddrNotAvailable {
        "; this machine has no such address: choose one that it has, or 0.0.0.0 for all"
    } else if kind == io::ErrorKind::PermissionDenied && is_unix {
        "; this user may not write to the directory of the socket"
    } else if kind == io::ErrorKind::PermissionDenied {
        "; ports below 1024 require a privilege: choose a higher port"
    } else if kind == io::ErrorKind::NotFound && is_unix {
        "; the directory of the socket does not exist"
    } else {
        ""
    }
}

#[derive(Debug)]
pub(crate) struct BoundListener {
    pub(crate) listener: Listener,
    /// With the actual port.
    pub(crate) address: ListenAddress,
    /// Removes the socket file when dropped.
    _file: Option<SocketFile>,
}

/// Binds `address`, which may be several inherited sockets.
pub(crate) fn bind(address: &ListenAddress) -> Result<Vec<BoundListener>, BindError> {
    let bound = match address {
        ListenAddress::Socket(address) => tcp(*address),
        ListenAddress::AnyAddress(port) => bind_dual_stack(*port),
        ListenAddress::Unix(path) => unix(path),
        ListenAddress::Inherited => return inherited(),
    };
    let advised = |reason: io::Error| {
        BindError(format!("cannot listen on {address}: {reason}{}", advice(address, reason.kind())))
    };
    Ok(vec![bound.map_err(advised)?])
}

fn is_unsupported(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::Unsupported | io::ErrorKind::AddrNotAvailable)
        // EAFNOSUPPORT, which has no kind of its own.
        || error.raw_os_error() == Some(97)
}

/// Connections waiting to be accepted. The system drops further ones, which retry only after a second; with the usual 128 a burst
/// would be affected.
const BACKLOG: u32 = 1024;

fn bind_dual_stack(port: u16) -> io::Result<BoundListener> {
    let both = TcpSocket::new_v6().and_then(|socket| {
        // The system's default (net.ipv6.bindv6only) may be IPv6 alone.
        SockRef::from(&socket).set_only_v6(false)?;
        listen(socket, (Ipv6Addr::UNSPECIFIED, port).into())
    });
    match both {
        // A machine without IPv6.
        Err(error) if is_unsupported(&error) => tcp((Ipv4Addr::UNSPECIFIED, port).into()),
        outcome => outcome,
    }
}

fn tcp(address: SocketAddr) -> io::Result<BoundListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    listen(socket, address)
}

fn listen(socket: TcpSocket, address: SocketAddr) -> io::Result<BoundListener> {
    // Otherwise a restart would have to wait until old connections leave TIME_WAIT.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    let listener = socket.listen(BACKLOG)?;
    let address = listener.local_addr()?.into();
    Ok(BoundListener { listener: Listener::Tcp(listener), address, _file: None })
}

/// Only owner and group of the process may connect.
const SOCKET_MODE: u32 = 0o660;

fn unix(path: &Path) -> io::Result<BoundListener> {
    remove_stale_socket(path)?;
    let socket = UnixSocket::new_stream()?;
    socket.bind(path)?;
    let file = SocketFile { path: path.to_path_buf(), identity: identity(path)? };
    // Before listening, so that others cannot connect in between.
    fs::set_permissions(path, Permissions::from_mode(SOCKET_MODE))?;
    let listener = socket.listen(BACKLOG)?;
    let address = ListenAddress::Unix(path.to_path_buf());
    Ok(BoundListener { listener: Listener::Unix(listener), address, _file: Some(file) })
}

/// Removes the socket of a process that ended without doing so, and nothing else.
fn remove_stale_socket(path: &Path) -> io::Result<()> {
    let kind = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?.file_type(),
    };
    if !kind.is_socket() {
        return Err(io::Error::other("path exists and is not a socket; remove it or choose another path"));
    }
    // A process that no longer accepts, with its queue full, must not block this one.
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    match socket.connect(&SockAddr::unix(path)?) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
        Ok(()) | Err(_) => Err(io::ErrorKind::AddrInUse.into()),
    }
}

/// The file of a unix socket; removed on drop.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

/// Device and inode, which distinguish a file from a later one at the same path.
fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Another process may have replaced it.
        if identity(&self.path).is_ok_and(|now| now == self.identity) {
            // The next process to bind removes a stale file anyway.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// The sockets inherited from the service manager (`LISTEN_FDS`, sd_listen_fds(3)), at least one. Can be called once: it removes
/// the variables from the environment.
fn inherited() -> Result<Vec<BoundListener>, BindError> {
    let mut inherited = ListenFd::from_env();
    if inherited.len() == 0 {
        let text = "no socket was passed; start the process through a .socket unit, or omit the flag";
        return Err(BindError(format!("--web.systemd-socket: {text}")));
    }
    let listeners = (0..inherited.len()).map(|index| {
        from_listenfd(&mut inherited, index).map_err(|reason| {
            BindError(format!(
                "--web.systemd-socket: socket {index}: {reason}; it must be a listening stream socket, TCP or unix (ListenStream=, with Accept=no)"
            ))
        })
    });
    listeners.collect()
}

fn from_listenfd(inherited: &mut ListenFd, index: usize) -> io::Result<BoundListener> {
    let check = |socket: SockRef<'_>| {
        socket.set_nonblocking(true)?;
        if socket.is_listener()? { Ok(()) } else { Err(io::Error::other("it does not listen")) }
    };
    if let Ok(Some(listener)) = inherited.take_tcp_listener(index) {
        check(SockRef::from(&listener))?;
        let address = listener.local_addr()?.into();
        let listener = Listener::Tcp(TcpListener::from_std(listener)?);
        return Ok(BoundListener { listener, address, _file: None });
    }
    let listener =
        inherited.take_unix_listener(index)?.ok_or_else(|| io::Error::other("it was not passed"))?;
    check(SockRef::from(&listener))?;
    let path = listener.local_addr()?.as_pathname().map(Path::to_path_buf);
    let address = ListenAddress::Unix(path.unwrap_or_default());
    let listener = Listener::Unix(UnixListener::from_std(listener)?);
    Ok(BoundListener { listener, address, _file: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(path: &Path) -> ListenAddress {
        ListenAddress::Unix(path.to_path_buf())
    }

    #[tokio::test]
    async fn unix_socket_is_for_the_group_and_removed_on_drop() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("exporter.sock");
        let bound = bind(&at(&path)).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
        let error = bind(&at(&path)).unwrap_err().to_string();
        assert!(error.contains("another process listens there"), "{error}");
        drop(bound);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn stale_socket_of_a_killed_process_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("exporter.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "the standard library leaves the file");
        bind(&at(&path)).unwrap();
    }

    #[tokio::test]
    async fn socket_replaced_by_another_process_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("exporter.sock");
        let bound = bind(&at(&path)).unwrap();
        fs::remove_file(&path).unwrap();
        let _other = bind(&at(&path)).unwrap();
        drop(bound);
        assert!(path.exists());
    }

    #[test]
    fn full_accept_queue_does_not_block_bind() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("exporter.sock");
        let address = SockAddr::unix(&path).unwrap();
        let listening = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        listening.bind(&address).unwrap();
        listening.listen(0).unwrap();
        let connect = || {
            let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
            socket.set_nonblocking(true).unwrap();
            socket.connect(&address).map(|()| socket)
        };
        let waiting: Vec<_> = std::iter::from_fn(|| connect().ok()).take(100).collect();
        assert!(waiting.len() < 100, "the queue is full");

        let error = remove_stale_socket(&path).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse, "a blocking connect would hang here");
        assert!(path.exists());
    }

    #[tokio::test]
    async fn regular_file_is_never_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("precious");
        fs::write(&path, "data").unwrap();
        let error = bind(&at(&path)).unwrap_err().to_string();
        assert!(error.contains("not a socket"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"data");
        let error = bind(&at(&dir.path().join("no/such"))).unwrap_err().to_string();
        assert!(error.ends_with("the directory of the socket does not exist"), "{error}");
    }

    #[tokio::test]
    async fn burst_of_connections_fits_the_backlog() {
        let somaxconn = fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap_or_default();
        if somaxconn.trim().parse::<u32>().is_ok_and(|max| max < BACKLOG) {
            return;
        }
        let bound = bind(&"127.0.0.1:0".parse().unwrap()).unwrap();
        let ListenAddress::Socket(address) = bound[0].address else { panic!("{bound:?}") };
        let limit = std::time::Duration::from_millis(900);
        let waiting: Vec<_> =
            (0..500).map(|_| std::net::TcpStream::connect_timeout(&address, limit).unwrap()).collect();
        assert_eq!(waiting.len(), 500);
    }
}
