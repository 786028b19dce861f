//! From addresses to listeners.
//!
//! Owns: binding, sockets that another process hands over, and the file of a unix socket from its making to its end. Never:
//! connections.

use std::fs::{self, Permissions};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use listenfd::ListenFd;
use socket2::{Domain, SockAddr, SockRef, Socket, Type};
use tokio::net::{TcpListener, TcpSocket, UnixListener, UnixSocket};

use super::socket::Listener;
use crate::config::ListenAddress;

/// An address could not be bound.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// An address of `server.listen`.
    #[error("cannot listen on {address}: {source}{}", advice(address, source.kind()))]
    Address {
        /// The address asked for.
        address: ListenAddress,
        /// Why not.
        source: io::Error,
    },
    /// A socket that the service manager handed over, or was to hand over.
    #[error("--web.systemd-socket: {0}")]
    Inherited(String),
}

fn advice(address: &ListenAddress, kind: io::ErrorKind) -> &'static str {
    let is_file = matches!(address, ListenAddress::Unix(_));
    if kind == io::ErrorKind::AddrInUse {
        "; another process listens there: stop it, or set server.listen to another address"
    } else if kind == io::ErrorKind::AddrNotAvailable {
        "; this machine has no such address: set server.listen to one it has, or to 0.0.0.0 for all"
    } else if kind == io::ErrorKind::PermissionDenied && is_file {
        "; this user may not write to the folder of the socket"
    } else if kind == io::ErrorKind::PermissionDenied {
        "; ports below 1024 need a privilege: set server.listen to a higher port"
    } else if kind == io::ErrorKind::NotFound && is_file {
        "; the folder of the socket does not exist"
    } else {
        ""
    }
}

/// A listener and what it is called.
#[derive(Debug)]
pub(super) struct BoundListener {
    pub(super) listener: Listener,
    /// With the real port.
    pub(super) address: ListenAddress,
    /// Removes the socket's file at the end.
    _file: Option<SocketFile>,
}

/// Binds `address`.
pub(super) fn bind(address: &ListenAddress) -> Result<BoundListener, BindError> {
    let bound = match address {
        ListenAddress::Socket(address) => tcp(*address),
        ListenAddress::AnyAddress(port) => bind_dual_stack(*port),
        ListenAddress::Unix(path) => unix(path),
        ListenAddress::Inherited => {
            return Err(BindError::Inherited("they are not bound, but handed over".to_owned()));
        }
    };
    bound.map_err(|source| BindError::Address { address: address.clone(), source })
}

fn is_unsupported(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::Unsupported | io::ErrorKind::AddrNotAvailable)
        // EAFNOSUPPORT, which has no kind of its own.
        || error.raw_os_error() == Some(97)
}

/// Connections that wait to be taken. Further ones are dropped by the system and come again a second later, as they would in a
/// burst if it were the usual 128.
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
    // Else a restart would have to wait for the connections of before.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    let listener = socket.listen(BACKLOG)?;
    let address = listener.local_addr()?.into();
    Ok(BoundListener { listener: Listener::Tcp(listener), address, _file: None })
}

/// Owner and group of the process may connect, nobody else.
const MODE: u32 = 0o660;

fn unix(path: &Path) -> io::Result<BoundListener> {
    remove_stale_socket(path)?;
    let socket = UnixSocket::new_stream()?;
    socket.bind(path)?;
    let file = SocketFile::of(path)?;
    // Before it listens, so that there is no moment at which others could connect.
    fs::set_permissions(path, Permissions::from_mode(MODE))?;
    let listener = socket.listen(BACKLOG)?;
    let address = ListenAddress::Unix(path.to_path_buf());
    Ok(BoundListener { listener: Listener::Unix(listener), address, _file: Some(file) })
}

/// Removes the socket of a process that has ended without doing so; nothing else that may stand at `path`.
fn remove_stale_socket(path: &Path) -> io::Result<()> {
    let kind = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?.file_type(),
    };
    if !kind.is_socket() {
        return Err(io::Error::other(
            "there is something that is no socket; remove it, or choose another path",
        ));
    }
    // Who listens there may have stopped to take connections, with its queue full: that is not waited for.
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    match socket.connect(&SockAddr::unix(path)?) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
        Ok(()) | Err(_) => Err(io::ErrorKind::AddrInUse.into()),
    }
}

/// The file of a unix socket.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl SocketFile {
    fn of(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_path_buf(), identity: identity(path)? })
    }
}

/// What tells a file from another at the same path: device and number.
fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Another process may have put its own there.
        if identity(&self.path).is_ok_and(|now| now == self.identity) {
            // Whoever binds next makes way for itself.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// The sockets that the service manager handed to this process (`LISTEN_FDS`, sd_listen_fds(3)), at least one. They can be
/// taken once, at the start: their variables go from the environment with them, which this program reads in `main` alone.
pub(super) fn inherited() -> Result<Vec<BoundListener>, BindError> {
    let mut inherited = ListenFd::from_env();
    if inherited.len() == 0 {
        let sentence = "no socket was handed over; start it through a .socket unit, or leave the flag out";
        return Err(BindError::Inherited(sentence.to_owned()));
    }
    (0..inherited.len())
        .map(|index| from_listenfd(&mut inherited, index).map_err(BindError::Inherited))
        .collect()
}

fn from_listenfd(handed: &mut ListenFd, index: usize) -> Result<BoundListener, String> {
    const EXPECTED: &str =
        "it must be a listening stream socket, of TCP or unix (ListenStream=, with Accept=no)";
    let unfit = |reason: &dyn std::fmt::Display| format!("socket {index}: {reason}; {EXPECTED}");
    if let Ok(Some(listener)) = handed.take_tcp_listener(index) {
        if !SockRef::from(&listener).is_listener().map_err(|error| unfit(&error))? {
            return Err(unfit(&"it does not listen"));
        }
        listener.set_nonblocking(true).map_err(|error| unfit(&error))?;
        let listener = TcpListener::from_std(listener).map_err(|error| unfit(&error))?;
        let address = listener.local_addr().map_err(|error| unfit(&error))?.into();
        return Ok(BoundListener { listener: Listener::Tcp(listener), address, _file: None });
    }
    match handed.take_unix_listener(index) {
        Ok(Some(listener)) => {
            if !SockRef::from(&listener).is_listener().map_err(|error| unfit(&error))? {
                return Err(unfit(&"it does not listen"));
            }
            listener.set_nonblocking(true).map_err(|error| unfit(&error))?;
            let listener = UnixListener::from_std(listener).map_err(|error| unfit(&error))?;
            let path =
                listener.local_addr().ok().and_then(|address| Some(address.as_pathname()?.to_path_buf()));
            let address = ListenAddress::Unix(path.unwrap_or_default());
            Ok(BoundListener { listener: Listener::Unix(listener), address, _file: None })
        }
        Ok(None) => Err(unfit(&"it was not handed over")),
        Err(error) => Err(unfit(&error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(path: &Path) -> ListenAddress {
        ListenAddress::Unix(path.to_path_buf())
    }

    #[tokio::test]
    async fn a_unix_socket_is_for_owner_and_group_and_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("polyai.sock");
        let bound = bind(&at(&path)).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
        let error = bind(&at(&path)).unwrap_err().to_string();
        assert!(error.contains("another process listens there"), "{error}");
        drop(bound);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn the_socket_of_a_process_that_was_killed_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("polyai.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "the standard library leaves it");
        bind(&at(&path)).unwrap();
    }

    #[tokio::test]
    async fn a_socket_that_another_process_has_put_in_its_place_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("polyai.sock");
        let bound = bind(&at(&path)).unwrap();
        fs::remove_file(&path).unwrap();
        let _other = bind(&at(&path)).unwrap();
        drop(bound);
        assert!(path.exists());
    }

    #[test]
    fn a_process_that_takes_no_connections_any_more_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("polyai.sock");
        let address = SockAddr::unix(&path).unwrap();
        let standing = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        standing.bind(&address).unwrap();
        standing.listen(0).unwrap();
        let connect = || {
            let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
            socket.set_nonblocking(true).unwrap();
            socket.connect(&address).map(|()| socket)
        };
        let waiting: Vec<_> = std::iter::from_fn(|| connect().ok()).take(100).collect();
        assert!(waiting.len() < 100, "its queue is full");

        let (said, hear) = std::sync::mpsc::channel();
        let at = path.clone();
        std::thread::spawn(move || said.send(remove_stale_socket(&at)));
        let said = hear.recv_timeout(std::time::Duration::from_secs(10)).expect("it is not waited for");
        assert_eq!(said.unwrap_err().kind(), io::ErrorKind::AddrInUse);
        assert!(path.exists());
    }

    #[tokio::test]
    async fn what_is_no_socket_is_never_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("precious");
        fs::write(&path, "data").unwrap();
        let error = bind(&at(&path)).unwrap_err().to_string();
        assert!(error.contains("no socket"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"data");
        let error = bind(&at(&folder.path().join("no/such"))).unwrap_err().to_string();
        assert!(error.ends_with("the folder of the socket does not exist"), "{error}");
    }

    #[tokio::test]
    async fn a_burst_waits_in_line_even_before_anything_is_answered() {
        let most = fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap_or_default();
        if most.trim().parse::<u32>().is_ok_and(|most| most < BACKLOG) {
            return;
        }
        let bound = bind(&"127.0.0.1:0".parse().unwrap()).unwrap();
        let ListenAddress::Socket(address) = bound.address else { panic!("{bound:?}") };
        let patience = std::time::Duration::from_millis(900);
        let waiting: Vec<_> =
            (0..500).map(|_| std::net::TcpStream::connect_timeout(&address, patience).unwrap()).collect();
        assert_eq!(waiting.len(), 500);
    }
}
