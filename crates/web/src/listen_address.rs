//! Addresses to listen on, as in `--web.listen-address` of the Prometheus exporters.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use exporter_schema::quoted;

/// An address to listen on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum ListenAddress {
    /// An IP address and port; port 0 takes a free one.
    Socket(SocketAddr),
    /// `:9890`: the port on every address of the machine, IPv6 and IPv4.
    AnyAddress(u16),
    /// `unix:/run/exporter.sock`: a unix socket.
    Unix(PathBuf),
    /// Sockets inherited from the service manager (`--web.systemd-socket`); has no textual form.
    Inherited,
}

/// The maximum length of a socket path: `sun_path` of unix(7), less its terminator.
const MAX_PATH_BYTES: usize = 107;

impl ListenAddress {
    /// The accepted forms, for error messages.
    pub const EXPECTED: &str = "an IP address and port such as \"0.0.0.0:9890\", a port such as \":9890\", or \
                                \"unix:/run/exporter.sock\"";
}

impl FromStr for ListenAddress {
    /// Advice on what to write.
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.starts_with("vsock:") {
            return Err(
                "vsock sockets are not supported; listen on an IP address or a unix socket".to_owned()
            );
        }
        if let Some(path) = text.strip_prefix("unix:") {
            let path = path.strip_prefix("//").filter(|rest| rest.starts_with('/')).unwrap_or(path);
            return match path.len() {
                0 => Err("the path of the socket is missing, as in \"unix:/run/exporter.sock\"".to_owned()),
                length if length > MAX_PATH_BYTES => Err(format!(
                    "the path of the socket has {length} bytes; the system allows {MAX_PATH_BYTES}"
                )),
                _ => Ok(Self::Unix(path.into())),
            };
        }
        if let Some(port) = text.strip_prefix(':').and_then(|port| port.parse().ok()) {
            return Ok(Self::AnyAddress(port));
        }
        if let Some(port) = text.strip_prefix("localhost:").and_then(|port| port.parse().ok()) {
            return Ok(Self::Socket((Ipv4Addr::LOCALHOST, port).into()));
        }
        if text.parse::<u16>().is_ok() {
            return Err(format!("write {} for that port on every address", quoted(&format!(":{text}"))));
        }
        text.parse().map(Self::Socket).map_err(|_| format!("write {}", Self::EXPECTED))
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(address) => address.fmt(f),
            Self::AnyAddress(port) => write!(f, ":{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Inherited => f.write_str("the sockets of systemd"),
        }
    }
}

impl From<SocketAddr> for ListenAddress {
    fn from(address: SocketAddr) -> Self {
        Self::Socket(address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_parses_and_displays_as_written() {
        for text in
            ["0.0.0.0:9890", "[::]:9890", "[::1]:0", ":9890", "unix:/run/exporter.sock", "unix:exporter.sock"]
        {
            assert_eq!(text.parse::<ListenAddress>().unwrap().to_string(), text);
        }
        assert_eq!("localhost:80".parse::<ListenAddress>().unwrap().to_string(), "127.0.0.1:80");
        assert_eq!("unix:///run/a".parse::<ListenAddress>().unwrap().to_string(), "unix:/run/a");
    }

    #[test]
    fn invalid_address_error_names_the_accepted_forms() {
        let long = format!("unix:/{}", "x".repeat(107));
        for (text, expected) in [
            ("9890", "write \":9890\""),
            ("", "an IP address and port"),
            (":99999", "an IP address and port"),
            ("example.com:80", "an IP address and port"),
            ("::1:9890x", "an IP address and port"),
            ("unix:", "the path of the socket is missing"),
            (&long, "has 108 bytes"),
            ("vsock://:9890", "vsock"),
        ] {
            let error = text.parse::<ListenAddress>().unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
