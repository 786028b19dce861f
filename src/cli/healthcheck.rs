//! `healthcheck`: queries the local daemon's health endpoint, for images without a shell and for scripts.

mod request;

use std::collections::BTreeMap;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use request::{Answer, send};

use super::CliError;
use crate::config::{self, ListenAddress, Server};

/// The flags of `healthcheck`.
#[derive(Debug, Clone, clap::Args)]
pub struct Healthcheck {
    /// Configuration file of the daemon; only the address is used.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Listen address of the daemon, as for `serve`; wins over the configuration. One of several is enough.
    #[arg(long = "web.listen-address", value_name = "ADDRESS:PORT")]
    pub listen: Option<ListenAddress>,
    /// Web configuration of the daemon; TLS is then tried first. If omitted, TLS is auto-detected by trying plain HTTP first
    /// (logged by the daemon as a failed handshake).
    #[arg(long = "web.config.file", value_name = "FILE")]
    pub web_config_file: Option<PathBuf>,
    /// Check readiness (/-/ready) instead of liveness.
    #[arg(long)]
    pub ready: bool,
    /// Timeout for the response.
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = humantime::parse_duration)]
    pub timeout: Duration,
}

/// The address of the daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Endpoint {
    address: ListenAddress,
    /// Whether there is a web configuration, which may enable TLS.
    has_web_config: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Probe {
    Healthy,
    Ready,
}

impl Probe {
    const fn path(self) -> &'static str {
        match self {
            Self::Healthy => "/-/healthy",
            Self::Ready => "/-/ready",
        }
    }
}

/// Queries the daemon and prints the result.
///
/// # Errors
/// With code 1, the only one that container engines know: if the daemon does not answer, is unhealthy, or its address is
/// unknown.
pub async fn run(
    flags: &Healthcheck,
    env: &BTreeMap<String, String>,
    out: &mut impl Write,
) -> Result<(), CliError> {
    let endpoint = endpoint(flags, env).map_err(|error| CliError::run_time(&error))?;
    let probe = if flags.ready { Probe::Ready } else { Probe::Healthy };
    let answer = send(&endpoint, probe.path(), flags.timeout).await;
    let address = &endpoint.address;
    match interpret(probe, &answer) {
        Ok(result) => Ok(writeln!(out, "{address} {result}")?),
        Err(result) => Err(CliError::run_time(&format!("{address} {result}"))),
    }
}

fn endpoint(flags: &Healthcheck, env: &BTreeMap<String, String>) -> Result<Endpoint, String> {
    // With the address as a flag, the configuration need not be valid.
    let server = match (&flags.listen, &flags.config) {
        (Some(_), None) => Server::default(),
        (_, config) => config::server(config.as_deref(), env).map_err(|problems| problems.to_string())?,
    };
    let address = flags.listen.clone().or_else(|| server.listen.into_iter().next());
    Ok(Endpoint {
        address: to_local_address(address.ok_or("the configuration names no address")?)?,
        has_web_config: flags.web_config_file.is_some() || server.web_config_file.is_some(),
    })
}

/// The address from this machine: the loopback address for a wildcard address.
///
/// # Errors
/// If the address is known only at run time.
fn to_local_address(address: ListenAddress) -> Result<ListenAddress, String> {
    match address {
        ListenAddress::Socket(address) if address.port() != 0 => {
            let ip = match address.ip() {
                IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
                IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
                ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
            };
            let mut local = address;
            local.set_ip(ip);
            Ok(local.into())
        }
        ListenAddress::AnyAddress(port) if port != 0 => {
            Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into())
        }
        ListenAddress::Socket(_) | ListenAddress::AnyAddress(_) => {
            Err("port 0 selects a free port, which the daemon logs: set it with --web.listen-address"
                .to_owned())
        }
        ListenAddress::Unix(_) => Ok(address),
        ListenAddress::Inherited => {
            Err("the sockets are systemd's: set the address of one with --web.listen-address".to_owned())
        }
    }
}

/// The result of a probe, to follow the address.
fn interpret(probe: Probe, answer: &Answer) -> Result<String, String> {
    let healthy = |reason: &str| Ok(format!("is healthy: {reason}, so it runs"));
    match (probe, answer) {
        (Probe::Healthy, Answer::Status(200, _)) => Ok("is healthy".to_owned()),
        (Probe::Ready, Answer::Status(200, _)) => Ok("is ready".to_owned()),
        (Probe::Healthy, Answer::Status(401, _)) => healthy("it asks for a password"),
        (Probe::Healthy, Answer::ClientCertRequired) => healthy("it asks for a client certificate"),
        (Probe::Healthy, Answer::Status(429, _)) => healthy("its rate_limit is exceeded"),
        (Probe::Ready, Answer::Status(429, _)) => {
            Err("runs, but its rate_limit is exceeded, so its readiness is unknown".to_owned())
        }
        (Probe::Ready, Answer::Status(401, _) | Answer::ClientCertRequired) => {
            Err("runs, but its readiness is unknown without a password or client certificate; omit --ready"
                .to_owned())
        }
        (Probe::Ready, Answer::Status(503, line)) => {
            Err(format!("is {}", if line.is_empty() { "not ready" } else { line }))
        }
        (_, Answer::Status(status, line)) => {
            Err(format!("answered {status} to {}, unlike a healthy polyai-exporter: {line}", probe.path()))
        }
        (_, Answer::NoResponse(reason)) => Err(format!("does not answer: {reason}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcard_address_is_probed_on_loopback() {
        for (listen, local) in [
            ("0.0.0.0:9890", "127.0.0.1:9890"),
            (":9890", "127.0.0.1:9890"),
            ("[::]:9890", "[::1]:9890"),
            ("10.0.0.7:80", "10.0.0.7:80"),
            ("unix:/run/polyai.sock", "unix:/run/polyai.sock"),
        ] {
            assert_eq!(to_local_address(listen.parse().unwrap()).unwrap().to_string(), local, "{listen}");
        }
        for unknown in ["127.0.0.1:0", ":0"] {
            assert!(to_local_address(unknown.parse().unwrap()).unwrap_err().contains("logs"), "{unknown}");
        }
        assert!(to_local_address(ListenAddress::Inherited).unwrap_err().contains("systemd"));
    }

    #[test]
    fn required_authentication_is_healthy_but_not_ready() {
        for locked in [Answer::Status(401, "Unauthorized".into()), Answer::ClientCertRequired] {
            assert!(interpret(Probe::Healthy, &locked).unwrap().starts_with("is healthy: "));
            assert!(interpret(Probe::Ready, &locked).unwrap_err().contains("omit --ready"));
        }
    }

    #[test]
    fn rate_limited_probe_is_healthy() {
        let limited = Answer::Status(429, "too many requests".into());
        assert!(interpret(Probe::Healthy, &limited).unwrap().contains("rate_limit"));
        assert!(interpret(Probe::Ready, &limited).unwrap_err().contains("rate_limit"));
    }

    #[test]
    fn readiness_reasons_and_foreign_servers_are_reported() {
        let waiting = Answer::Status(503, "not ready: 1 of 2 targets has not been polled yet".into());
        assert_eq!(
            interpret(Probe::Ready, &waiting).unwrap_err(),
            "is not ready: 1 of 2 targets has not been polled yet"
        );
        assert!(
            interpret(Probe::Healthy, &Answer::Status(404, "nothing here".into()))
                .unwrap_err()
                .contains("404")
        );
        assert!(interpret(Probe::Healthy, &Answer::NoResponse("refused".into())).is_err());
        assert_eq!(interpret(Probe::Ready, &Answer::Status(200, "ready".into())), Ok("is ready".to_owned()));
    }
}
